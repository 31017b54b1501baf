package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// pool emits the global average pool.
func (s isa) pool() {
	a := declare("pool"+s.name, "Pool", "is Pool.")
	src := Load(a.Field("Src").Base(), GP64())
	n := Load(a.Field("Pixels"), GP64())
	bytes := s.widths[0]
	free := s.file()
	pixels := free.take(1, bytes)[0]
	sums := free.take(pixelBytes/bytes, bytes)
	zero(pixels)
	x := as(pixels, 16)
	VCVTSI2SSQ(n, x, x)
	VBROADCASTSS(x, pixels)
	each := func(f func(at int, sum reg.VecPhysical)) {
		for i, v := range sums {
			f(i*bytes, v)
		}
	}
	zero(sums...)
	Label("pixel")
	each(func(at int, sum reg.VecPhysical) { VADDPS(Mem{Base: src, Disp: at}, sum, sum) })
	ADDQ(Imm(pixelBytes), src)
	DECQ(n)
	JNZ(LabelRef("pixel"))
	dst := Load(a.Field("Dst").Base(), GP64())
	each(func(at int, sum reg.VecPhysical) {
		VDIVPS(pixels, sum, sum)
		VMOVUPS(sum, Mem{Base: dst, Disp: at})
	})
	VZEROUPPER()
	RET()
}

// peakChains is enough multiply-adds to cover the latency of those before.
const peakChains = 12

// peak emits a loop of nothing but multiply-adds that wait for no other one of
// the same iteration.
func (s isa) peak() {
	TEXT("peak"+s.name, NOSPLIT, "func(iterations int)")
	Doc("peak" + s.name + " does iterations times 12 independent multiply-adds of a vector.")
	n := Load(Param("iterations"), GP64())
	bytes := s.widths[0]
	free := s.file()
	sums := free.take(peakChains, bytes)
	zero(sums...)
	Label("loop")
	for _, v := range sums {
		VFMADD231PS(v, v, v)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
