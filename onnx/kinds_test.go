package onnx_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx"
)

// refused are the files of testdata/kinds that are no MobileNetV2 that can be run, with
// the place and the reason that the error must give.
var refused = map[string]string{
	"average_part":        `node "/AveragePool" (AveragePool): not a MobileNetV2: it averages 15x15 of 16x16 pixels`,
	"head_no_relu":        `node "/classifier/classifier.0/Gemm" (Gemm): two matrices of the head, 16 by 32 and 5 by 16, with no ReLU between them`,
	"head_softmax_of_one": `node "/classifier/classifier.0/Gemm" (Gemm): one class behind a Softmax: its probability is always 1`,
	"one_channel":         `(Conv): an input of 1 channels: only photos in colour, of 3, are supported`,
	"wrap_part":           `node "/Slice" (Slice): not a MobileNetV2: it takes a part of its input`,
}

// kinds are the others: what their output is of the model's, where that is not the
// logits, and what else must have been read.
var kinds = map[string]struct {
	output    func(logits []float64) []float64
	config    func(c model.Config) bool
	notes     string
	quantised bool
}{
	"average_pool":      {},
	"conv_classifier":   {output: softmax},
	"dynamic":           {quantised: true},
	"extra_1x1":         {config: func(c model.Config) bool { return c.Table[0].Expand }},
	"fake_quant":        {quantised: true},
	"features_only":     {config: featuresOnly, notes: "a map of features"},
	"head_identity":     {config: featuresOnly},
	"head_log_softmax":  {output: logSoftmax},
	"head_norm":         {config: hidden16},
	"head_norm_first":   {},
	"head_one":          {config: func(c model.Config) bool { return c.Head.Sigmoid && c.Classes == 1 }},
	"head_sigmoid":      {output: sigmoid, config: func(c model.Config) bool { return c.Head.Sigmoid }},
	"head_two":          {config: hidden16},
	"ir14":              {},
	"levels":            {config: imageNet},
	"levels_bgr":        {config: imageNet, notes: "BGR"},
	"no_stem_residual":  {config: func(c model.Config) bool { return c.NoStemResidual }},
	"one_minus":         {},
	"opset28":           {},
	"ort_extended":      {},
	"plain":             {},
	"qdq":               {quantised: true},
	"qdq_float_weights": {quantised: true},
	"qoperator":         {quantised: true},
	"rectangle":         {config: func(c model.Config) bool { h, w := c.InputSize(); return h == 48 && w == 64 }},
	"wrap_argmax":       {output: largest},
	"wrap_bgr":          {notes: "BGR"},
	"wrap_flip":         {notes: "BGR"},
	"wrap_topk":         {output: func(l []float64) []float64 { l = softmax(l); slices.Sort(l); slices.Reverse(l); return l[:3] }},
}

func featuresOnly(c model.Config) bool { return c.Classes == 0 }

func hidden16(c model.Config) bool { return slices.Equal(c.Head.Hidden, []int{16}) }

func imageNet(c model.Config) bool {
	want := model.ImageNetPreprocess(256)
	for i := range 3 {
		if math.Abs(float64(c.Preprocess.Mean[i]-want.Mean[i])) > 1e-6 || math.Abs(float64(c.Preprocess.Std[i]-want.Std[i])) > 1e-6 {
			return false
		}
	}
	return true
}

func softmax(l []float64) []float64 {
	p := logSoftmax(l)
	for i, v := range p {
		p[i] = math.Exp(v)
	}
	return p
}

func logSoftmax(l []float64) []float64 {
	sum := 0.0
	for _, v := range l {
		sum += math.Exp(v)
	}
	p := make([]float64, len(l))
	for i, v := range l {
		p[i] = v - math.Log(sum)
	}
	return p
}

func sigmoid(l []float64) []float64 {
	p := make([]float64, len(l))
	for i, v := range l {
		p[i] = 1 / (1 + math.Exp(-v))
	}
	return p
}

func largest(l []float64) []float64 { return []float64{float64(slices.Index(l, slices.Max(l)))} }

