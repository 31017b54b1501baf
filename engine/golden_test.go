package engine_test

import (
	"encoding/json"
	"math"
	"os"
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
	in := engine.Input{Data: make([]float32, 2*64*64*3), N: 2, H: 64, W: 64}
	for i := range in.Data {
		in.Data[i] = float32(uint64(i)*2654435761>>13&255)/64 - 2
	}
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
