package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
	"github.com/mobilenet-go/mobilenet/internal/builtin"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train"
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
interrupted run goes on with --resume --run-dir DIR and ends in the same weights.

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
	fs.Float64Var(&f.o.LR, "lr", 0, "learning rate")
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
		if f.o.RunDir == "" {
			return usagef(cmd, "--resume needs the --run-dir to go on with")
		}
		if err := readArgs(cmd.Flags(), filepath.Join(f.o.RunDir, "args.yaml")); err != nil {
			return err
		}
	}
	if f.recipe == "fashion-mnist" {
		if cmd.Flags().Changed("model") && f.model != "none" {
			return usagef(cmd, "--recipe fashion-mnist trains from nothing: it takes no --model")
		}
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
	if f.dryRun {
		return f.describe(cmd.OutOrStdout())
	}
	if f.o.RunDir == "" {
		f.o.RunDir = newRunDir()
	}
	if !f.o.Resume {
		if _, err := os.Stat(filepath.Join(f.o.RunDir, train.StateFile)); err == nil {
			return fmt.Errorf("%s holds a run already: go on with --resume, or choose another --run-dir", f.o.RunDir)
		}
	}
	if err := os.MkdirAll(f.o.RunDir, 0o755); err != nil {
		return err
	}
	if err := writeArgs(cmd.Flags(), filepath.Join(f.o.RunDir, "args.yaml")); err != nil {
		return err
	}
	f.o.Progress = progressLine(cmd.ErrOrStderr())
	began := time.Now()
	r, err := train.Fit(cmd.Context(), f.o)
	if err != nil {
		return err
	}
	return f.print(cmd.OutOrStdout(), r, time.Since(began))
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
	pick("lr", func() { o.LR = r.LR })
	pick("momentum", func() { o.Momentum = r.Momentum })
	pick("gamma", func() { o.Gamma = r.Gamma })
	pick("warmup", func() { o.Warmup = min(r.Warmup, float64(o.Epochs)/4) })
	pick("label-smoothing", func() { o.LabelSmoothing = r.LabelSmoothing })
	pick("fix-norm", func() { o.FixNorm = r.FixNorm })
	pick("weight-decay", func() { o.WeightDecay = r.WeightDecay })
	pick("ema", func() { o.EMA = r.EMA })
	o.Optimizer, o.Schedule = train.Optimizer(f.optimizer), train.Schedule(f.schedule)
	pick("optimizer", func() { o.Optimizer = r.Optimizer })
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
		for _, name := range []string{"scale", "pad", "erase", "mixup", "cutmix"} {
			if given(name) {
				return usagef(cmd, "--%s changes the photos from epoch to epoch; --freeze backbone looks at each once", name)
			}
		}
		if given("augment") && f.augment != "none" {
			return usagef(cmd, "--augment %s changes the photos from epoch to epoch; --freeze backbone looks at each once", f.augment)
		}
	default:
		n, err := strconv.Atoi(f.freeze)
		if err != nil || n < 0 {
			return usagef(cmd, "--freeze %s: want none, backbone or a number of modules", f.freeze)
		}
		o.Freeze = n
	}
	return nil
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
	for i, v := range c.Preprocess.Mean {
		f.o.Augment.Fill[i] = uint8(v*255 + 0.5)
	}
	f.o.Model = m
	return err
}

// describe is the dry run.
func (f *trainFlags) describe(w io.Writer) error {
	c := f.o.Model.Config
	broken := 0
	for _, set := range []*dataset.Set{f.o.Train, f.o.Val} {
		if set == nil {
			continue
		}
		for i := range set.Items {
			if _, err := set.Image(i); err != nil {
				fmt.Fprintln(w, "broken:", err)
				broken++
			}
		}
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"class", "train", "val"})
	var val []int
	if f.o.Val != nil {
		val = f.o.Val.Counts()
	} else {
		val = make([]int, c.Classes)
	}
	for i, n := range f.o.Train.Counts() {
		t.AppendRow(table.Row{f.o.Train.Classes[i], n, val[i]})
	}
	fmt.Fprintln(w, t.Render())
	o := f.o
	o.Batch = min(o.Batch, len(o.Train.Items))
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	cost, err := train.Measure(o, 1)
	if err != nil {
		return err
	}
	images := len(f.o.Train.Items) * f.o.Epochs
	if o.Freeze == train.FreezeBackbone { // looks at each once
		images = len(f.o.Train.Items)
	}
	steps := (images + o.Batch - 1) / o.Batch
	fmt.Fprintf(w, "network: width %v, %d x %d, %d classes\n", c.Width, c.Resolution, c.Resolution, c.Classes)
	fmt.Fprintf(w, "training: %d epochs in batches of %d, %s %v, %s\n", f.o.Epochs, f.o.Batch, f.o.Optimizer, f.o.LR, f.o.Schedule)
	fmt.Fprintf(w, "memory: about %d MB; time: about %v and validation\n", cost.Bytes>>20, (time.Duration(steps) * cost.Steps[0]).Round(time.Second))
	if broken > 0 {
		return fmt.Errorf("%d images are broken", broken)
	}
	return nil
}

