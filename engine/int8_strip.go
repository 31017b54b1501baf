package engine

import (
	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// An int8Strip is a strip of 8-bit integers.
type int8Strip struct {
	net    *int8Network
	src    *tensor // nil: the image, and the first level is the first convolution
	levels []int8Level
	dst    *tensor // output of the last level
	band   int     // its rows a task
	size   int     // bytes of scratch
}

// An int8Level is a layer of a strip: an inverted residual, or the first convolution
// where b is nil. The places are offsets into scratch, those of wide in floats.
type int8Level struct {
	b         *int8Bottleneck
	in, out   size
	stride    int
	top, left int     // rows and columns of padding
	line      int     // bytes of a row that a 3x3 convolution reads
	pad       uint8   // what padding holds, the zero point of what it reads
	padding   []uint8 // [line], a row of padding
	hidden    ring    // expanded rows
	image     int     // [window][line], image rows with their padding
	mixed     ring    // a row after the depthwise convolution
	rows      ring    // output, unless it is the strip's last level
	wide      ring    // output in float32, in a wide network
}

// row8 and from8 are row and from of a ring of bytes.
func (r ring) row8(scratch []uint8, b, y int) []uint8 {
	n := r.w * kernel.Block
	return scratch[r.at+b*r.stride()+y%r.rows*n:][:n]
}

func (r ring) from8(scratch []uint8, y int) []uint8 {
	return scratch[r.at+y%r.rows*r.w*kernel.Block : r.at+r.floats()]
}

// newInt8Strip plans bottlenecks behind src, or behind the first convolution of an
// image of size in where src is nil. It lacks the tensor that it puts out.
func newInt8Strip(net *int8Network, in size, src *tensor, bottlenecks []int8Bottleneck, threads int) *int8Strip {
	s := &int8Strip{net: net, src: src}
	if src == nil {
		in = s.add(int8Level{in: in, stride: 2, pad: net.first.in.Zero})
	}
	for i := range bottlenecks {
		b := &bottlenecks[i]
		in = s.add(int8Level{b: b, in: in, stride: b.Stride, pad: b.depthwise.in.Zero})
	}
	s.band = max(2, (in.h+threads-1)/threads) // as newStrip
	return s
}

// add completes a level and returns its output size.
func (s *int8Strip) add(l int8Level) size {
	padding := s.net.quantized.Config.Padding
	l.out = size{(l.in.h + l.stride - 1) / l.stride, (l.in.w + l.stride - 1) / l.stride}
	l.top, l.left = padding.Before(l.in.h, l.stride), padding.Before(l.in.w, l.stride)
	l.line = l.in.w * kernel.Block
	blocks, wide := s.net.first.blocks(), s.net.firstWide != nil
	if l.b == nil {
		l.line = 6*l.out.w + 6
	} else {
		l.mixed = ring{blocks: l.b.depthwise.blocks(), rows: 1, w: l.out.w}
		if l.b.Expand != nil {
			l.hidden = ring{blocks: l.b.depthwise.blocks(), rows: window, w: l.in.w}
		}
		blocks, wide = l.b.project.blocks(), l.b.wide
	}
	l.rows = ring{blocks: blocks, rows: window, w: l.out.w}
	if wide {
		l.wide = l.rows
	}
	s.levels = append(s.levels, l)
	return l.out
}

// finish has the last level put out dst, and lays the levels out in scratch, each
// piece at a cache line's start.
func (s *int8Strip) finish(dst *tensor) {
	s.dst = dst
	last := &s.levels[len(s.levels)-1]
	last.rows = ring{}
	switch {
	case dst.wide != nil:
		last.wide = ring{}
	case last.b != nil && last.b.wide:
		last.wide.rows = 1
	}
	take := func(bytes int) (at int) {
		at = s.size
		s.size += int(wholeLines(bytes))
		return at
	}
	for i := range s.levels {
		l := &s.levels[i]
		l.padding = rowOf(l.pad, l.line)
		if l.b == nil {
			l.image = take(window * l.line)
		}
		for _, r := range []*ring{&l.hidden, &l.mixed, &l.rows} {
			r.at = take(r.floats())
		}
		l.wide.at = take(l.wide.floats()*f32Bytes) / f32Bytes
	}
}

func (s *int8Strip) tasks() int   { return (s.dst.h + s.band - 1) / s.band }
func (s *int8Strip) scratch() int { return s.size }

func (s *int8Strip) run(x *exec, task int) {
	var p progress
	begin := task * s.band
	first := begin
	for i := len(s.levels) - 1; i >= 0; i-- {
		l := &s.levels[i]
		p[i].out = first
		first = max(0, first*l.stride-l.top)
		p[i].expand = first
	}
	s.advance(x, &p, len(s.levels)-1, min(begin+s.band, s.dst.h))
}

// rowOf returns n times v. Plans keep rows of padding: to write them anew in every
// task took a hundredth of a run.
func rowOf(v uint8, n int) []uint8 {
	row := kernel.AlignedBytes(n)
	fill(row, v)
	return row
}

func fill(dst []uint8, v uint8) {
	for i := range dst {
		dst[i] = v
	}
}

// advance has level i put out its rows up to row end.
func (s *int8Strip) advance(x *exec, p *progress, i, end int) {
	l := &s.levels[i]
	for ; p[i].out < end; p[i].out++ {
		y := p[i].out
		s.expand(x, p, i, min(l.in.h, y*l.stride-l.top+window))
		if l.b == nil {
			s.firstRow(x, i, y)
			continue
		}
		s.depthwiseRow(x, i, y)
		s.projectRow(x, i, y)
	}
}

// expand gets the rows that level i reads ready, up to row end: it has the level
// before make them and expands them.
func (s *int8Strip) expand(x *exec, p *progress, i, end int) {
	l := &s.levels[i]
	for ; p[i].expand < end; p[i].expand++ {
		y := p[i].expand
		if i > 0 {
			s.advance(x, p, i-1, y+1)
		}
		if l.b == nil {
			s.load(x, l, y)
			continue
		}
		if l.b.Expand == nil {
			continue
		}
		src, stride := s.input(x, i, y)
		for b := range l.b.expand.blocks() {
			a := l.b.expand.pointwise(src, stride, b, l.in.w)
			a.Dst = l.hidden.row8(x.scratch, b, y)
			s.net.set.Pointwise(a)
		}
	}
}

// pointwise is the convolution of so many pixels into block b. Dst or Float is for
// the caller to say.
func (l *int8Layer) pointwise(src []uint8, stride, b, pixels int) kernel.PointwiseInt8 {
	return kernel.PointwiseInt8{Src: src, SrcStride: stride, Filter: l.filters[b], Range: l.bytes, Pixels: pixels}
}

// input returns row y of what level i reads, and the distance of its blocks.
func (s *int8Strip) input(x *exec, i, y int) (row []uint8, stride int) {
	if i == 0 {
		return s.src.from8(x, y*s.src.w), s.src.stride()
	}
	r := s.levels[i-1].rows
	return r.from8(x.scratch, y), r.stride()
}

// output returns row y of block b of what level i puts out.
func (s *int8Strip) output(x *exec, i, b, y int) []uint8 {
	l := &s.levels[i]
	if l.rows.rows == 0 {
		return s.dst.block8(x, b, y*s.dst.w)[:l.out.w*kernel.Block]
	}
	return l.rows.row8(x.scratch, b, y)
}

// wide returns row y of block b of what level i puts out in float32; before level 0
// is what the strip reads.
func (s *int8Strip) wide(x *exec, i, b, y int) []float32 {
	var t *tensor
	switch {
	case i < 0:
		t = s.src
	case s.levels[i].wide.rows == 0:
		t = s.dst
	default:
		return s.levels[i].wide.row(x.scratch.f32(), b, y)
	}
	return t.wide.block(x, b, y*t.w)[:t.w*kernel.Block]
}

// depthwiseRow is row y of the depthwise convolution of level i.
func (s *int8Strip) depthwiseRow(x *exec, i, y int) {
	l := &s.levels[i]
	d := &l.b.depthwise
	a := kernel.DepthwiseInt8{Width: l.in.w, Stride: l.stride, Left: l.left, Pad: l.pad, Range: d.bytes}
	for b := range d.blocks() {
		for j := range a.Rows {
			a.Rows[j] = s.windowRow(x, i, b, y*l.stride-l.top+j)
		}
		a.Dst, a.Filter = l.mixed.row8(x.scratch, b, 0), d.filters[b]
		s.net.set.Depthwise(a)
	}
}

// windowRow returns row y of block b of what the depthwise convolution of level i
// reads: expanded, or the level's input where the expand ratio is 1.
func (s *int8Strip) windowRow(x *exec, i, b, y int) []uint8 {
	l := &s.levels[i]
	switch {
	case y < 0 || y >= l.in.h:
		return l.padding
	case l.b.Expand != nil:
		return l.hidden.row8(x.scratch, b, y)
	}
	row, stride := s.input(x, i, y)
	return row[b*stride:][:l.line]
}

// projectRow is row y of the projection of level i, and of the residual sum.
func (s *int8Strip) projectRow(x *exec, i, y int) {
	l := &s.levels[i]
	for b := range l.b.project.blocks() {
		a := l.b.project.pointwise(l.mixed.from8(x.scratch, 0), l.mixed.stride(), b, l.out.w)
		dst := s.output(x, i, b, y)
		if l.b.wide {
			a.Float = s.wide(x, i, b, y)
			if l.b.Residual() {
				a.Add = s.wide(x, i-1, b, y)
			}
			s.net.wideSum(a, l.b, dst)
			continue
		}
		a.Dst = dst
		var add []uint8
		if l.b.Residual() {
			src, stride := s.input(x, i, y)
			add = src[b*stride:][:len(dst)]
		}
		s.net.byteSum(a, l.b, add)
	}
}

// byteSum puts out a block of a projection, a, and adds the residual if there is one.
func (net *int8Network) byteSum(a kernel.PointwiseInt8, b *int8Bottleneck, residual []uint8) {
	net.set.Pointwise(a)
	if b.Residual() {
		sum := b.sum
		sum.A, sum.B, sum.Dst = residual, a.Dst, a.Dst
		net.set.Add(sum)
	}
}

// wideSum puts out a block of a projection, a, in float32, and in bytes.
func (net *int8Network) wideSum(a kernel.PointwiseInt8, b *int8Bottleneck, bytes []uint8) {
	net.set.Pointwise(a)
	r, m := b.bytes()
	net.set.Quantize(kernel.QuantizeInt8{Dst: bytes, Src: a.Float, M: m, Range: r})
}

// firstRow is output row y of the first convolution.
func (s *int8Strip) firstRow(x *exec, i, y int) {
	l := &s.levels[i]
	w := &s.net.first
	a := kernel.FirstInt8{Width: l.out.w, Range: w.bytes}
	for j := range a.Rows {
		a.Rows[j] = l.imageRow(x, 2*y-l.top+j)
	}
	for b := range w.blocks() {
		a.Dst, a.Filter = s.output(x, i, b, y), w.filters[b]
		s.net.set.First(a)
		if s.net.firstWide != nil {
			s.net.firstWide.of(s.wide(x, i, b, y), a.Dst)
		}
	}
}

// imageRow is the place of image row y with its padding.
func (l *int8Level) imageRow(x *exec, y int) []uint8 {
	if y < 0 || y >= l.in.h {
		return l.padding
	}
	return x.scratch[l.image+y%window*l.line:][:l.line]
}

// load puts image row y, normalised and quantised, between its padding.
func (s *int8Strip) load(x *exec, l *int8Level, y int) {
	row := l.imageRow(x, y)
	begin, n := 3*l.left, 3*l.in.w
	fill(row[:begin], l.pad)
	fill(row[begin+n:], l.pad)
	row = row[begin : begin+n]
	if x.pixels == nil {
		for i, v := range x.data[y*n:][:n] {
			row[i] = s.net.quantized.Input.Quantize(v)
		}
		return
	}
	s.net.set.Lookup(kernel.LookupInt8{Dst: row, Src: x.pixels[y*n:], Table: s.net.levels})
}

func (s *int8Strip) describe() Step {
	d := Step{Out: [3]int{s.net.first.n, s.dst.h, s.dst.w}}
	var blocks []string
	for i := range s.levels {
		l := &s.levels[i]
		in, out := l.in.h*l.in.w, l.out.h*l.out.w
		if l.b == nil {
			d.MACs += s.net.first.macs(out)
			continue
		}
		d.MACs += l.b.expand.macs(in) + l.b.depthwise.macs(out) + l.b.project.macs(out)
		d.Out[0] = l.b.Out
		blocks = append(blocks, l.b.Name)
	}
	d.Name = stripName(s.src == nil, blocks)
	return d
}
