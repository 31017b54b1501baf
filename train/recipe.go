package train

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/builtin"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A Recipe is hyperparameters that go together, and what they are good for.
type Recipe struct {
	Name    string
	Summary string // half a line, for a list of the recipes
	Hyperparameters

	// Rates are the learning rates with optimizers other than the recipe's own; for one
	// that is not there, it is the rate that suits the optimizer.
	Rates map[Optimizer]float64

	// Data and Config are of a recipe for one network and one data set: the name of
	// the data, and the architecture as JSON, which is trained from random weights.
	// Both are empty for a recipe that goes with any.
	Data   string
	Config []byte
}

// recipes are all that is known by name. A new one is a row here.
var recipes = []Recipe{
	{ // docs/finetune.md has the measurements
		Name: "finetune", Summary: "for pretrained weights: the classifier first, then all layers by AdamW, 10 epochs",
		Hyperparameters: Hyperparameters{
			Epochs: 10, Batch: 16, LR: 5e-4, Optimizer: AdamW, Momentum: 0.9, WeightDecay: 0.01, FixNorm: true,
			Schedule: Cosine, Warmup: 1, WarmupSteps: 300, LabelSmoothing: 0.1, Augment: vision.Augment{MinScale: 0.5, Flip: 0.5},
			Clip: 1, HeadEpochs: 20, HeadLR: 0.003, LayerDecay: 0.9, Undo: true,
		},
		Rates: map[Optimizer]float64{SGD: 0.003, RMSprop: 0.0003},
	},
	{
		Name: "plain", Summary: "for pretrained weights: all layers at once by SGD 0.003, 10 epochs",
		Hyperparameters: Hyperparameters{
			Epochs: 10, Batch: 16, LR: 0.003, Optimizer: SGD, Momentum: 0.9, WeightDecay: 1e-4, FixNorm: true,
			Schedule: Cosine, Warmup: 1, LabelSmoothing: 0.1, Augment: vision.Augment{MinScale: 0.5, Flip: 0.5},
		},
		// On 128 photos at 128x128, AdamW and RMSprop at 0.0003 got 99 % and 78 % of them
		// right after six epochs, where AdamW at 0.001 got 39 %.
		Rates: map[Optimizer]float64{AdamW: 0.0003, RMSprop: 0.0003},
	},
	{ // docs/int8.md has the measurements
		Name: "qat", Summary: "for a model that was trained, in 8 bits: all layers by AdamW 0.00003, 5 epochs",
		Hyperparameters: Hyperparameters{
			Epochs: 5, Batch: 16, LR: 3e-5, Optimizer: AdamW, Momentum: 0.9, WeightDecay: 0.01, FixNorm: true,
			Schedule: Cosine, Warmup: 0.5, LabelSmoothing: 0.1, Augment: vision.Augment{MinScale: 0.5, Flip: 0.5},
			Clip: 1, QAT: true,
		},
		Rates: map[Optimizer]float64{SGD: 3e-4, RMSprop: 3e-5},
	},
	{ // arXiv 1801.04381, section 6.1, for a single machine
		Name: "paper", Summary: "RMSprop 0.9, weight decay 4e-5, 0.045 times 0.98 an epoch",
		Hyperparameters: Hyperparameters{
			Epochs: 300, Batch: 96, LR: 0.045, Optimizer: RMSprop, Momentum: 0.9, WeightDecay: 4e-5,
			Schedule: Exponential, Gamma: 0.98, Augment: vision.Augment{MinScale: 0.08, Flip: 0.5},
		},
	},
	{ // torchvision's references for IMAGENET1K_V1, for one of the eight workers there
		Name: "torchvision", Summary: "SGD 0.9, weight decay 4e-5, 0.045 times 0.98 an epoch",
		Hyperparameters: Hyperparameters{
			Epochs: 300, Batch: 32, LR: 0.045, Optimizer: SGD, Momentum: 0.9, WeightDecay: 4e-5,
			Schedule: Exponential, Gamma: 0.98, Augment: vision.Augment{MinScale: 0.08, Flip: 0.5},
		},
	},
	{ // docs/fashion-mnist.md is the card of the model that came of it
		Name: "fashion-mnist", Summary: "how the model in the program was trained: data, architecture and all",
		Hyperparameters: Hyperparameters{
			Epochs: 27, Batch: 128, LR: 0.1, Optimizer: SGD, Momentum: 0.9, WeightDecay: 5e-4,
			Schedule: Cosine, Warmup: 0.5, LabelSmoothing: 0.05, EMA: 0.999,
			Augment: vision.Augment{Pad: 3, Flip: 0.5, Erase: 0.1},
		},
		Data: "fashion-mnist", Config: builtin.FashionMNISTConfig,
	},
}

