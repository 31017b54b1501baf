package engine

import "github.com/mobilenet-go/mobilenet/internal/kernel"

// A tap writes the output of a module to the caller's slice, one block of channels
// of an image a task. Where the output is never whole in memory, because the
// module is fused with another, the tap computes it on its own, to the same bits.
type tap struct {
	net      *network
	module   string
	at       int // in the run's taps
	channels int
	images   int      // 1, or those of the tail
	src      *tensor  // the output, or what the module's convolution reads
	w        *weights // of that convolution, or nil
	relu6    bool
}

// tapPixels is how many pixels a tap transposes at a time: 16 KB of a block.
const tapPixels = 128

func (s *tap) blocks() int { return kernel.Blocks(s.channels) }
func (s *tap) tasks() int  { return s.images * s.blocks() }

func (s *tap) scratch() int {
	if s.w == nil {
		return 0
	}
	return tapPixels * kernel.Block * f32Bytes
}

func (s *tap) run(x *exec, task int) {
	image, block := task/s.blocks(), task%s.blocks()
	pixels := s.src.h * s.src.w
	n := s.channels * pixels
	dst := x.taps[s.at][(x.first+x.image+image)*n:][:n][block*kernel.Block*pixels:]
	for p := 0; p < pixels; p += tapPixels {
		src := s.output(x, block, image*pixels+p, min(tapPixels, pixels-p))
		for c := range min(kernel.Block, s.channels-block*kernel.Block) {
			row := dst[c*pixels+p:][:len(src)/kernel.Block]
			for i := range row {
				row[i] = src[i*kernel.Block+c]
			}
		}
	}
}

// output returns n pixels of a block from pixel p on.
func (s *tap) output(x *exec, block, p, n int) []float32 {
	if s.w == nil {
		return s.src.block(x, block, p)[:n*kernel.Block]
	}
	dst := x.scratch.f32()[:n*kernel.Block]
	s.net.set.Pointwise(kernel.Pointwise{
		Dst: dst, Src: s.src.from(x, p), SrcStride: s.src.stride(),
		W: s.w.w[block], Bias: s.w.bias[block], NR: s.w.nr(block), K: s.w.k,
		Pixels: n, ReLU6: s.relu6,
	})
	return dst
}

func (s *tap) describe() Step {
	d := Step{Name: "output of " + s.module, Out: [3]int{s.channels, s.src.h, s.src.w}}
	if s.w != nil {
		d.MACs = s.w.macs(s.src.h * s.src.w)
	}
	return d
}
