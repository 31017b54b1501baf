package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/internal/builtin"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train"
	"github.com/mobilenet-go/mobilenet/vision"
)

type trainFlags struct {
	data, model, config, recipe, augment, freeze string
	width, val                                   float64
	resolution                                   int
	dryRun                                       bool
	o                                            train.Options
	optimizer, schedule                          string
}

func newTrain() *cobra.Command {
	var f trainFlags
	cmd := &cobra.Command{
		Use:   "train --data DIR",
		Short: "Fine-tune on a folder of photos, or train from nothing",
		Long: `Train on a folder with a folder of photos per class, on one with train/ and val/
of such, on the MNIST family's IDX files, or on a CSV of path and label. What is one
folder is split by --val and --seed.

Weights, curves, pictures and TensorBoard events go to the run folder. An
interrupted run goes on with --resume --run-dir DIR and ends in the same weights;
--data says where its data is now, if that was moved.

The recipes set what no flag sets:
  finetune       for pretrained weights: SGD 0.003, cosine, 10 epochs, norms fixed
  paper          RMSprop 0.9, weight decay 4e-5, 0.045 times 0.98 an epoch
  torchvision    SGD 0.9, weight decay 4e-5, 0.045 times 0.98 an epoch
  fashion-mnist  how the model in the program was trained: data, architecture and all`,
		Example: `  mobilenet train --data photos
  mobilenet train --data photos --freeze backbone --epochs 20
  mobilenet train --data fashion-mnist --model none --width 0.25 --resolution 32
  mobilenet train --recipe fashion-mnist
  mobilenet train --resume --run-dir runs/train`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd) },
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.data, "data", "d", "", "folder, CSV, or fashion-mnist")
	fs.StringVarP(&f.model, "model", "m", "imagenet1k_v2", "weights to start from: a name (see mobilenet weights list), a file, or none")
	fs.StringVar(&f.config, "config", "", "JSON file with the architecture, for --model none")
	fs.Float64Var(&f.width, "width", 1, "width multiplier, for --model none")
	fs.IntVarP(&f.resolution, "resolution", "r", 0, "height and width of the input; 0 means the model's")
	fs.StringVar(&f.recipe, "recipe", "", "finetune, paper, torchvision or fashion-mnist; finetune with weights, otherwise torchvision")
	fs.Float64Var(&f.val, "val", 0.2, "share of each class to validate with, where the data has no split")
	fs.IntVar(&f.o.Epochs, "epochs", 0, "passes over the data")
	fs.IntVar(&f.o.Batch, "batch", 0, "images in a step")
	fs.Float64Var(&f.o.LR, "lr", 0, "learning rate; the default is the recipe's, or one for another optimizer than its own")
	fs.StringVar(&f.optimizer, "optimizer", "", "sgd, rmsprop or adamw")
	fs.Float64Var(&f.o.Momentum, "momentum", 0.9, "of sgd and rmsprop")
	fs.StringVar(&f.schedule, "schedule", "", "cosine, step or exponential")
	fs.Float64Var(&f.o.Gamma, "gamma", 0.98, "factor per epoch of the exponential schedule")
	fs.Float64Var(&f.o.Warmup, "warmup", 0, "epochs in which the learning rate rises")
	fs.Float64Var(&f.o.LabelSmoothing, "label-smoothing", 0, "share of the target that goes to all classes")
	fs.Float64Var(&f.o.WeightDecay, "weight-decay", 0, "not on normalisation and bias")
	fs.StringVar(&f.freeze, "freeze", "none", "what stays as it is: none, backbone (all but the classifier, and no augmentation), or so many of the first features modules")
	fs.BoolVar(&f.o.FixNorm, "fix-norm", false, "batch normalisation with the averages of the model; true in the recipe finetune")
	fs.Float64Var(&f.o.EMA, "ema", 0, "decay of averaged weights, such as 0.999; 0 for none")
	fs.StringVar(&f.augment, "augment", "basic", "none, basic (random crop and flip) or trivial (TrivialAugmentWide too)")
	fs.Float64Var(&f.o.Augment.MinScale, "scale", 0, "smallest area of a random crop")
	fs.IntVar(&f.o.Augment.Pad, "pad", 0, "instead of random crops: shift by up to so many pixels")
	fs.Float64Var(&f.o.Augment.Erase, "erase", 0, "probability of random erasing")
	fs.Float64Var(&f.o.Mixup, "mixup", 0, "alpha of mixup")
	fs.Float64Var(&f.o.CutMix, "cutmix", 0, "alpha of CutMix")
	fs.Float64Var(&f.o.Clip, "clip", 0, "largest norm of the gradient")
	fs.IntVar(&f.o.Patience, "patience", 0, "epochs without a better validation before stopping")
	fs.Uint64Var(&f.o.Seed, "seed", 0, "of everything random")
	fs.IntVar(&f.o.Threads, "threads", 0, "cores to use; 0 means all")
	fs.StringVar(&f.o.RunDir, "run-dir", "", "folder for the results; the default is a new one in runs/")
	fs.BoolVar(&f.o.Resume, "resume", false, "go on with the run in --run-dir")
	fs.BoolVar(&f.dryRun, "dry-run", false, "say what would happen, and look at every photo")
	completeModel(cmd)
	complete(cmd, "recipe", "finetune", "paper", "torchvision", "fashion-mnist")
	complete(cmd, "optimizer", string(train.SGD), string(train.RMSprop), string(train.AdamW))
	complete(cmd, "schedule", string(train.Cosine), string(train.Step), string(train.Exponential))
	complete(cmd, "augment", "none", "basic", "trivial")
	return cmd
}

