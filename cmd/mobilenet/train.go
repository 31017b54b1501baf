package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/flags"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train"
	"github.com/mobilenet-go/mobilenet/train/report"
	"github.com/mobilenet-go/mobilenet/vision"
)

// trainFlags are those of mobilenet train. What they are for is package train's
// business; here they are read, and data and weights opened.
type trainFlags struct {
	data, model, config, recipe, augment, freeze string
	test, teacher                                string
	width, val                                   float64
	resolution                                   int
	photos                                       photoFlags
	dryRun                                       bool
	anew                                         bool // with --resume: settings that are others from now on
	settled                                      bool // an args.yaml has set all flags; they were checked when its run began
	from                                         settingsFile
	o                                            train.Options // flags set its fields, the recipe those that no flag sets
}

func newTrain() *cobra.Command {
	_, cmd := trainCommand()
	return cmd
}

// trainCommand returns the command and what its flags set.
func trainCommand() (*trainFlags, *cobra.Command) {
	f := &trainFlags{}
	optimizers, schedules, balances := stringsOf(train.Optimizers()), stringsOf(train.Schedules()), stringsOf(train.Balances())
	var recipes []string
	for _, r := range train.Recipes() {
		recipes = append(recipes, r.Name)
	}
	cmd := &cobra.Command{
		Use:   "train --data DIR",
		Short: "Fine-tune on a folder of photos, or train from nothing",
		Long: `Train on a folder with a folder of photos per class, on one with train/ and val/
of such, on the MNIST family's IDX files, or on a CSV of path and label, read by
its header. What comes in one part is split by --val and --seed. What had to be
assumed about the data is said; files of it that are not read, such as HEIC, are
named at the end, and the exit code is 1 then.

Weights, curves, pictures and TensorBoard events go to the run folder. An
interrupted run goes on with --resume --run-dir DIR and ends in the same weights;
--data says where its data is now, if that was moved, and --epochs gives a run more,
as a larger --patience does to one that was stopped by it.

Photos that are in two parts of the data are warned of if they are the same byte for
byte; --dry-run names those that are nearly the same, too.

The recipes set what no flag sets:
` + recipeList(),
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
	fs.StringVar(&f.config, "config", "", "YAML file of settings that no flag sets, by the names of flags: the args.yaml of a run, or a few lines; or JSON with the architecture, for --model none")
	fs.Float64Var(&f.width, "width", 1, "width multiplier, for --model none")
	fs.IntVarP(&f.resolution, "resolution", "r", 0, "height and width of the input; 0 means the model's")
	f.photos.register(cmd, false)
	fs.StringVar(&f.recipe, "recipe", "", names(recipes)+"; finetune with weights, otherwise torchvision")
	fs.Float64Var(&f.val, "val", 0.2, "share of each class to validate with, where the data has no split")
	fs.IntVar(&f.o.Epochs, "epochs", 0, "passes over the data; the learning rates go by their number, those of the classifier alone, too")
	fs.IntVar(&f.o.Batch, "batch", 0, "images in a step")
	fs.Float64Var(&f.o.LR, "lr", 0, "learning rate; the default is the recipe's, or one for another optimizer than its own")
	fs.StringVar((*string)(&f.o.Optimizer), "optimizer", "", names(optimizers))
	fs.Float64Var(&f.o.Momentum, "momentum", 0.9, "of sgd and rmsprop")
	fs.StringVar((*string)(&f.o.Schedule), "schedule", "", names(schedules))
	fs.Float64Var(&f.o.Gamma, "gamma", 0.98, "factor per epoch of the exponential schedule")
	fs.Float64Var(&f.o.Warmup, "warmup", 0, "epochs in which the learning rate rises")
	fs.IntVar(&f.o.WarmupSteps, "warmup-steps", 0, "steps in which it rises, too, however many epochs they are; 0 where --lr is given")
	fs.Float64Var(&f.o.LabelSmoothing, "label-smoothing", 0, "share of the target that goes to all classes")
	fs.Float64Var(&f.o.WeightDecay, "weight-decay", 0, "not on normalisation and bias")
	fs.StringVar(&f.freeze, "freeze", "none", "what stays as it is: none, backbone (all but the classifier, and no augmentation), or so many of the first features modules")
	fs.BoolVar(&f.o.FixNorm, "fix-norm", false, "batch normalisation with the averages of the model; true in the recipe finetune")
	fs.Float64Var(&f.o.EMA, "ema", 0, "decay of averaged weights, such as 0.999; 0 for none")
	fs.StringVar(&f.augment, "augment", "basic", "none, basic (random crop and flip) or trivial (TrivialAugmentWide too)")
	fs.Float64Var(&f.o.Augment.MinScale, "scale", 0, "smallest area of a random crop")
	fs.IntVar(&f.o.Augment.Pad, "pad", 0, "instead of random crops: shift by up to so many pixels")
	fs.Float64Var(&f.o.Augment.Erase, "erase", 0, "probability of random erasing")
	fs.TextVar(&f.o.Augment.Jitter, "color-jitter", vision.Jitter{}, "random colours: a `strength` such as 0.4, or those of brightness, contrast, saturation and hue, such as 0.4,0.4,0.4,0.1")
	fs.TextVar(&f.o.Augment.Rand, "rand-augment", vision.RandAugment{}, "RandAugment: `number` of operations and magnitude of 0 to 30, such as 2,9")
	fs.Float64Var(&f.o.Mixup, "mixup", 0, "alpha of mixup")
	fs.Float64Var(&f.o.CutMix, "cutmix", 0, "alpha of CutMix")
	fs.Float64Var(&f.o.Clip, "clip", 0, "largest norm of the gradient")
	fs.IntVar(&f.o.HeadEpochs, "head-epochs", 0, "passes with the classifier alone before the epochs with all layers; 0 for none")
	fs.Float64Var(&f.o.HeadLR, "head-lr", 0, "learning rate of the classifier alone")
	fs.Float64Var(&f.o.LayerDecay, "layer-decay", 0, "learning rate of a features module as a share of the next one's, such as 0.9; 0 or 1 for the same")
	fs.BoolVar(&f.o.Undo, "undo", false, "undo an epoch that spoils the loss, and go on at half the learning rate")
	fs.IntVar(&f.o.Patience, "patience", 0, "epochs without a better validation before stopping")
	fs.StringVar((*string)(&f.o.Balance), "balance", "none", "of classes with more and fewer photos: "+names(balances)+" (rare ones weigh more in the loss, or are seen more often)")
	fs.StringVar(&f.teacher, "teacher", "", "model of the same classes to learn from as well (distillation): a name or a file")
	fs.Float64Var(&f.o.TeacherTemperature, "teacher-temperature", 4, "what the logits are divided by: the higher, the more the improbable classes count")
	fs.Float64Var(&f.o.TeacherWeight, "teacher-weight", 0.7, "share of the loss that is the teacher's; the rest is the labels'")
	fs.StringVar(&f.test, "test", "", "labelled photos to measure the best weights with, once, at the end")
	fs.BoolVar(&f.o.QAT, "qat", false, "fine-tune in 8 bits a model that has learned these classes, by the recipe qat, and end with its 8-bit integers")
	fs.BoolVar(&f.o.Int8, "int8", false, "end with the best weights in 8-bit integers, too: a quarter of the size, and faster")
	fs.IntVar(&f.o.MaxErrors, "max-errors", 10, "photos that may be unreadable: they are left out and listed")
	fs.Uint64Var(&f.o.Seed, "seed", 0, "of everything random")
	flags.Threads(fs, &f.o.Threads, "cores to use; 0 means all")
	fs.StringVar(&f.o.RunDir, "run-dir", "", "folder for the results; the default is a new one in runs/")
	fs.BoolVar(&f.o.Resume, "resume", false, "go on with the run in --run-dir")
	fs.BoolVar(&f.dryRun, "dry-run", false, "say what would happen, and look at every photo")
	completeModel(cmd)
	complete(cmd, "recipe", recipes...)
	complete(cmd, "optimizer", optimizers...)
	complete(cmd, "schedule", schedules...)
	complete(cmd, "augment", train.Augmentations()...)
	complete(cmd, "balance", balances...)
	return f, cmd
}

// recipeList describes the recipes, a line each.
func recipeList() string {
	var lines []string
	for _, r := range train.Recipes() {
		lines = append(lines, fmt.Sprintf("  %-14s %s", r.Name, r.Summary))
	}
	return strings.Join(lines, "\n")
}

// names lists choices as "a, b or c".
func names(choices []string) string {
	last := len(choices) - 1
	return strings.Join(choices[:last], ", ") + " or " + choices[last]
}

// stringsOf are the values of a type of strings.
func stringsOf[T ~string](values []T) []string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}

