package model

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/fault"
)

// small is a network with residual blocks that takes no time.
func small(t *testing.T) *Model {
	t.Helper()
	c := Default()
	c.Width, c.Classes, c.LastChannels, c.Resolution = 0.1, 5, 16, 32
	c.Table = []Stage{{T: 1, C: 16, N: 1, S: 1}, {T: 2, C: 16, N: 3, S: 2}}
	m, err := New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// roughly quantises m with scales that no photo was asked for.
func roughly(m *Model) *Quantized {
	n := m.Config.Network()
	six := Quantization{Scale: 6. / 255}
	q := &Quantized{Config: m.Config, Input: Quantization{Scale: 5. / 255, Zero: 127}, Pool: six}
	x := q.Input
	layer := func(w, b []float32) QuantizedLayer {
		l := QuantizedLayer{Out: six, Max: 255}
		per := len(w) / len(b)
		for o := range b {
			row := w[o*per : (o+1)*per]
			top := 0.0
			for _, v := range row {
				top = max(top, math.Abs(float64(v)))
			}
			s := float32(top / 127)
			l.Scale = append(l.Scale, s)
			for _, v := range row {
				l.Weight = append(l.Weight, int16(math.RoundToEven(float64(v/s))))
			}
			l.Bias = append(l.Bias, int32(math.RoundToEven(float64(b[o])/float64(s*x.Scale))))
		}
		return l
	}
	for _, c := range n.Convs() {
		w, b := m.Fold(c)
		q.Convs = append(q.Convs, layer(w, b))
		x = six
	}
	for range n.Blocks {
		q.Sums = append(q.Sums, QuantizedSum{Quantization: six})
	}
	l := n.Classifier
	q.Classifier = layer(m.Dict[l.Name+".weight"].Data, m.Dict[l.Name+".bias"].Data)
	return q
}

// TestDequantize: weights come back within half a step.
func TestDequantize(t *testing.T) {
	m := small(t)
	q := roughly(m)
	if err := q.Validate(); err != nil {
		t.Fatal(err)
	}
	back := q.Dequantize()
	if err := m.Config.Network().Check(back.Dict); err != nil {
		t.Fatal(err)
	}
	for i, c := range m.Config.Network().Convs() {
		want, _ := m.Fold(c)
		got, _ := back.Fold(c)
		per := len(got) / c.Out
		for j := range got {
			if step := q.Convs[i].Scale[j/per]; !(math.Abs(float64(got[j]-want[j])) <= 0.5001*float64(step)) {
				t.Fatalf("%s: weight %d is %v, want %v within half of %v", c.Name, j, got[j], want[j], step)
			}
		}
	}
}

// TestQuantize: bytes are those of the next number, to even at ties, and come back.
func TestQuantize(t *testing.T) {
	q := Quantization{Scale: 0.5, Zero: 100}
	for v, want := range map[float32]uint8{
		0: 100, 0.5: 101, 0.25: 100, 0.75: 102, -0.25: 100, -0.75: 98, 77.5: 255, 1e30: 255, -50: 0, -1e30: 0,
		float32(math.Inf(1)): 255, float32(math.Inf(-1)): 0, float32(math.NaN()): 255,
	} {
		if got := q.Quantize(v); got != want {
			t.Errorf("%v becomes %d, want %d", v, got, want)
		}
	}
	for b := range 256 {
		if got := q.Quantize(q.Dequantize(uint8(b))); got != uint8(b) {
			t.Errorf("%d came back as %d", b, got)
		}
	}
	for i := range 10_000 { // close to ties, where multiplying by 1/scale goes wrong
		q := Quantization{Scale: 0.01 + float32(i)*1e-5}
		v := (float32(i%250) + 0.5) * q.Scale
		exact := float64(v) / float64(q.Scale) // and then to float32: in two roundings the same as in one
		if got, want := q.Quantize(v), uint8(math.RoundToEven(float64(float32(exact)))); got != want {
			t.Fatalf("%v of scale %v becomes %d, want %d", v, q.Scale, got, want)
		}
	}
}

func TestQuantizedValidate(t *testing.T) {
	nan := float32(math.NaN())
	for name, spoil := range map[string]func(q *Quantized){
		"input: scale NaN":                            func(q *Quantized) { q.Input.Scale = nan },
		"avgpool: scale 0":                            func(q *Quantized) { q.Pool.Scale = 0 },
		"features.3: scale -1":                        func(q *Quantized) { q.Sums[2].Scale = -1 },
		"features.0.0: 215 weights, want 216":         func(q *Quantized) { q.Convs[0].Weight = q.Convs[0].Weight[1:] },
		"features.1.conv.0.0: 1 scales of weights":    func(q *Quantized) { q.Convs[1].Scale = q.Convs[1].Scale[:1] },
		"features.1.conv.0.0: 0 biases":               func(q *Quantized) { q.Convs[1].Bias = nil },
		"features.0.0: scale NaN of output channel 2": func(q *Quantized) { q.Convs[0].Scale[2] = nan },
		"features.0.0: scale +Inf":                    func(q *Quantized) { q.Convs[0].Out.Scale = float32(math.Inf(1)) },
		"features.0.0: scale 1e-45":                   func(q *Quantized) { q.Convs[0].Out.Scale = 1e-45 },
		"features.0.0: its output is bounded by 9":    func(q *Quantized) { q.Convs[0].Min, q.Convs[0].Max = 9, 8 },
		"features.0.0: weight 7 is 256 from":          func(q *Quantized) { q.Convs[0].Weight[7] = 256 },
		"features.1.conv.1: 3 weights, want":          func(q *Quantized) { q.Convs[2].Float = &FloatLayer{Weight: make([]float32, 3)} },
		"features.0.0: 0 biases, want":                func(q *Quantized) { q.Convs[0].Float = &FloatLayer{Weight: make([]float32, 216)} },
		"features.0.0: weights of 8 bits and of float": func(q *Quantized) {
			q.Convs[0].Float = &FloatLayer{Weight: make([]float32, 216), Bias: make([]float32, 8)}
		},
		"features.0.0: a weight is not a finite": func(q *Quantized) {
			q.Convs[0] = QuantizedLayer{Max: 255, Out: q.Convs[0].Out, Float: &FloatLayer{Weight: make([]float32, 216), Bias: []float32{0, nan, 0, 0, 0, 0, 0, 0}}}
		},
		"1 quantised convolutions, and the network":    func(q *Quantized) { q.Convs = q.Convs[:1] },
		"quantisation of 1 blocks' sums":               func(q *Quantized) { q.Sums = q.Sums[:1] },
		"classifier.1: 4 scales of weights, want 5":    func(q *Quantized) { q.Classifier.Scale = q.Classifier.Scale[1:] },
		"classifier.1: bytes are added to logits that": func(q *Quantized) { q.ClassBias = &ClassBias{} },
		"classifier.1: 2 bytes are added to the logits": func(q *Quantized) {
			q.Logits, q.ClassBias = true, &ClassBias{Bytes: make([]uint8, 2)}
		},
		"classifier.1: scale NaN: want": func(q *Quantized) {
			q.Logits, q.ClassBias = true, &ClassBias{Bytes: make([]uint8, 5), Of: Quantization{Scale: nan}}
		},
		"classifier.1: scale 1e+20 of what is added": func(q *Quantized) {
			q.Logits, q.Classifier.Out.Scale = true, 1
			q.ClassBias = &ClassBias{Bytes: make([]uint8, 5), Of: Quantization{Scale: 1e20}, Sum: QuantizedSum{Quantization: Quantization{Scale: 1e-20}}}
		},
		"classifier.1: scale 0":                          func(q *Quantized) { q.Logits, q.Classifier.Out.Scale = true, 0 },
		"features.0.0: scales 1e+20 of the input, 1e+20": func(q *Quantized) { q.Input.Scale, q.Convs[0].Scale[3] = 1e20, 1e20 },
		"features.3: scale 1e+20 of what is added":       func(q *Quantized) { q.Convs[8].Out.Scale, q.Sums[2].Scale = 1e20, 1e-20 },
		"avgpool: scale 1e+20 of its input":              func(q *Quantized) { q.Convs[len(q.Convs)-1].Out.Scale, q.Pool.Scale = 1e20, 1e-30 },
		"classifier.1: scales":                           func(q *Quantized) { q.Pool.Scale, q.Classifier.Scale[1] = 1e20, 1e20 },
		"QNNPACK's rounding beside":                      func(q *Quantized) { q.QNNPACK, q.LiteRT = true, true },
		"features.3: scales 1 and 1 are added in steps of 20000, and QNNPACK's": func(q *Quantized) {
			q.QNNPACK, q.Convs[5].Out.Scale, q.Convs[8].Out.Scale, q.Sums[2].Scale = true, 1, 1, 20000
		},
		"model config: width multiplier 0: want more ": func(q *Quantized) { q.Config.Width = 0 },
	} {
		q := roughly(small(t))
		spoil(q)
		err := q.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("error %v, want %s", err, name)
		}
		if _, ok := errors.AsType[*fault.Error](err); !ok && !strings.HasPrefix(name, "model config") {
			t.Errorf("%s: a %T", name, err)
		}
	}
}

// TestQuantizedBytes: a byte a weight, two where one is too far from its zero point, four
// in float32.
func TestQuantizedBytes(t *testing.T) {
	q := roughly(small(t))
	want, channels := 0, 0
	for _, p := range q.Parts() {
		want += len(p.Layer.Weight)
		channels += len(p.Layer.Bias)
	}
	check := func(want int) {
		t.Helper()
		if weights, others := q.Bytes(); weights != want || others > 8*channels || others < 4*channels {
			t.Errorf("%d bytes and %d of scales and biases, want %d and up to %d", weights, others, want, 8*channels)
		}
	}
	check(want)
	l := &q.Convs[1]
	l.Weight[0] = 200
	check(want + len(l.Weight))
	want -= len(l.Weight)
	l.Float = &FloatLayer{Weight: make([]float32, len(l.Weight)), Bias: make([]float32, len(l.Bias))}
	l.Weight, l.Scale, l.Bias = nil, nil, nil
	check(want + 4*len(l.Float.Weight))
}