// Recipes lists the recipes.
func Recipes() []Recipe { return slices.Clone(recipes) }

// RecipeNamed returns the recipe of that name. Where there is no name it is
// finetune for pretrained weights, and torchvision for random ones.
func RecipeNamed(name string, pretrained bool) (Recipe, error) {
	if name == "" {
		name = "torchvision"
		if pretrained {
			name = "finetune"
		}
	}
	var known []string
	for _, r := range recipes {
		if r.Name == name {
			return r, nil
		}
		known = append(known, r.Name)
	}
	return Recipe{}, fmt.Errorf("recipe %s: want %s", name, strings.Join(known, ", "))
}

// Finetune is the recipe for pretrained weights and a folder of photos.
func Finetune() Hyperparameters { return recipes[0].Hyperparameters }

// Rate is the recipe's learning rate with an optimizer: its own, or one that suits
// another optimizer.
func (r Recipe) Rate(o Optimizer) float64 {
	if o == r.Optimizer {
		return r.LR
	}
	return cmp.Or(r.Rates[o], ruleOf(o).rate, r.LR)
}

// Changes are what a user wants otherwise than a recipe has it.
type Changes struct {
	Given   func(name string) bool // reports whether the hyperparameter was set that the flag of mobilenet train sets
	Values  Hyperparameters        // of what was set; the rest does not count
	Augment string                 // one of Augmentations, in place of Values.Augment.Flip and Trivial
	Freeze  string                 // as for ParseFreeze, in place of Values.Freeze
}

// augmentations are: photos as they are, as the recipe changes them, and that with
// TrivialAugmentWide.
var augmentations = []string{"none", "basic", "trivial"}

// Augmentations lists what Changes.Augment may be.
func Augmentations() []string { return slices.Clone(augmentations) }

// With returns the recipe's hyperparameters with the changes made, if they pass
// [Hyperparameters.Validate]. What depends on another hyperparameter follows it:
// the warm-up is at most a quarter of the epochs, the learning rate suits the
// optimizer, shifting replaces random crops, and with a frozen backbone the recipe's
// epochs and rate of the classifier alone are all there is. It is an error to change
// the photos and freeze the backbone.
func (r Recipe) With(c Changes) (Hyperparameters, error) {
	h, v := r.Hyperparameters, c.Values
	set := func(name string, set func()) {
		if c.Given(name) {
			set()
		}
	}
	set("epochs", func() { h.Epochs = v.Epochs })
	set("batch", func() { h.Batch = v.Batch })
	set("optimizer", func() { h.Optimizer = v.Optimizer })
	set("momentum", func() { h.Momentum = v.Momentum })
	set("weight-decay", func() { h.WeightDecay = v.WeightDecay })
	set("schedule", func() { h.Schedule = v.Schedule })
	h.Gamma = cmp.Or(h.Gamma, defaultGamma)
	set("gamma", func() { h.Gamma = v.Gamma })
	set("label-smoothing", func() { h.LabelSmoothing = v.LabelSmoothing })
	set("fix-norm", func() { h.FixNorm = v.FixNorm })
	set("ema", func() { h.EMA = v.EMA })
	set("mixup", func() { h.Mixup = v.Mixup })
	set("cutmix", func() { h.CutMix = v.CutMix })
	set("clip", func() { h.Clip = v.Clip })
	set("patience", func() { h.Patience = v.Patience })
	h.Balance = cmp.Or(h.Balance, NoBalance)
	set("balance", func() { h.Balance = v.Balance })
	h.TeacherTemperature = cmp.Or(h.TeacherTemperature, defaultTemperature)
	set("teacher-temperature", func() { h.TeacherTemperature = v.TeacherTemperature })
	h.TeacherWeight = cmp.Or(h.TeacherWeight, defaultTeacherWeight)
	set("teacher-weight", func() { h.TeacherWeight = v.TeacherWeight })
	h.LR = r.Rate(h.Optimizer)
	set("head-epochs", func() { h.HeadEpochs = v.HeadEpochs })
	set("head-lr", func() { h.HeadLR = v.HeadLR })
	set("layer-decay", func() { h.LayerDecay = v.LayerDecay })
	set("qat", func() { h.QAT = v.QAT })
	set("undo", func() { h.Undo = v.Undo })
	if h.Optimizer != r.Optimizer {
		h.WarmupSteps = 0
	}
	set("lr", func() { h.LR, h.WarmupSteps = v.LR, 0 }) // it means what it says
	set("warmup-steps", func() { h.WarmupSteps = v.WarmupSteps })
	var err error
	if h.Freeze, err = ParseFreeze(c.Freeze); err != nil {
		return h, err
	}
	if h.Freeze == FreezeBackbone {
		h.aloneFrom(c)
	}
	h.Warmup = min(h.Warmup, float64(h.Epochs)/4)
	set("warmup", func() { h.Warmup = v.Warmup })
	switch c.Augment {
	case "none":
		h.Augment = vision.Augment{}
	case "basic", "trivial":
		h.Augment.Trivial = c.Augment == "trivial"
	default:
		return h, fmt.Errorf("augment %s: want %s", c.Augment, strings.Join(augmentations, ", "))
	}
	a := &h.Augment
	set("scale", func() { a.MinScale = v.Augment.MinScale })
	set("pad", func() { a.Pad = v.Augment.Pad })
	set("erase", func() { a.Erase = v.Augment.Erase })
	set("color-jitter", func() { a.Jitter = v.Augment.Jitter })
	set("rand-augment", func() { a.Rand = v.Augment.Rand })
	if a.Pad > 0 {
		a.MinScale = 0
	}
	if h.Freeze == FreezeBackbone {
		if err := h.unaugment(c); err != nil {
			return h, err
		}
	}
	return h, h.Validate()
}

