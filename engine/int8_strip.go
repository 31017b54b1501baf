package engine

import (
	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// An int8Strip is a strip of 8-bit integers. Its levels take several rows at a time,
// and each block of hidden channels from its expansion to its depthwise convolution
// while it is in the first-level cache.
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
	group     int     // rows that it puts out at a time
	top, left int     // rows and columns of padding
	line      int     // bytes of a row that a 3x3 convolution reads
	pad       uint8   // what padding holds, the zero point of what it reads
	padding   []uint8 // [line], a row of padding
	hidden    ring    // expanded rows
	image     int     // [reads][line], image rows with their padding
	mixed     ring    // rows after the depthwise convolution
	rows      ring    // output, unless it is the strip's last level
	wide      ring    // output in float32, in a wide network
}

// groupPixels is about how many pixels of its input a level takes at a time: three
// rows of 112 or six of 56 were 6 % faster than one, half as many 3 %.
const groupPixels = 336

// reads is how many rows of its input a level needs for a group of rows.
func (l *int8Level) reads() int { return (l.group-1)*l.stride + window }

// from8 returns block b of a ring of bytes from row y on, up to its end, and as many
// rows as that are.
func (r ring) from8(scratch []uint8, b, y int) (rows []uint8, n int) {
	at := y % r.rows
	end := r.at + (b+1)*r.stride()
	return scratch[end-(r.rows-at)*r.w*kernel.Block : end], r.rows - at
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
	l.group = min(max(1, groupPixels/(l.stride*l.out.w)), l.out.h)
	l.line = l.in.w * kernel.Block
	blocks, wide := s.net.first.blocks(), s.net.firstWide != nil
	if l.b == nil {
		l.line = 6*l.out.w + 6
	} else {
		l.mixed = ring{blocks: l.b.depthwise.blocks(), rows: l.group, w: l.out.w}
		if l.b.Expand != nil {
			l.hidden = ring{blocks: l.b.depthwise.blocks(), rows: l.reads(), w: l.in.w}
		}
		blocks, wide = l.b.project.blocks(), l.b.wide
	}
	if n := len(s.levels); n > 0 {
		s.levels[n-1].keep(l.reads())
	}
	l.rows = ring{blocks: blocks, w: l.out.w}
	if wide {
		l.wide = l.rows
	}
	s.levels = append(s.levels, l)
	return l.out
}

// keep gives l room for so many rows that it puts out.
func (l *int8Level) keep(rows int) {
	l.rows.rows = rows
	if l.wide.blocks > 0 {
		l.wide.rows = rows
	}
}

