package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/train"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// valFlags are those of mobilenet val.
type valFlags struct {
	classifierFlags
	data, truth, split, format, out string
}

func newVal() *cobra.Command {
	var f valFlags
	cmd := &cobra.Command{
		Use:   "val [flags] --data DATA",
		Short: "Measure how good a model is on labelled images",
		Long: `Measure how good a model is on labelled images: top-1 and top-5 accuracy, loss,
precision, recall and F1 of every class, which classes are confused, and how far
its probabilities can be trusted (ECE, the expected calibration error).

DATA is a folder with a folder of images per class (or one with val/ in it),
named as the model's labels, by WordNet ID or by index; a flat folder of
ImageNet's validation images with their ground truth in --truth; a CSV of path and
label, read by its header; or a folder of IDX files, as MNIST's. What had to be
assumed about the data is said.

The files of a training remember which photos they were trained with, wherever they
are by now: these are left out, unless --split asks for them, also where DATA has
copies of the same bytes; of photos that were saved anew or scaled only mobilenet
duplicates knows. In its run folder a model without --data is measured on those that
were held out, which have to be as they were.

An image that can't be read is reported on standard error and left out, as are
files of kinds that are not read; the exit code is 1 then.`,
		Example: `  mobilenet val --model runs/train/best.safetensors
  mobilenet val --data photos/ --model best.safetensors
  mobilenet val --data ILSVRC2012_img_val/ --truth ILSVRC2012_validation_ground_truth.txt
  mobilenet val --data test.csv --model best.safetensors --format json --out report/`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			return f.run(cmd)
		},
	}
	f.register(cmd)
	fs := cmd.Flags()
	fs.StringVarP(&f.data, "data", "d", "", "labelled images: a folder or a CSV file")
	fs.StringVar(&f.truth, "truth", "", "file with the true classes of a flat folder of images")
	fs.StringVar(&f.split, "split", "val", "of a model in its run folder: val (what it was not trained with), train or all; test is the test part of the data")
	fs.StringVarP(&f.format, "format", "f", "table", "table, json, or csv (the overall measures in a line)")
	fs.StringVarP(&f.out, "out", "o", "", "folder for the confusion matrix, the classes, every prediction, and pictures")
	complete(cmd, "format", "table", "json", "csv")
	complete(cmd, "split", "val", "train", "test", "all")
	return cmd
}

func (f *valFlags) check(cmd *cobra.Command) error {
	if f.data == "" && !isThere(f.runSplit()) {
		return usagef(cmd, "--data says which images to use, and is missing, as is the %s of a training beside the model, which has those it held out", train.SplitFile)
	}
	if err := oneOf(cmd, "split", f.split, "val", "train", "test", "all"); err != nil {
		return err
	}
	if err := f.classifierFlags.check(cmd); err != nil {
		return err
	}
	return oneOf(cmd, "format", f.format, "table", "json", "csv")
}

