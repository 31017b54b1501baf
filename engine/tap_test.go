package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/model"
)

// tapsFor returns room for the outputs of modules.
func tapsFor(t testing.TB, e *Engine, in Input, names ...string) []Tap {
	t.Helper()
	var taps []Tap
	for _, m := range e.Modules() {
		if slices.Contains(names, m.Name) || names == nil {
			c, h, w := m.Shape(in.H, in.W)
			taps = append(taps, Tap{m.Name, make([]float32, in.N*c*h*w)})
		}
	}
	if names != nil && len(taps) != len(names) {
		t.Fatalf("taps of %q: not all are there", names)
	}
	return taps
}

// TestTapsAgainstNaive asks for every module at once, and for each alone.
func TestTapsAgainstNaive(t *testing.T) {
	sizes := []size{{32, 33}, {47, 90}}
	if testing.Short() {
		sizes = sizes[:1]
	}
	for _, padding := range []model.Padding{model.PadTorch, model.PadSame} {
		for _, s := range sizes {
			for _, width := range []float64{0.35, 1} {
				t.Run(fmt.Sprintf("%s/%dx%d/width%v", padding, s.h, s.w, width), func(t *testing.T) {
					t.Parallel()
					c := small()
					c.Padding, c.Width = padding, width
					checkTaps(t, c, s)
				})
			}
		}
	}
}

func checkTaps(t *testing.T, c model.Config, s size) {
	m := random(t, c)
	in := Input{Data: pixels(s.h * s.w * 3), N: 1, H: s.h, W: s.w}
	logits, _, want := naive(m, in.Data, s.h, s.w)
	for _, threads := range []int{1, 3} {
		for _, strips := range []int{1, 9, stripWidth} {
			e := compileStrips(t, m, threads, strips)
			defer e.Close()
			if len(e.Modules()) != len(want) {
				t.Fatalf("%d modules, want %d", len(e.Modules()), len(want))
			}
			all := Output{Logits: make([]float32, c.Classes), Taps: tapsFor(t, e, in)}
			if err := e.Run(t.Context(), in, all); err != nil {
				t.Fatal(err)
			}
			closeTo(t, "logit", all.Logits, logits, 1e-5)
			for i, m := range e.Modules() {
				v := want[m.Name]
				if c, h, w := m.Shape(s.h, s.w); c != v.c || h != v.h || w != v.w {
					t.Fatalf("%s: shape %d %d %d, want %d %d %d", m.Name, c, h, w, v.c, v.h, v.w)
				}
				closeTo(t, m.Name, all.Taps[i].Data, v.v, 1e-5)
				alone := tapsFor(t, e, in, m.Name)
				if err := e.Run(t.Context(), in, Output{Taps: alone}); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(alone[0].Data, all.Taps[i].Data) {
					t.Errorf("%s: other bits when nothing else is asked for", m.Name)
				}
			}
		}
	}
}

// TestTapsOfWidthOne compares every module of the standard network.
func TestTapsOfWidthOne(t *testing.T) {
	if testing.Short() {
		t.Skip("the naive network takes its time")
	}
	checkTaps(t, model.Default(), size{65, 48})
}

// TestTapsSameBits asks for several modules of batches, in every way that they are
// cut up, in any order: results and taps are those of a run for each image.
func TestTapsSameBits(t *testing.T) {
	m := random(t, small())
	const n, h, w = 9, 50, 41
	data := pixels(n * h * w * 3)
	one := compile(t, m, 1)
	single := make([]Output, n)
	for i := range single {
		in := Input{Data: data[i*h*w*3:][:h*w*3], N: 1, H: h, W: w}
		single[i] = outputs(t, one, in)
		single[i].Taps = tapsFor(t, one, in)
		if err := one.Run(t.Context(), in, single[i]); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for threads := 1; threads <= 4; threads++ {
		e := compileStrips(t, m, threads, 1+4*(threads-1))
		defer e.Close()
		for batch := 1; batch <= n; batch += 2 {
			in := Input{Data: data[:batch*h*w*3], N: batch, H: h, W: w}
			taps := tapsFor(t, e, in)
			picked := rng.Perm(len(taps))[:1+rng.IntN(4)]
			if inside := slices.IndexFunc(taps, func(t Tap) bool { return t.Module == "features.5.conv" }); !slices.Contains(picked, inside) {
				picked = append(picked, inside) // on small maps, with bottlenecks wide enough for strips behind it
			}
			out := Output{}
			if batch%3 > 0 {
				out.Logits = make([]float32, batch*37)
			}
			for _, i := range picked {
				out.Taps = append(out.Taps, taps[i])
			}
			for range 2 { // and in memory that was used before
				if err := e.Run(t.Context(), in, out); err != nil {
					t.Fatal(err)
				}
			}
			for image := range batch {
				for _, i := range picked {
					want := single[image].Taps[i].Data
					if got := taps[i].Data[image*len(want):][:len(want)]; !slices.Equal(got, want) {
						t.Errorf("%d threads, batch %d, image %d: other bits of %s", threads, batch, image, taps[i].Module)
					}
				}
				if out.Logits != nil && !slices.Equal(out.Logits[image*37:][:37], single[image].Logits) {
					t.Errorf("%d threads, batch %d, image %d: other logits with taps", threads, batch, image)
				}
			}
		}
	}
}

func TestTapsAreChecked(t *testing.T) {
	e := compile(t, random(t, small()), 1)
	in := Input{N: 2, H: 32, W: 40, Data: make([]float32, 2*32*40*3)}
	first := Tap{"features.0", make([]float32, 2*32*16*20)}
	for want, taps := range map[string][]Tap{
		`no module "features.0.1"`:      {{"features.0.1", nil}},
		`no module ""`:                  {{}},
		"room for 3 values, want 20480": {{"features.0", make([]float32, 3)}},
		"asked for twice":               {first, first},
	} {
		if err := e.Run(t.Context(), in, Output{Taps: taps}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
	if err := e.Run(t.Context(), in, Output{Taps: []Tap{first}}); err != nil {
		t.Error(err)
	}
}

// TestNothingElseRuns has a run end behind the last module that is asked for.
func TestNothingElseRuns(t *testing.T) {
	e := compile(t, random(t, small()), 2)
	in := Input{N: 1, H: 96, W: 96, Data: pixels(96 * 96 * 3)}
	steps := func(out Output) int {
		t.Helper()
		if err := e.Run(t.Context(), in, out); err != nil {
			t.Fatal(err)
		}
		defer clear(e.plans)
		for _, p := range e.plans {
			return len(p.steps)
		}
		return 0
	}
	all := steps(Output{})
	if first := steps(Output{Taps: tapsFor(t, e, in, "features.0")}); first != 2 {
		t.Errorf("%d steps for the first convolution and its tap", first)
	}
	if some := steps(Output{Taps: tapsFor(t, e, in, "features.3", "features.1")}); some >= all {
		t.Errorf("%d steps up to features.3, %d of the whole network", some, all)
	}
	if more := steps(Output{Taps: tapsFor(t, e, in, "features.0"), Features: make([]float32, e.features)}); more < all {
		t.Errorf("%d steps to the features, %d of the whole network", more, all)
	}
}
