package engine

import (
	"math"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// expand is the expansion and the depthwise convolution of a bottleneck, one
// block of hidden channels and one band of rows a task: the expanded tensor itself
// exists only for that, in scratch.
type expand struct {
	net  *network
	b    *bottleneck
	src  *tensor
	dst  *tensor
	top  int // rows and
	left int // columns of padding before src
	band int // output rows a task
}

func newExpand(net *network, b *bottleneck, src *tensor, threads int) *expand {
	dst := f32Tensor(src.images, size{b.Depthwise.OutSize(src.h), b.Depthwise.OutSize(src.w)}, b.depthwise.blocks())
	s := &expand{
		net: net, b: b, src: src, dst: dst, band: dst.h,
		top: net.config.Padding.Before(src.h, b.Stride), left: net.config.Padding.Before(src.w, b.Stride),
	}
	if threads > 1 && src.images == 1 {
		s.band = s.bestBand(threads)
	}
	return s
}

// taskMACs is what a task costs besides its work, as MACs.
const taskMACs = 20_000

// bestBand returns the rows a task with which the thread that has the most tasks is
// ready first. Fewer rows even out the threads where the blocks don't go into their
// number, but a band expands up to two rows that its neighbour expands, too.
func (s *expand) bestBand(threads int) int {
	best, least := s.dst.h, math.MaxInt
	for bands := 1; bands <= s.dst.h; bands++ {
		rows := (s.dst.h + bands - 1) / bands
		in := min(s.src.h, s.b.Stride*(rows-1)+window)
		macs := in*s.src.w*s.b.expand.k + rows*s.dst.w*s.b.depthwise.k
		tasks := s.dst.blocks * ((s.dst.h + rows - 1) / rows)
		cost := (tasks + threads - 1) / threads * (macs*kernel.Block + taskMACs)
		if cost < least {
			best, least = rows, cost
		}
	}
	return best
}

func (s *expand) bands() int { return (s.dst.h + s.band - 1) / s.band }
func (s *expand) tasks() int { return s.dst.blocks * s.bands() }

// scratch holds a row of zeros and a band's input rows, of each image.
func (s *expand) scratch() int {
	row := s.src.w * kernel.Block * f32Bytes
	if s.b.Expand == nil {
		return row
	}
	return row * (1 + s.src.images*min(s.src.h, s.b.Stride*(s.band-1)+3))
}

func (s *expand) run(x *exec, task int) {
	hb, band := task/s.bands(), task%s.bands()
	begin := band * s.band
	end := min(begin+s.band, s.dst.h)
	from := max(0, s.b.Stride*begin-s.top) // the first input row that the band needs
	to := min(s.src.h, s.b.Stride*(end-1)-s.top+3)
	zeros := x.scratch.f32()[:s.src.w*kernel.Block]
	clear(zeros)
	rows := s.expanded(x, hb, from, to)
	for image := range s.src.images {
		s.depthwise(x, hb, image, begin, end, from, rows[image*(to-from)*len(zeros):], zeros)
	}
}

// depthwise makes rows begin to end of hidden block hb of an image, as many in a
// call as there is a table for. rows are its expanded rows from row from on.
func (s *expand) depthwise(x *exec, hb, image, begin, end, from int, rows, zeros []float32) {
	w := &s.b.depthwise
	a := kernel.Depthwise{
		W: w.w[hb], Bias: w.bias[hb], NR: w.nr(hb),
		Width: s.src.w, Stride: s.b.Stride, Left: s.left, ReLU6: true,
	}
	for y := begin; y < end; y += a.OutHeight() {
		n := min(end-y, (len(x.rows)-window)/s.b.Stride+1)
		a.Rows = x.rows[:(n-1)*s.b.Stride+window]
		for j := range a.Rows {
			in := s.b.Stride*y - s.top + j
			if in < 0 || in >= s.src.h {
				a.Rows[j] = zeros
			} else {
				a.Rows[j] = rows[(in-from)*len(zeros):][:len(zeros)]
			}
		}
		a.Dst = s.dst.block(x, hb, (image*s.dst.h+y)*s.dst.w)
		s.net.set.Depthwise(a)
	}
}

// expanded returns rows from to to of hidden block hb: computed, or where the
// expand ratio is 1 the input itself. Of several images they are all rows.
func (s *expand) expanded(x *exec, hb, from, to int) []float32 {
	if s.b.Expand == nil {
		return s.src.block(x, hb, from*s.src.w)
	}
	w := &s.b.expand
	dst := x.scratch.f32()[s.src.w*kernel.Block:]
	s.net.set.Pointwise(kernel.Pointwise{
		Dst: dst, Src: s.src.from(x, from*s.src.w),
		W: w.w[hb], Bias: w.bias[hb], NR: w.nr(hb), K: w.k,
		Pixels: s.src.images * (to - from) * s.src.w, SrcStride: s.src.stride(), ReLU6: true,
	})
	return dst
}

// project is a bottleneck's linear convolution, with its residual; a task is a
// chunk of pixels of a block of output channels.
type project struct {
	net   *network
	b     *bottleneck
	src   *tensor // hidden
	dst   *tensor
	add   *tensor // the bottleneck's input
	chunk int     // pixels a task
}

const (
	// chunkPixels bounds a task to a few ten microseconds. It is a multiple of
	// all kernels' tiles.
	chunkPixels = 168
	// minChunk still repays loading the weights.
	minChunk = 24
	// tasksPerThread is how many tasks let two threads end at about the same
	// time, whatever their number.
	tasksPerThread = 4
)

func newProject(net *network, b *bottleneck, src, add *tensor, threads int) *project {
	s := &project{net: net, b: b, src: src, add: add}
	s.dst = f32Tensor(src.images, size{src.h, src.w}, b.project.blocks())
	s.chunk = evenChunk(src.pixels(), s.dst.blocks, threads)
	return s
}

// evenChunk returns how many pixels of each block of channels are a task of a
// convolution, so that all tasks are about as large and their number is a multiple
// of the threads, if it can be.
func evenChunk(pixels, blocks, threads int) int {
	if threads == 1 {
		return pixels
	}
	n := (pixels + chunkPixels - 1) / chunkPixels
	most := max(n, pixels/minChunk)
	for n < most && n*blocks < tasksPerThread*threads {
		n++
	}
	for even := n; even <= most; even++ {
		if even*blocks%threads == 0 {
			n = even
			break
		}
	}
	return (pixels + n - 1) / n
}

func (s *project) chunks() int  { return (s.src.pixels() + s.chunk - 1) / s.chunk }
func (s *project) tasks() int   { return s.dst.blocks * s.chunks() }
func (s *project) scratch() int { return 0 }

func (s *project) run(x *exec, task int) {
	ob, p := task/s.chunks(), task%s.chunks()*s.chunk
	w := &s.b.project
	a := kernel.Pointwise{
		Dst: s.dst.block(x, ob, p), Src: s.src.from(x, p),
		W: w.w[ob], Bias: w.bias[ob], NR: w.nr(ob), K: w.k,
		Pixels: min(s.chunk, s.src.pixels()-p), SrcStride: s.src.stride(),
	}
	if s.b.Residual() {
		a.Add = s.add.block(x, ob, p)
	}
	s.net.set.Pointwise(a)
}

// lastPool is the last convolution and the global average pool behind it, one
// block of channels a task.
type lastPool struct {
	net *network
	src *tensor
	dst *tensor // 1x1
	tap *tap    // of the convolution, or nil
}

func (s *lastPool) tasks() int   { return s.dst.blocks }
func (s *lastPool) scratch() int { return s.src.stride() * f32Bytes }

func (s *lastPool) run(x *exec, task int) {
	w := &s.net.last
	s.net.set.Pointwise(kernel.Pointwise{
		Dst: x.scratch.f32(), Src: s.src.from(x, 0),
		W: w.w[task], Bias: w.bias[task], NR: w.nr(task), K: w.k,
		Pixels: s.src.pixels(), SrcStride: s.src.stride(), ReLU6: true,
	})
	pixels := s.src.h * s.src.w
	for i := range s.src.images {
		dst := s.dst.block(x, task, i)[:kernel.Block]
		of := x.scratch.f32()[i*pixels*kernel.Block:][:pixels*kernel.Block]
		s.net.set.Pool(kernel.Pool{Dst: dst, Src: of, Pixels: pixels})
		if s.tap != nil {
			s.tap.write(x, i, task, 0, of)
		}
		if x.features != nil {
			copy(x.features[i*w.n : (i+1)*w.n][task*kernel.Block:], dst)
		}
	}
}

// linear is a layer of the head, one block of outputs a task: the classifier, or one
// before it, with ReLU behind it.
type linear struct {
	net *network
	w   *weights
	src *tensor // 1x1
	dst *tensor // 1x1; nil for the classifier, whose outputs are the logits
}

func (s *linear) tasks() int   { return s.w.blocks() }
func (s *linear) scratch() int { return s.src.images * kernel.Block * f32Bytes }

func (s *linear) run(x *exec, task int) {
	if x.logits == nil {
		return
	}
	w := s.w
	dst := x.scratch.f32()[:s.src.images*kernel.Block]
	if s.dst != nil {
		dst = s.dst.block(x, task, 0)[:len(dst)]
	}
	s.net.set.Pointwise(kernel.Pointwise{
		Dst: dst, Src: s.src.from(x, 0),
		W: w.w[task], Bias: w.bias[task], NR: w.nr(task), K: w.k,
		Pixels: s.src.images, SrcStride: s.src.stride(),
	})
	if s.dst != nil {
		for i, v := range dst {
			dst[i] = max(v, 0) // NaN stays
		}
		return
	}
	for i := range s.src.images {
		copy(x.logits[i*w.n : (i+1)*w.n][task*kernel.Block:], dst[i*kernel.Block:][:kernel.Block])
	}
}