func (f *trainFlags) print(w io.Writer, r *train.Result, took time.Duration) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"epoch", "loss", "accuracy", "val loss", "val top-1", "seconds"})
	for _, e := range r.Epochs {
		mark := ""
		if e.Epoch == r.Best {
			mark = " *"
		}
		t.AppendRow(table.Row{
			fmt.Sprint(e.Epoch, mark), fmt.Sprintf("%.4f", e.TrainLoss), share(e.TrainAcc),
			fmt.Sprintf("%.4f", e.ValLoss), share(e.ValAcc1), fmt.Sprintf("%.1f", e.Seconds),
		})
	}
	fmt.Fprintln(w, t.Render())
	if r.Evaluation != nil {
		fmt.Fprintf(w, "best: epoch %d, top-1 %s of %d images\n", r.Best, share(r.Evaluation.Top1Accuracy), r.Evaluation.Images)
	}
	fmt.Fprintf(w, "took %v; results are in %s\n", took.Round(100*time.Millisecond), f.o.RunDir)
	_, err := fmt.Fprintf(w, "try: mobilenet predict --model %s PHOTO\n", filepath.Join(f.o.RunDir, train.BestFile))
	return err
}

// share prints an accuracy, or a dash where none was measured.
func share(v float64) string {
	if v != v {
		return "-"
	}
	return fmt.Sprintf("%.2f %%", 100*v)
}

// progressLine prints a line per epoch that is written anew while the epoch goes
// on, or once where w is no terminal.
func progressLine(w io.Writer) func(train.Progress) {
	var last time.Time
	began := time.Now()
	seen := 0
	return func(p train.Progress) {
		seen++
		end := p.Batch == p.Batches
		if !end && (!isTerminal(w) || time.Since(last) < 100*time.Millisecond) {
			return
		}
		last = time.Now()
		total := p.Epochs * p.Batches
		left := total - (p.Epoch-1)*p.Batches - p.Batch
		eta := time.Duration(float64(time.Since(began)) / float64(seen) * float64(left))
		line := fmt.Sprintf("epoch %d/%d  batch %d/%d  loss %.4f  accuracy %.2f %%  %.1f images/s  ETA %v",
			p.Epoch, p.Epochs, p.Batch, p.Batches, p.Loss, 100*p.Accuracy, p.ImagesPerSecond, eta.Round(time.Second))
		if isTerminal(w) {
			line = "\r\x1b[K" + line
		}
		if end {
			line += "\n"
		}
		fmt.Fprint(w, line)
	}
}

// newRunDir is runs/train, runs/train2, ...: the first that is not there.
func newRunDir() string {
	for i := 1; ; i++ {
		dir := filepath.Join("runs", "train")
		if i > 1 {
			dir += strconv.Itoa(i)
		}
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return dir
		}
	}
}

// notArgs are flags that belong to one call, not to the run.
var notArgs = []string{"resume", "run-dir", "dry-run", "help", "threads"}

// writeArgs writes the flags that were given, in the order of their names.
func writeArgs(fs *pflag.FlagSet, path string) error {
	given := map[string]string{}
	fs.Visit(func(f *pflag.Flag) {
		if !strings.Contains(" "+strings.Join(notArgs, " ")+" ", " "+f.Name+" ") {
			given[f.Name] = f.Value.String()
		}
	})
	text, err := yaml.Marshal(given)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// maxText is how many bytes a config or args.yaml may have.
const maxText = 1 << 20

// readArgs sets the flags of a run.
func readArgs(fs *pflag.FlagSet, path string) error {
	text, err := boundedfile.Read(path, maxText)
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	given := map[string]string{}
	if err := yaml.Unmarshal(text, &given); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for name, value := range given {
		if err := fs.Set(name, value); err != nil {
			return fmt.Errorf("%s: %s: %w", path, name, err)
		}
	}
	return nil
}
