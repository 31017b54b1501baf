package mobilenet_test

import (
	"errors"
	"math"
	"testing"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/model"
)

// headed is a narrow network with a head, and weights that give it an opinion.
func headed(t *testing.T, classes int, head model.Head) *model.Model {
	t.Helper()
	c := model.Default()
	c.Width, c.LastChannels, c.Resolution, c.Classes, c.Head = 0.1, 32, 64, classes, head
	m, err := model.New(c, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range c.Network().Linears() {
		bias := m.Dict[l.Name+".bias"].Data
		for i := range bias {
			bias[i] = float32(i) - 1.5
		}
	}
	return m
}

// TestSingleOutput: one logit is two outcomes, by the sigmoid, and not a class that
// is certain whatever the photo.
func TestSingleOutput(t *testing.T) {
	m := headed(t, 1, model.Head{Sigmoid: true})
	m.Labels = []string{"no fire", "fire"}
	c, err := mobilenet.New(m)
	if err != nil {
		t.Fatal(err)
	}
	logits, err := c.Logits(t.Context(), photos()[:1])
	if err != nil || len(logits[0]) != 2 || logits[0][0] != 0 {
		t.Fatalf("logits %v, %v", logits, err)
	}
	best, err := c.Classify(t.Context(), photos()[0], 5)
	if err != nil || len(best) != 2 {
		t.Fatalf("%v, %v", best, err)
	}
	yes := 1 / (1 + math.Exp(-float64(logits[0][1])))
	want := map[string]float64{"fire": yes, "no fire": 1 - yes}
	for _, p := range best {
		if !(math.Abs(float64(p.Probability)-want[p.Label]) < 1e-6) {
			t.Errorf("%s %v, want %v", p.Label, p.Probability, want[p.Label])
		}
	}
	if best[0].Probability < best[1].Probability {
		t.Error("the best is not the first")
	}
}

// TestSigmoid: the classes' probabilities don't depend on each other.
func TestSigmoid(t *testing.T) {
	c, err := mobilenet.New(headed(t, 4, model.Head{Sigmoid: true, Hidden: []int{20}}))
	if err != nil {
		t.Fatal(err)
	}
	logits, err := c.Logits(t.Context(), photos()[:1])
	if err != nil {
		t.Fatal(err)
	}
	best, err := c.Classify(t.Context(), photos()[0], 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range best {
		if want := 1 / (1 + math.Exp(-float64(logits[0][p.Index]))); !(math.Abs(float64(p.Probability)-want) < 1e-6) {
			t.Errorf("class %d: %v, want %v", p.Index, p.Probability, want)
		}
	}
}

// TestNoClasses: a network without a classifier gives embeddings, and says so.
func TestNoClasses(t *testing.T) {
	c, err := mobilenet.New(headed(t, 0, model.Head{}))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := c.Embed(t.Context(), photos()[0]); err != nil || len(v) != 32 {
		t.Errorf("%d features, %v", len(v), err)
	}
	if _, err := c.Classify(t.Context(), photos()[0], 1); !errors.Is(err, mobilenet.ErrNoClasses) || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
}

// TestHugeInput: what a file asks for is bounded, what the caller asks for is not.
func TestHugeInput(t *testing.T) {
	m := headed(t, 3, model.Head{})
	m.Config.Resolution = 8192
	if _, err := mobilenet.New(m); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
	c, err := mobilenet.New(m, mobilenet.WithInput(model.Input{Height: 4096}))
	if err != nil || c.Config().Resolution != 4096 {
		t.Errorf("asked for: %v", err)
	}
}
