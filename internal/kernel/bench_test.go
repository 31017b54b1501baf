package kernel

import (
	"fmt"
	"testing"
	"time"
)

// peak measures a set's multiply-adds in GFLOP/s.
func peak(set *Set) float64 {
	best := 0.0
	for range 20 {
		start := time.Now()
		flops := set.Peak(200_000)
		best = max(best, float64(flops)/time.Since(start).Seconds()/1e9)
	}
	return best
}

// report adds the rate and its share of the peak.
func report(b *testing.B, macs int, peak float64) {
	rate := 2 * float64(macs) * float64(b.N) / b.Elapsed().Seconds() / 1e9
	b.ReportMetric(rate, "GFLOP/s")
	b.ReportMetric(100*rate/peak, "%peak")
}

// BenchmarkPointwise has the shapes of the network at width 1.0, with all blocks
// of output channels.
func BenchmarkPointwise(b *testing.B) {
	shapes := []struct{ pixels, k, n int }{
		{12544, 16, 96}, {3136, 24, 144}, {3136, 144, 24}, {784, 32, 192}, {784, 192, 32},
		{196, 64, 384}, {196, 384, 64}, {196, 96, 576}, {196, 576, 96},
		{49, 160, 960}, {49, 960, 160}, {49, 320, 1280}, {1, 1280, 1000},
		{196, 96, 32}, {196, 96, 24}, {196, 96, 16}, {196, 96, 8},
	}
	for _, set := range Available() {
		peak := peak(set)
		for _, s := range shapes {
			b.Run(fmt.Sprintf("isa=%s/shape=%dx%dx%d", set.Name, s.pixels, s.k, s.n), func(b *testing.B) {
				calls := pointwiseLayer(s.pixels, s.k, s.n)
				for b.Loop() {
					for _, a := range calls {
						set.Pointwise(a)
					}
				}
				report(b, s.pixels*s.k*s.n, peak)
			})
		}
	}
}

// filled returns n floats that have been written: memory that is only read may
// be one page of zeros over and over.
func filled(n int) []float32 {
	s := Aligned(n)
	for i := range s {
		s[i] = float32(i%7-3) / 4
	}
	return s
}

// pointwiseLayer returns the calls of a layer.
func pointwiseLayer(pixels, k, n int) []Pointwise {
	src := filled(Blocks(k) * pixels * Block)
	dst := Aligned(Blocks(n) * pixels * Block)
	var calls []Pointwise
	for b := range Blocks(n) {
		nr := NR(n, b)
		calls = append(calls, Pointwise{
			Dst: dst[b*pixels*Block:], Src: src, W: filled(k * nr), Bias: filled(nr),
			Pixels: pixels, K: k, SrcStride: pixels * Block, NR: nr, ReLU6: true,
		})
	}
	return calls
}

func BenchmarkDepthwise(b *testing.B) {
	for _, set := range Available() {
		peak := peak(set)
		for _, s := range []struct{ width, stride, height int }{{112, 1, 2}, {112, 2, 2}, {56, 1, 2}, {56, 2, 2}, {28, 1, 28}, {14, 1, 14}, {7, 1, 7}} {
			b.Run(fmt.Sprintf("isa=%s/width=%d/stride=%d/rows=%d", set.Name, s.width, s.stride, s.height), func(b *testing.B) {
				row := s.width * Block
				a := Depthwise{
					Rows: make([][]float32, (s.height-1)*s.stride+3), W: filled(9 * Block), Bias: filled(Block),
					Width: s.width, Stride: s.stride, Left: 1, NR: Block, ReLU6: true,
				}
				all := filled(len(a.Rows) * row)
				for j := range a.Rows {
					a.Rows[j] = all[j*row:][:row]
				}
				a.Dst = Aligned(s.height * a.OutWidth() * Block)
				for b.Loop() {
					set.Depthwise(a)
				}
				report(b, s.height*a.OutWidth()*9*Block, peak)
			})
		}
	}
}

func BenchmarkFirst(b *testing.B) {
	for _, set := range Available() {
		peak := peak(set)
		b.Run(fmt.Sprintf("isa=%s/width=112", set.Name), func(b *testing.B) {
			const width = 112
			a := First{Dst: Aligned(width * Block), W: filled(27 * Block), Bias: filled(Block), Width: width, NR: Block}
			for j := range a.Rows {
				a.Rows[j] = filled(6*width + 3)
			}
			for b.Loop() {
				set.First(a)
			}
			report(b, width*27*Block, peak)
		})
	}
}

func BenchmarkPool(b *testing.B) {
	for _, set := range Available() {
		b.Run(fmt.Sprintf("isa=%s/pixels=49", set.Name), func(b *testing.B) {
			a := Pool{Dst: Aligned(Block), Src: filled(49 * Block), Pixels: 49}
			for b.Loop() {
				set.Pool(a)
			}
		})
	}
}

func BenchmarkPeak(b *testing.B) {
	for _, set := range Available() {
		b.Run("isa="+set.Name, func(b *testing.B) {
			flops := 0
			for b.Loop() {
				flops += set.Peak(10_000)
			}
			b.ReportMetric(float64(flops)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

// BenchmarkPointwiseGrad has blocks of inputs and outputs as layers have them, and
// pixels as in strips of them.
func BenchmarkPointwiseGrad(b *testing.B) {
	for _, set := range Available() {
		peak := peak(set)
		for _, s := range []struct{ pixels, k, nr int }{{784, 32, 32}, {196, 32, 32}, {49, 32, 32}, {784, 16, 32}, {784, 24, 32}, {784, 32, 24}, {784, 32, 16}, {784, 32, 8}} {
			b.Run(fmt.Sprintf("isa=%s/shape=%dx%dx%d", set.Name, s.pixels, s.k, s.nr), func(b *testing.B) {
				a := PointwiseGrad{
					DW: filled(Block * s.nr), Src: filled(s.pixels * Block), Grad: filled(s.pixels * Block),
					Pixels: s.pixels, K: s.k, NR: s.nr,
				}
				for b.Loop() {
					set.PointwiseGrad(a)
				}
				report(b, s.pixels*s.k*s.nr, peak)
			})
		}
	}
}
