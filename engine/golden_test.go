package engine_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// TestTorchvisionGolden holds every kernel set against what torchvision computed
// with a small network (checkpoint/testdata/golden.py).
func TestTorchvisionGolden(t *testing.T) {
	text, err := os.ReadFile("../checkpoint/testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Features, Logits [][]float32 }
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	m, err := checkpoint.Open("../checkpoint/testdata/zip.pth")
	if err != nil {
		t.Fatal(err)
	}
	in := engine.Input{Data: goldenInput(2 * 64 * 64 * 3), N: 2, H: 64, W: 64}
	for _, set := range kernel.Available() {
		t.Run(set.Name, func(t *testing.T) {
			e, err := engine.Compile(m, engine.Options{CPU: set.Name})
			if err != nil {
				t.Fatal(err)
			}
			out := engine.Output{Logits: make([]float32, 2*5), Features: make([]float32, 2*64)}
			if err := e.Run(t.Context(), in, out); err != nil {
				t.Fatal(err)
			}
			near(t, "feature", out.Features, want.Features)
			near(t, "logit", out.Logits, want.Logits)
		})
	}
}

// TestTorchvisionModules holds every module's output of every kernel set against
// torchvision's (testdata/modules.py).
func TestTorchvisionModules(t *testing.T) {
	text, err := os.ReadFile("testdata/modules.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Modules []struct {
			Name   string
			Shape  []int
			Mean   float64
			Values []float64
		}
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	m, err := checkpoint.Open("../checkpoint/testdata/zip.pth")
	if err != nil {
		t.Fatal(err)
	}
	in := engine.Input{Data: goldenInput(2 * 65 * 47 * 3), N: 2, H: 65, W: 47}
	for _, set := range kernel.Available() {
		e, err := engine.Compile(m, engine.Options{CPU: set.Name})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		var out engine.Output
		for i, m := range e.Modules() {
			if i >= len(golden.Modules) || m.Name != golden.Modules[i].Name {
				t.Fatalf("module %d is %s, not torchvision's", i, m.Name)
			}
			c, h, w := m.Shape(in.H, in.W)
			if shape := []int{2, c, h, w}; !slices.Equal(shape, golden.Modules[i].Shape) {
				t.Fatalf("%s has shape %d, torchvision's has %d", m.Name, shape, golden.Modules[i].Shape)
			}
			out.Taps = append(out.Taps, engine.Tap{Module: m.Name, Data: make([]float32, 2*c*h*w)})
		}
		if err := e.Run(t.Context(), in, out); err != nil {
			t.Fatal(err)
		}
		for i, want := range golden.Modules {
			data, mean := out.Taps[i].Data, 0.0
			for _, v := range data {
				mean += float64(v) / float64(len(data))
			}
			if d := math.Abs(mean - want.Mean); !(d < 1e-5) {
				t.Errorf("%s, %s: mean %v, torchvision has %v", set.Name, want.Name, mean, want.Mean)
			}
			for k, v := range want.Values {
				got := float64(data[k*7919%len(data)])
				if d := math.Abs(got - v); !(d < 2e-5) {
					t.Errorf("%s, %s: value %d is %v, torchvision has %v", set.Name, want.Name, k*7919%len(data), got, v)
				}
			}
		}
	}
}

// goldenInput is the input of testdata/modules.py and checkpoint/testdata/golden.py.
func goldenInput(n int) []float32 {
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(uint64(i)*2654435761>>13&255)/64 - 2
	}
	return data
}

func near(t *testing.T, what string, got []float32, want [][]float32) {
	t.Helper()
	i := 0
	for _, row := range want {
		for _, w := range row {
			if d := math.Abs(float64(got[i] - w)); !(d < 1e-5) {
				t.Errorf("%s %d: %v, torchvision has %v", what, i, got[i], w)
			}
			i++
		}
	}
}