func (f *valFlags) run(cmd *cobra.Command) error {
	f.settle()
	if f.out != "" {
		if dir, err := resolved(f.out); err != nil {
			return err
		} else if train.IsRun(dir) {
			return fmt.Errorf("%s holds a training, whose pictures --out would write over: choose another folder", shown(f.out))
		}
	}
	c, err := f.open(cmd.Context(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	set, err := f.images(cmd, c)
	if err != nil {
		return err
	}
	if f.out != "" { // now rather than after an hour
		if err := os.MkdirAll(f.out, 0o777); err != nil {
			return err
		}
	}
	v := validator{c: c, set: set, predictions: report.NewPredictions(c.Labels()), stderr: cmd.ErrOrStderr()}
	start := time.Now()
	if err := v.run(cmd.Context(), &f.classifierFlags); err != nil {
		return err
	}
	if len(v.items) == 0 {
		return fmt.Errorf("%s: none of the %d images could be read", f.data, v.failed)
	}
	e := v.predictions.Evaluation()
	e.ImagesPerSecond = float64(e.Images) / time.Since(start).Seconds()
	if err := writeEvaluation(cmd.OutOrStdout(), e, f.format); err != nil {
		return err
	}
	if f.out != "" {
		if err := v.predictions.WriteFolder(f.out, e, v.picture); err != nil {
			return err
		}
	}
	v.clipped.say(cmd.ErrOrStderr())
	if v.failed > 0 {
		do := "do"
		if v.failed == 1 {
			do = "does"
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "mobilenet: %d of the %d images %s not count\n", v.failed, len(set.Items), do)
	}
	if tellSkipped(cmd.ErrOrStderr(), set.Skipped) || v.failed > 0 {
		return errReported
	}
	return nil
}

// runSplit is where a run folder says what its model was trained with. The model may be
// the folder itself, or a link to a file of it; of a link to where data is kept, as
// data version control makes them, the folder of the link is the run's.
func (f *valFlags) runSplit() string {
	beside := func(path string) string {
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			path = filepath.Dir(path)
		}
		return filepath.Join(path, train.SplitFile)
	}
	if path, err := filepath.EvalSymlinks(f.model); err == nil && isThere(beside(path)) {
		return beside(path)
	}
	return beside(f.model)
}

// trainedWith is what the model was trained with: as its file remembers, or as the run
// folder that it lies in says. It is nil where nothing does.
func (f *valFlags) trainedWith() (*dataset.Division, error) {
	if !isThere(f.model) {
		return nil, nil // a name
	}
	beside, err := dataset.ReadDivision(f.runSplit())
	if err != nil || f.split == "all" { // which is about the photos, whatever the file remembers
		return beside, err
	}
	own, err := mobilenet.TrainedWith(f.model)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w (--split all measures on all photos, whatever it was trained with)", err)
	case own == nil:
		return beside, nil
	}
	return own, nil
}

// isTuned reports whether the model is one that somebody has trained with photos of their
// own: it has names for its classes, and not ImageNet's.
func (f *valFlags) isTuned(c *mobilenet.Classifier) bool {
	return isThere(f.model) && f.labels == "" && c.Named() && !slices.Equal(c.Labels(), dataset.ImageNetLabels())
}

// images opens what is to be measured with.
func (f *valFlags) images(cmd *cobra.Command, c *mobilenet.Classifier) (*dataset.Set, error) {
	division, err := f.trainedWith()
	if err != nil {
		return nil, err
	}
	o := dataset.EvalOptions{Truth: f.truth, Classes: c.Config().Classes}
	if c.Named() {
		o.Labels = c.Labels()
	}
	known := "new" // what the model may know of the photos: nothing
	if f.data == "" {
		known = "val" // what its training held out, as that measured it
	}
	switch f.split {
	case "test":
		o.Part = "test"
	case "train":
		known = "train"
		if division == nil {
			return nil, usagef(cmd, "--split train: nothing in the model, and no %s beside it, says what it was trained with", train.SplitFile)
		}
		o.Part = "train"
	}
	data := cmp.Or(f.data, f.runSplit())
	set, err := dataset.OpenEval(data, o)
	if f.data == "" && errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w (--data says where the photos are now)", err)
	}
	if err != nil {
		return nil, err
	}
	if f.data == "" {
		if err := allThere(set); err != nil {
			return nil, err
		}
		if set, err = f.ofRun(cmd.Context(), set, o); err != nil {
			return nil, err
		}
	}
	stderr := cmd.ErrOrStderr()
	tellNotes(stderr, set)
	set.Decode = f.decoding()
	switch {
	case f.split == "all":
		return set, nil
	case division == nil:
		if f.isTuned(c) {
			fmt.Fprintf(stderr, "note: nothing says what %s was trained with: all %s count, as if it were with none of them (--split all, if that is known)\n", shown(filepath.Base(f.model)), plural(len(set.Items), "photo"))
		}
		return set, nil
	}
	part, err := division.Part(cmd.Context(), set, known)
	if err != nil {
		return nil, err
	}
	switch others := part.Others; {
	case len(part.Items) == 0 && f.split == "train":
		return nil, fmt.Errorf("%s: the model was trained with none of the %d images", data, others)
	case len(part.Items) == 0:
		return nil, fmt.Errorf("%s: the model was trained with all of the %d images; --split train measures on them all the same", data, others)
	case f.split == "train":
		fmt.Fprintf(stderr, "note: measured on the %s that the model was trained with, or with copies of them\n", plural(len(part.Items), "photo"))
	case others > 0:
		fmt.Fprintf(stderr, "note: measured on %s; the other %d %s left out, for the model was trained with %s (--split all)\n", plural(len(part.Items), "photo"), others, isAre(others), map[bool]string{true: "it", false: "them"}[others == 1])
	case f.data == "":
		fmt.Fprintf(stderr, "note: measured on what was held out: %s\n", plural(len(part.Items), "photo"))
	}
	if known == "val" && part.Copies > 0 {
		fmt.Fprintf(stderr, "note: trained with, too, byte for byte, so that they flatter the model: %d of these\n", part.Copies)
	}
	return part.Set, nil
}

