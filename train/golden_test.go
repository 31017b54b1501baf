package train

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/model"
)

// A golden is a step of PyTorch, written by testdata/golden.py.
type golden struct {
	tensors model.StateDict
	meta    map[string]string
	labels  []int
}

func readGolden(t *testing.T) *golden {
	tensors, meta, err := checkpoint.ReadTensors("testdata/step.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{tensors: tensors, meta: meta}
	for _, v := range tensors["labels"].Data {
		g.labels = append(g.labels, int(v))
	}
	return g
}

// model returns the network before the step.
func (g *golden) model(t *testing.T) *model.Model {
	c := model.Default()
	c.Width, c.Classes, c.LastChannels, c.Resolution = 0.25, 5, 32, 40
	c.Table = []model.Stage{{T: 1, C: 16, N: 1, S: 1}, {T: 6, C: 24, N: 2, S: 2}, {T: 4, C: 32, N: 1, S: 2}, {T: 2, C: 40, N: 2, S: 1}}
	var table [][4]float64
	if err := json.Unmarshal([]byte(g.meta["table"]), &table); err != nil {
		t.Fatal(err)
	}
	c.Table = nil
	for _, s := range table {
		c.Table = append(c.Table, model.Stage{T: s[0], C: int(s[1]), N: int(s[2]), S: int(s[3])})
	}
	dict := model.StateDict{}
	for name, v := range g.tensors {
		if rest, ok := strings.CutPrefix(name, "before."); ok {
			dict[rest] = model.Tensor{Shape: v.Shape, Data: append([]float32(nil), v.Data...)}
		}
	}
	m, err := model.FromDict(c, dict)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// input is x in the order that networks take, [8][H][W][3], rolled along the
// batch.
func (g *golden) input(roll int) []float32 {
	x := g.tensors["x"]
	n, side := x.Shape[0], x.Shape[2]
	out := make([]float32, len(x.Data))
	for i := range n {
		for c := range 3 {
			for p := range side * side {
				out[((i+roll)%n*side*side+p)*3+c] = x.Data[(i*3+c)*side*side+p]
			}
		}
	}
	return out
}

// targets are the labels rolled along the batch.
func (g *golden) targets(roll int) []float32 {
	out := make([]float32, len(g.labels)*5)
	for i, label := range g.labels {
		oneHot(out[(i+roll)%len(g.labels)*5:][:5], label, 0)
	}
	return out
}

// step runs forward and backward.
func step(t *testing.T, n *network, x, target, mask []float32) (loss float64, logits []float32) {
	logits, err := n.forward(x, len(target)/n.config.Classes, mask)
	if err != nil {
		t.Fatal(err)
	}
	grad := make([]float32, len(logits))
	loss = softmaxLoss(grad, logits, target, n.config.Classes)
	n.backward(grad)
	return loss, logits
}

// near fails unless got is want within 1e-4 of the tensor's largest value.
func near(t *testing.T, name string, got, want []float32, least float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	top := least
	for _, v := range want {
		top = max(top, math.Abs(float64(v)))
	}
	for i := range got {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= 1e-4*top) {
			t.Errorf("%s[%d]: %v, want %v", name, i, got[i], want[i])
			return
		}
	}
}

// TestTorchStep compares one step with PyTorch's: loss, logits, every gradient,
// every running statistic, and every weight after each optimizer.
func TestTorchStep(t *testing.T) {
	g := readGolden(t)
	for _, threads := range []int{1, 3} {
		m := g.model(t)
		n, err := newNetwork(m, threads, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		loss, logits := step(t, n, g.input(0), g.targets(0), g.mask())
		near(t, "loss", []float32{float32(loss)}, g.tensors["loss"].Data, 0)
		near(t, "logits", logits, g.tensors["logits"].Data, 0)
		for _, p := range n.params {
			near(t, "gradient of "+p.Name, p.Grad, g.tensors["grad."+p.Name].Data, 1e-2)
		}
		for name, v := range m.Dict {
			if strings.Contains(name, "running") || strings.Contains(name, "num_batches") {
				near(t, name, v.Data, g.tensors["after."+name].Data, 0)
			}
		}
	}
	tested := 0
	for rule, h := range map[string]struct {
		hyper
		lr float64
	}{
		"sgd":     {hyper{rule: SGD, momentum: 0.9, decay: 1e-4}, 0.1},
		"rmsprop": {hyper{rule: RMSprop, momentum: 0.9, alpha: 0.9, eps: 0.0316}, 0.045},
		"adamw":   {hyper{rule: AdamW, beta1: 0.9, beta2: 0.999, eps: 1e-5, decay: 0.05}, 1e-3},
	} {
		m := g.model(t)
		n, _ := newNetwork(m, 2, 0, false)
		o, err := newOptimizer(h.hyper, n.params)
		if err != nil {
			t.Fatal(err)
		}
		tested++
		step(t, n, g.input(0), g.targets(0), g.mask())
		o.step(2, h.lr, 1)
		for _, p := range n.params {
			near(t, rule+" "+p.Name, p.Value, g.tensors[rule+"."+p.Name].Data, 1e-2)
		}
	}
	if tested != len(Optimizers()) {
		t.Errorf("%d optimizers compared, want all %d", tested, len(Optimizers()))
	}
}

func (g *golden) mask() []float32 {
	mask := append([]float32(nil), g.tensors["mask"].Data...)
	for i, v := range mask {
		if v > 0 {
			mask[i] = 1 / 0.8
		}
	}
	return mask
}

// TestTorchCurve compares the loss of 20 steps with PyTorch's.
func TestTorchCurve(t *testing.T) {
	g := readGolden(t)
	for rule, h := range map[string]struct {
		hyper
		lr float64
	}{
		"sgd":     {hyper{rule: SGD, momentum: 0.9, decay: 1e-4}, 0.003},
		"rmsprop": {hyper{rule: RMSprop, momentum: 0.9, alpha: 0.9, eps: 0.0316}, 0.0005},
		"adamw":   {hyper{rule: AdamW, beta1: 0.9, beta2: 0.999, eps: 1e-5, decay: 0.05}, 1e-3},
	} {
		n, err := newNetwork(g.model(t), 2, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		o, err := newOptimizer(h.hyper, n.params)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range g.tensors[rule+"20"].Data {
			loss, _ := step(t, n, g.input(i), g.targets(i), nil)
			if d := math.Abs(loss-float64(want)) / float64(want); !(d <= 1e-3) {
				t.Errorf("%s: loss of step %d is %v, want %v", rule, i, loss, want)
			}
			o.step(2, h.lr, 1)
		}
	}
}
