package train

import (
	"errors"
	"fmt"
	"runtime"

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
	Resume bool         // go on with the run in RunDir

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

func (o *Options) complete() error {
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	if o.Gamma == 0 {
		o.Gamma = 0.98
	}
	if o.Model == nil || o.Train == nil {
		return errors.New("training needs a model and images")
	}
	if n := len(o.Train.Classes); n != o.Model.Config.Classes {
		return fmt.Errorf("the data has %d classes, the model %d", n, o.Model.Config.Classes)
	}
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(len(o.Train.Items) >= 2, "%d training images: want at least 2", len(o.Train.Items))
	check(o.Epochs > 0, "%d epochs: want at least 1", o.Epochs)
	check(o.Batch > 1, "batches of %d: want at least 2 images", o.Batch)
	check(o.LR > 0, "learning rate %v: want more than 0", o.LR)
	check(o.Warmup >= 0 && o.Warmup < float64(o.Epochs), "%v epochs of warm-up: want 0 to less than %d", o.Warmup, o.Epochs)
	check(o.LabelSmoothing >= 0 && o.LabelSmoothing < 1, "label smoothing %v: want 0 to less than 1", o.LabelSmoothing)
	check(o.EMA >= 0 && o.EMA < 1, "EMA %v: want 0 to less than 1", o.EMA)
	check(o.Mixup >= 0 && o.CutMix >= 0, "mixup %v, cutmix %v: want 0 or more", o.Mixup, o.CutMix)
	check(o.Freeze >= FreezeBackbone, "freeze %d: want 0 or more", o.Freeze)
	if err := o.Schedule.validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
