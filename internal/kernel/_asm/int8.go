package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	pixelBytes8 = 32 // from a pixel to the next in the blocked layout of bytes
	group       = 4  // k that are multiplied at once
)

// An isa8 is what the 8-bit kernels of an instruction set differ in.
type isa8 struct {
	name   string
	isa    isa            // its registers
	bytes  int            // of the widest vector
	wide   bool           // it multiplies 16-bit integers, not bytes
	shapes map[int]shape8 // by NR
}

// parts is how often a group's inputs are multiplied: at once, or in two pairs.
func (s isa8) parts() int {
	if s.wide {
		return 2
	}
	return 1
}

// inputBytes is the size of a group's inputs.
func (s isa8) inputBytes() int { return group * s.parts() }

// filter is what a's Filter points to.
func filter(a Component) Component {
	p := a.Field("Filter")
	return p.Dereference(Load(p, GP64()))
}

// weights is the field of a filter that has the weights.
func (s isa8) weights(filter Component) Component {
	if s.wide {
		return filter.Field("W16")
	}
	return filter.Field("W8")
}

// dot emits the addition of the products of x and w to sum, four of them for each
// 32 bits, or without products of bytes two.
func (s isa8) dot(x, w, sum reg.VecPhysical, free file) {
	if s.wide {
		t := free.take(1, s.bytes)[0]
		VPMADDWD(x, w, t)
		VPADDD(t, sum, sum)
		return
	}
	if s.isa.registers == 16 {
		vexVPDPBUSD(w, x, sum)
		return
	}
	VPDPBUSD(w, x, sum)
}

// vexVPDPBUSD emits the form of AVX-VNNI, which the assembler doesn't have:
// VEX.256.66.0F38.W0 50 /r.
func vexVPDPBUSD(w, x, sum reg.VecPhysical) {
	number := func(v reg.VecPhysical) byte { return byte(v.PhysicalIndex()) }
	high := func(v reg.VecPhysical) byte { return ^number(v) >> 3 & 1 }
	code := []byte{
		0xc4,
		high(sum)<<7 | 1<<6 | high(w)<<5 | 2,
		^number(x)&15<<3 | 1<<2 | 1,
		0x50,
		0xc0 | number(sum)&7<<3 | number(w)&7,
	}
	Comment(fmt.Sprintf("VPDPBUSD Y%d, Y%d, Y%d", number(w), number(x), number(sum)))
	for _, b := range code {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(b)}})
	}
}

// A shape8 is the tallest tile for an NR: its pixels, and the bytes of each of
// the vectors that hold a pixel's sums.
type shape8 struct {
	rows   int
	widths []int
}

var int8Sets = map[string]isa8{
	// AVX-512 F, BW, VL and VNNI.
	"int8_avx512vnni": {"AVX512VNNI", isa{registers: 32}, 64, false, map[int]shape8{
		8:  {14, []int{32}},
		16: {14, []int{64}},
		24: {14, []int{64, 32}},
		32: {14, []int{64, 64}},
	}},
	// AVX-VNNI: channels by panels of 16, for which there are registers enough.
	"int8_avxvnni": {"AVXVNNI", isa{registers: 16}, 32, false, map[int]shape8{
		8:  {6, []int{32}},
		16: {6, []int{32, 32}},
	}},
	// AVX2 and FMA: likewise, of 16-bit integers.
	"int8_avx2": {"AVX2", isa{registers: 16}, 32, true, map[int]shape8{
		8:  {6, []int{32}},
		16: {6, []int{32, 32}},
	}},
}