// run settles everything that can be wrong before it makes a run folder: what is
// left behind there was begun.
func (f *trainFlags) run(cmd *cobra.Command) error {
	if os.Getenv("GOGC") == "" {
		// Most of the memory is buffers that live as long as the training: garbage of a
		// quarter of them is more than a step leaves, and twice the memory is much.
		defer debug.SetGCPercent(debug.SetGCPercent(25))
	}
	if cmd.Flags().Changed("run-dir") && f.o.RunDir == "" {
		return usagef(cmd, "--run-dir is empty: want the name of a folder")
	}
	began := time.Now()
	if f.o.Resume {
		if err := f.resume(cmd); err != nil {
			return err
		}
	} else if err := f.likeAnother(cmd); err != nil {
		return err
	}
	if f.o.QAT && f.recipe == "" {
		f.recipe = "qat"
	}
	recipe, err := train.RecipeNamed(f.recipe, f.model != "none")
	if err != nil {
		return f.blame(usagef(cmd, "%w", err))
	}
	if err := f.apply(cmd, recipe); err != nil {
		return f.blame(err)
	}
	if f.data == "" {
		return usagef(cmd, "--data is missing")
	}
	if !f.o.Resume { // a run that was begun there by an older version goes on
		if err := outside(f.data, cmp.Or(f.o.RunDir, runs)); err != nil {
			return err
		}
	}
	if err := f.load(cmd, recipe); err != nil {
		return f.blame(err)
	}
	if err := f.o.Validate(); err != nil { // again, now with the model: --freeze and --pad depend on it
		return f.blame(usagef(cmd, "%w", err))
	}
	if err := f.warn(cmd.Context(), cmd.ErrOrStderr()); err != nil {
		return err
	}
	if err := f.warnTest(cmd.Context(), cmd.ErrOrStderr()); err != nil {
		return err
	}
	if f.dryRun {
		if err := f.o.CheckRunDir(); err != nil {
			return err
		}
		return cmp.Or(f.describe(cmd.Context(), cmd.OutOrStdout(), time.Since(began)), f.leftOut(cmd.ErrOrStderr()))
	}
	if f.o.RunDir == "" {
		var tidy func()
		if f.o.RunDir, tidy, err = newRunDir(); err != nil {
			return err
		}
		defer tidy()
	}
	if !f.o.Resume || f.anew { // so that the next --resume goes on with what this one says
		if f.o.Args, err = f.args(cmd.Flags()); err != nil {
			return err
		}
	}
	stderr := cmd.ErrOrStderr()
	f.o.Begun = func() { f.begins(stderr) }
	f.o.Over = func(last, best report.Epoch) { f.over(stderr, last, best) }
	began = time.Now()
	line := &trainLine{w: stderr, began: began, epochs: f.o.Epochs}
	f.o.Progress, f.o.EpochDone, f.o.Undone = line.batch, line.epoch, line.undone
	f.o.Unreadable = func(err error) { fmt.Fprintln(stderr, "mobilenet:", printable(err.Error())) }
	if !f.o.Resume { // it was said at the beginning
		f.o.Uniform = func(names []string) { warnUniform(stderr, names) }
		f.o.Clipped = func(names []string) { warnClipped(stderr, len(names), names...) }
	}
	r, err := train.Fit(cmd.Context(), f.o)
	switch {
	case cmd.Context().Err() != nil: // first: what else went wrong may be for that
		fmt.Fprintf(cmd.ErrOrStderr(), "\ninterrupted; go on with: mobilenet train --resume --run-dir %s\n", shellWord(f.o.RunDir))
		return err
	case f.isPhoto(err):
		return fmt.Errorf("%w (--dry-run lists all photos that can't be read, --max-errors leaves them out)", err)
	case err != nil:
		return f.canGoOn(err)
	}
	if err := f.print(cmd.OutOrStdout(), r, time.Since(began)); err != nil {
		return err
	}
	if r.Unreadable > 0 {
		sayUnreadable(stderr, r)
	}
	if err := f.leftOut(stderr); err != nil || r.Unreadable > 0 {
		return cmp.Or(err, errReported)
	}
	return nil
}

