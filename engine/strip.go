package engine

import (
	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// A strip runs consecutive layers row by row, each producing a row as soon as
// the one before has the three it needs, so that between them no tensor is ever
// whole in memory (paper section 5.1). A task is a band of the last layer's
// rows; neighbouring bands compute a few rows of the earlier layers twice.
type strip struct {
	net    *network
	src    *tensor // nil: the image, and the first level is the first convolution
	levels []level
	dst    *tensor // output of the last level
	band   int     // its rows a task
	floats int     // of scratch
}

// A level is a layer of a strip: an inverted residual, or the first convolution
// where b is nil. The places are offsets into scratch.
type level struct {
	b         *bottleneck
	in, out   size
	stride    int
	top, left int  // rows and columns of padding
	line      int  // floats of a row that a 3x3 convolution reads
	zeros     int  // [line], a row of padding
	hidden    ring // expanded rows
	image     int  // [window][line], image rows with their padding
	mixed     ring // a row after the depthwise convolution
	rows      ring // output, unless it is the strip's last level
}

// A ring holds the latest rows of a tensor, [blocks][rows][w][32].
type ring struct {
	at, blocks, rows, w int
}

func (r ring) stride() int { return r.rows * r.w * kernel.Block }
func (r ring) floats() int { return r.blocks * r.stride() }

// row returns row y of block b.
func (r ring) row(scratch []float32, b, y int) []float32 {
	n := r.w * kernel.Block
	return scratch[r.at+b*r.stride()+y%r.rows*n:][:n]
}

// from returns row y of block 0 and all that follows in the ring.
func (r ring) from(scratch []float32, y int) []float32 {
	return scratch[r.at+y%r.rows*r.w*kernel.Block : r.at+r.floats()]
}

// window is the height of the 3x3 convolutions and so of the rings.
const window = 3

// newStrip plans bottlenecks behind src, or behind the first convolution of an image
// of size in where src is nil.
func newStrip(net *network, in size, src *tensor, bottlenecks []bottleneck, threads int) *strip {
	s := &strip{net: net, src: src}
	if src == nil {
		in = s.add(level{in: in, stride: 2}, net.first.blocks())
	}
	for i := range bottlenecks {
		b := &bottlenecks[i]
		in = s.add(level{b: b, in: in, stride: b.Stride}, b.project.blocks())
	}
	last := &s.levels[len(s.levels)-1]
	s.dst = f32Tensor(1, in, last.rows.blocks)
	last.rows = ring{}
	s.place()
	// More bands would even out cores of unequal speed, but compute more rows
	// twice: one a thread was the fastest on two cores.
	s.band = max(2, (in.h+threads-1)/threads)
	return s
}

// add completes a level that puts out so many blocks of channels, and returns
// its output size.
func (s *strip) add(l level, blocks int) size {
	l.out = size{(l.in.h + l.stride - 1) / l.stride, (l.in.w + l.stride - 1) / l.stride}
	l.top, l.left = s.net.config.Padding.Before(l.in.h, l.stride), s.net.config.Padding.Before(l.in.w, l.stride)
	l.rows = ring{blocks: blocks, rows: window, w: l.out.w}
	l.line = l.in.w * kernel.Block
	if l.b == nil {
		l.line = 6*l.out.w + 3
	} else {
		l.mixed = ring{blocks: l.b.depthwise.blocks(), rows: 1, w: l.out.w}
		if l.b.Expand != nil {
			l.hidden = ring{blocks: l.b.depthwise.blocks(), rows: window, w: l.in.w}
		}
	}
	s.levels = append(s.levels, l)
	return l.out
}

// place lays the levels out in scratch, each piece at a cache line's start.
func (s *strip) place() {
	take := func(floats int) (at int) {
		at = s.floats
		s.floats += (floats + kernel.Block - 1) / kernel.Block * kernel.Block
		return at
	}
	for i := range s.levels {
		l := &s.levels[i]
		l.zeros = take(l.line)
		if l.b == nil {
			l.image = take(window * l.line)
		}
		for _, r := range []*ring{&l.hidden, &l.mixed, &l.rows} {
			r.at = take(r.floats())
		}
	}
}

func (s *strip) tasks() int   { return (s.dst.h + s.band - 1) / s.band }
func (s *strip) scratch() int { return s.floats * f32Bytes }

// progress is how far a band's levels have come: the next row that each will
// expand, and the next that it will put out.
type progress [maxLevels]struct{ expand, out int }

// maxLevels bounds the rows that neighbouring bands compute twice.
const maxLevels = 4

func (s *strip) run(x *exec, task int) {
	var p progress
	begin := task * s.band
	first := begin
	for i := len(s.levels) - 1; i >= 0; i-- {
		l := &s.levels[i]
		p[i].out = first
		first = max(0, first*l.stride-l.top)
		p[i].expand = first
		clear(x.scratch.f32()[l.zeros:][:l.line])
	}
	s.advance(x, &p, len(s.levels)-1, min(begin+s.band, s.dst.h))
}

// advance has level i put out its rows up to row end.
func (s *strip) advance(x *exec, p *progress, i, end int) {
	l := &s.levels[i]
	for ; p[i].out < end; p[i].out++ {
		y := p[i].out
		s.expand(x, p, i, min(l.in.h, y*l.stride-l.top+window))
		if l.b == nil {
			s.firstRow(x, l, i, y)
		} else {
			s.bottleneckRow(x, l, i, y)
		}
	}
}

// expand gets the rows that level i reads ready, up to row end: it has the level
// before make them and expands them.
func (s *strip) expand(x *exec, p *progress, i, end int) {
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
		w := &l.b.expand
		for b := range w.blocks() {
			s.net.set.Pointwise(kernel.Pointwise{
				Dst: l.hidden.row(x.scratch.f32(), b, y), Src: src, SrcStride: stride,
				W: w.w[b], Bias: w.bias[b], NR: w.nr(b), K: w.k,
				Pixels: l.in.w, ReLU6: true,
			})
		}
	}
}

