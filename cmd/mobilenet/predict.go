package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/vision"
)

// predictFlags are those of mobilenet predict.
type predictFlags struct {
	classifierFlags
	format, errors string
	top            int
	threshold      float64
	asStored       bool
	keeper         keeper
	list           fromFlags
}

func newPredict() *cobra.Command {
	var f predictFlags
	cmd := &cobra.Command{
		Use:   "predict [flags] PHOTO...",
		Short: "Classify photos",
		Long: `Classify photos: files, folders (searched through), patterns, URLs, or - for
standard input. JPEG, PNG, GIF, WebP, BMP, TIFF and Netpbm files are read, whatever
they are called.

A photo that can't be read is reported on standard error and does not stop the
others; the exit code is 1 then. --errors inline has it among the results instead.
Images of other formats in a folder are counted and named at the end.

--from FILE takes photos from a list, JSON lines or CSV, and gives every row back with
its results. Many machines share a list with --shard I/N, or as Kubernetes, AWS Batch
or Slurm number them; with --output DIR results are files that appear whole, and --resume
goes on after a failure. Photos that can't be read are rows of the results there.`,
		Example: `  mobilenet predict dog.jpg
  mobilenet predict --top 1 --format csv photos/ > labels.csv
  mobilenet predict --model best.safetensors --format json 'shots/*.png'
  mobilenet predict --threshold 0.5 --sort-into sorted/ photos/
  mobilenet predict --save-annotated pictures/ photos/
  mobilenet predict --from list.jsonl --shard 0/16 -o results/ --resume
  curl -s https://example.com/cat.jpg | mobilenet predict -`,
		Args: args(f.list.photoArgs),
		RunE: f.list.either(f.check, f.run, f.runList),
	}
	f.register(cmd)
	f.list.register(cmd)
	fs := cmd.Flags()
	fs.StringVarP(&f.list.out, "output", "o", "", "write the results of --from to the folder `DIR`, in parts that appear whole")
	fs.IntVarP(&f.top, "top", "k", 5, "how many classes to show")
	fs.Float64Var(&f.threshold, "threshold", 0, "show only classes of at least this probability, 0 to 1")
	fs.StringVarP(&f.format, "format", "f", "table", "table, json (an object a line) or csv")
	fs.StringVar(&f.errors, "errors", "stderr", "where photos that can't be read are reported: stderr, or inline, among the results")
	fs.StringVar(&f.keeper.sortInto, "sort-into", "", "copy each photo to `DIR`, into a folder of its best class, or "+unsure+" below the threshold")
	fs.StringVar(&f.keeper.annotated, "save-annotated", "", fmt.Sprintf("write a picture of each photo with its classes below to `DIR`, JPEG of up to %d pixels a side", annotatedSide))
	fs.BoolVar(&f.asStored, "no-exif-orientation", false, "do not turn photos as their EXIF orientation says")
	complete(cmd, "format", "table", "json", "csv")
	complete(cmd, "errors", "stderr", "inline")
	return cmd
}

func (f *predictFlags) check(cmd *cobra.Command, args []string) error {
	switch {
	case f.top < 1:
		return usagef(cmd, "--top %d: want at least 1", f.top)
	case !(f.threshold >= 0 && f.threshold <= 1): // NaN neither
		u := usagef(cmd, "--threshold %v: want 0 to 1", f.threshold)
		if f.threshold > 1 && f.threshold <= 100 {
			u.hint = fmt.Sprintf("did you mean --threshold %v?", f.threshold/100)
		}
		return u
	}
	if err := checkInputs(cmd, f.offline, args); err != nil {
		return err
	}
	if err := modelAsPhoto(cmd, args); err != nil {
		return err
	}
	if err := f.classifierFlags.check(cmd); err != nil {
		return err
	}
	if err := f.list.check(cmd, args); err != nil {
		return err
	}
	if err := oneOf(cmd, "errors", f.errors, "stderr", "inline"); err != nil {
		return err
	}
	if f.list.from != "" {
		return f.checkList(cmd)
	}
	if cmd.Flags().Changed("output") {
		return usagef(cmd, "--output is for a list of photos: --from FILE")
	}
	return oneOf(cmd, "format", f.format, "table", "json", "csv")
}

// errReported says that some photos failed. Each was reported when it did.
var errReported = errors.New("some photos failed")

