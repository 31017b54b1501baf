package engine

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// compileInt8 is CompileQuantized with strips for inputs of so many columns.
func compileInt8(t testing.TB, q *model.Quantized, set *kernel.Int8, threads, columns int) *Engine {
	t.Helper()
	if err := q.Validate(); err != nil {
		t.Fatal(err)
	}
	net := newInt8Network(q, set)
	net.stripWidth = columns
	net.pack(q)
	e, err := start(net.program(), Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// noise returns levels of pixels.
func noise(n int) []uint8 {
	b := make([]uint8, n)
	for i := range b {
		b[i] = uint8(uint64(i) * 2654435761 >> 13)
	}
	return b
}

// quantised returns the bytes that a network reads of pixels.
func quantised(q *model.Quantized, pixels []uint8) []uint8 {
	levels := q.Config.Preprocess.Levels()
	b := make([]uint8, len(pixels))
	for i, v := range pixels {
		x := levels[i%3][v] / q.Input.Scale
		if q.LiteRT || q.QNNPACK {
			x = levels[i%3][v] * (1 / q.Input.Scale)
		}
		b[i] = naiveByte(x, q.Input.Zero, 0, 255)
	}
	return b
}

// same fails unless got is want to the bit.
func same(t rapid.TB, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i, v := range got {
		if math.Float32bits(v) != math.Float32bits(want[i]) && v != want[i] {
			t.Fatalf("%s: value %d is %v, want %v", what, i, v, want[i])
		}
	}
}

// checkInt8 compares all that an engine puts out for an image with the naive network:
// every module at once, and results alone.
func checkInt8(t testing.TB, q *model.Quantized, set *kernel.Int8, s size, threads, strips []int) {
	t.Helper()
	checkInt8Like(t, q, q, set, s, threads, strips)
}

// checkInt8Like is checkInt8 of an engine for another network that computes the same.
func checkInt8Like(t testing.TB, q, other *model.Quantized, set *kernel.Int8, s size, threads, strips []int) {
	t.Helper()
	in := Input{Pixels: noise(s.h * s.w * 3), N: 1, H: s.h, W: s.w}
	logits, features, maps := naiveInt8(q, quantised(q, in.Pixels), s.h, s.w)
	if varied := slices.Compact(slices.Sorted(slices.Values(features))); len(features) > 20 && len(varied) < 5 {
		t.Fatalf("the features are only %v: the test's network is worth nothing", varied)
	}
	for _, threads := range threads {
		for _, strips := range strips {
			e := compileInt8(t, other, set, threads, strips)
			what := fmt.Sprintf("%s, %d threads, strips from %d on, ", set.Name, threads, strips)
			out := outputs(t, e, in)
			same(t, what+"features", out.Features, features)
			same(t, what+"logits", out.Logits, logits)
			out.Taps = tapsFor(t, e, in)
			if err := e.Run(t.Context(), in, out); err != nil {
				t.Fatal(err)
			}
			for _, tap := range out.Taps {
				same(t, what+tap.Module, tap.Data, maps[tap.Module].numbers)
			}
			same(t, what+"logits with taps", out.Logits, logits)
			e.Close()
		}
	}
}

func TestInt8AgainstNaive(t *testing.T) {
	sizes := []size{{32, 32}, {33, 235}, {64, 47}, {90, 33}} // strips take more rows of narrow maps at a time
	if testing.Short() {
		sizes = sizes[:2]
	}
	for _, padding := range []model.Padding{model.PadTorch, model.PadSame} {
		for _, s := range sizes {
			for i, width := range []float64{0.35, 1} {
				for _, wide := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/%dx%d/width%v/wide=%v", padding, s.h, s.w, width, wide), func(t *testing.T) {
						t.Parallel()
						c := small()
						c.Padding, c.Width = padding, width
						q := randomInt8(c, uint64(s.w), 127, wide, i == 0)
						for _, set := range kernel.AvailableInt8() {
							checkInt8(t, q, set, s, []int{1, 3}, []int{1, 9, int8StripWidth})
						}
					})
				}
			}
		}
	}
}

// TestInt8Counts has as many channels as depthwise and first convolutions have taps.
func TestInt8Counts(t *testing.T) {
	c := small()
	c.RoundTo, c.FirstChannels, c.LastChannels = 1, 12, 36
	c.Table = []model.Stage{{T: 1, C: 12, N: 2, S: 1}, {T: 1, C: 36, N: 2, S: 2}, {T: 1, C: 9, N: 1, S: 1}, {T: 3, C: 27, N: 2, S: 1}}
	for _, set := range kernel.AvailableInt8() {
		checkInt8(t, randomInt8(c, 0, 127, false, false), set, size{37, 40}, []int{1}, []int{1, 100})
	}
}