// finish has the last level put out dst, and lays the levels out in scratch, each
// piece at a cache line's start.
func (s *int8Strip) finish(dst *tensor) {
	s.dst = dst
	last := &s.levels[len(s.levels)-1]
	if dst.wide == nil && last.wide.blocks > 0 {
		last.wide.rows = last.group
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
			l.image = take(l.reads() * l.line)
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
	for p[i].out < end {
		y := p[i].out
		n := min(l.group, end-y)
		need := min(l.in.h, (y+n-1)*l.stride-l.top+window)
		if i > 0 {
			s.advance(x, p, i-1, need)
		}
		if l.b == nil {
			s.first(x, p, i, y, n, need)
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

// input returns block b of what level i reads from row y on, the rows that lie one
// after the other from there, and the distance of the blocks.
func (s *int8Strip) input(x *exec, i, b, y int) (rows []uint8, n, stride int) {
	if i == 0 {
		return s.src.block8(x, b, y*s.src.w), s.src.h - y, s.src.stride()
	}
	r := s.levels[i-1].rows
	rows, n = r.from8(x.scratch, b, y)
	return rows, n, r.stride()
}

// output is input for what level i puts out.
func (s *int8Strip) output(x *exec, i, b, y int) (rows []uint8, n int) {
	l := &s.levels[i]
	if l.rows.rows == 0 {
		return s.dst.block8(x, b, y*s.dst.w), s.dst.h - y
	}
	return l.rows.from8(x.scratch, b, y)
}

// wide is output in float32; before level 0 is what the strip reads.
func (s *int8Strip) wide(x *exec, i, b, y int) (rows []float32, n int) {
	var t *tensor
	switch {
	case i < 0:
		t = s.src
	case s.levels[i].wide.rows == 0:
		t = s.dst
	default:
		r := s.levels[i].wide
		at := y % r.rows
		end := r.at + (b+1)*r.stride()
		return x.scratch.f32()[end-(r.rows-at)*r.w*kernel.Block : end], r.rows - at
	}
	return t.wide.block(x, b, y*t.w), t.h - y
}

// pointwise is the convolution of so many pixels into block b. Dst or Float is for
// the caller to say.
func (l *int8Layer) pointwise(src []uint8, stride, b, pixels int) kernel.PointwiseInt8 {
	return kernel.PointwiseInt8{Src: src, SrcStride: stride, Filter: l.filters[b], Range: l.bytes, Pixels: pixels}
}

// expand makes rows from to end of hidden block b of level i.
func (s *int8Strip) expand(x *exec, i, b, from, end int) {
	l := &s.levels[i]
	if l.b.Expand == nil {
		return
	}
	for n := 0; from < end; from += n {
		src, run, stride := s.inputs(x, i, from)
		dst, room := l.hidden.from8(x.scratch, b, from)
		n = min(end-from, run, room)
		a := l.b.expand.pointwise(src, stride, b, n*l.in.w)
		a.Dst = dst
		s.net.set.Pointwise(a)
	}
}

// inputs is input with all blocks.
func (s *int8Strip) inputs(x *exec, i, y int) (rows []uint8, n, stride int) {
	if i == 0 {
		return s.src.from8(x, y*s.src.w), s.src.h - y, s.src.stride()
	}
	r := s.levels[i-1].rows
	at := y % r.rows
	return x.scratch[r.at+at*r.w*kernel.Block : r.at+r.floats()], r.rows - at, r.stride()
}

// depthwise makes n rows from row y on of block b of the depthwise convolution of
// level i: as many in one call as read no padding and rows that lie one after the
// other.
func (s *int8Strip) depthwise(x *exec, i, b, y, n int) {
	l := &s.levels[i]
	d := &l.b.depthwise
	a := kernel.DepthwiseInt8{
		Filter: d.filters[b], Range: d.bytes,
		Width: l.in.w, Stride: l.stride, Left: l.left, Pad: l.pad,
	}
	dst, _ := l.mixed.from8(x.scratch, b, 0)
	for n > 0 {
		more := n - 1
		for j := range a.Rows {
			in := y*l.stride - l.top + j
			if in < 0 || in >= l.in.h {
				a.Rows[j], more = l.padding, 0
				continue
			}
			run := 0
			if l.b.Expand != nil {
				a.Rows[j], run = l.hidden.from8(x.scratch, b, in)
			} else {
				a.Rows[j], run, _ = s.input(x, i, b, in)
			}
			more = min(more, (min(run, l.in.h-in)-1)/l.stride)
		}
		a.Dst, a.More = dst, more
		s.net.set.Depthwise(a)
		dst = dst[(1+more)*l.out.w*kernel.Block:]
		y, n = y+1+more, n-1-more
	}
}

// project makes n rows from row y on of the projection of level i, and of the
// residual sum.
func (s *int8Strip) project(x *exec, i, y, n int) {
	l := &s.levels[i]
	row := l.out.w * kernel.Block
	mixed := x.scratch[l.mixed.at:][:l.mixed.floats()]
	for k := 0; n > 0; {
		for b := range l.b.project.blocks() {
			dst, run := s.output(x, i, b, y)
			k = min(n, run)
			var residual []uint8
			var wide, add []float32
			if l.b.Residual() && !l.b.wide {
				residual, run, _ = s.input(x, i, b, y)
				k = min(k, run)
			}
			if l.b.wide {
				wide, run = s.wide(x, i, b, y)
				k = min(k, run)
				if l.b.Residual() {
					add, run = s.wide(x, i-1, b, y)
					k = min(k, run)
				}
			}
			a := l.b.project.pointwise(mixed, l.mixed.stride(), b, k*l.out.w)
			if l.b.wide {
				a.Float, a.Add = wide, add
				s.net.wideSum(a, l.b, dst[:k*row])
				continue
			}
			a.Dst = dst[:k*row]
			if l.b.Residual() {
				residual = residual[:k*row]
			}
			s.net.byteSum(a, l.b, residual)
		}
		mixed = mixed[k*row:]
		y, n = y+k, n-k
	}
}

// byteSum puts out a block of a projection, a, and adds the residual if there is one.
func (net *int8Network) byteSum(a kernel.PointwiseInt8, b *int8Bottleneck, residual []uint8) {
	net.set.Pointwise(a)
	if b.Residual() {
		b.sum.add(net.set, a.Dst, residual, a.Dst)
	}
}

// wideSum puts out a block of a projection, a, in float32, and in bytes.
func (net *int8Network) wideSum(a kernel.PointwiseInt8, b *int8Bottleneck, bytes []uint8) {
	net.set.Pointwise(a)
	r, m := b.bytes()
	net.set.Quantize(kernel.QuantizeInt8{Dst: bytes, Src: a.Float, M: m, Range: r})
}

// first makes n rows from row y on of the first convolution, which level i is, and
// loads the image rows up to need.
func (s *int8Strip) first(x *exec, p *progress, i, y, n, need int) {
	l := &s.levels[i]
	for in := p[i].expand; in < need; in++ {
		s.load(x, l, in)
	}
	w := &s.net.first
	a := kernel.FirstInt8{Width: l.out.w, Range: w.bytes}
	for ; n > 0; y, n = y+1, n-1 {
		for j := range a.Rows {
			a.Rows[j] = l.imageRow(x, 2*y-l.top+j)
		}
		for b := range w.blocks() {
			dst, _ := s.output(x, i, b, y)
			a.Dst, a.Filter = dst[:l.out.w*kernel.Block], w.filters[b]
			s.net.set.First(a)
			if s.net.firstWide != nil {
				wide, _ := s.wide(x, i, b, y)
				s.net.firstWide.of(wide[:len(a.Dst)], a.Dst)
			}
		}
	}
}

// imageRow is the place of image row y with its padding.
func (l *int8Level) imageRow(x *exec, y int) []uint8 {
	if y < 0 || y >= l.in.h {
		return l.padding
	}
	return x.scratch[l.image+y%l.reads()*l.line:][:l.line]
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
			row[i] = s.net.quantized.InputByte(v)
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