// TestKinds reads one narrow network with the heads and wrappers that people put on it,
// and as other tools write it, and compares with what ONNX Runtime computes with each
// file: what the engine makes of the model, and what the graph's own operators make.
func TestKinds(t *testing.T) {
	text, err := os.ReadFile("testdata/kinds/outputs.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Outputs map[string][][]float64 }
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for name, rows := range want.Outputs {
		t.Run(name, func(t *testing.T) {
			g, err := onnx.Read(filepath.Join("testdata/kinds", name+".onnx"))
			if err != nil {
				t.Fatal(err)
			}
			if err := onnx.Check(g); err != nil {
				t.Error(err)
			}
			checkRun(t, name, g, rows)
			m, err := onnx.Model(g)
			if reason, ok := refused[name]; ok {
				f, isFault := errors.AsType[*fault.Error](err)
				if !isFault || f.Kind != fault.Unsupported || f.Place == "" || !strings.Contains(err.Error(), reason) {
					t.Errorf("got %v, want %s", err, reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			kind, ok := kinds[name]
			if !ok {
				t.Fatal("nothing is known of this file")
			}
			if kind.config != nil && !kind.config(m.Config) {
				t.Errorf("the config is %+v", m.Config)
			}
			if m.Dequantized != kind.quantised {
				t.Errorf("dequantised: %v, want %v", m.Dequantized, kind.quantised)
			}
			if notes := strings.Join(m.Notes, "; "); !strings.Contains(notes, kind.notes) || kind.notes == "" && notes != "" {
				t.Errorf("the notes are %q, want something about %q", notes, kind.notes)
			}
			tolerance := 1e-4
			if kind.quantised {
				tolerance = 0.5 // activations are not rounded here
			}
			for i, row := range rows {
				got := outputs(t, m, pixels(name, i))
				if kind.output != nil {
					got = kind.output(got)
				}
				compare(t, row, got, tolerance)
			}
		})
	}
	for name := range kinds {
		if want.Outputs[name] == nil {
			t.Errorf("there is no file %s", name)
		}
	}
}

// pixels is an input of testdata/kinds_onnx.py as a photo: [64][64][3], red first, in
// levels from 0 to 1 for networks that want levels and as the networks want it for others.
func pixels(name string, i int) []float32 {
	x := make([]float32, 64*64*3)
	for k := range x {
		level := float32(uint64(i*len(x)+k) * 2654435761 >> 13 & 255)
		if x[k] = level/64 - 2; strings.Contains(name, "levels") {
			want := model.ImageNetPreprocess(256)
			x[k] = (level/255 - want.Mean[k%3]) / want.Std[k%3]
		}
	}
	return x
}

// outputs are the logits of a photo, or the features of a network without classes.
func outputs(t *testing.T, m *model.Model, x []float32) []float64 {
	t.Helper()
	e, err := engine.Compile(m, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	h, w := m.Config.InputSize()
	out := make([]float32, max(m.Config.Classes, 1))
	result := engine.Output{Logits: out}
	if m.Config.Classes == 0 {
		out = make([]float32, m.Config.Network().Features())
		result = engine.Output{Features: out}
	}
	if err := e.Run(t.Context(), engine.Input{Data: x[:h*w*3], N: 1, H: h, W: w}, result); err != nil {
		t.Fatal(err)
	}
	return widened(out)
}

func widened(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func compare(t *testing.T, want, got []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d numbers, ONNX Runtime has %d", len(got), len(want))
	}
	for i, v := range got {
		if !(math.Abs(v-want[i]) <= tolerance) {
			t.Errorf("number %d: %v, ONNX Runtime has %v", i, v, want[i])
		}
	}
}

// checkRun compares the operators, before and after simplification, with ONNX Runtime.
func checkRun(t *testing.T, name string, g *onnx.Graph, rows [][]float64) {
	t.Helper()
	s, err := onnx.Simplify(g)
	if err != nil {
		t.Fatal(err)
	}
	if err := onnx.Check(s); err != nil {
		t.Errorf("simplified: %v", err)
	}
	channels, height := 3, 64
	switch name {
	case "one_channel":
		channels = 1
	case "rectangle":
		height = 48
	}
	tolerance := 1e-4
	if kinds[name].quantised {
		tolerance = 0.1 // a rounding that falls the other way is a step of 8 bits
	}
	for i, row := range rows {
		x := make([]float32, 3*64*64)
		for k := range x {
			c, pixel := k/(64*64), k%(64*64)
			if strings.Contains(name, "bgr") || strings.Contains(name, "flip") {
				c = 2 - c
			}
			level := float32(uint64((i*64*64+pixel)*3+c) * 2654435761 >> 13 & 255)
			if x[k] = level/64 - 2; strings.Contains(name, "levels") {
				x[k] = level
			}
		}
		x = cut(x, channels, height)
		for _, graph := range []*onnx.Graph{g, s} {
			got, err := onnx.Run(graph, []int{1, channels, height, 64}, x)
			if err != nil {
				t.Fatal(err)
			}
			numbers := widened(got[0])
			if name == "features_only" {
				numbers = means(numbers, 16*16)
			}
			compare(t, row, numbers, tolerance)
		}
	}
}

// cut is the first channels and rows of [3][64][64].
func cut(x []float32, channels, height int) []float32 {
	var out []float32
	for c := range channels {
		out = append(out, x[c*64*64:][:height*64]...)
	}
	return out
}

// means averages planes of n.
func means(x []float64, n int) []float64 {
	var out []float64
	for plane := range slices.Chunk(x, n) {
		sum := 0.0
		for _, v := range plane {
			sum += v
		}
		out = append(out, sum/float64(n))
	}
	return out
}