func (f *trainFlags) run(cmd *cobra.Command) error {
	if f.o.Resume {
		if err := f.resume(cmd); err != nil {
			return err
		}
	} else if err := f.conflicts(cmd); err != nil {
		return err
	}
	if f.recipe == "fashion-mnist" {
		f.data, f.model = cmp.Or(f.data, "fashion-mnist"), "none"
	}
	if f.data == "" {
		return usagef(cmd, "--data is missing")
	}
	if err := f.apply(cmd); err != nil {
		return err
	}
	if err := f.load(cmd); err != nil {
		return err
	}
	if err := f.o.Validate(); err != nil { // again, now with the model
		return usagef(cmd, "%w", err)
	}
	f.warn(cmd.ErrOrStderr())
	if f.dryRun {
		return f.describe(cmd.OutOrStdout())
	}
	if !f.o.Resume {
		if err := f.begin(cmd); err != nil {
			return err
		}
	}
	f.o.Progress = progressLine(cmd.ErrOrStderr())
	began := time.Now()
	r, err := train.Fit(cmd.Context(), f.o)
	switch {
	case cmd.Context().Err() != nil:
		fmt.Fprintf(cmd.ErrOrStderr(), "\ninterrupted; go on with: mobilenet train --resume --run-dir %s\n", f.o.RunDir)
		return err
	case isBroken(err):
		return fmt.Errorf("%w (--dry-run lists all photos that can't be read)", err)
	case err != nil:
		return err
	}
	return f.print(cmd.OutOrStdout(), r, time.Since(began))
}

// isBroken reports whether a photo could not be decoded.
func isBroken(err error) bool {
	var format *vision.FormatError
	var unsupported *vision.UnsupportedError
	return errors.As(err, &format) || errors.As(err, &unsupported)
}