// TestInt8OddNetworks has channel counts that are no multiple of anything, first
// blocks with a residual, and weights that don't fit into bytes.
func TestInt8OddNetworks(t *testing.T) {
	sets := kernel.AvailableInt8()
	rapid.Check(t, func(r *rapid.T) {
		c := small()
		c.RoundTo = 1
		c.Classes = rapid.IntRange(1, 70).Draw(r, "classes")
		c.FirstChannels, c.LastChannels = rapid.IntRange(1, 40).Draw(r, "first"), rapid.IntRange(1, 70).Draw(r, "last")
		c.Padding = rapid.SampledFrom([]model.Padding{model.PadTorch, model.PadSame}).Draw(r, "padding")
		c.Table = nil
		channels := c.FirstChannels
		for range rapid.IntRange(1, 4).Draw(r, "stages") {
			s := model.Stage{T: rapid.SampledFrom([]float64{1, 1.5, 3}).Draw(r, "t"), N: rapid.IntRange(1, 2).Draw(r, "n"), S: rapid.IntRange(1, 2).Draw(r, "s"), C: channels}
			if rapid.Bool().Draw(r, "change") {
				s.C = rapid.IntRange(1, 40).Draw(r, "c")
			}
			channels = s.C
			c.Table = append(c.Table, s)
		}
		most := rapid.SampledFrom([]int{127, 127, 255, 3}).Draw(r, "most")
		q := randomInt8(c, rapid.Uint64().Draw(r, "seed"), most, rapid.Bool().Draw(r, "wide"), rapid.Bool().Draw(r, "bytes for logits"))
		if rapid.Bool().Draw(r, "foreign") {
			foreign(q)
		}
		if rapid.Bool().Draw(r, "LiteRT") {
			q.LiteRT, q.Wide, q.ClassBias = true, false, nil
			if q.AveragePool = rapid.Bool().Draw(r, "average pool"); q.AveragePool {
				q.Pool = q.Convs[len(q.Convs)-1].Out
			}
		} else if rapid.Bool().Draw(r, "QNNPACK") {
			q.QNNPACK, q.Wide, q.ClassBias = true, false, nil
		}
		s := size{rapid.IntRange(32, 60).Draw(r, "h"), rapid.IntRange(32, 60).Draw(r, "w")}
		set := rapid.SampledFrom(sets).Draw(r, "set")
		threads, strips := rapid.IntRange(1, 4).Draw(r, "threads"), rapid.IntRange(1, 40).Draw(r, "strips")
		in := Input{Pixels: noise(s.h * s.w * 3), N: 1, H: s.h, W: s.w}
		logits, _, maps := naiveInt8(q, quantised(q, in.Pixels), s.h, s.w)
		e := compileInt8(t, q, set, threads, strips)
		defer e.Close()
		same(r, "logits", outputs(t, e, in).Logits, logits)
		taps := tapsFor(t, e, in)
		if rapid.Bool().Draw(r, "few") {
			i := rapid.IntRange(0, len(taps)-1).Draw(r, "tap")
			taps = taps[i : i+1]
		}
		if err := e.Run(t.Context(), in, Output{Taps: taps}); err != nil {
			t.Fatal(err)
		}
		for _, tap := range taps {
			same(r, tap.Module, tap.Data, maps[tap.Module].numbers)
		}
	})
}

// TestInt8SameBits runs a batch in every way it can be cut up.
func TestInt8SameBits(t *testing.T) {
	const h, w = 50, 41
	n := 33
	if testing.Short() {
		n = 9
	}
	for _, q := range []*model.Quantized{
		randomInt8(small(), 9, 127, false, false), randomInt8(small(), 9, 127, true, false), foreign(randomInt8(small(), 10, 255, false, true)),
	} {
		in := Input{Pixels: noise(n * h * w * 3), N: n, H: h, W: w}
		want := outputs(t, compileInt8(t, q, &kernel.GenericInt8, 1, 1), in)
		logits, _, _ := naiveInt8(q, quantised(q, in.Pixels[(n-1)*h*w*3:]), h, w)
		same(t, "the last image", want.Logits[(n-1)*37:], logits)
		for _, set := range kernel.AvailableInt8() {
			for threads := 1; threads <= 4; threads++ {
				e := compileInt8(t, q, set, threads, 1+10*(threads-1))
				batches := []int{1, 2, 3, 4, 5, 7, 8, 9, 16, 33}
				if testing.Short() || set == &kernel.GenericInt8 {
					batches = []int{1, 9}
				}
				for _, batch := range batches {
					in := Input{Pixels: in.Pixels[:batch*h*w*3], N: batch, H: h, W: w}
					taps := tapsFor(t, e, in, "features.3", "features.5.conv", "features.6.conv.1")
					got := outputs(t, e, in)
					what := fmt.Sprintf("%s, %d threads, batch %d: ", set.Name, threads, batch)
					same(t, what+"logits", got.Logits, want.Logits[:len(got.Logits)])
					same(t, what+"features", got.Features, want.Features[:len(got.Features)])
					got.Taps = taps
					if err := e.Run(t.Context(), in, got); err != nil {
						t.Fatal(err)
					}
					same(t, what+"logits with taps", got.Logits, want.Logits[:len(got.Logits)])
					if batch < 9 {
						continue
					}
					_, _, maps := naiveInt8(q, quantised(q, in.Pixels[8*h*w*3:][:h*w*3]), h, w)
					for _, tap := range taps {
						m := maps[tap.Module].numbers
						same(t, what+tap.Module, tap.Data[8*len(m):][:len(m)], m)
					}
				}
				e.Close()
			}
		}
	}
}

