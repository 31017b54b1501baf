package engine

import (
	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// A strip runs consecutive layers some rows at a time, each producing rows as soon
// as the one before has those they need, so that between them no tensor is ever
// whole in memory (paper section 5.1). A task is a band of the last layer's rows;
// neighbouring bands compute a few rows of the earlier layers twice.
//
// A level puts out two rows at a time, which share most of what a depthwise
// convolution reads, and takes each block of hidden channels from its expansion to
// its depthwise convolution while it is in the first-level cache.
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
	image     int  // [reads][line], image rows with their padding
	mixed     ring // rows after the depthwise convolution
	rows      ring // output, unless it is the strip's last level
}

// group is how many rows a level puts out at a time.
const group = 2

// reads is how many rows of its input a level needs for a group of rows.
func (l *level) reads() int { return (group-1)*l.stride + window }

// A ring holds the latest rows of a tensor, [blocks][rows][w][32].
type ring struct {
	at, blocks, rows, w int
}

func (r ring) stride() int { return r.rows * r.w * kernel.Block }
func (r ring) floats() int { return r.blocks * r.stride() }

// from returns block b from row y on, up to the end of the ring, and as many rows of
// the block as lie one after the other from there.
func (r ring) from(scratch []float32, b, y int) (rows []float32, n int) {
	at := y % r.rows
	return scratch[r.at+b*r.stride()+at*r.w*kernel.Block : r.at+r.floats()], r.rows - at
}

// window is the height of the 3x3 convolutions.
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
	s.band = max(group, (in.h+threads-1)/threads)
	return s
}