func (s isa8) kernels() {
	var masks Mem
	if s.wide {
		masks = groupMasks()
	}
	for _, nr := range []int{8, 16, 24, 32} {
		_, ok := s.shapes[nr]
		if s.wide {
			s.inner(nr, masks)
		} else if ok {
			s.pointwise(nr)
		}
		if ok {
			s.first(nr)
		}
	}
	s.depthwise(1, (*walker8).stride1)
	s.depthwise(2, (*walker8).stride2)
	s.add()
	s.addFixed()
	s.quantize()
	s.pool()
	if s.bytes == 64 {
		s.lookup()
	}
	for _, queries := range []int{4, 2} {
		if dotShapes[s.bytes][queries] > 0 {
			s.dotProducts(queries)
		}
	}
	s.peak()
}

// limits are what the requantisation of sums needs, as vectors on the stack: a
// tile leaves no registers for them.
type limits struct {
	bytes int
	zero  Mem // 16-bit
	min   Mem // bytes
	max   Mem // bytes, or for wide sets Max-Zero as float32
	order Mem // 32-bit indices: see pack
	plain Mem // 32-bit: 0 if the range is that of all bytes and its zero is 0; see also small
}

// peakChains8 is enough to cover the latency of a dot product.
const peakChains8 = 12

// peak emits a loop of nothing but dot products that wait for no other one of the
// same iteration; of sets without products of bytes those of inner.
func (s isa8) peak() {
	TEXT("peakInt8"+s.name, NOSPLIT, "func(iterations int)")
	Doc("peakInt8" + s.name + " does iterations times 12 independent steps of four products.")
	n := Load(Param("iterations"), GP64())
	free := s.isa.file()
	sums := free.take(peakChains8, s.bytes)
	x := free.take(1, s.bytes)[0]
	zero(sums...)
	zero(x)
	Label("loop")
	for _, v := range sums {
		if s.wide {
			t := as(free[0], s.bytes)
			VPADDW(x, x, t)
			VPADDW(x, x, as(free[1], s.bytes))
			VPMADDWD(t, as(free[1], s.bytes), t)
			VPADDD(t, v, v)
			continue
		}
		s.dot(x, x, v, free)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// limits emits the limits into stack memory, given what emits the loading of a
// field of Range.
func (s isa8) limits(field func(name string) reg.Register) limits {
	at := AllocLocal(4*s.bytes + 8)
	l := limits{s.bytes, at, at.Offset(s.bytes), at.Offset(2 * s.bytes), at.Offset(3 * s.bytes), at.Offset(4 * s.bytes)}
	v, x := as(zmm[0], s.bytes), as(zmm[0], 16)
	zero, least, top := field("Zero"), field("Min"), field("Max")
	VMOVD(zero, x)
	VPBROADCASTW(x, v)
	VMOVUPS(v, l.zero)
	VMOVD(least, x)
	VPBROADCASTB(x, v)
	VMOVUPS(v, l.min)
	plain := GP32()
	MOVL(top, plain)
	XORL(U32(255), plain)
	ORL(zero, plain)
	ORL(least, plain)
	MOVL(plain, l.plain)
	if s.wide {
		SUBL(zero, top)
		VCVTSI2SSL(top, x, x)
		VBROADCASTSS(x, v)
	} else {
		VMOVD(top, x)
		VPBROADCASTB(x, v)
	}
	VMOVUPS(v, l.max)
	return l
}

// rangeOf returns what emits the loading of a field of a's range.
func rangeOf(a Component) func(name string) reg.Register {
	return func(name string) reg.Register { return Load(a.Field("Range").Field(name), GP32()) }
}

// loadOrder emits the indices that put the dwords of pack's result in order, of a
// transposed matrix: 4 rows of 4 for vectors of 64 bytes, of 2 rows for 32.
func (l limits) loadOrder() {
	t := GP64()
	v, x, y := as(zmm[0], l.bytes), as(zmm[0], 16), as(zmm[1], 16)
	if l.bytes == 64 {
		MOVQ(U64(0x0d0905010c080400), t)
		VMOVQ(t, x)
		MOVQ(U64(0x0f0b07030e0a0602), t)
		VMOVQ(t, y)
		VPUNPCKLQDQ(y, x, x)
	} else {
		MOVQ(U64(0x0703060205010400), t)
		VMOVQ(t, x)
	}
	VPMOVZXBD(x, v)
	VMOVUPS(v, l.order)
}

// small emits that l.plain isn't 0, either, where one of the n multipliers of a filter
// is 1 or more. All others bring every sum below 2^31, so that it saturates as it
// becomes a byte. Sets of bytes have filters that see to that.
func (l limits) small(filter Component, n int) {
	m, bits := Load(filter.Field("M").Base(), GP64()), GP32()
	v, most, one := as(zmm[0], 32), as(zmm[1], 32), as(zmm[2], 32)
	zero(most)
	for i := range n / 8 {
		VMOVUPS(Mem{Base: m, Disp: 32 * i}, v)
		VPADDD(v, v, v) // without the sign
		VPMAXUD(v, most, most)
	}
	MOVL(U32(2*0x3f800000-1), bits)
	VMOVD(bits, as(one, 16))
	VPBROADCASTD(as(one, 16), one)
	VPMAXUD(most, one, most)
	VPSUBD(one, most, most)
	VPTEST(most, most)
	SETNE(bits.As8())
	MOVBLZX(bits.As8(), bits)
	ORL(bits, l.plain)
}

// A requantizer makes bytes of vectors of sums.
type requantizer struct {
	limits
	wide bool
	all  bool // the limits are those of bytes, and the zero point is 0: most layers have ReLU6 so
	word Op   // limits.zero, or a register that has it
	top  Op   // limits.max likewise, for wide sets
}

func (s isa8) requantizer(l limits, all bool) requantizer {
	return requantizer{l, s.wide, all, l.zero, l.max}
}

// inRegisters emits the loading of what there are registers for.
func (q *requantizer) inRegisters(free *file) {
	load := func(from Op) Op {
		v := free.take(1, q.bytes)[0]
		VMOVUPS(from, v)
		return v
	}
	if q.all {
		return
	}
	q.word = load(q.word)
	if q.wide {
		q.top = load(q.top)
	}
}

// round emits the scaling of sums by m and their rounding. What is too small for
// an integer becomes the smallest one and saturates later; so would what is too
// large, if the packing didn't exclude it for sets of bytes, or limits.small. For the
// others the limit is the minimum's second source, which it is where the first is NaN.
func (q requantizer) round(v reg.VecPhysical, m Op) {
	VCVTDQ2PS(v, v)
	VMULPS(m, v, v)
	if q.wide && !q.all {
		VMINPS(q.top, v, v)
	}
	VCVTPS2DQ(v, v)
}

// clamp emits the limits of packed bytes.
func (q requantizer) clamp(v reg.VecPhysical) {
	if q.all {
		return
	}
	VPMAXUB(q.min, v, v)
	if !q.wide {
		VPMINUB(q.max, v, v)
	}
}

// words emits the packing of b's integers behind a's, into a, and what makes bytes
// of numbers around zero.
func (q requantizer) words(a, b reg.VecPhysical) {
	VPACKSSDW(b, a, a)
	if !q.all {
		VPADDSW(q.word, a, a)
	}
}

// pack emits the packing of the integers in four vectors into bytes in the first
// one. Both saturating conversions work within 16-byte parts of their vectors,
// which leaves dwords to be put in order. The vectors may be the same two by two;
// all but the first are free then.
func (q requantizer) pack(v [4]reg.VecPhysical, free *file) reg.VecPhysical {
	for i := range v {
		v[i] = as(v[i], q.bytes)
	}
	q.words(v[0], v[1])
	if v[2] != v[0] {
		q.words(v[2], v[3])
	}
	VPACKUSWB(v[2], v[0], v[0])
	for i := 1; i < 4; i++ {
		if v[i] != v[0] && (i < 3 || v[3] != v[2]) {
			*free = append(*free, v[i])
		}
	}
	return v[0]
}