// input returns row y of what level i reads, and the distance of its blocks.
func (s *strip) input(x *exec, i, y int) (row []float32, stride int) {
	if i == 0 {
		return s.src.from(x, y*s.src.w), s.src.stride()
	}
	r := s.levels[i-1].rows
	return r.from(x.scratch.f32(), y), r.stride()
}

// output returns row y of block b of what level i puts out.
func (s *strip) output(x *exec, i, b, y int) []float32 {
	if i == len(s.levels)-1 {
		return s.dst.block(x, b, y*s.dst.w)
	}
	return s.levels[i].rows.row(x.scratch.f32(), b, y)
}

// bottleneckRow is output row y of an inverted residual behind its expansion.
func (s *strip) bottleneckRow(x *exec, l *level, i, y int) {
	src, stride := s.input(x, i, y)
	d := &l.b.depthwise
	a := kernel.Depthwise{Width: l.in.w, Stride: l.stride, Left: l.left, ReLU6: true}
	for b := range d.blocks() {
		for j := range a.Rows {
			a.Rows[j] = s.windowRow(x, l, i, b, y*l.stride-l.top+j)
		}
		a.Dst = l.mixed.row(x.scratch.f32(), b, 0)
		a.W, a.Bias, a.NR = d.w[b], d.bias[b], d.nr(b)
		s.net.set.Depthwise(a)
	}
	w := &l.b.project
	for b := range w.blocks() {
		a := kernel.Pointwise{
			Dst: s.output(x, i, b, y), Src: l.mixed.from(x.scratch.f32(), 0), SrcStride: l.mixed.stride(),
			W: w.w[b], Bias: w.bias[b], NR: w.nr(b), K: w.k, Pixels: l.out.w,
		}
		if l.b.Residual() {
			a.Add = src[b*stride:]
		}
		s.net.set.Pointwise(a)
	}
}

// windowRow returns row y of block b of what the depthwise convolution of level i
// reads: expanded, or the level's input where the expand ratio is 1.
func (s *strip) windowRow(x *exec, l *level, i, b, y int) []float32 {
	switch {
	case y < 0 || y >= l.in.h:
		return x.scratch.f32()[l.zeros:][:l.line]
	case l.b.Expand != nil:
		return l.hidden.row(x.scratch.f32(), b, y)
	}
	row, stride := s.input(x, i, y)
	return row[b*stride:][:l.line]
}

// firstRow is output row y of the first convolution.
func (s *strip) firstRow(x *exec, l *level, i, y int) {
	a := kernel.First{Width: l.out.w}
	for j := range a.Rows {
		a.Rows[j] = l.imageRow(x, 2*y-l.top+j)
	}
	w := &s.net.first
	for b := range w.blocks() {
		a.Dst = s.output(x, i, b, y)
		a.W, a.Bias, a.NR = w.w[b], w.bias[b], w.nr(b)
		s.net.set.First(a)
	}
}

// imageRow is the place of image row y with its padding.
func (l *level) imageRow(x *exec, y int) []float32 {
	if y < 0 || y >= l.in.h {
		return x.scratch.f32()[l.zeros:][:l.line]
	}
	return x.scratch.f32()[l.image+y%window*l.line:][:l.line]
}

// load puts image row y, normalised, between its padding.
func (s *strip) load(x *exec, l *level, y int) {
	row := l.imageRow(x, y)
	begin, n := 3*l.left, 3*l.in.w
	clear(row[:begin])
	clear(row[begin+n:])
	row = row[begin : begin+n]
	if x.pixels == nil {
		copy(row, x.data[y*n:])
		return
	}
	s.net.levels.Apply(row, x.pixels[y*n:][:n])
}
