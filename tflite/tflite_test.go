package tflite

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
)

// goldenLevels are those of testdata/golden.py, [2][64][64][3].
func goldenLevels() []uint8 {
	x := make([]uint8, 2*64*64*3)
	for i := range x {
		x[i] = uint8(uint64(i) * 2654435761 >> 13)
	}
	return x
}

func goldenInput() []float32 {
	x := make([]float32, 2*64*64*3)
	for i, l := range goldenLevels() {
		x[i] = float32(l)/64 - 2
	}
	return x
}

// run returns what an engine makes of images.
func run(t testing.TB, e *engine.Engine, in engine.Input, classes int) []float32 {
	t.Helper()
	out := make([]float32, in.N*classes)
	if err := e.Run(t.Context(), in, engine.Output{Logits: out}); err != nil {
		t.Fatal(err)
	}
	return out
}

func logits(t testing.TB, m *model.Model, in engine.Input) []float32 {
	t.Helper()
	e, err := engine.Compile(m, engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return run(t, e, in, m.Config.Classes)
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// golden is what LiteRT computed: see testdata/golden.py.
type golden struct {
	Logits map[string][][]float32
	Bytes  map[string][]string // hashes of tensors, in the order they are made
}

func readGolden(t testing.TB) (g golden) {
	t.Helper()
	if err := json.Unmarshal(read(t, "logits.json"), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestFloat reads the same two networks as many tools write them and compares with
// what LiteRT computes with each file.
func TestFloat(t *testing.T) {
	g := readGolden(t)
	for name, want := range map[string]struct {
		padding   model.Padding
		mean      float32
		tolerance float64
		rounded   bool
		assumed   bool // how levels become numbers
		labels    []string
	}{
		"float.tflite":    {padding: model.PadTorch, mean: 0.485},
		"half.tflite":     {padding: model.PadTorch, mean: 0.485},
		"same.tflite":     {padding: model.PadSame, mean: 0.5},
		"slim.tflite":     {padding: model.PadSame, mean: 0.5, labels: []string{"background", "ant", "bee", "cat", "dog"}},
		"keras.tflite":    {padding: model.PadSame, mean: 0.5},
		"hybrid.tflite":   {padding: model.PadTorch, mean: 0.485, tolerance: 0.1, rounded: true},
		"weights8.tflite": {padding: model.PadTorch, mean: 0.485},
		"nchw.tflite":     {padding: model.PadTorch, mean: 0.485, assumed: true},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Parse(read(t, name))
			if err != nil {
				t.Fatal(err)
			}
			p := m.Config.Preprocess
			if m.Config.Padding != want.padding || math.Abs(float64(p.Mean[0]-want.mean)) > 1e-6 || m.Config.Resolution != 64 {
				t.Errorf("%+v", m.Config)
			}
			if m.Dequantized != want.rounded || m.Assumed.Norm != want.assumed || !slices.Equal(m.Labels, want.labels) {
				t.Errorf("dequantised %v, assumed %+v, labels %q", m.Dequantized, m.Assumed, m.Labels)
			}
			in := engine.Input{Data: goldenInput(), N: 2, H: 64, W: 64}
			if name == "keras.tflite" { // which takes levels
				in.Data, in.Pixels = nil, goldenLevels()
			}
			tolerance := max(want.tolerance, 1e-4)
			if len(g.Logits[name]) != 2 {
				t.Fatal("LiteRT's logits are not there")
			}
			for i, got := range logits(t, m, in) {
				if w := g.Logits[name][i/5][i%5]; !(math.Abs(float64(got-w)) < tolerance) {
					t.Errorf("logit %d: %v, LiteRT has %v", i, got, w)
				}
			}
		})
	}
}
