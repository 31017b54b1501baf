package train

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train/report"
	"github.com/mobilenet-go/mobilenet/vision"
)

// FreezeBackbone as Options.Freeze keeps everything but the classifier.
const FreezeBackbone = -1

// Options say what is trained, how, and how the run goes.
//
//	o := train.Options{Hyperparameters: train.Finetune()}
//	o.Model, o.Train, o.RunDir = m, set, "runs/photos"
type Options struct {
	Data
	Hyperparameters
	Run

	unreadable *unreadable // images that are left out
	uniform    *remark     // images of one colour
	clipped    *remark     // images whose levels are clipped
	teacher    *teacher    // nil without

	made      bool              // the run folder is new
	undivided bool              // with Resume: nothing says which images the run began with
	moved     *dataset.Division // with Resume: these, where they are now; nil where nothing says it

	// Of a training for 8 bits: the calibrated network that it begins with, whose ranges
	// stay, and with how many photos it was calibrated.
	ranges      *model.Quantized
	calibration int
	weights     []float32 // of the classes in the loss; nil for 1
}

// Data are what a training begins with.
type Data struct {
	Model *model.Model // with the classes of Train, see [Prepare]; Fit changes it
	Train *dataset.Set
	Val   *dataset.Set // may be nil
	Test  *dataset.Set // measured with once, at the end; may be nil

	// Teacher, which may be nil, is a trained model for Model to imitate. It has the
	// classes of Train, in any order, an input of any size, and doesn't change.
	Teacher *model.Model

	// Division is that of Train and Val, for SplitFile; of nil Fit makes it.
	Division *dataset.Division

	// Before is what Model was trained with before, if that is known: its best file
	// remembers all of it. It may be nil.
	Before *dataset.Division

	// TeacherBefore is what Teacher was trained with, if that is known. It may be nil.
	TeacherBefore *dataset.Division
}

// Hyperparameters say how a network is trained. A [Recipe] has all of them. In JSON
// they are called as the flags of mobilenet train.
type Hyperparameters struct {
	Epochs         int            `json:"epochs"`
	Batch          int            `json:"batch"` // images
	LR             float64        `json:"lr"`
	Optimizer      Optimizer      `json:"optimizer"`
	Momentum       float64        `json:"momentum"`     // of SGD and RMSprop
	WeightDecay    float64        `json:"weight-decay"` // not on normalisation and bias
	Schedule       Schedule       `json:"schedule"`
	Gamma          float64        `json:"gamma"`        // of the exponential schedule, per epoch; 0 for 0.98
	Warmup         float64        `json:"warmup"`       // epochs
	WarmupSteps    int            `json:"warmup-steps"` // steps in which the learning rate rises, too: a small set never gets to all of it
	LabelSmoothing float64        `json:"label-smoothing"`
	Freeze         int            `json:"freeze"`      // so many of the first features.* modules, or FreezeBackbone, which turns augmentation off: features are computed once
	FixNorm        bool           `json:"fix-norm"`    // normalise with the running averages that the model came with: batches of few photos have no statistics to speak of
	EMA            float64        `json:"ema"`         // decay per step of averaged weights, which are then validated and kept; 0 for none
	Augment        vision.Augment `json:"augment"`     // a Fill of zeros stands for the mean colour of the model's preprocessing
	Mixup          float64        `json:"mixup"`       // alpha of the beta distribution; 0 for none
	CutMix         float64        `json:"cutmix"`      // likewise; where both are set, a batch gets one of them at random
	Clip           float64        `json:"clip"`        // largest norm of the gradient; 0 for none
	Patience       int            `json:"patience"`    // epochs without a better validation before stopping; 0 for none
	HeadEpochs     int            `json:"head-epochs"` // passes with the classifier alone, before the Epochs; 0 for none. Together they are epoch 0
	HeadLR         float64        `json:"head-lr"`     // learning rate of these
	LayerDecay     float64        `json:"layer-decay"` // each features module learns at the rate of the next one, or of the classifier, times this; 0 for 1
	Undo           bool           `json:"undo"`        // an epoch that spoils the loss is undone, and made again at half the rate
	Balance        Balance        `json:"balance"`     // of classes with more and fewer images; "" for none

	// QAT computes in 8 bits, beginning with Model as it is calibrated: so it has learned
	// the classes already. It doesn't change; the result is a network without norms, and
	// what it is in 8 bits (see Int8) is what was trained and validated.
	QAT bool `json:"qat"`

	// With a Teacher the loss is 1-TeacherWeight of that with the labels and
	// TeacherWeight of the distance from the teacher, whose logits are divided by
	// TeacherTemperature: the higher it is, the more the improbable classes count.
	TeacherTemperature float64 `json:"teacher-temperature"` // 0 for 4
	TeacherWeight      float64 `json:"teacher-weight"`      // 0 for 0.7
}