// leftOut names the photos that the data holds and that are not read. They are worth
// an exit code: the model was trained without them.
func (f *trainFlags) leftOut(w io.Writer) error {
	skipped := f.o.Train.Skipped
	if f.o.Val != nil {
		skipped = append(slices.Clone(skipped), f.o.Val.Skipped...)
	}
	if tellSkipped(w, skipped) {
		return errReported
	}
	return nil
}

// isPhoto reports whether err is about a photo of the data.
func (f *trainFlags) isPhoto(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && vision.IsImage(e.File)
}

// canGoOn says of an error for want of room that the run goes on from its last whole epoch.
func (f *trainFlags) canGoOn(err error) error {
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	if !full || !isThere(filepath.Join(f.o.RunDir, train.ArgsFile)) {
		return err
	}
	return fmt.Errorf("%w (make room, and go on with: mobilenet train --resume --run-dir %s)", err, shellWord(f.o.RunDir))
}

// apply fills what no flag sets from the recipe.
func (f *trainFlags) apply(cmd *cobra.Command, recipe train.Recipe) (err error) {
	if recipe.Config != nil {
		if f.model != "none" && cmd.Flags().Changed("model") {
			return usagef(cmd, "--recipe %s trains from nothing: it takes no --model", recipe.Name)
		}
		f.data, f.model = cmp.Or(f.data, recipe.Data), "none"
	}
	switch given := cmd.Flags().Changed; {
	case f.model == "none" && f.freeze == "backbone":
		return usagef(cmd, "--freeze backbone needs weights to start from, not --model none")
	case f.model == "none" && (f.o.QAT || recipe.QAT):
		return usagef(cmd, "--qat goes on from a model that was trained: want --model, not none")
	case f.model == "none" || f.settled:
	case given("width"):
		return usagef(cmd, "--width is for --model none: weights come with an architecture")
	case f.config != "":
		return usagef(cmd, "--config of an architecture, %s, is for --model none: weights come with their own", shown(f.config))
	}
	for _, name := range []string{"teacher-temperature", "teacher-weight"} {
		if cmd.Flags().Changed(name) && f.teacher == "" && !f.settled {
			return usagef(cmd, "--%s is for --teacher", name)
		}
	}
	if !(f.val >= 0 && f.val < 1) {
		return usagef(cmd, "val %v: want 0 to less than 1", f.val)
	}
	f.recipe = recipe.Name
	f.o.Hyperparameters, err = recipe.With(train.Changes{
		Given: cmd.Flags().Changed, Values: f.o.Hyperparameters, Augment: f.augment, Freeze: f.freeze,
	})
	if err == nil {
		err = f.o.Validate()
	}
	if err != nil {
		return usagef(cmd, "%w", err)
	}
	if f.o.Freeze == train.FreezeBackbone {
		f.augment = "none" // for args.yaml
	}
	return nil
}

