package quant

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"iter"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// small is a network with every kind of block, whose channels differ in width by far
// more than training leaves them.
func small(t testing.TB, change func(*model.Config)) *model.Model {
	t.Helper()
	c := model.Default()
	c.Width, c.Classes, c.LastChannels, c.Resolution = 0.25, 7, 40, 48
	c.Table = []model.Stage{{T: 1, C: 32, N: 1, S: 1}, {T: 3, C: 48, N: 3, S: 2}, {T: 2, C: 64, N: 2, S: 2}}
	if change != nil {
		change(&c)
	}
	m, err := model.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, conv := range c.Network().Convs() {
		for o := range conv.Out {
			m.Dict[conv.Norm+".weight"].Data[o] = float32(math.Exp(2 * rng.NormFloat64()))
			m.Dict[conv.Norm+".bias"].Data[o] = rng.Float32() - 0.2
			m.Dict[conv.Norm+".running_var"].Data[o] = 0.5 + rng.Float32()
		}
	}
	for i := range m.Dict["classifier.1.weight"].Data {
		m.Dict["classifier.1.weight"].Data[i] = rng.Float32() - 0.5
	}
	return m
}

// noise yields n pictures of random blocks.
func noise(n int) iter.Seq2[image.Image, error] {
	return func(yield func(image.Image, error) bool) {
		rng := rand.New(rand.NewPCG(3, 4))
		for range n {
			m := vision.NewImage(60, 60)
			for i := range m.Pix {
				m.Pix[i] = byte(rng.Uint32())
				if i >= 12 && i%12 != 0 {
					m.Pix[i] = m.Pix[i-3]
				}
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// TestEqualiseIsExact: the scaled network computes what the model does, in float, but
// for channels that go beyond what was seen.
func TestEqualiseIsExact(t *testing.T) {
	for name, change := range map[string]func(*model.Config){
		"plain":                           nil,
		"residual around the first block": func(c *model.Config) { c.Table[0].C, c.FirstChannels = 32, 8 },
		"expansion with ratio 1":          func(c *model.Config) { c.Table[0].Expand = true },
	} {
		t.Run(name, func(t *testing.T) {
			m := small(t, change)
			n, err := newNetwork(m)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := n.observe(t.Context(), m, noise(4), Options{}); err != nil {
				t.Fatal(err)
			}
			n.equalise()
			scaled := &model.Model{Config: m.Config, Dict: model.StateDict{}}
			for i := range n.convs {
				l := &n.convs[i]
				model.Unfold(scaled.Dict, l.Conv, narrowed(l.w), narrowed(l.b), m.Config.BNEps)
			}
			scaled.Dict["classifier.1.weight"] = model.Tensor{Shape: []int{7, 40}, Data: narrowed(n.linear.w)}
			scaled.Dict["classifier.1.bias"] = model.Tensor{Shape: []int{7}, Data: narrowed(n.linear.b)}
			for photo := range noise(4) {
				want, got := logits(t, m, photo), logits(t, scaled, photo)
				largest := 0.0
				for _, v := range want {
					largest = max(largest, math.Abs(float64(v)))
				}
				for i := range want {
					if !(math.Abs(float64(want[i]-got[i])) <= 1e-4*largest) {
						t.Fatalf("logit %d is %v, want %v (the largest is %v)", i, got[i], want[i], largest)
					}
				}
			}
		})
	}
}

func logits(t *testing.T, m *model.Model, photo image.Image) []float32 {
	t.Helper()
	e, err := engine.Compile(m, engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	pixels, err := prepare(photo, m.Config)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, m.Config.Classes)
	h, w := m.Config.InputSize()
	if err := e.Run(t.Context(), engine.Input{Pixels: pixels.Pix, N: 1, H: h, W: w}, engine.Output{Logits: out}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDeterministic: the same network to the bit for any number of threads, and better
// with equalised channels than the ranges alone would be.
func TestDeterministic(t *testing.T) {
	m := small(t, nil)
	var first *Network
	for _, threads := range []int{1, 3} {
		q, err := Calibrate(t.Context(), m, noise(8), Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = q
		} else if !reflect.DeepEqual(first, q) {
			t.Errorf("%d threads make another network", threads)
		}
	}
	c, err := Compare(t.Context(), m, first, noise(8), CompareOptions{Threads: 1})
	if err != nil || !(c.SQNR > 20) {
		t.Errorf("%+v, %v: want more than 20 dB", c, err)
	}
}

// TestOddModels: each ends in a network that works, or in an error that says why not.
func TestOddModels(t *testing.T) {
	uniform := func(n int, v uint8) iter.Seq2[image.Image, error] {
		return func(yield func(image.Image, error) bool) {
			for range n {
				m := image.NewGray(image.Rect(0, 0, 50, 50))
				for i := range m.Pix {
					m.Pix[i] = v
				}
				if !yield(m, nil) {
					return
				}
			}
		}
	}
	zero := func(names ...string) func(m *model.Model) {
		return func(m *model.Model) {
			for _, name := range names {
				clear(m.Dict[name].Data)
			}
		}
	}
	for name, tt := range map[string]struct {
		spoil  func(m *model.Model)
		photos iter.Seq2[image.Image, error]
		fails  bool
	}{
		"one photo": {nil, noise(1), false},
		"black":     {nil, uniform(3, 0), false},
		"white":     {nil, uniform(3, 255), false},
		"one colour": {nil, func(yield func(image.Image, error) bool) {
			for range 3 {
				m := vision.NewImage(50, 70)
				for i := range m.Pix {
					m.Pix[i] = []byte{200, 10, 30}[i%3]
				}
				if !yield(m, nil) {
					return
				}
			}
		}, false},
		"no photo": {nil, noise(0), true},
		"all weights 0": {func(m *model.Model) {
			for name := range m.Dict {
				if !strings.HasSuffix(name, "running_var") {
					clear(m.Dict[name].Data)
				}
			}
		}, noise(3), false},
		"zero weights": {zero("features.2.conv.0.0.weight", "features.1.conv.0.0.weight", "classifier.1.weight"), noise(3), false},
		"dead channels": {func(m *model.Model) {
			for i := range 20 {
				m.Dict["features.2.conv.0.1.bias"].Data[i] = -1e6
			}
		}, noise(3), false},
		"huge bias":   {func(m *model.Model) { m.Dict["features.2.conv.3.bias"].Data[1] = 1e6 }, noise(3), false},
		"NaN":         {func(m *model.Model) { m.Dict["features.2.conv.0.0.weight"].Data[5] = float32(math.NaN()) }, noise(3), true},
		"overflowing": {func(m *model.Model) { m.Dict["features.1.conv.2.weight"].Data[0] = 3e38 }, noise(3), true},
		"variance -1": {func(m *model.Model) { m.Dict["features.1.conv.2.running_var"].Data[0] = -1 }, noise(3), true},
	} {
		t.Run(name, func(t *testing.T) {
			m := small(t, nil)
			if tt.spoil != nil {
				tt.spoil(m)
			}
			for _, wide := range []bool{false, true} {
				cal, err := Observe(t.Context(), m, tt.photos, Options{Wide: wide})
				if (err != nil) != tt.fails {
					t.Fatalf("error %v", err)
				}
				if err != nil {
					continue
				}
				c, err := Compare(t.Context(), m, cal.Network, noise(3), CompareOptions{Threads: 1})
				if err != nil || c.Photos != 3 || math.IsNaN(float64(c.SQNR)) || math.IsNaN(c.KL) {
					t.Fatalf("%+v, %v", c, err)
				}
				layers, err := cal.Sensitivity(t.Context(), noise(1), CompareOptions{})
				if err != nil {
					t.Fatal(err)
				}
				inJSON(t, []any{c, layers})
			}
		})
	}
}

// TestSymmetric: zeros are signed 0, nothing below it is left of a ReLU6, and the network
// is still the model.
func TestSymmetric(t *testing.T) {
	m := small(t, nil)
	q, err := Calibrate(t.Context(), m, noise(8), Options{Symmetric: true})
	if err != nil {
		t.Fatal(err)
	}
	if !q.Signed || q.Input.Zero != 128 || q.Pool.Zero != 128 {
		t.Errorf("signed %v, input %+v, pool %+v", q.Signed, q.Input, q.Pool)
	}
	for i, c := range q.Config.Network().Convs() {
		l, low := q.Convs[i], uint8(0)
		if c.ReLU6 {
			low = 128
		}
		if l.Out.Zero != 128 || l.Min != low || l.Max != 255 || c.ReLU6 && l.Out.Dequantize(255) > 6.001 {
			t.Errorf("%s: %+v, bounds %d and %d", c.Name, l.Out, l.Min, l.Max)
		}
	}
	for i, b := range q.Config.Network().Blocks {
		if b.Residual() && q.Sums[i].Zero != 128 {
			t.Errorf("%s: %+v", b.Name, q.Sums[i])
		}
	}
	plain, err := Calibrate(t.Context(), m, noise(8), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var decibels [2]float64
	for i, q := range []*Network{plain, q} {
		c, err := Compare(t.Context(), m, q, noise(8), CompareOptions{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		decibels[i] = float64(c.SQNR)
	}
	if !(decibels[1] > decibels[0]-8) { // a bit less is 6
		t.Errorf("%.1f dB, and %.1f of asymmetric bytes", decibels[1], decibels[0])
	}
}

func TestErrors(t *testing.T) {
	m := small(t, nil)
	broken := errors.New("the third photo is broken")
	photos := func(yield func(image.Image, error) bool) {
		_ = yield(image.NewUniform(color.Black), nil) && yield(nil, broken)
	}
	if _, err := Calibrate(t.Context(), nil, noise(1), Options{}); err == nil {
		t.Error("no model is no error")
	}
	if _, err := Calibrate(t.Context(), m, photos, Options{}); err == nil {
		t.Error("a photo without bounds is no error")
	}
	if _, err := Calibrate(t.Context(), m, func(yield func(image.Image, error) bool) { yield(nil, broken) }, Options{}); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Calibrate(ctx, m, noise(1), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	hidden := small(t, func(c *model.Config) { c.Head.Hidden = []int{5} })
	if _, err := Calibrate(t.Context(), hidden, noise(1), Options{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
	nan := small(t, nil)
	nan.Dict["features.0.0.weight"].Data[0] = float32(math.NaN())
	_, err := Calibrate(t.Context(), nan, noise(1), Options{})
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Place != "features.0.0" {
		t.Errorf("error %v", fmt.Sprintf("%#v", err))
	}
}
