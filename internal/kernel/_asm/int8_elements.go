package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A finisher makes bytes of vectors of products, all in registers.
type finisher struct {
	requantizer
	order, min reg.VecPhysical
}

// finisher emits the limits' loading. They are a wide set's: the products are of
// any size.
func (s isa8) finisher(field func(name string) reg.Register, free *file) finisher {
	s.wide = true
	l := s.limits(field)
	l.loadOrder()
	f := finisher{s.requantizer(l, false), free.take(1, s.bytes)[0], free.take(1, s.bytes)[0]}
	f.inRegisters(free)
	VMOVUPS(l.order, f.order)
	VMOVUPS(l.min, f.min)
	return f
}

// bytes emits the packing of two or four vectors into one.
func (f finisher) bytes(v []reg.VecPhysical) reg.VecPhysical {
	for _, v := range v {
		VMINPS(f.top, v, v)
		VCVTPS2DQ(v, v)
	}
	n := len(v)
	r := f.pack([4]reg.VecPhysical{v[0], v[1], v[n-2], v[n-1]}, new(file))
	VPERMD(r, f.order, r)
	VPMAXUB(f.min, r, r)
	return r
}

// elements emits a loop over blocks of bytes from dst on, n of them in all: one
// emits what makes the values of two or four vectors, of which the bytes are
// stored.
func (s isa8) elements(f finisher, free file, dst, n reg.Register, one func(v []reg.VecPhysical)) {
	step := func(vectors int) {
		free := free
		v := free.take(vectors, s.bytes)
		one(v)
		r := f.bytes(v)
		bytes := vectors * s.bytes / 4
		VMOVUPS(as(r, bytes), Mem{Base: dst})
		ADDQ(imm(bytes), dst)
	}
	Label("next")
	SUBQ(imm(s.bytes), n)
	JL(LabelRef("rest"))
	step(4)
	JMP(LabelRef("next"))
	Label("rest")
	if s.bytes > pixelBytes8 {
		ADDQ(imm(s.bytes), n)
		JZ(LabelRef("end"))
		step(2)
		Label("end")
	}
	VZEROUPPER()
	RET()
}

// broadcast emits the loading of one float32 into a vector.
func (s isa8) broadcast(c Component, free *file) reg.VecPhysical {
	v := free.take(1, s.bytes)[0]
	VBROADCASTSS(address(c), v)
	return v
}

// add emits the residual sum, of whole blocks.
func (s isa8) add() {
	a := declare("addInt8"+s.name, "AddInt8", "is AddInt8.")
	free := s.isa.file()
	f := s.finisher(rangeOf(a), &free)
	x, y := Load(a.Field("A").Base(), GP64()), Load(a.Field("B").Base(), GP64())
	sx, sy := s.broadcast(a.Field("ScaleA"), &free), s.broadcast(a.Field("ScaleB"), &free)
	offset, origin := s.broadcast(a.Field("Offset"), &free), s.broadcast(a.Field("Origin"), &free)
	t := free.take(1, s.bytes)[0]
	s.elements(f, free, Load(a.Field("Dst").Base(), GP64()), Load(a.Field("Dst").Len(), GP64()), func(v []reg.VecPhysical) {
		for i, v := range v {
			at := i * s.bytes / 4
			VPMOVZXBD(Mem{Base: y, Disp: at}, v)
			VCVTDQ2PS(v, v)
			VSUBPS(origin, v, v)
			VFMADD213PS(offset, sy, v)
			VPMOVZXBD(Mem{Base: x, Disp: at}, t)
			VCVTDQ2PS(t, t)
			VSUBPS(origin, t, t)
			VFMADD231PS(t, sx, v)
		}
		ADDQ(imm(len(v)*s.bytes/4), x)
		ADDQ(imm(len(v)*s.bytes/4), y)
	})
}

// addFixed emits the residual sum in fixed point, of whole blocks. Behind the shift
// sums have less than 24 bits, so that float32 holds them.
func (s isa8) addFixed() {
	a := declare("addFixedInt8"+s.name, "AddFixedInt8", "is AddFixedInt8.")
	free := s.isa.file()
	f := s.finisher(rangeOf(a), &free)
	x, y := Load(a.Field("A").Base(), GP64()), Load(a.Field("B").Base(), GP64())
	fx, fy := s.broadcast(a.Field("FactorA"), &free), s.broadcast(a.Field("FactorB"), &free)
	offset := s.broadcast(a.Field("Offset"), &free)
	shift := free.take(1, 16)[0]
	VMOVD(address(a.Field("Shift")), shift)
	t := free.take(1, s.bytes)[0]
	s.elements(f, free, Load(a.Field("Dst").Base(), GP64()), Load(a.Field("Dst").Len(), GP64()), func(v []reg.VecPhysical) {
		for i, v := range v {
			at := i * s.bytes / 4
			VPMOVZXBD(Mem{Base: y, Disp: at}, v)
			VPMULLD(fy, v, v)
			VPADDD(offset, v, v)
			VPMOVZXBD(Mem{Base: x, Disp: at}, t)
			VPMULLD(fx, t, t)
			VPADDD(t, v, v)
			VPSRAD(shift, v, v)
			VCVTDQ2PS(v, v)
		}
		ADDQ(imm(len(v)*s.bytes/4), x)
		ADDQ(imm(len(v)*s.bytes/4), y)
	})
}

