package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/internal/hub"
	"github.com/mobilenet-go/mobilenet/vision"
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
				fmt.Fprintln(w, "note:", printable(note))
			}
		}
	}
}

// tellSkipped counts and names the files among images that are not read, and says
// what can be done about them. It reports whether there are any.
func tellSkipped(w io.Writer, skipped []dataset.Skipped) bool {
	for _, k := range skipped {
		others := ""
		if k.Count > 1 {
			others = fmt.Sprintf(" and %d more", k.Count-1)
		}
		fmt.Fprintf(w, "mobilenet: %s%s: %s\n", shown(k.First), others, printable(notRead(k)))
	}
	return len(skipped) > 0
}

// notRead says why files are not read, as decoding one does.
func notRead(k dataset.Skipped) string {
	head, err := boundedfile.Head(k.First, vision.HeadSize)
	if err == nil {
		_, err = vision.Decode(context.Background(), head, vision.DecodeOptions{})
	}
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind == fault.Unsupported {
		return f.Reason
	}
	return k.Kind + " is not read here"
}
