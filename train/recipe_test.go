package train

import (
	"slices"
	"strings"
	"testing"
)

// TestRecipes checks that every recipe can be trained with as it is.
func TestRecipes(t *testing.T) {
	for _, r := range Recipes() {
		h, err := r.With(Changes{Given: func(string) bool { return false }, Augment: "basic", Freeze: "none"})
		if err != nil || r.Summary == "" {
			t.Errorf("%s: %v", r.Name, err)
		}
		if h.LR != r.LR || h.Augment != r.Augment || h.Epochs != r.Epochs {
			t.Errorf("%s: unchanged it is %+v, want %+v", r.Name, h, r.Hyperparameters)
		}
		for _, o := range Optimizers() {
			if rate := r.Rate(o); !(rate > 0) {
				t.Errorf("%s: %s at %v", r.Name, o, rate)
			}
		}
	}
	if r, err := RecipeNamed("", true); err != nil || r.Name != "finetune" {
		t.Errorf("with weights: %s, %v", r.Name, err)
	}
	if r, err := RecipeNamed("", false); err != nil || r.Name != "torchvision" {
		t.Errorf("without weights: %s, %v", r.Name, err)
	}
	if _, err := RecipeNamed("soup", true); err == nil || !strings.Contains(err.Error(), "want finetune, ") {
		t.Errorf("soup: %v", err)
	}
}

