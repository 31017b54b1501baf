package main

import (
	"context"
	"fmt"
	"image"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/vision"
)

// predictFlags are those of mobilenet predict.
type predictFlags struct {
	model, labels, format string
	top, threads, batch   int
	offline, asStored     bool
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
	fs := cmd.Flags()
	fs.StringVarP(&f.model, "model", "m", "imagenet1k_v2", "published weights (see mobilenet weights list) or a file: .pth, .safetensors")
	fs.IntVarP(&f.top, "top", "k", 5, "how many classes to show")
	fs.StringVar(&f.labels, "labels", "", "file with the names of the classes: a line each, or JSON")
	fs.StringVarP(&f.format, "format", "f", "table", "table, json (an object a line) or csv")
	fs.IntVar(&f.threads, "threads", 0, "cores to use; 0 means all")
	fs.IntVar(&f.batch, "batch", 0, "photos to run at once; 0 means as many as threads")
	fs.BoolVar(&f.asStored, "no-exif-orientation", false, "do not turn photos as their EXIF orientation says")
	fs.BoolVar(&f.offline, "offline", false, "download nothing; published weights must be in the cache")
	complete(cmd, "model", mobilenet.Published()...)
	complete(cmd, "format", "table", "json", "csv")
	return cmd
}

func (f *predictFlags) check(cmd *cobra.Command, args []string) error {
	stdin := slices.Index(args, "-")
	switch {
	case f.top < 1:
		return usagef(cmd, "--top %d: want at least 1", f.top)
	case f.threads < 0 || f.threads > 1024:
		return usagef(cmd, "--threads %d: want 0 to 1024", f.threads)
	case f.batch < 0 || f.batch > 1024:
		return usagef(cmd, "--batch %d: want 0 to 1024", f.batch)
	case stdin >= 0 && slices.Contains(args[stdin+1:], "-"):
		return usagef(cmd, "standard input can be read only once")
	}
	return oneOf(cmd, "format", f.format, "table", "json", "csv")
}

// A filesError says that some photos could not be read; each was reported.
type filesError struct{ failed, total int }

func (e *filesError) Error() string { return fmt.Sprintf("%d of %d photos failed", e.failed, e.total) }

func (f *predictFlags) run(cmd *cobra.Command, args []string) error {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	photos, err := findPhotos(args)
	if err != nil {
		return err
	}
	c, err := f.open(ctx, stderr)
	if err != nil {
		return err
	}
	threads := f.threads
	if threads == 0 {
		threads = cores()
	}
	if f.batch == 0 {
		f.batch = threads
	}
	out := newResults(f.format, cmd.OutOrStdout())
	bar := newPhotoBar(stderr, len(photos))
	decoded := decodeAll(ctx, photos, cmd.InOrStdin(), threads, f.batch, !f.asStored, c.Prepare)
	failed := 0
	for batch := range decoded {
		n, err := f.classify(ctx, c, batch, out, stderr, bar)
		if err != nil {
			return err
		}
		failed += n
	}
	bar.finish()
	if err := out.close(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failed > 0 {
		return &filesError{failed, len(photos)}
	}
	return nil
}

func (f *predictFlags) open(ctx context.Context, stderr io.Writer) (*mobilenet.Classifier, error) {
	opts := []mobilenet.Option{
		mobilenet.WithThreads(f.threads), mobilenet.WithOffline(f.offline),
		mobilenet.WithProgress(downloadBar(stderr)),
	}
	if f.labels != "" {
		labels, err := dataset.ReadLabels(f.labels)
		if err != nil {
			return nil, err
		}
		opts = append(opts, mobilenet.WithLabels(labels))
	}
	return mobilenet.Open(ctx, f.model, opts...)
}

// A photo is one of the inputs on its way.
type photo struct {
	name  string
	image image.Image // prepared, nil if err is not
	err   error
}

// classify runs a batch, writes the results in order and reports what failed.
func (f *predictFlags) classify(ctx context.Context, c *mobilenet.Classifier, batch []photo, out results, stderr io.Writer, bar photoBar) (failed int, err error) {
	var images []image.Image
	for _, p := range batch {
		if p.err == nil {
			images = append(images, p.image)
		}
	}
	var predictions [][]mobilenet.Prediction
	if len(images) > 0 {
		if predictions, err = c.ClassifyBatch(ctx, images, f.top); err != nil {
			return 0, err
		}
	}
	for _, p := range batch {
		bar.add()
		if p.err != nil {
			if ctx.Err() == nil {
				bar.clear()
				fmt.Fprintf(stderr, "mobilenet: %s: %v\n", p.name, p.err)
			}
			failed++
			continue
		}
		if err := out.add(p.name, predictions[0]); err != nil {
			return failed, err
		}
		predictions = predictions[1:]
	}
	return failed, nil
}

// decodeAll reads, decodes and prepares photos on so many goroutines and returns
// them in order, in batches. A few batches are kept ahead of the reader, however
// many photos there are.
func decodeAll(ctx context.Context, names []string, stdin io.Reader, threads, batch int, upright bool, prepare func(image.Image) image.Image) <-chan []photo {
	batches := make(chan []photo)
	slots := make(chan chan photo, threads+batch) // in order; its length bounds the photos in memory
	work := make(chan func(), threads)
	var wg sync.WaitGroup
	for range threads {
		wg.Go(func() {
			for do := range work {
				do()
			}
		})
	}
	go func() {
		defer close(slots)
		defer close(work)
		for _, name := range names {
			slot := make(chan photo, 1)
			select {
			case slots <- slot:
			case <-ctx.Done():
				return
			}
			work <- func() { slot <- decode(ctx, name, stdin, upright, prepare) }
		}
	}()
	go func() {
		defer close(batches)
		var b []photo
		for slot := range slots {
			if b = append(b, <-slot); len(b) == batch {
				batches <- b
				b = nil
			}
		}
		if len(b) > 0 {
			batches <- b
		}
	}()
	return batches
}

func decode(ctx context.Context, name string, stdin io.Reader, upright bool, prepare func(image.Image) image.Image) photo {
	data, err := readPhoto(ctx, name, stdin)
	if err != nil {
		return photo{name: name, err: err}
	}
	img, err := vision.Decode(data, vision.DecodeOptions{IgnoreOrientation: !upright})
	if err != nil {
		return photo{name: name, err: err}
	}
	return photo{name: name, image: prepare(img)}
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isTerminalFile(f)
}
