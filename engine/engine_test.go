package engine

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// small is a network of every kind of block that runs quickly.
func small() model.Config {
	c := model.Default()
	c.Classes = 37
	c.Table = []model.Stage{
		{T: 1, C: 16, N: 1, S: 1},
		{T: 6, C: 24, N: 2, S: 2},
		{T: 4, C: 40, N: 2, S: 2},
		{T: 3, C: 64, N: 2, S: 1},
	}
	c.LastChannels = 136
	return c
}

// random returns a model whose norms do something.
func random(t testing.TB, c model.Config) *model.Model {
	t.Helper()
	m, err := model.New(c, 7)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, conv := range c.Network().Convs() {
		for o := range conv.Out {
			m.Dict[conv.Norm+".weight"].Data[o] = 0.5 + rng.Float32()
			m.Dict[conv.Norm+".bias"].Data[o] = rng.Float32()
			m.Dict[conv.Norm+".running_mean"].Data[o] = rng.Float32() - 0.5
			m.Dict[conv.Norm+".running_var"].Data[o] = 0.5 + rng.Float32()
		}
	}
	return m
}

func pixels(n int) []float32 {
	rng := rand.New(rand.NewPCG(3, 4))
	x := make([]float32, n)
	for i := range x {
		x[i] = 4*rng.Float32() - 2
	}
	return x
}