// TestNewRule trains with an optimizer that is a row of the table and nothing else.
func TestNewRule(t *testing.T) {
	was := rules
	defer func() { rules = was }()
	rules = append(slices.Clone(rules), rule{name: "sign", buffers: 3, rate: 0.001, update: func(_ *optimizer, p *parameter, s state, u update) {
		for i, g := range p.Grad {
			s[2][i]++ // the last of its buffers: steps
			if g > 0 {
				p.Value[i] -= float32(u.lr)
			} else {
				p.Value[i] += float32(u.lr)
			}
		}
	}})
	r, err := RecipeNamed("torchvision", false)
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.With(Changes{
		Given: func(name string) bool { return name == "optimizer" }, Values: Hyperparameters{Optimizer: "sign"}, Augment: "basic", Freeze: "none",
	})
	if err != nil || h.LR != 0.001 || !slices.Contains(Optimizers(), "sign") {
		t.Fatalf("rate %v, error %v", h.LR, err)
	}
	train, val := photos(t, 4)
	o := options(t, train, val)
	o.Optimizer, o.LR, o.Epochs, o.Warmup = "sign", 0.001, 1, 0
	if _, err := Fit(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.Resume, o.Extend, o.Epochs = true, true, 2
	if _, err := Fit(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// TestWith checks what follows from a change, and changes that don't go together.
func TestWith(t *testing.T) {
	for name, test := range map[string]struct {
		recipe string
		change func(c *Changes) // c.Given is what it returns
		given  []string
		check  func(h Hyperparameters) bool
		err    string
	}{
		"few epochs":        {"finetune", func(c *Changes) { c.Values.Epochs = 2 }, []string{"epochs"}, func(h Hyperparameters) bool { return h.Warmup == 0.5 }, ""},
		"other optimizer":   {"plain", func(c *Changes) { c.Values.Optimizer = AdamW }, []string{"optimizer"}, func(h Hyperparameters) bool { return h.LR == 0.0003 }, ""},
		"other, two phases": {"finetune", func(c *Changes) { c.Values.Optimizer = SGD }, []string{"optimizer"}, func(h Hyperparameters) bool { return h.LR == 0.003 && h.HeadLR == 0.003 && h.WarmupSteps == 0 }, ""},
		"own rates":         {"finetune", func(c *Changes) { c.Values.LR, c.Values.HeadLR = 3, 4 }, []string{"lr", "head-lr"}, func(h Hyperparameters) bool { return h.LR == 3 && h.HeadLR == 4 && h.WarmupSteps == 0 }, ""},
		"one phase": {"finetune", func(c *Changes) {}, []string{"head-epochs", "undo"}, func(h Hyperparameters) bool {
			return h.HeadEpochs == 0 && !h.Undo && h.LR == Finetune().LR && h.WarmupSteps > 0
		}, ""},
		"classifier alone": {"finetune", func(c *Changes) { c.Freeze = "backbone" }, nil, func(h Hyperparameters) bool {
			return h.Epochs == Finetune().HeadEpochs && h.LR == Finetune().HeadLR && h.HeadEpochs == 0
		}, ""},
		"alone by AdamW":    {"finetune", func(c *Changes) { c.Freeze, c.Values.Optimizer = "backbone", AdamW }, []string{"optimizer"}, func(h Hyperparameters) bool { return h.Optimizer == AdamW && h.LR == Finetune().LR }, ""},
		"so many, alone":    {"finetune", func(c *Changes) { c.Freeze, c.Values.Epochs, c.Values.LR = "backbone", 7, 5 }, []string{"epochs", "lr"}, func(h Hyperparameters) bool { return h.Epochs == 7 && h.LR == 5 }, ""},
		"layer decay":       {"finetune", func(c *Changes) { c.Values.LayerDecay = 1.5 }, []string{"layer-decay"}, nil, "layer-decay 1.5: want 0 to 1"},
		"head rate":         {"finetune", func(c *Changes) {}, []string{"head-lr"}, nil, "head-lr 0: want more than 0"},
		"no head rate":      {"plain", func(c *Changes) { c.Values.HeadEpochs = 3 }, []string{"head-epochs"}, nil, "head-lr 0: want more than 0, for epochs of the classifier alone (head-epochs 3)"},
		"head epochs, qat":  {"qat", func(c *Changes) { c.Values.HeadEpochs = 3 }, []string{"head-epochs"}, nil, "qat: the model has learned its classes: want head-epochs 0"},
		"adamw":             {"torchvision", func(c *Changes) { c.Values.Optimizer = AdamW }, []string{"optimizer"}, func(h Hyperparameters) bool { return h.LR == 0.001 }, ""},
		"rmsprop":           {"torchvision", func(c *Changes) { c.Values.Optimizer = RMSprop }, []string{"optimizer"}, func(h Hyperparameters) bool { return h.LR == 0.045 }, ""},
		"own rate":          {"finetune", func(c *Changes) { c.Values.Optimizer, c.Values.LR = AdamW, 1 }, []string{"optimizer", "lr"}, func(h Hyperparameters) bool { return h.LR == 1 }, ""},
		"shift":             {"finetune", func(c *Changes) { c.Values.Augment.Pad = 3 }, []string{"pad"}, func(h Hyperparameters) bool { return h.Augment.MinScale == 0 && h.Augment.Pad == 3 }, ""},
		"trivial":           {"finetune", func(c *Changes) { c.Augment = "trivial" }, []string{"augment"}, func(h Hyperparameters) bool { return h.Augment.Trivial && h.Augment.Flip == 0.5 }, ""},
		"none":              {"finetune", func(c *Changes) { c.Augment = "none" }, []string{"augment"}, func(h Hyperparameters) bool { return h.Augment == Hyperparameters{}.Augment }, ""},
		"frozen":            {"finetune", func(c *Changes) { c.Freeze = "backbone" }, nil, func(h Hyperparameters) bool { return h.Freeze == FreezeBackbone && h.Augment.MinScale == 0 }, ""},
		"not what is given": {"finetune", func(c *Changes) { c.Values.Epochs = 99 }, nil, func(h Hyperparameters) bool { return h.Epochs == 10 }, ""},
		"mixed and frozen":  {"finetune", func(c *Changes) { c.Freeze, c.Values.Mixup = "backbone", 0.2 }, []string{"mixup"}, nil, "mixup 0.2 changes the photos"},
		"colours": {"finetune", func(c *Changes) {
			c.Values.Augment.Jitter.Hue, c.Values.Augment.Rand.Operations = 0.1, 2
		}, []string{"color-jitter", "rand-augment"}, func(h Hyperparameters) bool {
			return h.Augment.Jitter.Hue == 0.1 && h.Augment.Rand.Operations == 2 && h.Augment.Flip == 0.5
		}, ""},
		"two policies": {"finetune", func(c *Changes) {
			c.Augment, c.Values.Augment.Rand.Operations = "trivial", 2
		}, []string{"augment", "rand-augment"}, nil, "rand-augment: augment trivial has an operation of its own"},
		"jitter and frozen": {"finetune", func(c *Changes) {
			c.Freeze, c.Values.Augment.Jitter.Hue = "backbone", 0.1
		}, []string{"color-jitter"}, nil, "color-jitter changes the photos"},
		"rand and frozen": {"finetune", func(c *Changes) {
			c.Freeze, c.Values.Augment.Rand.Operations = "backbone", 2
		}, []string{"rand-augment"}, nil, "rand-augment changes the photos"},
		"hue":          {"finetune", func(c *Changes) { c.Values.Augment.Jitter.Hue = 0.6 }, []string{"color-jitter"}, nil, "color-jitter: hue 0.6: want 0 to 0.5"},
		"magnitude":    {"finetune", func(c *Changes) { c.Values.Augment.Rand.Magnitude = 31 }, []string{"rand-augment"}, nil, "rand-augment: magnitude 31"},
		"0 and frozen": {"finetune", func(c *Changes) { c.Freeze = "backbone" }, []string{"mixup", "scale"}, func(h Hyperparameters) bool { return true }, ""},
		"freeze":       {"finetune", func(c *Changes) { c.Freeze = "-1" }, nil, nil, "freeze -1: want none, backbone or"},
		"augment":      {"finetune", func(c *Changes) { c.Augment = "lots" }, nil, nil, "augment lots: want none, basic, trivial"},
		"optimizer":    {"finetune", func(c *Changes) { c.Values.Optimizer = "adam" }, []string{"optimizer"}, nil, `optimizer "adam"`},
		"gamma":        {"finetune", func(c *Changes) {}, []string{"gamma"}, nil, "gamma 0: want more than 0"},
	} {
		r, err := RecipeNamed(test.recipe, true)
		if err != nil {
			t.Fatal(err)
		}
		c := Changes{Augment: "basic", Freeze: "none", Given: func(name string) bool { return slices.Contains(test.given, name) }}
		test.change(&c)
		h, err := r.With(c)
		switch {
		case test.err != "":
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: error %v, want %q", name, err, test.err)
			}
		case err != nil || !test.check(h):
			t.Errorf("%s: %+v, error %v", name, h, err)
		}
	}
}