// load opens the data and the model, in this order: a wrong --data is found before
// weights are downloaded.
func (f *trainFlags) load(cmd *cobra.Command, recipe train.Recipe) (err error) {
	if f.data == "fashion-mnist" {
		if f.data, err = fashionMNIST(cmd, false); err != nil {
			return err
		}
	}
	if f.o.Train, f.o.Val, err = dataset.Open(f.data, dataset.Options{Val: f.val, Seed: f.o.Seed}); err != nil {
		return f.absent("data", f.data, err)
	}
	if err := noRuns(f.o.Train, f.o.Val); err != nil {
		return err
	}
	if f.test != "" {
		if f.o.Test, err = dataset.OpenEval(f.test, dataset.EvalOptions{Labels: f.o.Train.Classes}); err != nil {
			return f.absent("test", f.test, err)
		}
	}
	tellNotes(cmd.ErrOrStderr(), f.o.Train, f.o.Val, f.o.Test)
	var weights *model.Model
	var c model.Config
	from := f.startFrom(cmd.ErrOrStderr())
	if f.model == "none" {
		c, err = f.architecture(cmd, recipe)
	} else if weights, err = mobilenet.LoadModel(cmd.Context(), from, mobilenet.WithProgress(downloadBar(cmd.ErrOrStderr()))); err == nil {
		c = weights.Config
		sayDequantized(cmd.ErrOrStderr(), from, weights.Dequantized)
	}
	if err != nil {
		return f.absent("model", f.model, err)
	}
	in := f.photos.In
	in.Height = f.resolution
	if err := in.Apply(&c); err != nil {
		return usagef(cmd, "%w", err)
	}
	if weights != nil {
		if err := weights.SetInput(in); err != nil {
			return usagef(cmd, "%w", err)
		}
		sayAssumed(cmd.ErrOrStderr(), from, weights.Assumed.List(weights.Config))
	}
	if weights != nil && isThere(from) {
		if f.o.Before, err = mobilenet.TrainedWith(from); err != nil {
			return err
		}
	}
	if f.o.QAT && !slices.Equal(weights.Labels, f.o.Train.Classes) {
		return fmt.Errorf("%s: its classes are not those of the photos: train it first (mobilenet train), and give its best.safetensors to --qat", f.model)
	}
	c.Classes = len(f.o.Train.Classes)
	if err := c.Validate(); err != nil {
		return usagef(cmd, "%w", err)
	}
	if weights == nil {
		f.o.Model, err = train.New(c, f.o.Train, f.o.Seed)
	} else {
		f.sayKnown(cmd.ErrOrStderr(), weights.Labels)
		weights.Config = c
		f.o.Model, err = train.Prepare(weights, f.o.Train, f.o.Seed)
	}
	f.resolution, f.width = c.Resolution, c.Width // for args.yaml
	if err != nil || f.teacher == "" {
		return err
	}
	return f.loadTeacher(cmd)
}

