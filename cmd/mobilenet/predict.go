package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/vision"
)

// predictFlags are those of mobilenet predict.
type predictFlags struct {
	classifierFlags
	format   string
	top      int
	asStored bool
}

func newPredict() *cobra.Command {
	var f predictFlags
	cmd := &cobra.Command{
		Use:   "predict [flags] PHOTO...",
		Short: "Classify photos",
		Long: `Classify photos: files, folders (searched through), patterns, URLs, or - for
standard input. JPEG, PNG, GIF, WebP, BMP and TIFF are read.

A photo that can't be read is reported on standard error and does not stop the
others; the exit code is 1 then.`,
		Example: `  mobilenet predict dog.jpg
  mobilenet predict --top 1 --format csv photos/ > labels.csv
  mobilenet predict --model best.safetensors --format json 'shots/*.png'
  curl -s https://example.com/cat.jpg | mobilenet predict -`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, args); err != nil {
				return err
			}
			return f.run(cmd, args)
		},
	}
	f.register(cmd)
	fs := cmd.Flags()
	fs.IntVarP(&f.top, "top", "k", 5, "how many classes to show")
	fs.StringVarP(&f.format, "format", "f", "table", "table, json (an object a line) or csv")
	fs.BoolVar(&f.asStored, "no-exif-orientation", false, "do not turn photos as their EXIF orientation says")
	complete(cmd, "format", "table", "json", "csv")
	return cmd
}

func (f *predictFlags) check(cmd *cobra.Command, args []string) error {
	stdin := slices.Index(args, "-")
	switch {
	case f.top < 1:
		return usagef(cmd, "--top %d: want at least 1", f.top)
	case stdin >= 0 && slices.Contains(args[stdin+1:], "-"):
		return usagef(cmd, "standard input can be read only once")
	case f.offline && slices.ContainsFunc(args, isURL):
		return usagef(cmd, "--offline: %s is not on this machine", args[slices.IndexFunc(args, isURL)])
	}
	if err := f.classifierFlags.check(cmd); err != nil {
		return err
	}
	return oneOf(cmd, "format", f.format, "table", "json", "csv")
}

// errReported says that some photos failed. Each was reported when it did.
var errReported = errors.New("some photos failed")

func (f *predictFlags) run(cmd *cobra.Command, args []string) error {
	f.settle()
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	names, failures := findPhotos(args)
	for _, e := range failures {
		e.report(stderr)
	}
	if len(names) == 0 {
		return errReported
	}
	bar := newPhotoBar(stderr, len(names))
	defer bar.finish()
	out := newResults(f.format, cmd.OutOrStdout())
	failed := len(failures) > 0
	p := pipeline{
		photos: len(names),
		decode: func(ctx context.Context, i int) (image.Image, error) { return f.decode(ctx, names[i], cmd.InOrStdin()) },
		open:   func() (*mobilenet.Classifier, error) { return f.open(ctx, stderr) },
		use: func(i int, r mobilenet.Result, err error) error {
			bar.add()
			if err == nil {
				return out.add(names[i], r.Predictions)
			}
			bar.clear()
			photoError{names[i], err}.report(stderr)
			failed = true
			return nil
		},
	}
	if err := p.run(ctx, &f.classifierFlags, f.top); err != nil {
		return err
	}
	if err := out.close(); err != nil {
		return err
	}
	if failed {
		return errReported
	}
	return nil
}

// decode reads a photo.
func (f *predictFlags) decode(ctx context.Context, name string, stdin io.Reader) (image.Image, error) {
	data, err := readPhoto(ctx, name, stdin)
	if err != nil {
		return nil, err
	}
	return vision.Decode(ctx, data, vision.DecodeOptions{IgnoreOrientation: f.asStored})
}

// report writes e to standard error.
func (e photoError) report(stderr io.Writer) {
	fmt.Fprintf(stderr, "mobilenet: %s: %v\n", shown(e.name), e.err)
}
