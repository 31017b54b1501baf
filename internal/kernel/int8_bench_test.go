package kernel

import (
	"fmt"
	"testing"
	"time"
)

// peakInt8 measures a set's multiply-adds in GOP/s.
func peakInt8(set *Int8) float64 {
	best := 0.0
	for range 20 {
		start := time.Now()
		ops := set.Peak(200_000)
		best = max(best, float64(ops)/time.Since(start).Seconds()/1e9)
	}
	return best
}

// someWeights returns weights that take a byte, or more where wide.
func someWeights(n, k int, wide bool) Weights {
	w := Weights{N: n, K: k, W: make([]int16, n*k), Bias: make([]int32, n), M: make([]float32, n)}
	for i := range w.W {
		w.W[i] = int16(i%7 - 3)
	}
	if wide {
		w.W[0] = 200
	}
	for i := range w.M {
		w.M[i] = 1e-3
	}
	return w
}

// bestOf runs f many times and reports its fastest run: the machine may be shared.
func bestOf(b *testing.B, macs int, peak float64, f func()) {
	best := time.Hour
	n := 1 + 100_000/max(1, macs/32) // a few microseconds a reading
	for b.Loop() {
		start := time.Now()
		for range n {
			f()
		}
		best = min(best, time.Since(start)/time.Duration(n))
	}
	b.ReportMetric(float64(best.Nanoseconds()), "best-ns/op")
	if peak > 0 {
		rate := 2 * float64(macs) / best.Seconds() / 1e9
		b.ReportMetric(rate, "GOP/s")
		b.ReportMetric(100*rate/peak, "%peak")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPointwiseInt8 has the shapes of the network at width 1.0, with all
// blocks of output channels, and a tile of 14 pixels for single values of K.
func BenchmarkPointwiseInt8(b *testing.B) {
	shapes := []struct{ pixels, k, n int }{
		{14, 16, 32}, {14, 24, 32}, {14, 32, 32}, {14, 64, 32}, {14, 96, 32}, {14, 320, 32}, {14, 960, 32},
		{12544, 32, 16}, {12544, 16, 96}, {3136, 96, 24}, {3136, 24, 144}, {3136, 144, 24}, {784, 32, 192}, {784, 192, 32},
		{196, 64, 384}, {196, 384, 64}, {196, 96, 576}, {196, 576, 96},
		{49, 160, 960}, {49, 960, 160}, {49, 320, 1280}, {1, 1280, 1000},
	}
	for _, set := range AvailableInt8() {
		peak := peakInt8(set)
		for _, s := range shapes {
			b.Run(fmt.Sprintf("isa=%s/shape=%dx%dx%d", set.Name, s.pixels, s.k, s.n), func(b *testing.B) {
				calls := pointwiseInt8Layer(set, s.pixels, s.k, s.n, false)
				bestOf(b, s.pixels*s.k*s.n, peak, func() {
					for _, a := range calls {
						set.Pointwise(a)
					}
				})
			})
		}
	}
}

// pointwiseInt8Layer returns the calls of a layer.
func pointwiseInt8Layer(set *Int8, pixels, k, n int, wide bool) []PointwiseInt8 {
	src := aligned(Blocks(k)*pixels*Block, alignment)
	for i := range src {
		src[i] = uint8(i)
	}
	dst := aligned(Blocks(n)*pixels*Block, alignment)
	w := someWeights(n, k, wide)
	var calls []PointwiseInt8
	for b := range Blocks(n) {
		calls = append(calls, PointwiseInt8{
			Dst: dst[b*pixels*Block:], Src: src, Filter: set.PackPointwise(w, b), Range: Range{Max: 255},
			Pixels: pixels, SrcStride: pixels * Block,
		})
	}
	return calls
}

func BenchmarkDepthwiseInt8(b *testing.B) {
	for _, set := range AvailableInt8() {
		peak := peakInt8(set)
		for _, s := range []struct{ width, stride int }{{112, 1}, {112, 2}, {56, 1}, {56, 2}, {28, 1}, {28, 2}, {14, 1}, {14, 2}, {7, 1}} {
			b.Run(fmt.Sprintf("isa=%s/width=%d/stride=%d", set.Name, s.width, s.stride), func(b *testing.B) {
				row := s.width * Block
				rows := aligned(4*row, alignment)
				a := DepthwiseInt8{
					Dst: rows[3*row:], Rows: [3][]uint8{rows, rows[row:], rows[2*row:]},
					Filter: set.PackDepthwise(someWeights(Block, 9, false), 0), Range: Range{Max: 255},
					Width: s.width, Stride: s.stride, Left: 1,
				}
				bestOf(b, a.OutWidth()*9*Block, peak, func() { set.Depthwise(a) })
			})
		}
	}
}

func BenchmarkFirstInt8(b *testing.B) {
	for _, set := range AvailableInt8() {
		peak := peakInt8(set)
		b.Run(fmt.Sprintf("isa=%s/width=112", set.Name), func(b *testing.B) {
			const width = 112
			a := FirstInt8{
				Dst: aligned(width*Block, alignment), Filter: set.PackFirst(someWeights(Block, 27, false), 0),
				Range: Range{Max: 255}, Width: width,
			}
			for j := range a.Rows {
				a.Rows[j] = aligned(6*width+6, alignment)
			}
			bestOf(b, width*27*Block, peak, func() { set.First(a) })
		})
	}
}

// BenchmarkElementsInt8 has what goes over bytes one by one, 1,000 pixels of a
// block.
func BenchmarkElementsInt8(b *testing.B) {
	const n = 1000 * Block
	for _, set := range AvailableInt8() {
		x, y, floats := aligned(n, alignment), aligned(n, alignment), Aligned(n)
		run := func(name string, f func()) {
			b.Run(fmt.Sprintf("isa=%s/%s", set.Name, name), func(b *testing.B) { bestOf(b, n*32, 0, f) })
		}
		add := NewAddInt8(Scale{0.1, 3}, Scale{0.2, 4}, Scale{0.3, 5}, 0)
		add.A, add.B, add.Dst = x, y, x
		run("add", func() { set.Add(add) })
		run("quantize", func() { set.Quantize(QuantizeInt8{Dst: x, Src: floats, M: 3, Range: Range{Max: 255}}) })
		var table [3][256]uint8
		run("lookup", func() { set.Lookup(LookupInt8{Dst: x, Src: y, Table: &table}) })
		run("pool", func() { set.Pool(PoolInt8{Dst: y, Src: x, Range: Range{Max: 255}, Pixels: n / Block, M: 1}) })
	}
}

func BenchmarkPeakInt8(b *testing.B) {
	for _, set := range AvailableInt8() {
		b.Run("isa="+set.Name, func(b *testing.B) {
			ops := 0
			for b.Loop() {
				ops += set.Peak(10_000)
			}
			b.ReportMetric(float64(ops)/b.Elapsed().Seconds()/1e9, "GOP/s")
		})
	}
}