// startFrom is where the network comes from. A run that goes on has all its weights in its
// state: where the file that it began with is gone, one of its own has the architecture.
func (f *trainFlags) startFrom(w io.Writer) string {
	last := filepath.Join(f.o.RunDir, train.LastFile)
	if !f.o.Resume || f.o.QAT || !filepath.IsAbs(f.model) || isThere(f.model) || !isThere(last) || !isThere(filepath.Join(f.o.RunDir, train.StateFile)) {
		return f.model
	}
	fmt.Fprintf(w, "note: %s, which the run began with, is gone: it goes on without, from %s\n", shown(f.model), shown(filepath.Join(f.o.RunDir, train.StateFile)))
	return last
}

// absent says of a file or folder of a setting that isn't there how the setting came to be,
// and what to do.
func (f *trainFlags) absent(name, path string, err error) error {
	_, written := f.from.settings[name]
	switch {
	case !errors.Is(err, fs.ErrNotExist) || isThere(path):
		return err
	case f.o.Resume && name != "model":
		return fmt.Errorf("%w (--%s says where it is now)", err, name)
	case f.o.Resume:
		return fmt.Errorf("%w (the run began with it: put it back)", err)
	case written && !filepath.IsAbs(path):
		return fmt.Errorf("%s: %s: %w (paths in it are relative to the folder that the command is called in)", shown(f.from.path), name, err)
	case written:
		return fmt.Errorf("%s: %s: %w", shown(f.from.path), name, err)
	}
	return err
}