// aloneFrom makes of a recipe that begins with the classifier alone one that ends with
// it, but for what was asked for.
func (h *Hyperparameters) aloneFrom(c Changes) {
	if h.HeadEpochs == 0 {
		return
	}
	alone := h.alone()
	unless := func(name string, set func()) {
		if !c.Given(name) {
			set()
		}
	}
	unless("epochs", func() { h.Epochs = alone.Epochs })
	unless("weight-decay", func() { h.WeightDecay = alone.WeightDecay })
	unless("clip", func() { h.Clip = alone.Clip })
	unless("optimizer", func() { h.Optimizer = alone.Optimizer })
	if !c.Given("lr") && h.Optimizer == alone.Optimizer {
		h.LR = alone.LR
	}
	h.HeadEpochs, h.HeadLR, h.WarmupSteps, h.Undo, h.LayerDecay = 0, 0, 0, false, 0
}

// unaugment leaves the photos as they are, for a frozen backbone. What the recipe
// does to them is dropped; what was asked for is an error.
func (h *Hyperparameters) unaugment(c Changes) error {
	const why = "changes the photos from epoch to epoch; freeze backbone looks at each once"
	if c.Given("augment") && c.Augment != "none" {
		return fmt.Errorf("augment %s %s", c.Augment, why)
	}
	for _, s := range []struct {
		name  string
		value float64
	}{
		{"scale", h.Augment.MinScale}, {"pad", float64(h.Augment.Pad)}, {"erase", h.Augment.Erase},
		{"mixup", h.Mixup}, {"cutmix", h.CutMix},
	} {
		if c.Given(s.name) && s.value != 0 {
			return fmt.Errorf("%s %v %s", s.name, s.value, why)
		}
	}
	if c.Given("color-jitter") && h.Augment.Jitter != (vision.Jitter{}) {
		return fmt.Errorf("color-jitter %s", why)
	}
	if c.Given("rand-augment") && h.Augment.Rand.Operations > 0 {
		return fmt.Errorf("rand-augment %s", why)
	}
	h.Augment, h.Mixup, h.CutMix = vision.Augment{}, 0, 0
	return nil
}

// ParseFreeze reads what stays as it is: "none", "backbone" for all but the
// classifier, or so many of the first features.* modules.
func ParseFreeze(text string) (int, error) {
	switch text {
	case "none":
		return 0, nil
	case "backbone":
		return FreezeBackbone, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("freeze %s: want none, backbone or a number of modules", text)
	}
	return n, nil
}
