package recognise

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// small is a network whose numbers differ everywhere.
func small(t *testing.T, change func(*model.Config)) *model.Model {
	t.Helper()
	c := model.Default()
	c.Table = []model.Stage{{T: 1, C: 8, N: 1, S: 1}, {T: 2, C: 16, N: 2, S: 2}}
	c.FirstChannels, c.LastChannels, c.Classes = 16, 24, 5
	c.SetInput(64, 64)
	if change != nil {
		change(&c)
	}
	m, err := model.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, v := range m.Dict {
		for i := range v.Data {
			v.Data[i] = rng.Float32() + 0.5
		}
	}
	return m
}

// A file is a network as layers, as an importer would hand them over: each with its
// place, nothing folded.
type file struct {
	m      *model.Model
	layers []*Layer // in the order they run
	at     *Layer
}

func layersOf(m *model.Model) *file {
	f := &file{m: m}
	n := m.Config.Network()
	f.then(Layer{Kind: Input})
	f.conv(n.First)
	for _, b := range n.Blocks {
		from := f.at
		for _, c := range b.Convs() {
			f.conv(c)
		}
		if b.Residual() {
			f.then(Layer{Kind: Add, Operand: from})
		}
	}
	f.conv(n.Last)
	f.then(Layer{Kind: Pool})
	for i, l := range n.Linears() {
		if i > 0 {
			f.then(Layer{Kind: Clip, Low: 0, High: float32(math.Inf(1))})
		}
		f.then(Layer{Kind: Linear, Weight: m.Dict[l.Name+".weight"].Data, Bias: m.Dict[l.Name+".bias"].Data, In: l.In, Out: l.Out})
	}
	return f
}

// then appends a layer that takes the last one.
func (f *file) then(l Layer) *Layer {
	l.From, l.Place = f.at, fmt.Sprintf("line %d", len(f.layers)+1)
	f.at = &l
	f.layers = append(f.layers, f.at)
	return f.at
}

func (f *file) conv(c model.Conv) {
	l := Layer{Kind: Conv, Weight: f.m.Dict[c.Name+".weight"].Data, In: c.In / c.Groups, Out: c.Out, Kernel: c.Kernel, Stride: c.Stride, Groups: c.Groups}
	if c.Kernel == 3 {
		l.Pads = [4]int64{1, 1, 1, 1}
		if c.Stride == 2 && f.m.Config.Padding == model.PadSame {
			l.Pads = [4]int64{0, 0, 1, 1}
		}
	}
	f.then(l)
	d := func(part string) []float32 { return f.m.Dict[c.Norm+part].Data }
	f.then(Layer{Kind: Norm, Norm: Statistics{d(".weight"), d(".bias"), d(".running_mean"), d(".running_var"), f.m.Config.BNEps}})
	if c.ReLU6 {
		f.then(Layer{Kind: Clip, Low: 0, High: 6})
	}
}

// find is the i-th layer of a kind.
func (f *file) find(kind Kind, i int) *Layer {
	for _, l := range f.layers {
		if l.Kind == kind {
			if i == 0 {
				return l
			}
			i--
		}
	}
	panic("no such layer")
}

// before puts a layer in front of all that takes what l takes.
func (f *file) before(l *Layer, add Layer) {
	from := l.From
	add.From, add.Place = from, "inserted"
	for _, o := range f.layers {
		if o.From == from {
			o.From = &add
		}
		if o.Operand == from {
			o.Operand = &add
		}
	}
}

var square = Source{Place: "the input", Height: 64, Width: 64, Channels: 3}

