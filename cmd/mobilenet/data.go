package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/internal/hub"
)

func newData() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Find or fetch data to train with",
		Args:  args(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFashionMNIST())
	return cmd
}

func newFashionMNIST() *cobra.Command {
	var dir string
	var offline bool
	cmd := &cobra.Command{
		Use:   "fashion-mnist",
		Short: "Print the folder of Fashion-MNIST, for train --data",
		Long: `Print the folder of Fashion-MNIST: 70,000 pictures of clothes in ten classes,
28x28 (arXiv 1708.07747, MIT licence). It is that of Debian's package
dataset-fashion-mnist, or the cache, to which the four files are downloaded (31 MB).
MOBILENET_CACHE names another cache, MOBILENET_MIRROR another server.`,
		Example: `  mobilenet data fashion-mnist
  mobilenet train --data "$(mobilenet data fashion-mnist)" --model none`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if dir == "" {
				dir, err = fashionMNIST(cmd, offline)
			} else {
				err = dataset.CheckFashionMNIST(dir)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), dir)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder that has the files: check them, download nothing")
	cmd.Flags().BoolVar(&offline, "offline", false, "download nothing; fail unless the files are there")
	return cmd
}

// fashionMNIST returns the folder of Fashion-MNIST, which it downloads if there is
// none.
func fashionMNIST(cmd *cobra.Command, offline bool) (dir string, err error) {
	if dir, err = dataset.FashionMNIST(); err == nil {
		return dir, nil
	}
	client, err := hub.FromEnv()
	if err != nil {
		return "", err
	}
	client.Offline, client.Progress = offline, downloadBar(cmd.ErrOrStderr())
	return client.FashionMNIST(cmd.Context())
}

// tellNotes shows what had to be assumed about labelled images.
func tellNotes(w io.Writer, sets ...*dataset.Set) {
	for _, s := range sets {
		if s != nil {
			for _, note := range s.Notes {
				fmt.Fprintln(w, "note:", note)
			}
		}
	}
}

// tellSkipped names the files among labelled images that are not read, if there are
// any.
func tellSkipped(w io.Writer, sets ...*dataset.Set) (some bool) {
	for _, s := range sets {
		if s != nil {
			for _, k := range s.Skipped {
				fmt.Fprintln(w, "mobilenet:", k)
				some = true
			}
		}
	}
	return some
}