// Run says where results go and how the machine is used.
type Run struct {
	RunDir  string // folder for the results, for this run alone
	Args    []byte // what ArgsFile is to say about the run, such as how to call it again; nil for no such file, with Resume for the one that is there
	Resume  bool   // go on with the run in RunDir, from its last whole epoch
	Extend  bool   // with Resume: Epochs and Patience may be others than the run had; the learning rate goes on as Epochs say
	Seed    uint64 // of everything random
	Threads int    // at most 1024, 0 for all cores; the result doesn't depend on it

	// Int8 ends the run with the best weights as a network of 8-bit integers, too,
	// calibrated with training images and measured as they are.
	Int8 bool

	// MaxErrors is how many images may be unreadable. They are left out of every
	// epoch and of validation; one more ends the run.
	MaxErrors int

	// Functions that are told how it goes, from Fit's goroutine. Each may be nil.
	Begun      func()                              // when the run folder is there, and this run's
	Over       func(last, best report.Epoch)       // with Resume in place of Begun, where no epoch is left: all were, or Patience ended them before
	Progress   func(Progress)                      // after every batch
	EpochDone  func(epoch, best report.Epoch)      // after every epoch, validation included
	Undone     func(epoch report.Epoch, err error) // of every epoch that spoilt the loss, and is made again; err says why, and what its loss is compared with
	Unreadable func(err error)                     // of every image that is left out, once
	Uniform    func(names []string)                // of images of one colour (see vision.Image.Uniform), each once
	Clipped    func(names []string)                // of images whose levels are clipped (see vision.Image.Clipped), each once
}

// Progress is where a training stands.
type Progress struct {
	Epoch, Epochs   int // from 1
	Batch, Batches  int // from 1
	Loss, Accuracy  float64
	ImagesPerSecond float64
	LR              float64
}

// maxThreads is what [engine.Compile] takes.
const maxThreads = 1024

// complete fills in defaults and reports what can't be trained with.
func (o *Options) complete() error {
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	o.Gamma = cmp.Or(o.Gamma, defaultGamma)
	o.TeacherTemperature = cmp.Or(o.TeacherTemperature, defaultTemperature)
	o.TeacherWeight = cmp.Or(o.TeacherWeight, defaultTeacherWeight)
	if o.Freeze == FreezeBackbone {
		o.HeadEpochs = 0 // all epochs are such
	}
	switch {
	case o.Model == nil:
		return errors.New("training needs a model: Options.Model is nil")
	case o.Train == nil:
		return errors.New("training needs images: Options.Train is nil")
	case o.RunDir == "":
		return errors.New("training needs a folder for its results: Options.RunDir is empty")
	}
	if err := o.checkData(); err != nil {
		return err
	}
	o.unreadable = &unreadable{max: o.MaxErrors, tell: o.Unreadable}
	o.uniform, o.clipped = &remark{tell: o.Uniform}, &remark{tell: o.Clipped}
	o.weights = o.classWeights()
	if o.Augment.Fill == [3]uint8{} {
		for i, v := range o.Model.Config.Preprocess.Mean {
			o.Augment.Fill[i] = uint8(v*255 + 0.5)
		}
	}
	return o.Validate()
}

// checkData reports images that can't be trained with, and labels that are no
// class of the model.
func (d *Data) checkData() error {
	switch n := len(d.Train.Classes); {
	case n == 1:
		return fmt.Errorf("the images are all of one class, %q: want at least 2", d.Train.Classes[0])
	case n != d.Model.Config.Classes:
		return fmt.Errorf("the data has %d classes, the model %d", n, d.Model.Config.Classes)
	case len(d.Train.Items) < 2:
		return fmt.Errorf("%d training images: want at least 2", len(d.Train.Items))
	}
	for _, set := range []*dataset.Set{d.Train, d.Val, d.Test} {
		if set == nil {
			continue
		}
		if len(set.Classes) != d.Model.Config.Classes {
			return fmt.Errorf("images to train with have %d classes, others %d", d.Model.Config.Classes, len(set.Classes))
		}
		for _, item := range set.Items {
			if item.Label < 0 || item.Label >= d.Model.Config.Classes {
				return fmt.Errorf("%s: label %d: the model has %d classes", item.Name, item.Label, d.Model.Config.Classes)
			}
		}
	}
	return nil
}