// quantize emits the quantisation of floats, of whole blocks.
func (s isa8) quantize() {
	a := declare("quantizeInt8"+s.name, "QuantizeInt8", "is QuantizeInt8 for whole blocks.")
	free := s.isa.file()
	f := s.finisher(rangeOf(a), &free)
	src := Load(a.Field("Src").Base(), GP64())
	m := s.broadcast(a.Field("M"), &free)
	s.elements(f, free, Load(a.Field("Dst").Base(), GP64()), Load(a.Field("Dst").Len(), GP64()), func(v []reg.VecPhysical) {
		for i, v := range v {
			VMULPS(Mem{Base: src, Disp: i * s.bytes}, m, v)
		}
		ADDQ(imm(len(v)*s.bytes), src)
	})
}

// pool emits the global average pool.
func (s isa8) pool() {
	a := declare("poolInt8"+s.name, "PoolInt8", "is PoolInt8.")
	free := s.isa.file()
	f := s.finisher(rangeOf(a), &free)
	m := s.broadcast(a.Field("M"), &free)
	t := free.take(1, s.bytes)[0]
	sums := free.take(pixelBytes/s.bytes, s.bytes)

	src, n := Load(a.Field("Src").Base(), GP64()), Load(a.Field("Pixels"), GP64())
	zero := Load(a.Field("Zero"), GP32())
	IMULL(n.(reg.GPVirtual).As32(), zero)
	NEGL(zero)
	VMOVD(zero, as(t, 16))
	for _, v := range sums {
		VPBROADCASTD(as(t, 16), v)
	}
	Label("pixel")
	for i, v := range sums {
		VPMOVZXBD(Mem{Base: src, Disp: i * s.bytes / 4}, t)
		VPADDD(t, v, v)
	}
	ADDQ(Imm(pixelBytes8), src)
	DECQ(n)
	JNZ(LabelRef("pixel"))

	for _, v := range sums {
		VCVTDQ2PS(v, v)
		VMULPS(m, v, v)
	}
	out := Load(a.Field("Float").Base(), GP64())
	TESTQ(out, out)
	JZ(LabelRef("bytes"))
	for i, v := range sums {
		VMOVUPS(v, Mem{Base: out, Disp: i * s.bytes})
	}
	VZEROUPPER()
	RET()
	Label("bytes")
	r := f.bytes(sums)
	VMOVUPS(as(r, pixelBytes8), Mem{Base: Load(a.Field("Dst").Base(), GP64())})
	VZEROUPPER()
	RET()
}

// lookup emits the tables of interleaved colours, which needs VBMI as well. A table
// is four vectors, of which an instruction looks up two by the lower seven bits of
// its indices; the eighth bit chooses between two results, and masks with every
// third bit between the colours.
func (s isa8) lookup() {
	a := declare("lookupInt8"+s.name, "LookupInt8", "is LookupInt8. It needs AVX-512 VBMI.")
	free := s.isa.file()
	table := Load(a.Field("Table"), GP64())
	tables := free.take(3*256/s.bytes, s.bytes)
	for i, v := range tables {
		VMOVUPS(Mem{Base: table, Disp: i * s.bytes}, v)
	}
	x, low, high, out := free.take(1, 64)[0], free.take(1, 64)[0], free.take(1, 64)[0], free.take(1, 64)[0]
	t := GP64()
	var third [3]reg.Register
	for i, k := range []reg.Register{reg.K1, reg.K2, reg.K3} {
		MOVQ(U64(uint64(0x9249249249249249)<<i), t)
		KMOVQ(t, k)
		third[i] = k
	}
	src, dst, n := Load(a.Field("Src").Base(), GP64()), Load(a.Field("Dst").Base(), GP64()), Load(a.Field("Dst").Len(), GP64())
	// The colours of a block's bytes begin with the block's number modulo 3.
	colours := func(block int) {
		VPMOVB2M(x, reg.K4)
		for c := range 3 {
			v := tables[4*c:]
			VMOVDQA64(x, low)
			VPERMI2B(v[1], v[0], low)
			VMOVDQA64(x, high)
			VPERMI2B(v[3], v[2], high)
			VMOVDQU8(high, reg.K4, low)
			if c == 0 {
				VMOVDQA64(low, out)
			} else {
				VMOVDQU8(low, third[(c-block+3)%3], out)
			}
		}
	}
	Label("next")
	for block := range 3 {
		CMPQ(n, Imm(64))
		JL(LabelRef(fmt.Sprintf("rest%d", block)))
		VMOVUPS(Mem{Base: src}, x)
		colours(block)
		VMOVUPS(out, Mem{Base: dst})
		ADDQ(Imm(64), src)
		ADDQ(Imm(64), dst)
		SUBQ(Imm(64), n)
	}
	JMP(LabelRef("next"))
	for block := range 3 {
		Label(fmt.Sprintf("rest%d", block))
		MOVQ(U64(1<<64-1), t)
		BZHIQ(n, t, t)
		KMOVQ(t, reg.K5)
		VMOVDQU8_Z(Mem{Base: src}, reg.K5, x)
		colours(block)
		VMOVDQU8(out, reg.K5, Mem{Base: dst})
		VZEROUPPER()
		RET()
	}
}
