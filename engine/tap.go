package engine

import "github.com/mobilenet-go/mobilenet/internal/kernel"

// A tap writes the output of a module to the caller's slice, one block of channels
// of an image a task. Where the output is never whole in memory, because the
// module is fused with another, the tap computes it on its own, to the same bits.
type tap struct {
	module   string
	at       int // in the run's taps
	channels int
	images   int     // 1, or those of the tail
	src      *tensor // the output, or what the module's convolution reads
	read     reader
	macs     int // of one image, where read computes
	work     int // bytes of scratch that read takes
}

// A reader returns n pixels, at most tapPixels, of a block from pixel p on.
type reader func(x *exec, block, p, n int) []float32

// tapPixels is how many pixels a tap transposes at a time: 16 KB of a block.
const tapPixels = 128

func (s *tap) blocks() int  { return kernel.Blocks(s.channels) }
func (s *tap) tasks() int   { return s.images * s.blocks() }
func (s *tap) scratch() int { return s.work }

func (s *tap) run(x *exec, task int) {
	image, block := task/s.blocks(), task%s.blocks()
	pixels := s.src.h * s.src.w
	for p := 0; p < pixels; p += tapPixels {
		s.write(x, image, block, p, s.read(x, block, image*pixels+p, min(tapPixels, pixels-p)))
	}
}

// write puts some pixels of a block, from pixel p of an image on, where they go.
func (s *tap) write(x *exec, image, block, p int, src []float32) {
	pixels := s.src.h * s.src.w
	n := s.channels * pixels
	dst := x.taps[s.at][(x.first+x.image+image)*n:][:n][block*kernel.Block*pixels:]
	for c := range min(kernel.Block, s.channels-block*kernel.Block) {
		row := dst[c*pixels+p:][:len(src)/kernel.Block]
		for i := range row {
			row[i] = src[i*kernel.Block+c]
		}
	}
}

func (s *tap) describe() Step {
	return Step{Name: "output of " + s.module, Out: [3]int{s.channels, s.src.h, s.src.w}, MACs: s.macs}
}

// tapOf is a tap of a tensor of float32.
func tapOf(src *tensor, channels int) tap {
	return tap{src: src, channels: channels, read: func(x *exec, block, p, n int) []float32 {
		return src.block(x, block, p)[:n*kernel.Block]
	}}
}

// tapThrough is a tap of a 1x1 convolution of src.
func (net *network) tapThrough(src *tensor, w *weights, relu6 bool) tap {
	read := func(x *exec, block, p, n int) []float32 {
		dst := x.scratch.f32()[:n*kernel.Block]
		net.set.Pointwise(kernel.Pointwise{
			Dst: dst, Src: src.from(x, p), SrcStride: src.stride(),
			W: w.w[block], Bias: w.bias[block], NR: w.nr(block), K: w.k,
			Pixels: n, ReLU6: relu6,
		})
		return dst
	}
	return tap{src: src, channels: w.n, read: read, macs: w.macs(src.h * src.w), work: tapPixels * kernel.Block * f32Bytes}
}
