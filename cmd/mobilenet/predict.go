package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

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
	stderr := cmd.ErrOrStderr()
	names, failures := findPhotos(args)
	for _, e := range failures {
		e.report(stderr)
	}
	if len(names) == 0 {
		return errReported
	}
	// The first photos are decoded while the model is loaded.
	open := sync.OnceValues(func() (*mobilenet.Classifier, error) { return f.open(cmd.Context(), stderr) })
	photos := decodeAll(cmd.Context(), len(names), f.threads, f.threads+f.batch, func(i int) photo {
		return f.decode(cmd.Context(), names[i], cmd.InOrStdin(), open)
	})
	c, err := open()
	if err != nil {
		return err
	}
	bar := newPhotoBar(stderr, len(names))
	defer bar.finish()
	p := predictor{c: c, top: f.top, out: newResults(f.format, cmd.OutOrStdout()), bar: bar, stderr: stderr}
	if err := p.run(cmd.Context(), photos, f.batch); err != nil {
		return err
	}
	if p.failed || len(failures) > 0 {
		return errReported
	}
	return nil
}

// decode reads a photo and prepares it for the network.
func (f *predictFlags) decode(ctx context.Context, name string, stdin io.Reader, open func() (*mobilenet.Classifier, error)) photo {
	data, err := readPhoto(ctx, name, stdin)
	if err != nil {
		return photo{name: name, err: err}
	}
	img, err := vision.Decode(ctx, data, vision.DecodeOptions{IgnoreOrientation: f.asStored})
	if err != nil {
		return photo{name: name, err: err}
	}
	c, err := open()
	if err != nil {
		return photo{name: name, err: err}
	}
	return photo{name: name, image: c.Prepare(img)}
}

// report writes e to standard error.
func (e photoError) report(stderr io.Writer) {
	fmt.Fprintf(stderr, "mobilenet: %s: %v\n", shown(e.name), e.err)
}