// add completes a level that puts out so many blocks of channels, and returns
// its output size.
func (s *strip) add(l level, blocks int) size {
	l.out = size{(l.in.h + l.stride - 1) / l.stride, (l.in.w + l.stride - 1) / l.stride}
	l.top, l.left = s.net.config.Padding.Before(l.in.h, l.stride), s.net.config.Padding.Before(l.in.w, l.stride)
	l.line = l.in.w * kernel.Block
	if l.b == nil {
		l.line = 6*l.out.w + 3
	} else {
		l.mixed = ring{blocks: l.b.depthwise.blocks(), rows: group, w: l.out.w}
		if l.b.Expand != nil {
			l.hidden = ring{blocks: l.b.depthwise.blocks(), rows: l.reads(), w: l.in.w}
		}
	}
	if n := len(s.levels); n > 0 {
		s.levels[n-1].rows.rows = l.reads()
	}
	l.rows = ring{blocks: blocks, w: l.out.w}
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
			l.image = take(l.reads() * l.line)
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

// advance has level i put out its rows up to row end. It has the level before make
// those that it reads.
func (s *strip) advance(x *exec, p *progress, i, end int) {
	l := &s.levels[i]
	for p[i].out < end {
		y := p[i].out
		n := min(group, end-y)
		need := min(l.in.h, (y+n-1)*l.stride-l.top+window)
		if i > 0 {
			s.advance(x, p, i-1, need)
		}
		if l.b == nil {
			s.first(x, l, p[i].expand, need, y, n)
		} else {
			for b := range l.b.depthwise.blocks() {
				s.expand(x, i, b, p[i].expand, need)
				s.depthwise(x, i, b, y, n)
			}
			s.project(x, i, y, n)
		}
		p[i].expand = need
		p[i].out += n
	}
}

// input returns what level i reads: block b from row y on and all that follows, the
// rows of the block that lie one after the other from there, and the distance of
// the blocks.
func (s *strip) input(x *exec, i, b, y int) (rows []float32, n, stride int) {
	if i == 0 {
		return s.src.from(x, (b*s.src.h+y)*s.src.w), s.src.h - y, s.src.stride()
	}
	r := s.levels[i-1].rows
	rows, n = r.from(x.scratch.f32(), b, y)
	return rows, n, r.stride()
}

// output is input for what level i puts out.
func (s *strip) output(x *exec, i, b, y int) (rows []float32, n int) {
	if i == len(s.levels)-1 {
		return s.dst.block(x, b, y*s.dst.w), s.dst.h - y
	}
	return s.levels[i].rows.from(x.scratch.f32(), b, y)
}

// expand makes rows from to end of hidden block b of level i.
func (s *strip) expand(x *exec, i, b, from, end int) {
	l := &s.levels[i]
	if l.b.Expand == nil {
		return
	}
	w := &l.b.expand
	for n := 0; from < end; from += n {
		src, run, stride := s.input(x, i, 0, from)
		dst, room := l.hidden.from(x.scratch.f32(), b, from)
		n = min(end-from, run, room)
		s.net.set.Pointwise(kernel.Pointwise{
			Dst: dst, Src: src, SrcStride: stride,
			W: w.w[b], Bias: w.bias[b], NR: w.nr(b), K: w.k,
			Pixels: n * l.in.w, ReLU6: true,
		})
	}
}

// depthwise makes n rows from row y on of block b of the depthwise convolution of
// level i.
func (s *strip) depthwise(x *exec, i, b, y, n int) {
	l := &s.levels[i]
	d := &l.b.depthwise
	dst, _ := l.mixed.from(x.scratch.f32(), b, 0)
	a := kernel.Depthwise{
		Dst: dst, Rows: x.rows[:(n-1)*l.stride+window],
		W: d.w[b], Bias: d.bias[b], NR: d.nr(b),
		Width: l.in.w, Stride: l.stride, Left: l.left, ReLU6: true,
	}
	for j := range a.Rows {
		a.Rows[j] = s.windowRow(x, l, i, b, y*l.stride-l.top+j)
	}
	s.net.set.Depthwise(a)
}

// windowRow returns row y of block b of what the depthwise convolution of level i
// reads: expanded, or the level's input where the expand ratio is 1.
func (s *strip) windowRow(x *exec, l *level, i, b, y int) (row []float32) {
	switch {
	case y < 0 || y >= l.in.h:
		return x.scratch.f32()[l.zeros:][:l.line]
	case l.b.Expand != nil:
		row, _ = l.hidden.from(x.scratch.f32(), b, y)
	default:
		row, _, _ = s.input(x, i, b, y)
	}
	return row[:l.line]
}

// project makes n rows from row y on of the projection of level i, and of the
// residual sum.
func (s *strip) project(x *exec, i, y, n int) {
	l := &s.levels[i]
	w := &l.b.project
	mixed, _ := l.mixed.from(x.scratch.f32(), 0, 0)
	for k := 0; n > 0; {
		for b := range w.blocks() {
			a := kernel.Pointwise{
				Src: mixed, SrcStride: l.mixed.stride(),
				W: w.w[b], Bias: w.bias[b], NR: w.nr(b), K: w.k,
			}
			a.Dst, k = s.output(x, i, b, y)
			k = min(k, n)
			if l.b.Residual() {
				var run int
				a.Add, run, _ = s.input(x, i, b, y)
				k = min(k, run)
			}
			a.Pixels = k * l.out.w
			s.net.set.Pointwise(a)
		}
		mixed = mixed[k*l.out.w*kernel.Block:]
		y, n = y+k, n-k
	}
}

// first loads image rows from to end, and makes n rows from row y on of the first
// convolution, level l.
func (s *strip) first(x *exec, l *level, from, end, y, n int) {
	for ; from < end; from++ {
		s.load(x, l, from)
	}
	w := &s.net.first
	a := kernel.First{Width: l.out.w}
	for ; n > 0; y, n = y+1, n-1 {
		for j := range a.Rows {
			a.Rows[j] = l.imageRow(x, 2*y-l.top+j)
		}
		for b := range w.blocks() {
			a.Dst, _ = s.output(x, 0, b, y)
			a.W, a.Bias, a.NR = w.w[b], w.bias[b], w.nr(b)
			s.net.set.First(a)
		}
	}
}

// imageRow is the place of image row y with its padding.
func (l *level) imageRow(x *exec, y int) []float32 {
	if y < 0 || y >= l.in.h {
		return x.scratch.f32()[l.zeros:][:l.line]
	}
	return x.scratch.f32()[l.image+y%l.reads()*l.line:][:l.line]
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
