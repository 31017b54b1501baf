package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dotShapes are the tiles of DotInt8, rows by queries, by the number of queries.
var dotShapes = map[int]map[int]int{
	64: {4: 4, 2: 8}, // 16 sums, and 4 queries or 2 and a row
	32: {2: 4},       // 8 sums, 2 queries, a row; two more for 16-bit integers
}

// dotStep is how many values a step of the loop multiplies.
func (s isa8) dotStep() int {
	if s.wide {
		return s.bytes / 2
	}
	return s.bytes
}

// dotLoad emits the loading of values, widened where the set multiplies 16 bits.
func (s isa8) dotLoad(from Mem, to reg.VecPhysical, signed bool) {
	switch {
	case !s.wide:
		VMOVUPS(from, to)
	case signed:
		VPMOVSXBW(from, to)
	default:
		VPMOVZXBW(from, to)
	}
}

// rowsAt returns the places of up to 8 rows from p on, stride apart; far is p plus four
// of them, where there are more than four.
func rowsAt(p, far, stride, three reg.Register, n int) []Mem {
	at := []Mem{
		{Base: p}, {Base: p, Index: stride, Scale: 1}, {Base: p, Index: stride, Scale: 2}, {Base: p, Index: three, Scale: 1},
		{Base: far}, {Base: far, Index: stride, Scale: 1}, {Base: far, Index: stride, Scale: 2}, {Base: far, Index: three, Scale: 1},
	}
	return at[:n]
}

// dotProducts emits the products of rows with so many queries, in tiles that hold all
// their sums in registers.
func (s isa8) dotProducts(queries int) {
	rows := dotShapes[s.bytes][queries]
	a := declare(fmt.Sprintf("dot%dInt8%s", queries, s.name), "DotInt8", fmt.Sprintf("is DotInt8 for the first %d queries.", queries))
	p, q := Load(a.Field("Rows").Base(), GP64()), Load(a.Field("Queries").Base(), GP64())
	dst, n := Load(a.Field("Dst").Base(), GP64()), Load(a.Field("N"), GP64())
	stride, line := Load(a.Field("Stride"), GP64()), Load(a.Field("Q"), GP64())
	SHLQ(Imm(2), line) // bytes
	three, end, far := GP64(), GP64(), GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, three)

	free := s.isa.file()
	sums := free.take(rows*queries, s.bytes) // [rows][queries]
	w := free.take(queries, s.bytes)
	x := free.take(1, s.bytes)[0]

	TESTQ(n, n)
	JZ(LabelRef("end"))
	Label("tile")
	zero(sums...)
	LEAQ(Mem{Base: p, Index: stride, Scale: 1}, end)
	LEAQ(Mem{Base: p, Index: stride, Scale: 4}, far)
	Label("step")
	for i, from := range rowsAt(q, q, stride, three, queries) {
		s.dotLoad(from, w[i], true)
	}
	for r, from := range rowsAt(p, far, stride, three, rows) {
		s.dotLoad(from, x, false)
		for i := range w {
			s.dot(x, w[i], sums[r*queries+i], free)
		}
	}
	for _, v := range []reg.Register{p, q, far} {
		ADDQ(imm(s.dotStep()), v)
	}
	CMPQ(p, end)
	JB(LabelRef("step"))

	SUBQ(stride, q)
	// p is a row further on already.
	ADDQ(three, p)
	if rows == 8 {
		LEAQ(Mem{Base: p, Index: stride, Scale: 4}, p)
	}
	s.dotStore(sums, queries, dst, line, free)
	SUBQ(imm(rows), n)
	JNZ(LabelRef("tile"))
	Label("end")
	VZEROUPPER()
	RET()
}

// dotStore emits the adding up of the parts of sums and their storing, four at a time:
// a row of four queries, or two rows of two.
func (s isa8) dotStore(sums []reg.VecPhysical, queries int, dst, line reg.Register, free file) {
	t := free.take(1, s.bytes)[0]
	// halves leaves in a the sums of a's halves and of b's, interleaved.
	halves := func(low, high func(b, a, to Op), a, b reg.VecPhysical) {
		high(b, a, t)
		low(b, a, a)
		VPADDD(t, a, a)
	}
	for i := 0; i < len(sums); i += 4 {
		v := sums[i:]
		low, high := func(b, a, to Op) { VPUNPCKLDQ(b, a, to) }, func(b, a, to Op) { VPUNPCKHDQ(b, a, to) }
		halves(low, high, v[0], v[1])
		halves(low, high, v[2], v[3])
		low, high = func(b, a, to Op) { VPUNPCKLQDQ(b, a, to) }, func(b, a, to Op) { VPUNPCKHQDQ(b, a, to) }
		halves(low, high, v[0], v[2])
		for bytes := s.bytes; bytes > 16; bytes /= 2 {
			half := as(t, bytes/2)
			if bytes == 64 {
				VEXTRACTI64X4(Imm(1), v[0], half)
			} else if s.isa.registers == 32 {
				VEXTRACTI32X4(Imm(1), as(v[0], 32), half)
			} else {
				VEXTRACTI128(Imm(1), as(v[0], 32), half)
			}
			VPADDD(half, as(v[0], bytes/2), as(v[0], bytes/2))
		}
		out := as(v[0], 16)
		if queries == 4 {
			VMOVUPS(out, Mem{Base: dst})
			ADDQ(line, dst)
			continue
		}
		VMOVQ(out, Mem{Base: dst})
		VMOVHPS(out, Mem{Base: dst, Index: line, Scale: 1})
		LEAQ(Mem{Base: dst, Index: line, Scale: 2}, dst)
	}
}