// conflicts are flags that don't go together.
func (f *trainFlags) conflicts(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	if f.recipe == "fashion-mnist" && given("model") && f.model != "none" {
		return usagef(cmd, "--recipe fashion-mnist trains from nothing: it takes no --model")
	}
	if f.model != "none" && f.recipe != "fashion-mnist" {
		for _, name := range []string{"width", "config"} {
			if given(name) {
				return usagef(cmd, "--%s is for --model none: weights come with an architecture", name)
			}
		}
	}
	if f.freeze != "backbone" {
		return nil
	}
	if f.model == "none" {
		return usagef(cmd, "--freeze backbone needs weights to start from, not --model none")
	}
	for _, name := range []string{"scale", "pad", "erase", "mixup", "cutmix"} {
		if given(name) {
			return usagef(cmd, "--%s changes the photos from epoch to epoch; --freeze backbone looks at each once", name)
		}
	}
	if given("augment") && f.augment != "none" {
		return usagef(cmd, "--augment %s changes the photos from epoch to epoch; --freeze backbone looks at each once", f.augment)
	}
	return nil
}

// begin makes the run folder and writes args.yaml to it.
func (f *trainFlags) begin(cmd *cobra.Command) error {
	if f.o.RunDir == "" {
		var err error
		if f.o.RunDir, err = newRunDir(); err != nil {
			return err
		}
	} else if isThere(filepath.Join(f.o.RunDir, train.StateFile)) {
		return fmt.Errorf("%s holds a run already: go on with --resume, or choose another --run-dir", f.o.RunDir)
	} else if err := os.MkdirAll(f.o.RunDir, 0o755); err != nil {
		return err
	}
	return f.writeArgs(cmd.Flags())
}

// apply fills what no flag sets from the recipe.
func (f *trainFlags) apply(cmd *cobra.Command) error {
	if f.recipe == "" {
		f.recipe = "finetune"
		if f.model == "none" {
			f.recipe = "torchvision"
		}
	}
	var r train.Options
	switch f.recipe {
	case "finetune":
		r = train.Finetune()
	case "paper":
		r = train.Paper()
	case "torchvision":
		r = train.Torchvision()
	case "fashion-mnist":
		r = train.FashionMNIST()
	default:
		return oneOf(cmd, "recipe", f.recipe, "finetune", "paper", "torchvision", "fashion-mnist")
	}
	given := cmd.Flags().Changed
	o := &f.o
	pick := func(flag string, set func()) {
		if !given(flag) {
			set()
		}
	}
	pick("epochs", func() { o.Epochs = r.Epochs })
	pick("batch", func() { o.Batch = r.Batch })
	pick("momentum", func() { o.Momentum = r.Momentum })
	pick("gamma", func() { o.Gamma = cmp.Or(r.Gamma, o.Gamma) })
	pick("warmup", func() { o.Warmup = min(r.Warmup, float64(o.Epochs)/4) })
	pick("label-smoothing", func() { o.LabelSmoothing = r.LabelSmoothing })
	pick("fix-norm", func() { o.FixNorm = r.FixNorm })
	pick("weight-decay", func() { o.WeightDecay = r.WeightDecay })
	pick("ema", func() { o.EMA = r.EMA })
	o.Optimizer, o.Schedule = train.Optimizer(f.optimizer), train.Schedule(f.schedule)
	pick("optimizer", func() { o.Optimizer = r.Optimizer })
	pick("lr", func() { o.LR = f.rate(r) })
	pick("schedule", func() { o.Schedule = r.Schedule })
	if err := oneOf(cmd, "optimizer", string(o.Optimizer), string(train.SGD), string(train.RMSprop), string(train.AdamW)); err != nil {
		return err
	}
	if err := oneOf(cmd, "schedule", string(o.Schedule), string(train.Cosine), string(train.Step), string(train.Exponential)); err != nil {
		return err
	}
	if err := oneOf(cmd, "augment", f.augment, "none", "basic", "trivial"); err != nil {
		return err
	}
	switch f.augment {
	case "none":
		o.Augment.MinScale = 0
	default:
		o.Augment.Flip = r.Augment.Flip
		o.Augment.Trivial = f.augment == "trivial"
		pick("scale", func() { o.Augment.MinScale = r.Augment.MinScale })
		pick("pad", func() { o.Augment.Pad = r.Augment.Pad })
		pick("erase", func() { o.Augment.Erase = r.Augment.Erase })
		if o.Augment.Pad > 0 {
			o.Augment.MinScale = 0
		}
	}
	switch f.freeze {
	case "none":
	case "backbone":
		o.Freeze = train.FreezeBackbone
		o.Augment = vision.Augment{}
		f.augment = "none"
	default:
		n, err := strconv.Atoi(f.freeze)
		if err != nil || n < 0 {
			return usagef(cmd, "--freeze %s: want none, backbone or a number of modules", f.freeze)
		}
		o.Freeze = n
	}
	if !(f.val >= 0 && f.val < 1) {
		return usagef(cmd, "val %v: want 0 to less than 1", f.val)
	}
	if err := o.Validate(); err != nil {
		return usagef(cmd, "%w", err)
	}
	return nil
}

