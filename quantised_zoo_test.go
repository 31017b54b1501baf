package mobilenet_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
)

// TestZooBytes: every byte between the layers of the ONNX Model Zoo's 8-bit file, for ten
// photos, is ONNX Runtime's: see onnx/testdata/zoo.py. Ties in sums are no exception.
func TestZooBytes(t *testing.T) {
	text, err := os.ReadFile("onnx/testdata/zoo.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Layers [][3]any }
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	file := testenv.Shared(t, "weights/mobilenetv2-12-int8.onnx")
	photos, _ := testenv.NIPS17(t)
	if testing.Short() {
		t.Skip("ten photos, every layer: some seconds with the race detector")
	}
	c, err := mobilenet.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Precision() != mobilenet.Int8 {
		t.Fatalf("it runs in %s: %s", c.Precision(), c.Unfit())
	}
	q, err := mobilenet.LoadQuantized(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	layers := quantisedLayers(q)
	if len(layers)+1 != len(want.Layers) { // the last is the classes' sum, whose numbers are what the engine puts out
		t.Fatalf("%d layers, ONNX Runtime has %d", len(layers), len(want.Layers))
	}
	e, err := engine.CompileQuantized(q, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	sums, counts := make([]uint32, len(want.Layers)), make([]int, len(want.Layers))
	add := func(i int, data []float32, of model.Quantization) {
		b := make([]byte, len(data))
		for k, v := range data {
			b[k] = of.Quantize(v)
		}
		sums[i], counts[i] = crc32.Update(sums[i], crc32.IEEETable, b), counts[i]+len(b)
	}
	for i := 0; i < len(photos); i += 16 {
		img, err := mobilenet.DecodeFile(t.Context(), photos[i])
		if err != nil {
			t.Fatal(err)
		}
		p := c.Prepare(img)
		in := engine.Input{N: 1, H: 224, W: 224}
		for y := range 224 {
			for x := range 224 {
				r, g, b, _ := p.At(x, y).RGBA()
				in.Pixels = append(in.Pixels, uint8(r>>8), uint8(g>>8), uint8(b>>8))
			}
		}
		out := engine.Output{Logits: make([]float32, 1000), Features: make([]float32, 1280)}
		for _, m := range e.Modules() {
			for _, l := range layers {
				if m.Name == l.module {
					c, h, w := m.Shape(224, 224)
					out.Taps = append(out.Taps, engine.Tap{Module: m.Name, Data: make([]float32, c*h*w)})
				}
			}
		}
		if err := e.Run(t.Context(), in, out); err != nil {
			t.Fatal(err)
		}
		for k, l := range layers {
			data := out.Features
			for _, tap := range out.Taps {
				if tap.Module == l.module {
					data = tap.Data
				}
			}
			add(k, data, l.of)
		}
		add(len(layers), out.Logits, q.ClassBias.Sum.Quantization)
	}
	for i, w := range want.Layers {
		if got := [3]any{w[0], float64(counts[i]), float64(sums[i])}; got != w {
			t.Fatalf("layer %d: %s, ONNX Runtime has %s", i, fmt.Sprint(got), fmt.Sprint(w))
		}
	}
}

// A quantisedLayer is a module that puts out bytes, and what they stand for.
type quantisedLayer struct {
	module string
	of     model.Quantization
}

// quantisedLayers lists them in the order they run; the pool is the last.
func quantisedLayers(q *model.Quantized) (layers []quantisedLayer) {
	at := 0
	conv := func(module string) {
		layers = append(layers, quantisedLayer{module, q.Convs[at].Out})
		at++
	}
	n := q.Config.Network()
	conv("features.0")
	for i, b := range n.Blocks {
		convs := b.Convs()
		for _, c := range convs[:len(convs)-1] {
			conv(strings.TrimSuffix(c.Name, ".0"))
		}
		conv(b.Name + ".conv")
		if b.Residual() {
			layers = append(layers, quantisedLayer{b.Name, q.Sums[i].Quantization})
		}
	}
	conv(strings.TrimSuffix(n.Last.Name, ".0"))
	return append(layers, quantisedLayer{"", q.Pool})
}