// Validate returns an error that names all settings that make no sense, as the
// flags of mobilenet train are named. What depends on the model is looked at if
// there is one.
func (o *Options) Validate() error {
	wrong := o.Hyperparameters.wrong()
	if o.Threads < 0 || o.Threads > maxThreads {
		wrong = append(wrong, fmt.Sprintf("threads %d: want 0 to %d", o.Threads, maxThreads))
	}
	if o.MaxErrors < 0 {
		wrong = append(wrong, fmt.Sprintf("max-errors %d: want 0 or more", o.MaxErrors))
	}
	if o.Model != nil {
		c := o.Model.Config
		modules := len(c.Network().Blocks) + 2
		if o.Freeze > modules {
			wrong = append(wrong, fmt.Sprintf("freeze %d: the network has %d features modules", o.Freeze, modules))
		}
		if h, w := c.InputSize(); h != w {
			wrong = append(wrong, fmt.Sprintf("resolution %dx%d: want a square input to train with", h, w))
		}
		if !c.Head.Plain() {
			wrong = append(wrong, "head: want one linear layer with a softmax to train with, as Prepare makes")
		}
		if o.Augment.Pad >= c.Resolution {
			wrong = append(wrong, fmt.Sprintf("pad %d: want less than the %d pixels of the input", o.Augment.Pad, c.Resolution))
		}
		if o.Data.Teacher != nil && o.Train != nil {
			if _, err := newTeacher(o); err != nil {
				wrong = append(wrong, err.Error())
			}
		}
	}
	return joined(wrong)
}

// Validate returns an error that names all hyperparameters that make no sense for
// any model.
func (h Hyperparameters) Validate() error { return joined(h.wrong()) }

func joined(wrong []string) error {
	if len(wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(wrong, "; "))
}

func (h *Hyperparameters) wrong() []string {
	var wrong []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	check(h.Epochs > 0, "epochs %d: want at least 1", h.Epochs)
	check(h.Batch > 1, "batch %d: want at least 2 images", h.Batch)
	check(h.LR > 0 && h.LR <= math.MaxFloat64, "lr %v: want more than 0", h.LR)
	check(h.Gamma > 0 && h.Gamma <= 1, "gamma %v: want more than 0, at most 1", h.Gamma)
	check(h.Epochs <= 0 || h.Warmup >= 0 && h.Warmup < float64(h.Epochs), "warmup %v: want 0 to less than %d epochs", h.Warmup, h.Epochs)
	a := &h.Augment
	type setting struct {
		name  string
		value float64
	}
	for _, v := range []setting{{"momentum", h.Momentum}, {"label-smoothing", h.LabelSmoothing}, {"ema", h.EMA}} {
		check(v.value >= 0 && v.value < 1, "%s %v: want 0 to less than 1", v.name, v.value)
	}
	for _, v := range []setting{{"scale", a.MinScale}, {"flip", a.Flip}, {"erase", a.Erase}} {
		check(v.value >= 0 && v.value <= 1, "%s %v: want 0 to 1", v.name, v.value)
	}
	for _, v := range []setting{
		{"weight-decay", h.WeightDecay}, {"mixup", h.Mixup}, {"cutmix", h.CutMix}, {"clip", h.Clip},
		{"pad", float64(a.Pad)}, {"patience", float64(h.Patience)}, {"head-epochs", float64(h.HeadEpochs)}, {"warmup-steps", float64(h.WarmupSteps)},
	} {
		check(v.value >= 0 && v.value <= math.MaxInt32, "%s %v: want 0 or more", v.name, v.value)
	}
	for _, v := range []struct {
		name string
		err  error
	}{{"color-jitter", a.Jitter.Validate()}, {"rand-augment", a.Rand.Validate()}} {
		check(v.err == nil, "%s: %v", v.name, v.err)
	}
	check(!a.Trivial || a.Rand.Operations == 0, "rand-augment: augment trivial has an operation of its own: want one of the two")
	check(!h.QAT || h.HeadEpochs == 0, "qat: the model has learned its classes: want head-epochs 0")
	check(!h.QAT || h.Freeze != FreezeBackbone, "qat: with freeze backbone there is nothing but the classifier to train in 8 bits")
	check(h.TeacherTemperature >= 1 && h.TeacherTemperature <= 100, "teacher-temperature %v: want 1 to 100", h.TeacherTemperature)
	check(h.TeacherWeight > 0 && h.TeacherWeight <= 1, "teacher-weight %v: want more than 0, at most 1", h.TeacherWeight)
	check(h.LayerDecay >= 0 && h.LayerDecay <= 1, "layer-decay %v: want 0 to 1", h.LayerDecay)
	check(h.QAT || h.HeadEpochs <= 0 || h.HeadLR > 0 && h.HeadLR <= math.MaxFloat64, "head-lr %v: want more than 0, for epochs of the classifier alone (head-epochs %d)", h.HeadLR, h.HeadEpochs)
	check(h.Freeze >= FreezeBackbone, "freeze %d: want 0 or more", h.Freeze)
	check(slices.Contains(Optimizers(), h.Optimizer), "optimizer %q: want one of %q", h.Optimizer, Optimizers())
	check(h.Balance == "" || slices.Contains(balances, h.Balance), "balance %q: want one of %q", h.Balance, balances)
	check(slices.Contains(schedules, h.Schedule), "schedule %q: want one of %q", h.Schedule, schedules)
	return wrong
}