// allThere reports a class of which no photo is where it was: its folder was moved or renamed,
// and the figures would be those of the others.
func allThere(set *dataset.Set) error {
	there := make([]bool, len(set.Classes))
	first := make([]string, len(set.Classes))
	for i, item := range set.Items {
		path, ok := set.File(i)
		there[item.Label] = there[item.Label] || !ok || isThere(path)
		first[item.Label] = cmp.Or(first[item.Label], path)
	}
	for i, n := range set.Counts() {
		if n > 0 && !there[i] {
			return fmt.Errorf("%s: no such file: all of class %s are gone, %s (--data says where the photos are now)", shown(first[i]), shown(set.Classes[i]), plural(n, "photo"))
		}
	}
	return nil
}

// ofRun are the photos of the run in whose folder the model lies: what was opened of its
// split.csv, and for --split all the other part. They have to be those that the run began with.
func (f *valFlags) ofRun(ctx context.Context, set *dataset.Set, o dataset.EvalOptions) (*dataset.Set, error) {
	path := f.runSplit()
	var trained, held *dataset.Set
	switch f.split {
	case "train":
		trained = set
	case "all":
		held, o.Part = set, "train"
		var err error
		if trained, err = dataset.OpenEval(path, o); err != nil {
			return nil, err
		}
		both := *set
		both.Items = slices.Concat(trained.Items, held.Items)
		set = &both
	default:
		held = set
	}
	was, err := dataset.ReadDivision(path)
	if err != nil || was == nil { // of a version that kept no content
		return set, err
	}
	now, err := dataset.Divide(ctx, trained, held)
	if err != nil {
		return nil, err
	}
	if changed := now.Changed(was); len(changed) > 0 {
		return nil, fmt.Errorf("%s: not the photo that the run began with (changed: %d of %d): put back what was there, or give --data, to which a changed photo is a new one", shown(changed[0]), len(changed), len(set.Items))
	}
	return set, nil
}

// A validator runs a model over labelled images.
type validator struct {
	c           *mobilenet.Classifier
	set         *dataset.Set
	predictions *report.Predictions
	items       []int // of the set, for each prediction
	failed      int   // images that could not be read
	clipped     clippedPhotos
	stderr      io.Writer
}

// run judges the images.
func (v *validator) run(ctx context.Context, f *classifierFlags) error {
	bar := newPhotoBar(v.stderr, len(v.set.Items))
	defer bar.finish()
	p := pipeline{
		photos: count(len(v.set.Items)),
		decode: func(ctx context.Context, i int, c *mobilenet.Classifier) (image.Image, error) {
			if path, ok := v.set.File(i); ok && c != nil {
				p, err := c.PrepareFile(ctx, path, v.set.Decode)
				v.clipped.look(path, p.Clipped())
				return p, err
			}
			img, err := v.set.Image(ctx, i)
			v.clipped.look(v.set.Items[i].Name, img != nil && img.Clipped)
			return img, err
		},
		open: func() (*mobilenet.Classifier, error) { return v.c, nil },
		use: func(i int, r mobilenet.Result, err error) error {
			bar.add()
			if err != nil {
				bar.clear()
				fmt.Fprintln(v.stderr, "mobilenet:", printable(reason(err)))
				v.failed++
				return nil
			}
			v.items = append(v.items, i)
			return v.predictions.Add(v.set.Items[i].Name, v.set.Items[i].Label, r.Logits)
		},
	}
	return p.run(ctx, f, 1)
}

// picture is the image of a prediction as the network sees it.
func (v *validator) picture(i int) (image.Image, error) {
	img, err := v.set.Image(context.Background(), v.items[i])
	if err != nil {
		return nil, err // it could be read before
	}
	return v.c.Prepare(img), nil
}