// loadTeacher opens --teacher, and says what it is shown.
func (f *trainFlags) loadTeacher(cmd *cobra.Command) error {
	stderr := cmd.ErrOrStderr()
	t, err := mobilenet.LoadModel(cmd.Context(), f.teacher, mobilenet.WithProgress(downloadBar(stderr)))
	if err != nil {
		return f.absent("teacher", f.teacher, err)
	}
	sayDequantized(stderr, f.teacher, t.Dequantized)
	sayAssumed(stderr, f.teacher, t.Assumed.List(t.Config))
	if is, of := t.Config.Resolution, f.o.Model.Config.Resolution; is != of {
		fmt.Fprintf(stderr, "teacher: sees the same part of every photo at %dx%d, the network at %dx%d\n", is, is, of, of)
	}
	f.o.Teacher = t
	if isThere(f.teacher) {
		f.o.TeacherBefore, err = mobilenet.TrainedWith(f.teacher)
	}
	return err
}

// runs is where runs lie that are told no other folder.
const runs = "runs"

// newRunDir makes runs/train, runs/train2, ...: the first that is not there. tidy removes
// it and runs, if that is new, where nothing was written to them: a training was refused.
func newRunDir() (dir string, tidy func(), err error) {
	made := !isThere(runs)
	for i := 1; ; i++ {
		dir = filepath.Join(runs, "train")
		if i > 1 {
			dir += strconv.Itoa(i)
		}
		if err := os.MkdirAll(runs, 0o755); err != nil {
			return "", nil, err
		}
		// Mkdir fails where another process was faster, so the folder is this one's. It may have
		// removed runs, too, which is made again.
		switch err := os.Mkdir(dir, 0o755); {
		case errors.Is(err, fs.ErrNotExist):
			i--
		case err == nil:
			return dir, func() {
				os.Remove(dir) // only an empty one
				if made {
					os.Remove(runs)
				}
			}, nil
		case !errors.Is(err, fs.ErrExist):
			return "", nil, err
		}
	}
}

// outside reports a folder for results that lies in the folder of the data: the next
// training would take the pictures in it for a class.
func outside(data, runDir string) error {
	if info, err := os.Stat(data); err != nil || !info.IsDir() {
		return nil // a table names its photos; what isn't there is found later
	}
	in, err := resolved(data)
	if err != nil {
		return err
	}
	dir, err := resolved(runDir)
	if err != nil {
		return err
	}
	below, err := filepath.Rel(in, dir)
	if err != nil || !filepath.IsLocal(below) { // on another drive, or outside
		return nil
	}
	return fmt.Errorf("the results would go to %s, which is in the folder of the data: give a --run-dir outside of it, or start in another folder", shown(dir))
}

// resolved is path, absolute and without links, of which the end may not be there.
func resolved(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for {
		at, err := filepath.EvalSymlinks(path)
		if err == nil {
			return filepath.Join(at, rest), nil
		}
		parent := filepath.Dir(path)
		if !errors.Is(err, fs.ErrNotExist) || parent == path {
			return "", fault.In(path, err)
		}
		path, rest = parent, filepath.Join(filepath.Base(path), rest)
	}
}

// noRuns reports a run folder among the folders of the photos: it is no class.
func noRuns(sets ...*dataset.Set) error {
	seen := map[string]bool{}
	for _, set := range sets {
		if set == nil {
			continue
		}
		for i := range set.Items {
			path, ok := set.File(i)
			dir := filepath.Dir(path)
			if !ok || seen[dir] {
				continue
			}
			seen[dir] = true
			if isThere(filepath.Join(dir, train.ArgsFile)) && isThere(filepath.Join(dir, "results.csv")) {
				return fault.In(dir, fault.Unsupportedf("the results of a training, not photos to train with: move the folder out of the data"))
			}
		}
	}
	return nil
}
