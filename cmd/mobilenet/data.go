package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/dataset"
)

func newData() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Find data to train with",
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "fashion-mnist",
		Short: "Print the folder of Fashion-MNIST, for train --data",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := dataset.FashionMNIST()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), dir)
			return err
		},
	})
	return cmd
}