func TestModel(t *testing.T) {
	for name, change := range map[string]func(*model.Config){
		"plain":            nil,
		"same":             func(c *model.Config) { c.Padding = model.PadSame },
		"expand 1":         func(c *model.Config) { c.Table[0].Expand = true },
		"stem residual":    func(c *model.Config) { c.Table[0].C = 16 },
		"no stem residual": func(c *model.Config) { c.Table[0].C, c.NoStemResidual = 16, true },
		"hidden":           func(c *model.Config) { c.Head.Hidden = []int{7, 6} },
		"features":         func(c *model.Config) { c.Classes = 0 },
		"one":              func(c *model.Config) { c.Classes, c.Head.Sigmoid = 1, true },
		"other strides":    func(c *model.Config) { c.Table[0].S, c.Table[1].S = 2, 1 },
	} {
		t.Run(name, func(t *testing.T) {
			want := small(t, change)
			got, err := Model(layersOf(want).at, square, nil)
			if err != nil {
				t.Fatal(err)
			}
			sameDict(t, want, got)
			if !reflect.DeepEqual(got.Config.Network(), want.Config.Network()) || got.Config.Padding != want.Config.Padding {
				t.Errorf("got %+v, want %+v", got.Config, want.Config)
			}
			if !got.Assumed.Resize || got.Assumed.Resolution {
				t.Errorf("assumed: %+v", got.Assumed)
			}
			if got, err = Model(layersOf(want).at, square, &want.Config); err != nil || !got.Config.Equal(want.Config) || got.Assumed != (model.Assumed{}) {
				t.Errorf("with its own config: %+v %+v %v", got.Config, got.Assumed, err)
			}
		})
	}
}

func sameDict(t *testing.T, want, got *model.Model) {
	t.Helper()
	for name, w := range want.Dict {
		for i, v := range got.Dict[name].Data {
			if v != w.Data[i] && !strings.HasSuffix(name, "num_batches_tracked") {
				t.Errorf("%s: value %d is %v, want %v", name, i, v, w.Data[i])
				return
			}
		}
	}
	if len(got.Dict) != len(want.Dict) {
		t.Errorf("%d tensors, want %d", len(got.Dict), len(want.Dict))
	}
}

