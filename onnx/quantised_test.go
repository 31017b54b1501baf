package onnx_test

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx"
)

var update = flag.Bool("update", false, "write our own files in testdata/quantised anew; testdata/quantised.py has to run then")

const quantisedDir = "testdata/quantised/"

// randomQuantized returns a narrow network of random weights with scales that keep the
// bytes apart. Every other convolution's ReLU6 ends where the bytes do; the others are
// clipped.
func randomQuantized() *model.Quantized {
	rng := rand.New(rand.NewPCG(1, 5))
	c := model.Default()
	c.Width, c.Classes, c.RoundTo, c.FirstChannels, c.LastChannels = 1, 5, 1, 8, 24
	c.Table = []model.Stage{{T: 1, C: 6, N: 1, S: 1}, {T: 3, C: 7, N: 2, S: 2}, {T: 6, C: 9, N: 3, S: 2}}
	c.SetInput(32, 32)
	n := c.Network()
	q := &model.Quantized{
		Config: c, Input: model.Quantization{Scale: 0.0196, Zero: 126},
		Convs: make([]model.QuantizedLayer, len(n.Convs())), Sums: make([]model.QuantizedSum, len(n.Blocks)),
	}
	x := q.Input
	layer := func(l *model.QuantizedLayer, out, k int, bounded bool) {
		l.Max, l.Out.Zero = 255, uint8(rng.IntN(256))
		if bounded {
			l.Out.Zero = 0
			if rng.IntN(2) == 0 {
				l.Out.Zero = uint8(rng.IntN(60))
				l.Min, l.Max = l.Out.Zero, l.Out.Zero+uint8(100+rng.IntN(66))
			}
		}
		const weight = 127 / 1.732
		l.Out.Scale = float32(float64(x.Scale) * weight * math.Sqrt(float64(k)) * 0.01)
		for o := range out {
			l.Scale = append(l.Scale, 0.01*(0.5+rng.Float32()))
			if o%13 == 5 { // a dead channel
				l.Scale[o] = 0
			}
			l.Bias = append(l.Bias, int32(50*weight*math.Sqrt(float64(k))*2*(rng.Float64()-0.5)))
			for range k {
				l.Weight = append(l.Weight, int16(rng.IntN(255)-127))
			}
		}
		x = l.Out
	}
	at := 0
	conv := func(c model.Conv) {
		layer(&q.Convs[at], c.Out, c.In/c.Groups*c.Kernel*c.Kernel, c.ReLU6)
		at++
	}
	conv(n.First)
	for i, b := range n.Blocks {
		for _, c := range b.Convs() {
			conv(c)
		}
		if b.Residual() {
			q.Sums[i].Quantization = model.Quantization{Scale: x.Scale * (1 + rng.Float32()), Zero: uint8(rng.IntN(256))}
			x = q.Sums[i].Quantization
		}
	}
	conv(n.Last)
	q.Pool = model.Quantization{Scale: x.Scale * 0.6, Zero: 11}
	x = q.Pool
	layer(&q.Classifier, n.Classifier.Out, n.Classifier.In, false)
	return q
}

// TestQuantizedFiles: a network of ours is written as it was when ONNX Runtime ran it.
func TestQuantizedFiles(t *testing.T) {
	q := randomQuantized()
	for _, form := range []onnx.QuantizedForm{onnx.QDQ, onnx.QOperator} {
		g, err := onnx.ExportQuantized(q, form, onnx.ExportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := onnx.Check(g); err != nil {
			t.Errorf("%s: %v", form, err)
		}
		path, golden := filepath.Join(t.TempDir(), "q.onnx"), quantisedDir+string(form)+".onnx"
		if *update {
			path = golden
		}
		if err := onnx.Save(path, g); err != nil {
			t.Fatal(err)
		}
		got, err1 := os.ReadFile(path)
		want, err2 := os.ReadFile(golden)
		if err1 != nil || err2 != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want those of %s (%v, %v)", form, len(got), golden, err1, err2)
		}
	}
}