// rate is the learning rate of the recipe, or where that is for another optimizer
// one that suits. Fine-tuning on 128 photos at 128x128, AdamW and RMSprop at 0.0003
// got 99 % and 78 % of them right after six epochs, where AdamW at 0.001 got 39 %;
// from nothing AdamW has PyTorch's default.
func (f *trainFlags) rate(r train.Options) float64 {
	switch {
	case f.o.Optimizer == r.Optimizer:
		return r.LR
	case f.recipe == "finetune":
		return 0.0003
	case f.o.Optimizer == train.AdamW:
		return 0.001
	}
	return r.LR
}

// load opens the data and the model.
func (f *trainFlags) load(cmd *cobra.Command) (err error) {
	if f.data == "fashion-mnist" {
		if f.data, err = fashionMNIST(cmd, false); err != nil {
			return err
		}
	}
	if f.o.Train, f.o.Val, err = dataset.Open(f.data, dataset.Options{Val: f.val, Seed: f.o.Seed}); err != nil {
		return err
	}
	c := model.Default()
	c.Width, c.Classes = f.width, len(f.o.Train.Classes)
	var m *model.Model
	switch {
	case f.config != "" || f.recipe == "fashion-mnist":
		text, name := builtin.FashionMNISTConfig, f.recipe
		if f.config != "" {
			if text, err = boundedfile.Read(f.config, maxText); err != nil {
				return err
			}
			name = f.config
		}
		if err := json.Unmarshal(text, &c); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		c.Classes = len(f.o.Train.Classes)
	case f.model != "none":
		if m, err = mobilenet.LoadModel(cmd.Context(), f.model, mobilenet.WithProgress(downloadBar(cmd.ErrOrStderr()))); err != nil {
			return err
		}
		c = m.Config
	}
	if f.resolution != 0 && f.resolution != c.Resolution {
		// The same share of the photo as before.
		c.Preprocess.Resize = (c.Preprocess.Resize*f.resolution + c.Resolution/2) / c.Resolution
		c.Resolution = f.resolution
	}
	if err := c.Validate(); err != nil {
		return usagef(cmd, "%w", err)
	}
	if m == nil {
		m, err = model.New(c, f.o.Seed)
		if err == nil {
			m.Labels = f.o.Train.Classes
		}
	} else {
		m.Config = c
		m, err = train.Prepare(m, f.o.Train, f.o.Seed)
	}
	f.resolution, f.width = c.Resolution, c.Width
	for i, v := range c.Preprocess.Mean {
		f.o.Augment.Fill[i] = uint8(v*255 + 0.5)
	}
	f.o.Model = m
	return err
}

// newRunDir makes runs/train, runs/train2, ...: the first that is not there.
func newRunDir() (string, error) {
	if err := os.MkdirAll("runs", 0o755); err != nil {
		return "", err
	}
	for i := 1; ; i++ {
		dir := filepath.Join("runs", "train")
		if i > 1 {
			dir += strconv.Itoa(i)
		}
		if err := os.Mkdir(dir, 0o755); !errors.Is(err, fs.ErrExist) {
			return dir, err
		}
	}
}
