package train

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// FreezeBackbone as Options.Freeze keeps everything but the classifier.
const FreezeBackbone = -1

// Options say what is trained and how. Start from a recipe: [Finetune], [Paper],
// [Torchvision] or [FashionMNIST].
type Options struct {
	Model  *model.Model // what to start from; Fit changes it
	Train  *dataset.Set
	Val    *dataset.Set // may be nil
	RunDir string       // where results go
	Resume bool         // go on with the run in RunDir, from its last whole epoch

	Epochs         int
	Batch          int // images
	LR             float64
	Optimizer      Optimizer
	Momentum       float64
	WeightDecay    float64 // not on normalisation and bias
	Schedule       Schedule
	Gamma          float64 // of the exponential schedule, per epoch
	Warmup         float64 // epochs
	LabelSmoothing float64
	Freeze         int     // so many of the first features.* modules, or FreezeBackbone, which turns augmentation off: features are computed once
	FixNorm        bool    // normalise with the running averages that the model came with: batches of few photos have no statistics to speak of
	EMA            float64 // decay per step of averaged weights, which are then validated and kept; 0 for none
	Augment        vision.Augment
	Mixup, CutMix  float64 // alpha of the beta distribution; 0 for none
	Clip           float64 // largest norm of the gradient; 0 for none
	Patience       int     // epochs without a better validation before stopping; 0 for none
	Seed           uint64
	Threads        int // 0 for all cores; the result doesn't depend on it

	Progress func(Progress) // called after every batch, from Fit's goroutine; may be nil
}

// Progress is where a training stands.
type Progress struct {
	Epoch, Epochs   int // from 1
	Batch, Batches  int // from 1
	Loss, Accuracy  float64
	ImagesPerSecond float64
	LR              float64
}

// Finetune is the recipe for pretrained weights and a folder of photos.
func Finetune() Options {
	return Options{
		Epochs: 10, Batch: 16, LR: 0.003, Optimizer: SGD, Momentum: 0.9, WeightDecay: 1e-4, FixNorm: true,
		Schedule: Cosine, Warmup: 1, LabelSmoothing: 0.1, Augment: vision.Augment{MinScale: 0.5, Flip: 0.5},
	}
}

// Paper is the recipe of arXiv 1801.04381, section 6.1, for a single machine.
func Paper() Options {
	return Options{
		Epochs: 300, Batch: 96, LR: 0.045, Optimizer: RMSprop, Momentum: 0.9, WeightDecay: 4e-5,
		Schedule: Exponential, Gamma: 0.98, Augment: vision.Augment{MinScale: 0.08, Flip: 0.5},
	}
}

// Torchvision is the recipe of torchvision's references for IMAGENET1K_V1, for
// one of the eight workers there.
func Torchvision() Options {
	return Options{
		Epochs: 300, Batch: 32, LR: 0.045, Optimizer: SGD, Momentum: 0.9, WeightDecay: 4e-5,
		Schedule: Exponential, Gamma: 0.98, Augment: vision.Augment{MinScale: 0.08, Flip: 0.5},
	}
}

// FashionMNIST is the recipe of the model that the program carries, for input of
// 40x40; docs/fashion-mnist.md is the model card.
func FashionMNIST() Options {
	return Options{
		Epochs: 27, Batch: 128, LR: 0.1, Optimizer: SGD, Momentum: 0.9, WeightDecay: 5e-4,
		Schedule: Cosine, Warmup: 0.5, LabelSmoothing: 0.05, EMA: 0.999,
		Augment: vision.Augment{Pad: 3, Flip: 0.5, Erase: 0.1},
	}
}

// complete fills in defaults and reports what can't be trained with.
func (o *Options) complete() error {
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	if o.Gamma == 0 {
		o.Gamma = 0.98
	}
	if o.Model == nil || o.Train == nil {
		return errors.New("training needs a model and images")
	}
	switch n := len(o.Train.Classes); {
	case n == 1:
		return fmt.Errorf("the images are all of one class, %q: want at least 2", o.Train.Classes[0])
	case n != o.Model.Config.Classes:
		return fmt.Errorf("the data has %d classes, the model %d", n, o.Model.Config.Classes)
	case len(o.Train.Items) < 2:
		return fmt.Errorf("%d training images: want at least 2", len(o.Train.Items))
	}
	return o.Validate()
}

// Validate returns an error that names all settings that make no sense, as the
// flags of mobilenet train are named. Those of the model are looked at if there
// is one.
func (o *Options) Validate() error {
	var wrong []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	check(o.Epochs > 0, "epochs %d: want at least 1", o.Epochs)
	check(o.Batch > 1, "batch %d: want at least 2 images", o.Batch)
	check(o.LR > 0 && o.LR <= math.MaxFloat64, "lr %v: want more than 0", o.LR)
	check(o.Gamma > 0 && o.Gamma <= 1, "gamma %v: want more than 0, at most 1", o.Gamma)
	check(o.Epochs <= 0 || o.Warmup >= 0 && o.Warmup < float64(o.Epochs), "warmup %v: want 0 to less than %d epochs", o.Warmup, o.Epochs)
	a := &o.Augment
	type setting struct {
		name  string
		value float64
	}
	for _, v := range []setting{{"momentum", o.Momentum}, {"label-smoothing", o.LabelSmoothing}, {"ema", o.EMA}} {
		check(v.value >= 0 && v.value < 1, "%s %v: want 0 to less than 1", v.name, v.value)
	}
	for _, v := range []setting{{"scale", a.MinScale}, {"flip", a.Flip}, {"erase", a.Erase}} {
		check(v.value >= 0 && v.value <= 1, "%s %v: want 0 to 1", v.name, v.value)
	}
	for _, v := range []setting{
		{"weight-decay", o.WeightDecay}, {"mixup", o.Mixup}, {"cutmix", o.CutMix}, {"clip", o.Clip},
		{"pad", float64(a.Pad)}, {"patience", float64(o.Patience)}, {"threads", float64(o.Threads)},
	} {
		check(v.value >= 0 && v.value <= math.MaxInt32, "%s %v: want 0 or more", v.name, v.value)
	}
	check(o.Freeze >= FreezeBackbone, "freeze %d: want 0 or more", o.Freeze)
	if o.Model != nil {
		c := o.Model.Config
		modules := len(c.Network().Blocks) + 2
		check(o.Freeze <= modules, "freeze %d: the network has %d features modules", o.Freeze, modules)
		check(a.Pad < c.Resolution, "pad %d: want less than the %d pixels of the input", a.Pad, c.Resolution)
	}
	check(slices.Contains(schedules, o.Schedule), "schedule %q: want one of %q", o.Schedule, schedules)
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}
