package kernel

import (
	"fmt"
	"testing"
)

func BenchmarkPointwise(b *testing.B) {
	for _, set := range Available() {
		for _, s := range []struct{ pixels, k int }{{196, 24}, {196, 96}, {196, 384}, {49, 960}} {
			b.Run(fmt.Sprintf("isa=%s/shape=%dx%dx32", set.Name, s.pixels, s.k), func(b *testing.B) {
				a := Pointwise{
					Dst: Aligned(s.pixels * Block), Src: Aligned(Blocks(s.k) * s.pixels * Block),
					W: Aligned(s.k * Block), Bias: Aligned(Block),
					Pixels: s.pixels, K: s.k, SrcStride: s.pixels * Block, NR: Block, ReLU6: true,
				}
				for b.Loop() {
					set.Pointwise(a)
				}
				macs := float64(s.pixels * s.k * Block)
				b.ReportMetric(2*macs*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

func BenchmarkDepthwise(b *testing.B) {
	for _, set := range Available() {
		for _, s := range []struct{ width, stride int }{{56, 1}, {56, 2}, {14, 1}, {7, 1}} {
			b.Run(fmt.Sprintf("isa=%s/width=%d/stride=%d", set.Name, s.width, s.stride), func(b *testing.B) {
				row := Aligned(s.width * Block)
				a := Depthwise{
					Dst: Aligned(s.width * Block), Rows: [3][]float32{row, row, row},
					W: Aligned(9 * Block), Bias: Aligned(Block),
					Width: s.width, Stride: s.stride, Left: 1, NR: Block,
				}
				for b.Loop() {
					set.Depthwise(a)
				}
				macs := float64(a.OutWidth() * 9 * Block)
				b.ReportMetric(2*macs*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