// TestInt8Data has normalised values give what their pixels give.
func TestInt8Data(t *testing.T) {
	q := randomInt8(small(), 3, 127, false, false)
	e, err := CompileQuantized(q, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Precision() != "int8" {
		t.Errorf("precision %q", e.Precision())
	}
	levels := q.Config.Preprocess.Levels()
	in := Input{Pixels: noise(2 * 33 * 40 * 3), N: 2, H: 33, W: 40}
	data := in
	data.Pixels, data.Data = nil, make([]float32, len(in.Pixels))
	for i, v := range in.Pixels {
		data.Data[i] = levels[i%3][v]
	}
	same(t, "logits", outputs(t, e, data).Logits, outputs(t, e, in).Logits)
	data.Data[77] = float32(math.NaN())
	if err := e.Run(t.Context(), data, Output{}); err == nil || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("error %v for NaN", err)
	}
}

func TestInt8NoAllocations(t *testing.T) {
	for i, set := range kernel.AvailableInt8() {
		c := small()
		c.Table[0].C, c.FirstChannels = 16, 16
		e := compileInt8(t, randomInt8(c, 3, 127+i%2*128, i%2 == 0, true), set, 2, int8StripWidth)
		for _, n := range []int{1, 4} {
			in := Input{Pixels: noise(n * 48 * 48 * 3), N: n, H: 48, W: 48}
			out := Output{Logits: make([]float32, n*37), Features: make([]float32, n*136)}
			run := func() {
				if err := e.Run(t.Context(), in, out); err != nil {
					t.Fatal(err)
				}
			}
			for range 50 {
				run()
			}
			if allocs := testing.AllocsPerRun(50, run); allocs != 0 {
				t.Errorf("%s, batch %d: %v allocations a run", set.Name, n, allocs)
			}
		}
	}
}

func TestCompileQuantizedChecksItsInput(t *testing.T) {
	q := randomInt8(small(), 3, 127, false, false)
	broken := *q
	broken.Pool.Scale = 0
	for want, compile := range map[string]func() (*Engine, error){
		"no model":     func() (*Engine, error) { return CompileQuantized(nil, Options{}) },
		"model config": func() (*Engine, error) { return CompileQuantized(&model.Quantized{}, Options{}) },
		"avgpool":      func() (*Engine, error) { return CompileQuantized(&broken, Options{}) },
		"-1 threads":   func() (*Engine, error) { return CompileQuantized(q, Options{Threads: -1}) },
		"mmx":          func() (*Engine, error) { return CompileQuantized(q, Options{CPU: "mmx"}) },
	} {
		if _, err := compile(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
}

func TestInt8Profile(t *testing.T) {
	c := model.Default()
	for _, wide := range []bool{false, true} {
		e, err := CompileQuantized(randomInt8(c, 1, 127, wide, false), Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		steps, memory, err := e.Profile(t.Context(), Input{Pixels: noise(224 * 224 * 3), N: 1, H: 224, W: 224}, 1)
		if err != nil {
			t.Fatal(err)
		}
		macs := 0
		for _, s := range steps {
			macs += s.MACs
		}
		if want := c.Summarize().MACs; macs != want {
			t.Errorf("the steps add up to %d MACs, want %d", macs, want)
		}
		if total := memory.Activations + memory.Scratch; total > 600_000 && !wide {
			t.Errorf("%d bytes for one image", total)
		} else {
			t.Logf("wide %v: %d bytes of activations, %d of scratch", wide, memory.Activations, memory.Scratch)
		}
	}
}