// TestQuantizedTensors: every byte that ONNX Runtime computes with our files is what
// the engine computes. In a graph that is not fused, which rounds sums of float32, bytes
// next to a tie could differ; in this one none does.
func TestQuantizedTensors(t *testing.T) {
	want, _, err := checkpoint.ReadTensors(quantisedDir + "onnxruntime.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	q := randomQuantized()
	e, err := engine.CompileQuantized(q, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const side = 32
	in := engine.Input{Data: make([]float32, 3*side*side), N: 1, H: side, W: side}
	for i := range in.Data { // [3][side][side] as quantised.py has it, here with the channels last
		at := i%3*side*side + i/3
		in.Data[i] = float32(uint64(at)*2654435761>>13%20)/4 - 2.5
	}
	out := engine.Output{Logits: make([]float32, q.Config.Classes), Features: make([]float32, q.Config.Network().Features())}
	for _, m := range e.Modules() {
		c, h, w := m.Shape(side, side)
		out.Taps = append(out.Taps, engine.Tap{Module: m.Name, Data: make([]float32, c*h*w)})
	}
	if err := e.Run(t.Context(), in, out); err != nil {
		t.Fatal(err)
	}
	got := quantisedTaps(q, out.Taps)
	got["/avgpool"] = tappedBytes{data: out.Features, of: q.Pool}
	for _, variant := range []string{"qdq none", "qdq extended", "qoperator none", "qoperator extended"} {
		for path, tap := range got {
			w, ok := want[variant+" "+path]
			if !ok {
				w, ok = want[path] // as in all variants that are not named
			}
			if !ok {
				t.Fatalf("%s: ONNX Runtime has no bytes of %s", variant, path)
			}
			off := 0
			for i, v := range w.Data {
				if b := float32(tap.of.Quantize(tap.data[i])); b != v {
					off++
					if math.Abs(float64(b-v)) > 1 {
						t.Errorf("%s, %s: byte %d is %v, want %v", variant, path, i, b, v)
					}
				}
			}
			if off > 0 {
				t.Errorf("%s, %s: %d of %d bytes differ", variant, path, off, len(w.Data))
			}
		}
		w, ok := want[variant+" output"]
		if !ok {
			w = want["output"]
		}
		for i, v := range w.Data {
			if got := out.Logits[i]; !(math.Abs(float64(got-v)) <= 1e-6*math.Abs(float64(v))) {
				t.Errorf("%s: logit %d is %v, want %v", variant, i, got, v)
			}
		}
	}
}

// tappedBytes are what bytes stand for.
type tappedBytes struct {
	data []float32
	of   model.Quantization
}

// quantisedTaps are taps of q by what the module is called in a graph.
func quantisedTaps(q *model.Quantized, taps []engine.Tap) map[string]tappedBytes {
	modules := map[string][]float32{}
	for _, tap := range taps {
		modules[tap.Module] = tap.Data
	}
	n := q.Config.Network()
	out := map[string]tappedBytes{}
	at := 0
	conv := func(module, path string) {
		out[scope(path)] = tappedBytes{modules[module], q.Convs[at].Out}
		at++
	}
	conv("features.0", "features.0")
	for i, b := range n.Blocks {
		convs := b.Convs()
		for _, c := range convs[:len(convs)-1] {
			module := strings.TrimSuffix(c.Name, ".0")
			conv(module, module)
		}
		conv(b.Name+".conv", convs[len(convs)-1].Name)
		if b.Residual() {
			out[scope(b.Name)] = tappedBytes{modules[b.Name], q.Sums[i].Quantization}
		}
	}
	last := strings.TrimSuffix(n.Last.Name, ".0")
	conv(last, last)
	return out
}

// scope is a module's path as graphs have it: /features/features.3/conv/conv.0.
func scope(path string) string {
	out, last := "", ""
	for part := range strings.SplitSeq(path, ".") {
		if part[0] >= '0' && part[0] <= '9' {
			last += "." + part
			out += "/" + last
		} else {
			last = part
			out += "/" + last
		}
	}
	return out
}

// TestQuantizedVariants are well-formed graphs, whatever the options.
func TestQuantizedVariants(t *testing.T) {
	q := randomQuantized()
	q.Logits = true
	q.Config.Padding = model.PadSame
	q.Classifier.Min = 3
	for _, form := range []onnx.QuantizedForm{onnx.QDQ, onnx.QOperator} {
		for _, o := range []onnx.ExportOptions{
			{Softmax: true, Preprocess: true, Opset: 23}, {Dynamic: onnx.DynamicBatch, Batch: 3, Resolution: 48}, {Input: "a", Output: "b"},
		} {
			g, err := onnx.ExportQuantized(q, form, o)
			if err == nil {
				err = onnx.Check(g)
			}
			if err != nil {
				t.Errorf("%s, %+v: %v", form, o, err)
			}
		}
	}
}

// TestQuantizedComesBack as the float32 network that its weights are.
func TestQuantizedComesBack(t *testing.T) {
	q := randomQuantized()
	for i, c := range q.Config.Network().Convs() {
		if l := &q.Convs[i]; c.ReLU6 { // recognised by bytes that begin at 0
			l.Out.Zero, l.Min, l.Max = 0, 0, 255
		}
	}
	q.Labels = []string{"a", "b", "c", "d", "e"}
	want := q.Dequantize()
	for _, form := range []onnx.QuantizedForm{onnx.QDQ, onnx.QOperator} {
		g, err := onnx.ExportQuantized(q, form, onnx.ExportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := onnx.Model(g)
		if err != nil {
			t.Errorf("%s: %v", form, err)
			continue
		}
		if !m.Dequantized || !slices.Equal(m.Labels, q.Labels) || m.Config.Preprocess != q.Config.Preprocess {
			t.Errorf("%s: dequantised %v, labels %q, config %+v", form, m.Dequantized, m.Labels, m.Config)
		}
		for name, w := range want.Dict {
			for i, v := range m.Dict[name].Data {
				if !(math.Abs(float64(v-w.Data[i])) <= 1e-6*math.Abs(float64(w.Data[i]))) && !strings.HasSuffix(name, "num_batches_tracked") {
					t.Errorf("%s: %s: value %d is %v, want %v", form, name, i, v, w.Data[i])
					break
				}
			}
		}
	}
}

// TestKeptFloat: layers that were kept in float32 are convolutions of float32 between
// the bytes, and compute what the engine does, but for bytes next to a tie.
func TestKeptFloat(t *testing.T) {
	q := randomQuantized()
	for i, p := range q.Parts() {
		if i%3 != 1 && p.Layer != &q.Classifier {
			continue
		}
		l := p.Layer
		per := len(l.Weight) / len(l.Bias)
		f := &model.FloatLayer{}
		for j, w := range l.Weight {
			f.Weight = append(f.Weight, (float32(w)+0.3)*l.Scale[j/per])
		}
		f.Bias = make([]float32, len(l.Bias))
		l.Float, l.Weight, l.Scale, l.Bias = f, nil, nil, nil
	}
	g, err := onnx.ExportQuantized(q, onnx.QDQ, onnx.ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := onnx.Check(g); err != nil {
		t.Error(err)
	}
	e, err := engine.CompileQuantized(q, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	const side = 32
	in := engine.Input{Data: make([]float32, side*side*3), N: 1, H: side, W: side}
	planes := make([]float32, len(in.Data))
	rng := rand.New(rand.NewPCG(4, 4))
	for i := range in.Data {
		in.Data[i] = rng.Float32()*4 - 2
		planes[i%3*side*side+i/3] = in.Data[i]
	}
	want := make([]float32, q.Config.Classes)
	if err := e.Run(t.Context(), in, engine.Output{Logits: want}); err != nil {
		t.Fatal(err)
	}
	outputs, err := onnx.Run(g, []int{1, 3, side, side}, planes)
	if err != nil {
		t.Fatal(err)
	}
	got := outputs[0]
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i := range want {
		if !(math.Abs(float64(got[i]-want[i])) <= 0.02*largest) {
			t.Errorf("logits %v, want %v", got, want)
			break
		}
	}
	if _, err := onnx.ExportQuantized(q, onnx.QOperator, onnx.ExportOptions{}); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "features.1.conv.0.0 was kept in float32") {
		t.Errorf("error %v", err)
	}
}

func TestExportQuantizedRefuses(t *testing.T) {
	for want, test := range map[string]struct {
		form  onnx.QuantizedForm
		o     onnx.ExportOptions
		spoil func(q *model.Quantized)
	}{
		"opset 12: want at least 13":                {onnx.QDQ, onnx.ExportOptions{Opset: 12}, nil},
		"training form and float16 are not":         {onnx.QDQ, onnx.ExportOptions{Mode: onnx.Train}, nil},
		"training form and float16 are":             {onnx.QOperator, onnx.ExportOptions{Half: true}, nil},
		`form "": want "qdq" or "qoperator"`:        {"", onnx.ExportOptions{}, nil},
		"no wide residual sums":                     {onnx.QDQ, onnx.ExportOptions{}, func(q *model.Quantized) { q.Wide = true }},
		"input: scale 0":                            {onnx.QDQ, onnx.ExportOptions{}, func(q *model.Quantized) { q.Input.Scale = 0 }},
		"features.0.0: weights further from":        {onnx.QDQ, onnx.ExportOptions{}, func(q *model.Quantized) { q.Convs[0].Weight[3], q.Convs[0].Weight[4] = 128, -128 }},
		"'same' without a fixed":                    {onnx.QDQ, onnx.ExportOptions{Dynamic: onnx.DynamicAll}, func(q *model.Quantized) { q.Config.Padding = model.PadSame }},
		`already: choose another name for the`:      {onnx.QDQ, onnx.ExportOptions{Input: "features.0.0.weight"}, nil},
		`input and output are both called "images"`: {onnx.QDQ, onnx.ExportOptions{Output: "images"}, nil},
	} {
		q := randomQuantized()
		if test.spoil != nil {
			test.spoil(q)
		}
		if _, err := onnx.ExportQuantized(q, test.form, test.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	if _, err := onnx.ExportQuantized(nil, onnx.QDQ, onnx.ExportOptions{}); err == nil {
		t.Error("no model, and no error")
	}
}
