package engine

import (
	"fmt"
	"math"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// int8Expand is expand of 8-bit integers.
type int8Expand struct {
	net  *int8Network
	b    *int8Bottleneck
	src  *tensor
	dst  *tensor
	top  int // rows and
	left int // columns of padding before src
	band int // output rows a task

	padding []uint8 // a row of it
}

func newInt8Expand(net *int8Network, b *int8Bottleneck, src *tensor, threads int) *int8Expand {
	padding := net.quantized.Config.Padding
	dst := u8Tensor(src.images, size{b.Depthwise.OutSize(src.h), b.Depthwise.OutSize(src.w)}, b.depthwise.blocks())
	s := &int8Expand{
		net: net, b: b, src: src, dst: dst, band: dst.h,
		top: padding.Before(src.h, b.Stride), left: padding.Before(src.w, b.Stride),
	}
	s.padding = rowOf(b.depthwise.in.Zero, s.row())
	if bands := 3 * threads / dst.blocks; threads > 1 && bands > 1 && src.images == 1 { // as newExpand
		s.band = max(4, (dst.h+bands-1)/bands)
	}
	return s
}

func (s *int8Expand) bands() int { return (s.dst.h + s.band - 1) / s.band }
func (s *int8Expand) tasks() int { return s.dst.blocks * s.bands() }

// row is the bytes of a row of a block.
func (s *int8Expand) row() int { return s.src.w * kernel.Block }

// scratch holds a band's expanded rows, of each image.
func (s *int8Expand) scratch() int {
	if s.b.Expand == nil {
		return 0
	}
	return s.row() * s.src.images * min(s.src.h, s.b.Stride*(s.band-1)+3)
}

func (s *int8Expand) run(x *exec, task int) {
	hb, band := task/s.bands(), task%s.bands()
	begin := band * s.band
	end := min(begin+s.band, s.dst.h)
	from := max(0, s.b.Stride*begin-s.top) // the first input row that the band needs
	to := min(s.src.h, s.b.Stride*(end-1)-s.top+3)
	rows := s.expanded(x, hb, from, to)
	for image := range s.src.images {
		s.depthwise(x, hb, image, begin, end, from, rows[image*(to-from)*s.row():])
	}
}

// depthwise makes rows begin to end of hidden block hb of an image. rows are its
// expanded rows from row from on.
func (s *int8Expand) depthwise(x *exec, hb, image, begin, end, from int, rows []uint8) {
	w := &s.b.depthwise
	a := kernel.DepthwiseInt8{
		Filter: w.filters[hb], Range: w.bytes,
		Width: s.src.w, Stride: s.b.Stride, Left: s.left, Pad: w.in.Zero,
	}
	n := s.row()
	for y := begin; y < end; y += 1 + a.More {
		first := s.b.Stride*y - s.top
		for j := range a.Rows {
			if in := first + j; in < 0 || in >= s.src.h {
				a.Rows[j] = s.padding
			} else {
				a.Rows[j] = rows[(in-from)*n:]
			}
		}
		a.More = 0
		if first >= 0 { // up to the last row that reads no padding
			a.More = max(0, min(end-1-y, (s.src.h-window-first)/s.b.Stride))
		}
		a.Dst = s.dst.block8(x, hb, (image*s.dst.h+y)*s.dst.w)
		s.net.set.Depthwise(a)
	}
}

// expanded returns rows from to to of hidden block hb: computed, or where the
// expand ratio is 1 the input itself. Of several images they are all rows.
func (s *int8Expand) expanded(x *exec, hb, from, to int) []uint8 {
	if s.b.Expand == nil {
		return s.src.block8(x, hb, from*s.src.w)
	}
	a := s.b.expand.pointwise(s.src.from8(x, from*s.src.w), s.src.stride(), hb, s.src.images*(to-from)*s.src.w)
	a.Dst = x.scratch
	s.net.set.Pointwise(a)
	return a.Dst
}

// int8Project is project of 8-bit integers.
type int8Project struct {
	net   *int8Network
	b     *int8Bottleneck
	src   *tensor // hidden
	dst   *tensor
	add   *tensor // the bottleneck's input
	chunk int     // pixels a task
}

// newInt8Project lacks the tensor that it puts out.
func newInt8Project(net *int8Network, b *int8Bottleneck, src, add *tensor, threads int) *int8Project {
	s := &int8Project{net: net, b: b, src: src, add: add, chunk: chunkPixels}
	for threads > 1 && s.tasks() < tasksPerThread*threads && s.chunk > minChunk {
		s.chunk -= minChunk
	}
	return s
}

func (s *int8Project) chunks() int { return (s.src.pixels() + s.chunk - 1) / s.chunk }
func (s *int8Project) tasks() int  { return s.b.project.blocks() * s.chunks() }

// scratch is for float32 that nobody else wants.
func (s *int8Project) scratch() int {
	if s.b.wide && s.dst.wide == nil {
		return s.chunk * kernel.Block * f32Bytes
	}
	return 0
}

func (s *int8Project) run(x *exec, task int) {
	ob, p := task/s.chunks(), task%s.chunks()*s.chunk
	pixels := min(s.chunk, s.src.pixels()-p)
	n := pixels * kernel.Block
	a := s.b.project.pointwise(s.src.from8(x, p), s.src.stride(), ob, pixels)
	dst := s.dst.block8(x, ob, p)[:n]
	if s.b.wide {
		if s.dst.wide != nil {
			a.Float = s.dst.wide.block(x, ob, p)
		} else {
			a.Float = x.scratch.f32()[:n]
		}
		if s.b.Residual() {
			a.Add = s.add.wide.block(x, ob, p)
		}
		s.net.wideSum(a, s.b, dst)
		return
	}
	a.Dst = dst
	var add []uint8
	if s.b.Residual() {
		add = s.add.block8(x, ob, p)[:n]
	}
	s.net.byteSum(a, s.b, add)
}

// int8LastPool is lastPool of 8-bit integers.
type int8LastPool struct {
	net *int8Network
	src *tensor
	dst *tensor // 1x1

	tap     *tap     // of the convolution, or nil
	numbers *numbers // that the convolution's bytes stand for
}

func (s *int8LastPool) tasks() int { return s.dst.blocks }

// scratch holds the convolution's bytes, sums of the pool, and numbers for the tap.
func (s *int8LastPool) scratch() int {
	n := s.src.stride() + kernel.Block*f32Bytes
	if s.tap != nil {
		n += tapPixels * kernel.Block * f32Bytes
	}
	return n
}

func (s *int8LastPool) run(x *exec, task int) {
	w := &s.net.last
	last := w.pointwise(s.src.from8(x, 0), s.src.stride(), task, s.src.pixels())
	last.Dst = x.scratch
	s.net.set.Pointwise(last)
	n := s.src.h * s.src.w * kernel.Block
	floats := x.scratch[s.src.stride():].f32()
	sums := floats[:kernel.Block]
	for i := range s.src.images {
		if s.tap != nil {
			s.write(x, i, task, x.scratch[i*n:][:n], floats[kernel.Block:])
		}
		dst := s.dst.block8(x, task, i)[:kernel.Block]
		s.net.pool(dst, x.scratch[i*n:][:n], sums)
		if x.features != nil {
			features := x.features[i*w.n : (i+1)*w.n][task*kernel.Block:]
			for c := range min(len(features), kernel.Block) {
				features[c] = s.net.quantized.Pool.Dequantize(dst[c])
			}
		}
	}
}

// write puts the numbers of a block of an image where the tap has them. There is room
// for those of tapPixels.
func (s *int8LastPool) write(x *exec, image, block int, bytes []uint8, room []float32) {
	for at := 0; at < len(bytes); at += tapPixels * kernel.Block {
		piece := room[:min(tapPixels*kernel.Block, len(bytes)-at)]
		s.numbers.of(piece, bytes[at:])
		s.tap.write(x, image, block, at/kernel.Block, piece)
	}
}

// pool averages the pixels of a block. There is room for a number of each channel.
func (net *int8Network) pool(dst, src []uint8, sums []float32) {
	q := &net.quantized
	in, out, pixels := net.last.out, q.Pool, len(src)/kernel.Block
	if !q.LiteRT {
		net.set.Pool(kernel.PoolInt8{
			Dst: dst, Src: src, Pixels: pixels, Zero: in.Zero, Range: rangeOf(out, 0, 255),
			M: in.Scale / (out.Scale * float32(pixels)),
		})
		return
	}
	origin := uint8(0) // the byte of the integer 0
	if q.Signed {
		origin = 128
	}
	m := in.Scale / out.Scale * (1 / float32(pixels))
	if q.AveragePool {
		m = 1
	}
	net.set.Pool(kernel.PoolInt8{Float: sums, Src: src, Pixels: pixels, Zero: origin, M: m})
	if q.AveragePool {
		for c, sum := range sums { // an integer, and exact
			dst[c] = uint8(math.Round(float64(sum)/float64(pixels)) + float64(origin))
		}
		return
	}
	number := func(zero uint8) float32 { return float32(int(zero) - int(origin)) }
	offset := number(out.Zero) - float32(number(in.Zero)*float32(pixels)*m)
	for c := range sums {
		sums[c] += offset
	}
	net.set.Quantize(kernel.QuantizeInt8{Dst: dst, Src: sums, M: 1, Range: kernel.Range{Zero: int32(origin), Max: 255}})
}

// int8Classifier is the linear layer, one block of classes a task.
type int8Classifier struct {
	net *int8Network
	src *tensor // 1x1
}

func (s *int8Classifier) tasks() int   { return s.net.classifier.blocks() }
func (s *int8Classifier) scratch() int { return (s.src.images*f32Bytes + 1) * kernel.Block }

func (s *int8Classifier) run(x *exec, task int) {
	if x.logits == nil {
		return
	}
	w := &s.net.classifier
	n := s.src.images
	a := w.pointwise(s.src.from8(x, 0), s.src.stride(), task, n)
	if w.float {
		a.Float = x.scratch.f32()[:n*kernel.Block]
	} else {
		a.Dst = x.scratch[:n*kernel.Block]
	}
	s.net.set.Pointwise(a)
	for i := range n {
		logits := x.logits[i*w.n : (i+1)*w.n][task*kernel.Block:]
		if w.float {
			copy(logits, a.Float[i*kernel.Block:][:kernel.Block])
			continue
		}
		bytes := a.Dst[i*kernel.Block:][:kernel.Block]
		if b := s.net.quantized.ClassBias; b != nil {
			added := x.scratch[n*kernel.Block:][:kernel.Block]
			copy(added, b.Bytes[task*kernel.Block:])
			s.net.classBias.add(s.net.set, bytes, bytes, added)
		}
		for c := range min(len(logits), kernel.Block) {
			logits[c] = s.net.logits.Dequantize(bytes[c])
		}
	}
}

func (s *int8Expand) describe() Step {
	name := s.b.Name + " expand, depthwise"
	if s.b.Expand == nil {
		name = s.b.Name + " depthwise"
	}
	return Step{
		Name: name, Out: [3]int{s.b.Hidden, s.dst.h, s.dst.w},
		MACs: s.b.expand.macs(s.src.h*s.src.w) + s.b.depthwise.macs(s.dst.h*s.dst.w),
	}
}

func (s *int8Project) describe() Step {
	return Step{
		Name: s.b.Name + " project", Out: [3]int{s.b.Out, s.dst.h, s.dst.w},
		MACs: s.b.project.macs(s.dst.h * s.dst.w),
	}
}

func (s *int8LastPool) describe() Step {
	return Step{
		Name: fmt.Sprintf("features.%d, avgpool", len(s.net.bottlenecks)+1), Out: [3]int{s.net.last.n, 1, 1},
		MACs: s.net.last.macs(s.src.h * s.src.w),
	}
}

func (s *int8Classifier) describe() Step {
	w := &s.net.classifier
	return Step{Name: "classifier", Out: [3]int{w.n, 1, 1}, MACs: w.macs(1)}
}
