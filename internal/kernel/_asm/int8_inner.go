package main

import (
	"fmt"
	"slices"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The pointwise convolution of AVX2, which has no sums of products of bytes that are
// exact: VPMADDUBSW saturates. Of the four inputs of a group it computes
//
//	(a0+w2)*(a2+w0) + (a1+w3)*(a3+w1)
//
// by one VPMADDWD. That is the sum of the products wanted, a0*w0 to a3*w3, and of
// a0*a2 + a1*a3, which depends on the pixel only, and w0*w2 + w1*w3, which depends on
// the channel only (S. Winograd, A New Algorithm for Inner Product, 1968). The first
// is computed once for all channels and taken off the sums, the second is in the bias:
// see layouts.inner. All of it is exact modulo 2^32; a factor is within 510 of 0.
//
// It takes four instructions for four products, two of 16-bit additions, as VPMADDWD
// does with the inputs and weights themselves, two of them and two additions. But Zen
// 3 and 4 multiply in two of four pipes and add in any: they do 30 of 32 possible
// products a cycle in place of 26, since additions get in the way of multiplications.
// Where one pipe multiplies (Haswell), it is 4 in place of 3 cycles for 64 products.

// innerK is how many inputs of a pixel are widened at once.
const innerK = 2048

// innerRow is the bytes from a pixel's widened inputs to the next one's: not a power
// of 2, so that they don't compete for the same lines of the first-level cache.
const innerRow = 2*innerK + 2*pixelBytes8

// innerRows is the tallest tile.
const innerRows = 4

// groupMasks emits the constant that inner.masks is.
func groupMasks() Mem {
	m := GLOBL("groupMasks", attr.RODATA|attr.NOPTR)
	for i := range 8 {
		bits := ^uint64(0)
		if i >= 4 {
			bits = 0
		}
		DATA(8*i, U64(bits))
	}
	return m
}

// inner emits the pointwise convolution for an NR, by panels of 16 or 8 channels.
// Several panels share their inputs, and take no more than innerK of them.
func (s isa8) inner(nr int, masks Mem) {
	doc := []string{fmt.Sprintf("is PointwiseInt8 for NR = %d, in tiles of %d pixels.", nr, innerRows)}
	if nr > 16 {
		doc = append(doc, fmt.Sprintf("It takes up to %d inputs.", innerK))
	}
	name := fmt.Sprintf("pointwise%dInt8%s", nr, s.name)
	TEXT(name, 0, "func(a *PointwiseInt8)") // not NOSPLIT: the frame is large
	Doc(append([]string{name + " " + doc[0]}, doc[1:]...)...)
	Pragma("noescape")
	a := Dereference(Param("a"))
	l := s.limits(rangeOf(a))
	l.loadOrder()
	l.small(filter(a), nr)
	in := inner{
		nr: nr, out: Load(a.Field("Float").Base(), GP64()), add: Load(a.Field("Add").Base(), GP64()),
		words: AllocLocal(innerRows * innerRow), squares: AllocLocal(4 * innerRows), left: AllocLocal(8), masks: masks, limits: l,
	}
	t := &tiler8{
		set: s, a: a, shape: shape8{rows: innerRows},
		pixels: Load(a.Field("Pixels"), GP64()),
		dst:    Load(a.Field("Dst").Base(), GP64()),
		src:    Load(a.Field("Src").Base(), GP64()),
		step:   pixelBytes8,
	}
	in.next = s.newAhead(filter(a), 2*group*nr)
	tiles(t.pixels, innerRows, func(rows int) { in.tile(t, rows) })
}

// An inner is what the tiles of a pointwise convolution have in common.
type inner struct {
	nr       int
	out, add reg.Register // of floats
	words    Mem          // [innerRows][innerRow], the inputs of a tile in 16 bits
	squares  Mem          // of each pixel, what is to be taken off its sums
	left     Mem          // how many groups of a tile aren't summed up yet
	masks    Mem          // 32 bytes from 8*n on have all bits set but for the last n of 4 groups
	limits   limits
	next     ahead
}

// tile emits a tile of rows pixels.
func (in *inner) tile(t *tiler8, rows int) {
	label := tileLabel(rows)
	w, n, from := GP64(), GP64(), GP64()
	Label(label)
	Load(t.set.weights(filter(t.a)).Base(), w)
	MOVQ(t.src, from)
	for c := 0; c < in.nr; c += 16 {
		p := in.panel(t, rows, c)
		p.bias()
		Load(filter(t.a).Field("K"), n)
		groupsOf(n)
		if in.nr <= 16 { // parts of innerK
			MOVQ(n, in.left)
			Label(p.label + "part")
			CMPQ(n, imm(innerK/group))
			JLE(LabelRef(p.label + "whole"))
			MOVQ(U32(innerK/group), n)
			Label(p.label + "whole")
			SUBQ(n, in.left)
		}
		if c == 0 {
			in.widen(p, from, n)
		}
		in.multiply(p, w, n)
		in.subtract(p)
		if in.nr <= 16 {
			MOVQ(in.left, n)
			TESTQ(n, n)
			JNZ(LabelRef(p.label + "part"))
		}
		in.finish(p)
	}
	ADDQ(imm(rows*pixelBytes8), t.dst)
	ADDQ(imm(rows*pixelBytes8), t.src)
	TESTQ(in.out, in.out)
	JZ(LabelRef(label + "moved"))
	ADDQ(imm(rows*pixelBytes), in.out)
	TESTQ(in.add, in.add)
	JZ(LabelRef(label + "moved"))
	ADDQ(imm(rows*pixelBytes), in.add)
	Label(label + "moved")
	in.next.wrap(label + "ahead")
	SUBQ(imm(rows), t.pixels)
	JMP(LabelRef("next"))
}

// panel returns the tile of the channels from c on, up to 16 of them.
func (in *inner) panel(t *tiler8, rows, c int) *tile8 {
	p := &tile8{tiler8: t, rows: rows, c: c, widths: []int{32, 32}[:min(in.nr-c, 16)/8], label: fmt.Sprintf("%sc%d", tileLabel(rows), c)}
	all := t.set.isa.file()
	p.free = slices.Clone(all[:len(all)-rows*len(p.widths)])
	all = all[len(p.free):]
	for range rows {
		p.sums = append(p.sums, all.take(len(p.widths), 32))
	}
	return p
}

// widen emits the conversion of n groups of each pixel's inputs to 16 bits, and their
// squares. It advances from by whole blocks.
func (in *inner) widen(p *tile8, from, n reg.Register) {
	const vector = 16 / group // groups
	free := slices.Clone(p.free)
	squares := free.take(p.rows, 32)
	v, u := free.take(1, 32)[0], free.take(1, 32)[0]
	to, left := GP64(), GP64()
	label := p.label + "widen"
	zero(squares...)
	LEAQ(in.words, to)
	MOVQ(n, left)
	one := func(r, at int, mask Op) {
		VPMOVZXBW(Mem{Base: from, Disp: r*pixelBytes8 + at}, v)
		VMOVUPS(v, Mem{Base: to, Disp: r*innerRow + 2*at})
		VPSHUFD(Imm(0xb1), v, u) // a2, a3 beside a0, a1, and these beside those
		VPMADDWD(u, v, v)
		if mask != nil {
			VPAND(mask, v, v)
		}
		VPADDD(v, squares[r], squares[r])
	}
	SUBQ(Imm(2*vector), left)
	JL(LabelRef(label + "few"))
	Label(label)
	for r := range p.rows {
		one(r, 0, nil)
		one(r, 16, nil)
	}
	ADDQ(address(p.a.Field("SrcStride")), from)
	ADDQ(Imm(2*2*16), to)
	SUBQ(Imm(2*vector), left)
	JGE(LabelRef(label))

	Label(label + "few")
	ADDQ(Imm(vector), left)
	JL(LabelRef(label + "fewer"))
	for r := range p.rows {
		one(r, 0, nil)
	}
	ADDQ(Imm(16), from)
	ADDQ(Imm(2*16), to)
	SUBQ(Imm(vector), left)

	Label(label + "fewer") // left is -4 to -1 for 0 to 3 groups
	CMPQ(left, I8(-vector))
	JE(LabelRef(label + "end"))
	mask, at := GP64(), free.take(1, 32)[0]
	LEAQ(in.masks, mask)
	NEGQ(left)
	SHLQ(Imm(3), left)
	VMOVUPS(Mem{Base: mask, Index: left, Scale: 1}, at)
	for r := range p.rows {
		one(r, 0, at)
	}
	Label(label + "end")
	in.store(squares, u, v)
}

// store emits the sums over vectors that have each of their numbers twice: of every
// pixel, side by side.
func (in *inner) store(squares []reg.VecPhysical, u, v reg.VecPhysical) {
	at := func(r int) reg.VecPhysical { return squares[min(r, len(squares)-1)] }
	VPBLENDD(Imm(0xaa), at(1), at(0), u)
	VPBLENDD(Imm(0xaa), at(3), at(2), v)
	VPUNPCKLQDQ(v, u, at(0))
	VPUNPCKHQDQ(v, u, u)
	VPADDD(u, at(0), u)
	VEXTRACTI128(Imm(1), u, as(v, 16))
	VPADDD(as(v, 16), as(u, 16), as(u, 16))
	VMOVUPS(as(u, 16), in.squares)
}

// multiply emits the sums of n groups, which have been widened.
func (in *inner) multiply(p *tile8, w, n reg.Register) {
	x, pairs := GP64(), GP64()
	LEAQ(in.words, x)
	MOVQ(n, pairs)
	SHRQ(Imm(1), pairs)
	JZ(LabelRef(p.label + "odd"))
	Label(p.label + "k")
	for g := range unroll8 {
		p.inner(Mem{Base: x, Disp: 2 * group * g}, Mem{Base: w, Disp: p.groupBytes() * g})
	}
	in.next.lines(1)
	ADDQ(imm(2*group*unroll8), x)
	ADDQ(imm(p.groupBytes()*unroll8), w)
	DECQ(pairs)
	JNZ(LabelRef(p.label + "k"))
	Label(p.label + "odd")
	TESTQ(imm(1), n)
	JZ(LabelRef(p.label + "even"))
	p.inner(Mem{Base: x}, Mem{Base: w})
	ADDQ(imm(p.groupBytes()), w)
	Label(p.label + "even")
}

// inner emits the step of one group: its first pair of weights is added to the second
// pair of inputs, and the other way round.
func (t *tile8) inner(in, w Mem) {
	free := slices.Clone(t.free)
	n := len(t.widths)
	first, second := free.take(n, 32), free.take(n, 32)
	x, y := free.take(1, 32)[0], free.take(1, 32)[0]
	for i := range n {
		VMOVUPS(w.Offset(32*i), first[i])
		VMOVUPS(w.Offset(32*(n+i)), second[i])
	}
	for r, sums := range t.sums {
		VPBROADCASTD(in.Offset(r*innerRow), x)
		VPBROADCASTD(in.Offset(r*innerRow+4), y)
		for i, sum := range sums {
			u, v := x, y // which the last one doesn't leave to others
			if i < n-1 {
				u, v = as(free[0], 32), as(free[1], 32)
			}
			VPADDW(second[i], x, u)
			VPADDW(first[i], y, v)
			VPMADDWD(v, u, u)
			VPADDD(u, sum, sum)
		}
	}
}

// subtract emits the subtraction of the squares, which took a while to get known.
func (in *inner) subtract(p *tile8) {
	square := as(p.free[0], 32)
	for r, sums := range p.sums {
		VPBROADCASTD(in.squares.Offset(4*r), square)
		for _, v := range sums {
			VPSUBD(square, v, v)
		}
	}
}

// finish emits what follows a panel's sums.
func (in *inner) finish(p *tile8) {
	TESTQ(in.out, in.out)
	JNZ(LabelRef(p.label + "float"))
	p.requantize(in.limits)
	JMP(LabelRef(p.label + "moved"))
	Label(p.label + "float")
	p.dequantize(in.out, in.add)
	Label(p.label + "moved")
}
