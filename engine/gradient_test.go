package engine

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// TestGradients holds those at every module against differences of the naive network's
// logit: both paddings, odd sizes, hidden layers in the head.
func TestGradients(t *testing.T) {
	for i, s := range []size{{33, 32}, {32, 46}} {
		for _, padding := range []model.Padding{model.PadTorch, model.PadSame} {
			t.Run(fmt.Sprintf("%s/%dx%d", padding, s.h, s.w), func(t *testing.T) {
				t.Parallel()
				c := small()
				c.Padding, c.Width, c.LastChannels = padding, 0.35, 40
				if i == 1 {
					c.Head.Hidden = []int{33, 20}
				}
				checkGradients(t, c, s, 1+i)
			})
		}
	}
}

func checkGradients(t *testing.T, c model.Config, s size, threads int) {
	m := random(t, c)
	rng := rand.New(rand.NewPCG(uint64(s.w), 1))
	for _, l := range c.Network().Linears() {
		for i := range m.Dict[l.Name+".weight"].Data {
			m.Dict[l.Name+".weight"].Data[i] = rng.Float32() - 0.5
		}
	}
	img := pixels(s.h * s.w * 3)
	e := compile(t, m, threads)
	for _, module := range e.Modules() {
		tape, err := e.Record(t.Context(), Input{Data: img, N: 1, H: s.h, W: s.w}, module.Name)
		if err != nil {
			t.Fatal(err)
		}
		class := rng.IntN(c.Classes)
		g, err := tape.Gradient(class)
		if err != nil {
			t.Fatal(err)
		}
		if len(g) != len(tape.Output) {
			t.Fatalf("%s: %d derivatives of %d values", module.Name, len(g), len(tape.Output))
		}
		top := 0.0
		for _, v := range g {
			top = max(top, math.Abs(float64(v)))
		}
		mean, err := tape.MeanGradient(class)
		if err != nil {
			t.Fatal(err)
		}
		for c, got := range mean {
			sum := 0.0
			plane := g[c*len(g)/len(mean):][:len(g)/len(mean)]
			for _, v := range plane {
				sum += float64(v)
			}
			if !(math.Abs(float64(got)-sum/float64(len(plane))) <= 1e-5*top) {
				t.Errorf("%s: the mean in channel %d is %v, want %v", module.Name, c, got, sum/float64(len(plane)))
			}
		}
		zeros := 0
		positions := 4
		if testing.Short() {
			positions = 1
		}
		for range positions {
			at := rng.IntN(len(g))
			slope := func(step float64) float64 {
				logits := func(by float64) float64 {
					l, _, _ := naivePoked(m, img, s.h, s.w, func(name string, x volume) {
						if name == module.Name {
							x.v[at] += by
						}
					})
					return l[class]
				}
				return (logits(step) - logits(-step)) / (2 * step)
			}
			if want := slope(1e-6); !(math.Abs(float64(g[at])-want) <= 1e-4*top) {
				t.Errorf("%s: derivative %d of class %d is %v, want %v", module.Name, at, class, g[at], want)
			} else if want == 0 {
				zeros++
			}
		}
		if zeros == positions && top == 0 {
			t.Errorf("%s: nothing changes the logit: the test is worth nothing", module.Name)
		}
	}
}

// TestGradientsSameBits: for any number of threads.
func TestGradientsSameBits(t *testing.T) {
	m := random(t, small())
	in := Input{Data: pixels(64 * 50 * 3), N: 1, H: 64, W: 50}
	var want []float32
	for threads := 1; threads <= 3; threads++ {
		tape, err := compile(t, m, threads).Record(t.Context(), in, "features.1")
		if err != nil {
			t.Fatal(err)
		}
		g, err := tape.Gradient(5)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = g
		} else if !slices.Equal(g, want) {
			t.Errorf("%d threads: other bits", threads)
		}
	}
}

func TestGradientErrors(t *testing.T) {
	e := compile(t, random(t, small()), 1)
	in := Input{Data: make([]float32, 64*64*3), N: 1, H: 64, W: 64}
	if _, err := e.Record(t.Context(), in, "features.99"); err == nil {
		t.Error("a module that isn't there is no error")
	}
	two := Input{Data: make([]float32, 2*64*64*3), N: 2, H: 64, W: 64}
	if _, err := e.Record(t.Context(), two, "features.1"); err == nil {
		t.Error("two images are no error")
	}
	large := Input{Pixels: make([]byte, 3*maxSide*2048), N: 1, H: maxSide, W: 2048}
	if _, err := e.Record(t.Context(), large, "features.1"); err == nil {
		t.Error("a tape of gigabytes is no error")
	}
	tape, err := e.Record(t.Context(), in, "features.1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tape.Gradient(37); err == nil {
		t.Error("class 37 of 37 has a gradient")
	}
	e.Close()
	if _, err := tape.Gradient(0); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	q := compileInt8(t, randomInt8(small(), 1, 127, false, false), &kernel.GenericInt8, 1, int8StripWidth)
	if _, err := q.Record(t.Context(), in, "features.1"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("8 bits: %v", err)
	}
}
