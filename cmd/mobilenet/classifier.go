package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/flags"
	"github.com/mobilenet-go/mobilenet/vision"
)

// classifierFlags say what model a command runs over many photos, and how.
type classifierFlags struct {
	model, labels  string
	threads, batch int
	maxPixels      int
	offline        bool
	precision      precisionFlag
	photos         photoFlags
}

func (f *classifierFlags) register(cmd *cobra.Command) {
	f.registerModel(cmd)
	cmd.Flags().IntVar(&f.batch, "batch", 0, "photos to run at once, if there are as many; 0 means 16, or as many as threads")
}

// registerModel adds the flags for photos that run one by one.
func (f *classifierFlags) registerModel(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&f.model, "model", "m", "imagenet1k_v2", "weights with a name (see mobilenet weights list) or a file: "+modelEndings())
	fs.StringVar(&f.labels, "labels", "", "file with the names of the classes: a line each, or JSON")
	flags.Threads(fs, &f.threads, "cores to use; 0 means all")
	fs.IntVar(&f.maxPixels, "max-pixels", vision.DefaultMaxPixels, "refuse photos of more pixels, which take memory")
	fs.BoolVar(&f.offline, "offline", false, "download nothing; published weights must be in the cache")
	f.precision.register(cmd)
	f.photos.register(cmd, true)
	completeModel(cmd)
}

func (f *classifierFlags) check(cmd *cobra.Command) error {
	switch {
	case f.batch < 0 || f.batch > 1024:
		return usagef(cmd, "--batch %d: want 0 to 1024", f.batch)
	case f.maxPixels < 1:
		return usagef(cmd, "--max-pixels %d: want at least 1", f.maxPixels)
	case isPhoto(f.model):
		return photoAsModel(cmd, f.model)
	}
	if err := f.precision.check(cmd); err != nil {
		return err
	}
	return f.photos.check(cmd)
}

// settle replaces the zeros of threads and batch by what they stand for.
func (f *classifierFlags) settle() {
	if f.threads == 0 {
		f.threads = runtime.GOMAXPROCS(0)
	}
	runtime.GOMAXPROCS(min(f.threads, runtime.GOMAXPROCS(0))) // for decoding, too
	// Weights are read once for a batch. On two cores of a Zen 4, 800 photos of 500x375
	// took 3.8 s in twos, 3.1 to 3.3 in eights, 2.9 to 3.1 in sixteens.
	if f.batch == 0 {
		f.batch = max(16, f.threads)
	}
}

// open opens the model for telling classes.
func (f *classifierFlags) open(ctx context.Context, stderr io.Writer) (*mobilenet.Classifier, error) {
	c, err := f.openAny(ctx, stderr)
	if err == nil && c.Config().Classes == 0 {
		return nil, fault.In(f.model, mobilenet.ErrNoClasses)
	}
	return c, err
}

// openAny opens the model, which may be one for embeddings, without classes.
func (f *classifierFlags) openAny(ctx context.Context, stderr io.Writer) (*mobilenet.Classifier, error) {
	opts := []mobilenet.Option{
		mobilenet.WithThreads(f.threads), mobilenet.WithBatch(f.batch), mobilenet.WithOffline(f.offline),
		mobilenet.WithProgress(downloadBar(stderr)), mobilenet.WithInput(f.photos.In), f.precision.option(), cacheWeights(),
	}
	if f.labels != "" {
		labels, err := dataset.ReadLabels(f.labels)
		if err != nil {
			return nil, err
		}
		opts = append(opts, mobilenet.WithLabels(labels))
	}
	c, err := mobilenet.Open(ctx, f.model, opts...)
	if err != nil {
		return nil, ofLabels(f.labels, err)
	}
	f.photos.say(stderr, f.model, c.Config(), false)
	sayAssumed(stderr, f.model, c.Assumed())
	sayNotes(stderr, f.model, c.Notes())
	f.precision.say(stderr, f.model, c.Dequantized(), c.Unfit())
	return c, nil
}

// ofLabels has an error about labels, and no other, name the file that they are from, if any.
func ofLabels(file string, err error) error {
	if file != "" && errors.Is(err, mobilenet.ErrLabels) {
		return fmt.Errorf("%s: %w", file, err)
	}
	return err
}

// decoding is how photos are decoded. Who allows larger ones than usual has the
// memory for one of them.
func (f *classifierFlags) decoding() vision.DecodeOptions {
	o := vision.DecodeOptions{MaxPixels: f.maxPixels}
	if f.maxPixels > vision.DefaultMaxPixels {
		const bytes = 5 // a pixel, at most
		o.Budget = vision.NewBudget(max(vision.DefaultBudget, bytes*int64(f.maxPixels)))
	}
	return o
}