func (f *predictFlags) run(cmd *cobra.Command, args []string) error {
	f.settle()
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	for _, dir := range f.keeper.outputs() { // now rather than after an hour
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	photos, skipped := findPhotos(args, f.keeper.outputs()...)
	inLine := f.errors == "inline"
	r := reporter{out: newResults(f.format, stdout, inLine), stderr: stderr, inLine: inLine}
	if !isTerminal(stdout) { // where results scroll by, they say how far it is
		r.bar = newPhotoBar(stderr, len(photos))
		defer r.bar.finish()
	}
	p := f.prediction(cmd, func(i int) input { return photos[i] })
	p.reporter = &r
	if err := p.run(cmd.Context(), photos, stderr); err != nil {
		return err
	}
	if err := r.out.close(); err != nil {
		return err
	}
	r.bar.clear()
	p.clipped.say(stderr)
	if tellSkipped(stderr, skipped) || r.failed {
		return errReported
	}
	return nil
}

// A prediction is photos on their way.
type prediction struct {
	*predictFlags
	photo    func(i int) input
	stdin    io.Reader
	decoding vision.DecodeOptions
	reporter *reporter
	clipped  clippedPhotos
}

func (f *predictFlags) prediction(cmd *cobra.Command, photo func(i int) input) *prediction {
	p := &prediction{predictFlags: f, photo: photo, stdin: cmd.InOrStdin(), decoding: f.decoding()}
	p.decoding.IgnoreOrientation = f.asStored
	return p
}

func (p *prediction) run(ctx context.Context, photos []input, stderr io.Writer) error {
	if !slices.ContainsFunc(photos, func(in input) bool { return in.err == nil }) { // nothing to open a model for
		for _, in := range photos {
			if err := p.reporter.fail(in.name, in.err); err != nil {
				return err
			}
		}
		return nil
	}
	open := func() (*mobilenet.Classifier, error) {
		c, err := p.open(ctx, stderr)
		if err == nil {
			p.keeper.name(c.Labels())
		}
		return c, err
	}
	line := pipeline{photos: count(len(photos)), decode: p.decode, open: open, use: p.use}
	return line.run(ctx, &p.classifierFlags, p.top)
}

// decode reads photo i.
func (p *prediction) decode(ctx context.Context, i int, c *mobilenet.Classifier) (image.Image, error) {
	in := p.photo(i)
	if in.err != nil {
		return nil, in.err
	}
	data, err := readPhoto(ctx, in.name, p.stdin)
	if err != nil {
		return nil, err
	}
	if c != nil && !p.keeper.wantsPixels() {
		img, err := c.PrepareData(ctx, data, p.decoding)
		if err != nil {
			return nil, err
		}
		p.clipped.look(in.name, img.Clipped())
		p.keeper.hold(i, in.name, data, nil)
		return img, nil
	}
	img, err := vision.Decode(ctx, data, p.decoding)
	if err != nil {
		return nil, err
	}
	p.clipped.look(in.name, img.Clipped)
	p.keeper.hold(i, in.name, data, img)
	return img, nil
}

// use writes what became of photo i.
func (p *prediction) use(i int, r mobilenet.Result, err error) error {
	name := p.photo(i).name
	if err != nil {
		return p.reporter.fail(name, err)
	}
	shown := p.probable(r.Predictions)
	if err := p.keeper.keep(i, name, r.Predictions, shown); err != nil {
		return err
	}
	return p.reporter.add(name, shown)
}

// probable leaves out what is below the threshold.
func (f *predictFlags) probable(p []mobilenet.Prediction) []mobilenet.Prediction {
	for i, v := range p {
		if float64(v.Probability) < f.threshold {
			return p[:i]
		}
	}
	return p
}

// A reporter writes what became of each photo.
type reporter struct {
	out    results
	stderr io.Writer
	inLine bool // errors are results
	bar    photoBar
	failed bool // some photo did
}

func (r *reporter) add(name string, p []mobilenet.Prediction) error {
	r.bar.add()
	return r.out.add(name, p)
}

func (r *reporter) fail(name string, cause error) error {
	r.failed = true
	r.bar.add()
	if r.inLine {
		return r.out.fail(name, cause)
	}
	r.bar.clear()
	_, err := fmt.Fprintf(r.stderr, "mobilenet: %s: %s\n", shown(name), printable(reason(cause)))
	return err
}