func compile(t testing.TB, m *model.Model, threads int) *Engine {
	t.Helper()
	e, err := Compile(m, Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// compileStrips is compile with strips for inputs of so many columns.
func compileStrips(t testing.TB, m *model.Model, threads, columns int) *Engine {
	t.Helper()
	set, err := kernel.Choose("")
	if err != nil {
		t.Fatal(err)
	}
	net := newNetwork(m.Config, set)
	net.stripWidth = columns
	net.pack(m)
	e, err := start(net.program(), Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// outputs runs a batch and returns its logits and features.
func outputs(t testing.TB, e *Engine, in Input) Output {
	t.Helper()
	out := Output{
		Logits:   make([]float32, in.N*e.program.config.Classes),
		Features: make([]float32, in.N*e.features),
	}
	if err := e.Run(t.Context(), in, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// closeTo fails unless got is within tol of want, relative to want's largest
// value. NaN fails.
func closeTo(t *testing.T, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	scale := 1e-3
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	for i, v := range got {
		if d := math.Abs(float64(v) - want[i]); !(d <= tol*scale) {
			t.Fatalf("%s %d: %v, want %v", what, i, v, want[i])
		}
	}
}

func TestAgainstNaive(t *testing.T) {
	sizes := []size{{32, 32}, {33, 35}, {64, 47}, {35, 61}, {96, 96}}
	if testing.Short() {
		sizes = sizes[:2]
	}
	for _, padding := range []model.Padding{model.PadTorch, model.PadSame} {
		for _, s := range sizes {
			for _, width := range []float64{0.35, 1} {
				t.Run(fmt.Sprintf("%s/%dx%d/width%v", padding, s.h, s.w, width), func(t *testing.T) {
					t.Parallel()
					c := small()
					c.Padding, c.Width = padding, width
					checkNaive(t, c, s)
				})
			}
		}
	}
}

// TestOddChannels has channel counts that are no multiple of any vector.
func TestOddChannels(t *testing.T) {
	c := small()
	c.RoundTo = 1
	c.FirstChannels, c.LastChannels = 37, 77
	c.Table = []model.Stage{{T: 1, C: 5, N: 1, S: 1}, {T: 2.5, C: 33, N: 2, S: 2}, {T: 1, C: 33, N: 2, S: 1}}
	checkNaive(t, c, size{39, 40})
}

func checkNaive(t *testing.T, c model.Config, s size) {
	m := random(t, c)
	in := Input{Data: pixels(s.h * s.w * 3), N: 1, H: s.h, W: s.w}
	logits, features, _ := naive(m, in.Data, s.h, s.w)
	for _, threads := range []int{1, 3} {
		for _, strips := range []int{1, 9, stripWidth} { // all blocks, some, few
			e := compileStrips(t, m, threads, strips)
			out := outputs(t, e, in)
			closeTo(t, "feature", out.Features, features, 1e-5)
			closeTo(t, "logit", out.Logits, logits, 1e-5)
		}
	}
}

// TestSameBits runs a batch in every way it can be cut up.
func TestSameBits(t *testing.T) {
	m := random(t, small())
	const n, side = 7, 48
	data := pixels(n * side * side * 3)
	want := outputs(t, compile(t, m, 1), Input{Data: data, N: n, H: side, W: side})
	most := 8
	if testing.Short() {
		most = 3
	}
	for threads := 1; threads <= most; threads++ {
		e := compileStrips(t, m, threads, 6*threads)
		for batch := 1; batch <= n; batch++ {
			image := side * side * 3
			got := outputs(t, e, Input{Data: data[:batch*image], N: batch, H: side, W: side})
			if !slices.Equal(got.Logits, want.Logits[:len(got.Logits)]) || !slices.Equal(got.Features, want.Features[:len(got.Features)]) {
				t.Errorf("%d threads, batch %d: other bits than one thread", threads, batch)
			}
		}
	}
}

func TestConcurrentRuns(t *testing.T) {
	m := random(t, small())
	e := compile(t, m, 3)
	var wg sync.WaitGroup
	for i := range 8 {
		in := Input{Data: pixels((i%3 + 1) * 40 * (32 + i) * 3), N: i%3 + 1, H: 40, W: 32 + i}
		want := outputs(t, compile(t, m, 1), in)
		wg.Go(func() {
			for range 20 {
				if got := outputs(t, e, in); !slices.Equal(got.Logits, want.Logits) {
					t.Errorf("run %d: wrong logits", i)
				}
			}
		})
	}
	wg.Wait()
}

// TestSoak has 16 goroutines share an engine, for a second or for as long as
// MOBILENET_SOAK says (a duration such as 1m).
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("a soak is not short")
	}
	soak := time.Second
	if s := os.Getenv("MOBILENET_SOAK"); s != "" {
		var err error
		if soak, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	m := random(t, small())
	e, one := compile(t, m, 4), compile(t, m, 1)
	end := time.Now().Add(soak)
	var runs atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		side := 32 + 4*(i%12) // more sizes than an engine keeps plans for
		in := Input{Data: pixels((i%5 + 1) * side * side * 3), N: i%5 + 1, H: side, W: side}
		want := outputs(t, one, in)
		wg.Go(func() {
			for time.Now().Before(end) {
				if got := outputs(t, e, in); !slices.Equal(got.Logits, want.Logits) || !slices.Equal(got.Features, want.Features) {
					t.Errorf("goroutine %d: wrong results", i)
					return
				}
				runs.Add(1)
			}
		})
	}
	wg.Wait()
	t.Logf("%d runs in %v", runs.Load(), soak)
}

func TestNoAllocations(t *testing.T) {
	e := compile(t, random(t, small()), 2)
	for _, n := range []int{1, 4} {
		in := Input{Data: pixels(n * 64 * 64 * 3), N: n, H: 64, W: 64}
		out := Output{Logits: make([]float32, n*37)}
		run := func() {
			if err := e.Run(t.Context(), in, out); err != nil {
				t.Fatal(err)
			}
		}
		for range 50 { // until every helper has taken part once
			run()
		}
		if allocs := testing.AllocsPerRun(50, run); allocs != 0 {
			t.Errorf("batch %d: %v allocations a run", n, allocs)
		}
	}
}

func TestRunChecksItsInput(t *testing.T) {
	e := compile(t, random(t, small()), 1)
	for want, in := range map[string]Input{
		"batch of 0 images":        {H: 32, W: 32},
		"input of 31x32 pixels":    {N: 1, H: 32, W: 31},
		"input of 32x99999 pixels": {N: 1, H: 99999, W: 32},
		"input has 5 values":       {N: 1, H: 32, W: 32, Data: make([]float32, 5)},
	} {
		if err := e.Run(t.Context(), in, Output{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
	in := Input{N: 1, H: 32, W: 32, Data: make([]float32, 32*32*3)}
	if err := e.Run(t.Context(), in, Output{Logits: make([]float32, 3)}); err == nil {
		t.Error("no error for logits of the wrong length")
	}
}

func TestCPU(t *testing.T) {
	m := random(t, small())
	t.Setenv("MOBILENET_CPU", "mmx")
	if e, err := Compile(m, Options{CPU: "generic"}); err != nil || e.CPU() != "generic" {
		t.Errorf("%v: the environment has more weight than the option", err)
	}
	for _, o := range []Options{{}, {CPU: "sse"}} {
		if _, err := Compile(m, o); err == nil || !strings.Contains(err.Error(), "generic") {
			t.Errorf("error %v, want it to list what there is", err)
		}
	}
	t.Setenv("MOBILENET_CPU", "generic")
	if e, err := Compile(m, Options{}); err != nil || e.CPU() != "generic" {
		t.Errorf("%v: the environment was not heeded", err)
	}
}

func TestCompileChecksItsInput(t *testing.T) {
	m := random(t, small())
	for want, compile := range map[string]func() (*Engine, error){
		"no model":           func() (*Engine, error) { return Compile(nil, Options{}) },
		"model config":       func() (*Engine, error) { return Compile(&model.Model{}, Options{}) },
		"missing":            func() (*Engine, error) { return Compile(&model.Model{Config: m.Config}, Options{}) },
		"-1 threads":         func() (*Engine, error) { return Compile(m, Options{Threads: -1}) },
		"1000000000 threads": func() (*Engine, error) { return Compile(m, Options{Threads: 1e9}) },
	} {
		if _, err := compile(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
}

// TestClose closes an engine that many goroutines use.
func TestClose(t *testing.T) {
	e := compile(t, random(t, small()), 3)
	in := Input{Data: pixels(8 * 40 * 40 * 3), N: 8, H: 40, W: 40}
	want := outputs(t, e, in)
	var wg sync.WaitGroup
	var finished atomic.Int64
	for range 4 {
		wg.Go(func() {
			for {
				out := Output{Logits: make([]float32, len(want.Logits))}
				if err := e.Run(t.Context(), in, out); err == ErrClosed {
					return
				} else if err != nil || !slices.Equal(out.Logits, want.Logits) {
					t.Errorf("error %v, or wrong logits", err)
					return
				}
				finished.Add(1)
			}
		})
	}
	for finished.Load() < 8 {
		runtime.Gosched()
	}
	for range 2 {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	for _, e := range []*Engine{e, {}} {
		if err := e.Run(t.Context(), in, Output{}); err != ErrClosed {
			t.Errorf("error %v from a closed engine", err)
		}
		if _, _, err := e.Profile(t.Context(), in, 1); err != ErrClosed {
			t.Errorf("error %v from a closed engine", err)
		}
		e.Close()
	}
	if e.CPU() == "" || e.Threads() != 3 {
		t.Errorf("closed, it was for %q and %d threads", e.CPU(), e.Threads())
	}
}

// TestWithThreads: an engine on other threads has the same weights and bits, and goes on
// when the first is closed.
func TestWithThreads(t *testing.T) {
	e := compile(t, random(t, small()), 3)
	in := Input{Data: pixels(2 * 40 * 40 * 3), N: 2, H: 40, W: 40}
	want := outputs(t, e, in)
	one, err := e.WithThreads(1)
	if err != nil {
		t.Fatal(err)
	}
	if &one.program.weights[0] != &e.program.weights[0] || one.Threads() != 1 || e.Threads() != 3 {
		t.Errorf("%d threads, and %d; the weights are twice in memory: %v", one.Threads(), e.Threads(), &one.program.weights[0] != &e.program.weights[0])
	}
	e.Close()
	if got := outputs(t, one, in); !slices.Equal(got.Logits, want.Logits) || !slices.Equal(got.Features, want.Features) {
		t.Error("other bits")
	}
	if _, err := e.WithThreads(1); err != ErrClosed {
		t.Errorf("error %v from a closed engine", err)
	}
	if _, err := one.WithThreads(-1); err == nil {
		t.Error("-1 threads")
	}
}

// TestThreadsEnd has engines end their threads: closed, and forgotten.
func TestThreadsEnd(t *testing.T) {
	m := random(t, small())
	before := runtime.NumGoroutine()
	for i := range 6 {
		if e := compile(t, m, 8); i%2 == 0 {
			e.Close()
		}
	}
	for end := time.Now().Add(3 * time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		runtime.GC()
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// ending is a context that ends when it was asked so many times.
type ending struct {
	context.Context
	left atomic.Int64
}

func (c *ending) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestContext ends the context of a run before and in the middle of a batch.
func TestContext(t *testing.T) {
	m := random(t, small())
	const side, classes = 32, 37
	for _, test := range []struct{ threads, images int }{{1, 64}, {2, 64}, {4, 3}} {
		e := compile(t, m, test.threads)
		in := Input{Data: pixels(test.images * side * side * 3), N: test.images, H: side, W: side}
		for left := range 3 {
			out := Output{Logits: make([]float32, test.images*classes)}
			ctx := &ending{Context: context.Background()}
			ctx.left.Store(int64(left))
			if err := e.Run(ctx, in, out); err != context.Canceled {
				t.Errorf("%+v: error %v, want %v", test, err, context.Canceled)
			}
			ran := 0
			for i := range test.images {
				if out.Logits[i*classes] != 0 {
					ran++
				}
			}
			if ran > maxGroup*left {
				t.Errorf("%+v: %d images were run although the context ended at its question %d", test, ran, left)
			}
		}
	}
}

func TestPixelsAreNormalised(t *testing.T) {
	m := random(t, small())
	e := compile(t, m, 2)
	levels := m.Config.Preprocess.Levels()
	in := Input{Pixels: make([]uint8, 2*33*40*3), N: 2, H: 33, W: 40}
	data := make([]float32, len(in.Pixels))
	for i := range in.Pixels {
		in.Pixels[i] = uint8(i * 7 % 256)
		data[i] = levels[i%3][in.Pixels[i]]
	}
	want := outputs(t, e, Input{Data: data, N: 2, H: 33, W: 40})
	if !slices.Equal(outputs(t, e, in).Logits, want.Logits) {
		t.Error("pixels give other logits than their normalised values")
	}
}

func TestProfileCountsEveryMAC(t *testing.T) {
	c := model.Default()
	c.Resolution = 160
	e := compile(t, random(t, c), 2)
	steps, memory, err := e.Profile(t.Context(), Input{Data: pixels(160 * 160 * 3), N: 1, H: 160, W: 160}, 1)
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
	if total := memory.Activations + memory.Scratch; total > 2_000_000 {
		t.Errorf("%d bytes for one image", total)
	}
}

func BenchmarkRun(b *testing.B) {
	m := random(b, model.Default())
	in := Input{Data: pixels(224 * 224 * 3), N: 1, H: 224, W: 224}
	for _, threads := range []int{1, 2} {
		e := compile(b, m, threads)
		out := Output{Logits: make([]float32, 1000)}
		b.Run(fmt.Sprintf("isa=%s/threads=%d", e.CPU(), threads), func(b *testing.B) {
			for b.Loop() {
				if err := e.Run(b.Context(), in, out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	m := random(b, model.Default())
	for b.Loop() {
		compile(b, m, 2)
	}
}