// TestTurned reads a network that sees its input upside down by kernels that are, too.
func TestTurned(t *testing.T) {
	want := small(t, func(c *model.Config) { c.Padding = model.PadSame })
	f := layersOf(want)
	for _, l := range f.layers {
		if l.Kernel == 3 {
			turned := make([]float32, len(l.Weight))
			for i := range turned {
				turned[i] = l.Weight[i/9*9+8-i%9]
			}
			l.Weight, l.Pads = turned, [4]int64{1, 1, 1, 1}
		}
	}
	f.before(f.find(Conv, 0), Layer{Kind: Turn})
	got, err := Model(f.at, Source{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	sameDict(t, want, got)
	if got.Config.Padding != model.PadSame {
		t.Error("padding", got.Config.Padding)
	}
}

// TestColours prepares the input in the graph, in several orders.
func TestColours(t *testing.T) {
	photos := model.ImageNetPreprocess(256)
	list := func(f func(i int) float64) []float64 { return []float64{f(0), f(1), f(2)} }
	mean := func(i int) float64 { return float64(photos.Mean[i]) }
	std := func(i int) float64 { return float64(photos.Std[i]) }
	for name, c := range map[string]struct {
		layers      []Layer // the first one first
		notes       int
		dequantized bool
	}{
		"levels": {layers: []Layer{
			{Kind: Affine, Scale: []float64{1. / 255}},
			{Kind: Affine, Offset: list(func(i int) float64 { return -mean(i) })},
			{Kind: Affine, Scale: list(func(i int) float64 { return 1 / std(i) })},
		}},
		"a norm": {layers: []Layer{{Kind: Norm, Norm: Statistics{
			Scale: []float32{1, 1, 1}, Bias: make([]float32, 3), Mean: photos.Mean[:],
			Variance: []float32{photos.Std[0] * photos.Std[0], photos.Std[1] * photos.Std[1], photos.Std[2] * photos.Std[2]},
		}}}},
		"blue first": {notes: 1, layers: []Layer{
			{Kind: Affine, Scale: list(func(i int) float64 { return 1 / 255. / std(2-i) }), Offset: list(func(i int) float64 { return -mean(2-i) / std(2-i) })},
			{Kind: Swap},
		}},
		"blue first and later": {notes: 1, layers: []Layer{
			{Kind: Swap},
			{Kind: Affine, Scale: list(func(i int) float64 { return 1 / 255. / std(i) }), Offset: list(func(i int) float64 { return -mean(i) / std(i) })},
		}},
		"8 bits": {dequantized: true, layers: []Layer{{Kind: Quantize, Range: Range{Low: -2.1, High: 2.6}}}},
	} {
		t.Run(name, func(t *testing.T) {
			want := small(t, nil)
			f := layersOf(want)
			for i := range c.layers {
				f.before(f.find(Conv, 0), c.layers[i])
			}
			got, err := Model(f.at, square, nil)
			if err != nil {
				t.Fatal(err)
			}
			sameDict(t, want, got)
			for i := range 3 {
				p := got.Config.Preprocess
				if math.Abs(float64(p.Mean[i]-photos.Mean[i])) > 1e-6 || math.Abs(float64(p.Std[i]-photos.Std[i])) > 1e-6 {
					t.Errorf("mean %v, std %v", p.Mean, p.Std)
				}
			}
			if got.Assumed.Norm || len(got.Notes) != c.notes || got.Dequantized != c.dequantized {
				t.Errorf("assumed %+v, notes %q, dequantized %v", got.Assumed, got.Notes, got.Dequantized)
			}
		})
	}
	for r, want := range map[Range]model.Preprocess{{-1, 1}: model.TFPreprocess(256), {0, 1}: {Std: [3]float32{1, 1, 1}}} {
		if got, ok := r.Preprocess(); !ok || got.Mean != want.Mean || got.Std != want.Std {
			t.Errorf("%v: %+v", r, got)
		}
	}
	if p, ok := (Range{-7, 9}).Preprocess(); ok {
		t.Errorf("a range of none: %+v", p)
	}
}

// TestFolds compares what is folded into the classifier with its sum, written out.
func TestFolds(t *testing.T) {
	m := small(t, nil)
	f := layersOf(m)
	norm := Statistics{Eps: 1e-5}
	for i := range 24 {
		x := float32(i) / 24
		norm.Scale, norm.Bias = append(norm.Scale, 1+x), append(norm.Bias, x-0.5)
		norm.Mean, norm.Variance = append(norm.Mean, 2*x), append(norm.Variance, 0.5+x)
	}
	f.before(f.find(Linear, 0), Layer{Kind: Norm, Norm: norm})
	f.before(f.find(Linear, 0), Layer{Kind: Affine, Scale: []float64{3}, Offset: []float64{0.25}})
	f.then(Layer{Kind: Affine, Scale: []float64{1, 2, 3, 4, 5}})
	f.then(Layer{Kind: Affine, Offset: []float64{0.5}})
	f.then(Layer{Kind: Activation, Reason: "Softmax"})
	f.then(Layer{Kind: Choice, Reason: "ArgMax"})
	got, err := Model(f.at, square, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := m.Config.Network().Classifier.Name
	for o := range 5 {
		want, sum := float64(m.Dict[l+".bias"].Data[o]), float64(got.Dict[l+".bias"].Data[o])
		for i := range 24 {
			x := float64(i%5) - 2 // any features
			y := (x-float64(norm.Mean[i]))/math.Sqrt(float64(norm.Variance[i])+1e-5)*float64(norm.Scale[i]) + float64(norm.Bias[i])
			want += float64(m.Dict[l+".weight"].Data[o*24+i]) * (3*y + 0.25)
			sum += float64(got.Dict[l+".weight"].Data[o*24+i]) * x
		}
		if want = want*float64(o+1) + 0.5; math.Abs(sum-want) > 1e-3 {
			t.Errorf("class %d: %v, want %v", o, sum, want)
		}
	}
}

// TestBiasBeforeNorm has a convolution with a bias, which its norm subtracts again.
func TestBiasBeforeNorm(t *testing.T) {
	m := small(t, nil)
	f := layersOf(m)
	f.find(Conv, 0).Bias = make([]float32, 16)
	f.find(Conv, 0).Bias[3] = 0.25
	got, err := Model(f.at, square, nil)
	if err != nil {
		t.Fatal(err)
	}
	before, after := m.Dict["features.0.1.running_mean"].Data, got.Dict["features.0.1.running_mean"].Data
	if after[2] != before[2] || after[3] != before[3]-0.25 {
		t.Errorf("means %v became %v", before[:4], after[:4])
	}
}

// TestWrongResidual adds what another block with the same channels makes, on its way.
func TestWrongResidual(t *testing.T) {
	f := layersOf(small(t, func(c *model.Config) { c.Table[1].N = 3 }))
	add := f.find(Add, 1)
	add.Operand = f.find(Add, 0).From
	if _, err := Model(f.at, square, nil); err == nil || !strings.HasPrefix(err.Error(), add.Place+": not a MobileNetV2: want it to add the input") {
		t.Errorf("got %v", err)
	}
}

// TestErrors changes one thing at a time. The error must have the place of the layer
// that does not fit.
func TestErrors(t *testing.T) {
	for want, change := range map[string]func(f *file){
		"line 2: not a MobileNetV2: the first convolution has stride 1, want 2": func(f *file) { f.find(Conv, 0).Stride = 1 },
		"line 2: an input of 1 channels": func(f *file) {
			l := f.find(Conv, 0)
			l.In, l.Weight = 1, l.Weight[:16*9]
		},
		"line 5: not a MobileNetV2: padding [0 0 0 0] for a 3x3 kernel at stride 1":                     func(f *file) { f.find(Conv, 1).Pads = [4]int64{} },
		"line 5: not a MobileNetV2: want a depthwise 3x3 convolution: 4 groups":                         func(f *file) { f.find(Conv, 1).Groups = 4 },
		"line 7: not a MobileNetV2: an upper bound of 5, want 6":                                        func(f *file) { f.find(Clip, 1).High = 5 },
		"line 7: not a MobileNetV2: a lower bound of -1, want 0":                                        func(f *file) { f.find(Clip, 1).Low = -1 },
		"line 6: not a MobileNetV2: a batch normalisation of 3 values for 16 channels":                  func(f *file) { f.find(Norm, 1).Norm = Statistics{Scale: make([]float32, 3)} },
		"line 8: not a MobileNetV2: a 1x1 convolution with stride 2":                                    func(f *file) { f.find(Conv, 2).Stride = 2 },
		"line 8: not a MobileNetV2: 127 weights for 8 channels of 16":                                   func(f *file) { f.find(Conv, 2).Weight = make([]float32, 127) },
		"line 26: not a MobileNetV2: want it to add the input of the inverted residual to its output":   func(f *file) { f.find(Add, 0).Operand = f.find(Conv, 2) },
		"line 24: not a MobileNetV2: want an addition behind it: the block keeps its 16 channels":       func(f *file) { f.find(Conv, 9).From = f.find(Add, 0).From },
		"line 32: the output passes Tanh: want Softmax, Sigmoid or neither":                             func(f *file) { f.then(Layer{Kind: Activation, Reason: "Tanh"}) },
		"line 32: not a MobileNetV2: an operator of the future":                                         func(f *file) { *f.then(Layer{}) = Layer{Place: "line 32", Reason: "an operator of the future"} },
		"line 31: not a MobileNetV2: a matrix of 5 by 23 for 24 channels":                               func(f *file) { l := f.find(Linear, 0); l.In, l.Weight = 23, l.Weight[:23*5] },
		"line 31: not a MobileNetV2: 9 weights and 5 biases":                                            func(f *file) { f.find(Linear, 0).Weight = make([]float32, 9) },
		"line 31: the classes' numbers are clipped":                                                     func(f *file) { f.then(Layer{Kind: Clip, Low: 0, High: 6}) },
		"line 31: two matrices of the head, 5 by 24 and 2 by 5, with no ReLU":                           func(f *file) { f.then(Layer{Kind: Linear, Weight: make([]float32, 10), In: 5, Out: 2}) },
		"line 30: not a MobileNetV2: it averages 3x3 of 2x2 pixels":                                     func(f *file) { f.find(Pool, 0).Kernel = 3 },
		"inserted: not a MobileNetV2: 2 constants for an input of 3 colours":                            func(f *file) { f.before(f.find(Conv, 0), Layer{Kind: Affine, Scale: []float64{1, 2}}) },
		"line 2: not a MobileNetV2: its input is scaled by [-1 -1 -1]":                                  func(f *file) { f.before(f.find(Conv, 0), Layer{Kind: Affine, Scale: []float64{-1}}) },
		"line 27: not a MobileNetV2: want the last 1x1 convolution with ReLU6":                          func(f *file) { *f.find(Conv, 9) = Layer{Kind: Pool, Place: "line 27", From: f.find(Add, 0)} },
		"line 1: not a MobileNetV2: the input, where the last 1x1 convolution with ReLU6 should be":     func(f *file) { f.find(Pool, 0).From = f.layers[0] },
		"line 4: not a MobileNetV2: want inverted residuals between the first and the last convolution": func(f *file) { f.find(Conv, 9).From = f.find(Clip, 0) },
	} {
		f := layersOf(small(t, nil))
		change(f)
		_, err := Model(f.at, square, nil)
		e, ok := errors.AsType[*fault.Error](err)
		if !ok || e.Kind != fault.Unsupported || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
