package main

import (
	"fmt"
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A tiler8 emits an 8-bit convolution that goes over its pixels in tiles, with
// all sums of a tile in registers.
type tiler8 struct {
	set    isa8
	shape  shape8
	a      Component
	pixels reg.Register
	dst    reg.Register
	src    reg.Register // advances with the pixels
	step   int          // bytes from the input of one pixel to the next

	sum    func(t *tile8) // emits the sums
	finish func(t *tile8) // emits what follows the sums
}

// A tile8 is the registers of rows pixels.
type tile8 struct {
	*tiler8
	rows   int
	widths []int               // of the vectors that hold a pixel's sums
	c      int                 // the first of its channels
	sums   [][]reg.VecPhysical // [rows][vectors]
	free   file                // what the sums leave
	label  string
}

func (t *tiler8) emit() { tiles(t.pixels, t.shape.rows, t.tile) }

func (t *tiler8) tile(rows int) {
	c := tile8{tiler8: t, rows: rows, widths: t.shape.widths, label: tileLabel(rows)}
	all := t.set.isa.file()
	c.free = slices.Clone(all[:len(all)-rows*len(c.widths)])
	all = all[len(c.free):]
	for range rows {
		var v []reg.VecPhysical
		for _, bytes := range c.widths {
			v = append(v, all.take(1, bytes)...)
		}
		c.sums = append(c.sums, v)
	}
	Label(c.label)
	c.bias()
	t.sum(&c)
	t.finish(&c)
	ADDQ(imm(rows*pixelBytes8), t.dst)
	ADDQ(imm(rows*t.step), t.src)
	SUBQ(imm(rows), t.pixels)
	JMP(LabelRef("next"))
}

// bias emits the bias as the first value of the sums.
func (t *tile8) bias() {
	bias := Load(filter(t.a).Field("Bias").Base(), GP64())
	for i, first := range t.sums[0] {
		VMOVUPS(Mem{Base: bias, Disp: 4*t.c + i*t.widths[0]}, first)
		for _, sums := range t.sums[1:] {
			VMOVAPS(first, sums[i])
		}
	}
}

// multiply emits the step of one group of k: the first row's inputs are at in,
// the next one's step bytes behind, the weights at w. Without products of bytes a
// group is two pairs of 16 bits.
func (t *tile8) multiply(in, w Mem, step int) { t.multiplyParts(t.set.parts(), in, w, step) }

func (t *tile8) multiplyParts(parts int, in, w Mem, step int) {
	free := t.free
	var v []reg.VecPhysical
	for _, bytes := range t.widths {
		v = append(v, free.take(1, bytes)...)
	}
	x := free.take(1, t.widths[0])[0]
	for range parts {
		for i := range v {
			VMOVUPS(w.Offset(i*t.widths[0]), v[i])
		}
		for r, sums := range t.sums {
			VPBROADCASTD(in.Offset(r*step), x)
			for i := range v {
				t.set.dot(as(x, t.widths[i]), v[i], sums[i], free)
			}
		}
		in, w = in.Offset(4), w.Offset(t.vectorBytes())
	}
}

// groupBytes is the size of a group's weights.
func (t *tile8) groupBytes() int { return t.vectorBytes() * t.set.parts() }

// vectorBytes is the size of the vectors that hold a pixel's sums.
func (t *tile8) vectorBytes() int {
	n := 0
	for _, bytes := range t.widths {
		n += bytes
	}
	return n
}

// multipliers emits the loading of what the products are scaled by.
func (t *tile8) multipliers(free *file) []reg.VecPhysical {
	at := Load(filter(t.a).Field("M").Base(), GP64())
	m := make([]reg.VecPhysical, len(t.widths))
	for i, bytes := range t.widths {
		m[i] = free.take(1, bytes)[0]
		VMOVUPS(Mem{Base: at, Disp: 4*t.c + i*t.widths[0]}, m[i])
	}
	return m
}

// requantize emits the stores of the sums as bytes.
func (t *tile8) requantize(l limits) {
	CMPL(l.plain, Imm(0))
	JE(LabelRef(t.label + "plain"))
	t.bytes(l, false)
	JMP(LabelRef(t.label + "moved"))
	Label(t.label + "plain")
	t.bytes(l, true)
}

// bytes emits the same for one kind of range, two pixels at once.
func (t *tile8) bytes(l limits, all bool) {
	free := slices.Clone(t.free)
	q := t.set.requantizer(l, all)
	q.inRegisters(&free)
	m := t.multipliers(&free)
	var order reg.VecPhysical
	for r := 0; r < t.rows; r += 2 {
		pair := t.sums[r:min(r+2, t.rows)]
		for _, sums := range pair {
			for i, v := range sums {
				q.round(v, m[i])
			}
		}
		a, b := pair[0], pair[len(pair)-1]
		v := q.pack([4]reg.VecPhysical{a[0], a[len(a)-1], b[0], b[len(b)-1]}, &free)
		if order == nil {
			order = free.take(1, l.bytes)[0]
			VMOVUPS(l.order, order)
		}
		VPERMD(v, order, v)
		q.clamp(v)
		dst := Mem{Base: t.dst, Disp: r*pixelBytes8 + t.c}
		switch {
		case l.bytes == 64 && len(pair) == 2:
			VMOVUPS(v, dst)
		case l.bytes == 64:
			VMOVUPS(as(v, 32), dst)
		default:
			VMOVUPS(as(v, 16), dst)
			if len(pair) == 2 {
				VEXTRACTI128(Imm(1), v, dst.Offset(pixelBytes8))
			}
		}
	}
}

// dequantize emits the stores of the sums as float32 to out, with what is at add
// added unless that is zero.
func (t *tile8) dequantize(out, add reg.Register) {
	free := slices.Clone(t.free)
	m := t.multipliers(&free)
	t.each(func(_, i int, v reg.VecPhysical) {
		VCVTDQ2PS(v, v)
		VMULPS(m[i], v, v)
	})
	TESTQ(add, add)
	JZ(LabelRef(t.label + "floats"))
	t.each(func(at, _ int, v reg.VecPhysical) { VADDPS(Mem{Base: add, Disp: at}, v, v) })
	Label(t.label + "floats")
	t.each(func(at, _ int, v reg.VecPhysical) { VMOVUPS(v, Mem{Base: out, Disp: at}) })
}

// each calls f with every sum, its place among floats and its vector.
func (t *tile8) each(f func(at, i int, v reg.VecPhysical)) {
	for r, sums := range t.sums {
		for i, v := range sums {
			f(r*pixelBytes+4*t.c+i*t.widths[0], i, v)
		}
	}
}

// newAhead is newAhead for weights of so many bytes a group.
func (s isa8) newAhead(filter Component, bytes int) ahead {
	w := s.weights(filter)
	at, end := Load(w.Base(), GP64()), Load(filter.Field("K"), GP64())
	groupsOf(end)
	IMUL3Q(U32(bytes), end, end)
	ADDQ(end, at)
	ADDQ(at, end)
	return ahead{w, at, end}
}

// groupsOf emits the division of a number of k by a group's, rounded up.
func groupsOf(k reg.Register) {
	ADDQ(Imm(group-1), k)
	SHRQ(Imm(2), k)
}

// pointwise emits the pointwise convolution for an NR, of a set with products of bytes.
func (s isa8) pointwise(nr int) {
	shape := s.shapes[nr]
	a := declare(fmt.Sprintf("pointwise%dInt8%s", nr, s.name), "PointwiseInt8",
		fmt.Sprintf("is PointwiseInt8 for NR = %d, in tiles of %d pixels.", nr, shape.rows))
	l := s.limits(rangeOf(a))
	l.loadOrder()
	out, add := Load(a.Field("Float").Base(), GP64()), Load(a.Field("Add").Base(), GP64())
	src := Load(a.Field("Src").Base(), GP64())
	t := tiler8{
		set: s, shape: shape, a: a,
		pixels: Load(a.Field("Pixels"), GP64()),
		dst:    Load(a.Field("Dst").Base(), GP64()),
		src:    src,
		step:   pixelBytes8,
	}
	next := s.newAhead(filter(a), group*nr)
	t.sum = func(t *tile8) { t.sumChannels(next) }
	t.finish = func(t *tile8) {
		TESTQ(out, out)
		JNZ(LabelRef(t.label + "float"))
		t.requantize(l)
		JMP(LabelRef(t.label + "moved"))
		Label(t.label + "float")
		t.dequantize(out, add)
		ADDQ(imm(t.rows*pixelBytes), out)
		TESTQ(add, add)
		JZ(LabelRef(t.label + "moved"))
		ADDQ(imm(t.rows*pixelBytes), add)
		Label(t.label + "moved")
		next.wrap(t.label + "ahead")
	}
	t.emit()
}

// scratch is where a set without products of bytes has n of them as 16 bits.
func (t *tiler8) scratch(n int) Mem {
	if !t.set.wide {
		return Mem{}
	}
	return AllocLocal((2*n + 31) / 32 * 32)
}

// unroll8 is the number of groups in an iteration.
const unroll8 = 2

// sumChannels emits the loop over the blocks of input channels.
func (t *tile8) sumChannels(next ahead) {
	const block = pixelBytes8 / group
	filter := filter(t.a)
	in, w, left, n := GP64(), GP64(), GP64(), GP64()
	MOVQ(t.src, in)
	Load(t.set.weights(filter).Base(), w)
	Load(filter.Field("K"), left)
	groupsOf(left)

	Label(t.label + "block")
	MOVQ(U32(block/unroll8), n)
	CMPQ(left, Imm(block))
	JGE(LabelRef(t.label + "k"))
	MOVQ(left, n)
	SHRQ(Imm(1), n)
	JZ(LabelRef(t.label + "rest"))

	Label(t.label + "k")
	for g := range unroll8 {
		t.multiply(Mem{Base: in, Disp: g * t.set.inputBytes()}, Mem{Base: w, Disp: g * t.groupBytes()}, t.step)
		next.lines(1)
	}
	ADDQ(imm(unroll8*t.set.inputBytes()), in)
	ADDQ(imm(unroll8*t.groupBytes()), w)
	DECQ(n)
	JNZ(LabelRef(t.label + "k"))

	// The next block is SrcStride bytes from where this one began.
	SUBQ(Imm(block), left)
	JLE(LabelRef(t.label + "rest"))
	ADDQ(address(t.a.Field("SrcStride")), in)
	SUBQ(Imm(pixelBytes8), in)
	JMP(LabelRef(t.label + "block"))

	// An odd number of groups, which may have become less by a block's.
	Label(t.label + "rest")
	ANDQ(Imm(unroll8-1), left)
	JZ(LabelRef(t.label + "end"))
	t.multiply(Mem{Base: in}, Mem{Base: w}, t.step)
	Label(t.label + "end")
}

// first emits the first convolution for an NR.
func (s isa8) first(nr int) {
	shape := s.shapes[nr]
	a := declare(fmt.Sprintf("first%dInt8%s", nr, s.name), "FirstInt8",
		fmt.Sprintf("is FirstInt8 for NR = %d, in tiles of %d pixels.", nr, shape.rows))
	l := s.limits(rangeOf(a))
	l.loadOrder()
	if s.wide {
		l.small(filter(a), nr)
	}
	at := GP64() // bytes into the rows
	XORQ(at, at)
	t := tiler8{
		set: s, shape: shape, a: a,
		pixels: Load(a.Field("Width"), GP64()),
		dst:    Load(a.Field("Dst").Base(), GP64()),
		src:    at,
		step:   6,
	}
	scratch := t.scratch(firstBytes(shape.rows))
	t.sum = func(t *tile8) { t.sumRows(scratch) }
	t.finish = func(t *tile8) {
		t.requantize(l)
		Label(t.label + "moved")
	}
	t.emit()
}

// firstBytes is what so many pixels of the first convolution read of a row.
func firstBytes(pixels int) int { return 6*pixels + 6 }

// sumRows emits the loop over the three input rows, three groups of each.
func (t *tile8) sumRows(scratch Mem) {
	const groups, sliceBytes = 3, 24
	rows, w, n, x := GP64(), GP64(), GP64(), GP64()
	LEAQ(address(t.a.Field("Rows").Index(0).Base()), rows)
	Load(t.set.weights(filter(t.a)).Base(), w)
	MOVQ(U32(3), n)
	Label(t.label + "row")
	MOVQ(Mem{Base: rows}, x)
	ADDQ(t.src, x)
	step := t.step
	if t.set.wide {
		widen(Mem{Base: x}, scratch, firstBytes(t.rows), t.free)
		LEAQ(scratch, x)
		step *= 2
	}
	for g := range groups {
		parts := t.set.parts()
		if g == groups-1 {
			parts = 1 // of the last group only one weight isn't zero
		}
		t.multiplyParts(parts, Mem{Base: x, Disp: g * t.set.inputBytes()}, Mem{Base: w, Disp: g * t.groupBytes()}, step)
	}
	ADDQ(Imm(sliceBytes), rows)
	ADDQ(imm(groups*t.groupBytes()), w)
	DECQ(n)
	JNZ(LabelRef(t.label + "row"))
}

// widen emits the conversion of n bytes, an even number from 12 on, to 16 bits.
func widen(from, to Mem, n int, free file) {
	width := 16
	if n < 16 {
		width = 8
	}
	v := free.take(1, 2*width)[0]
	for at := 0; at < n; at += width {
		at := min(at, n-width) // the last ones may be converted twice
		VPMOVZXBW(from.Offset(at), v)
		VMOVUPS(v, to.Offset(2*at))
	}
}
