package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// blend emits 3*near + far, 16 samples at a time.
func blend() {
	TEXT("blendAVX2", NOSPLIT, "func(sums *uint16, near, far *byte, n int)")
	Doc("blendAVX2 is blendGeneric for n samples.")
	sums, n := Load(Param("sums"), GP64()), Load(Param("n"), GP64())
	near, far := Load(Param("near"), GP64()), Load(Param("far"), GP64())
	i := GP64()
	XORQ(i, i)
	Label("loop")
	a, b, t := YMM(), YMM(), YMM()
	VPMOVZXBW(Mem{Base: near, Index: i, Scale: 1}, a)
	VPMOVZXBW(Mem{Base: far, Index: i, Scale: 1}, b)
	VPADDW(a, a, t)
	VPADDW(a, b, b)
	VPADDW(t, b, b)
	VMOVDQU(b, Mem{Base: sums, Index: i, Scale: 2})
	ADDQ(Imm(16), i)
	CMPQ(i, n)
	JL(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// spread emits the doubling of 16 samples at a time. An even and an odd output
// are the bytes of a word.
func spread() {
	TEXT("spreadAVX2", NOSPLIT, "func(dst *byte, sums *uint16, n int, even, odd uint16)")
	Doc("spreadAVX2 is spreadGeneric for n samples.")
	dst, sums, n := Load(Param("dst"), GP64()), Load(Param("sums"), GP64()), Load(Param("n"), GP64())
	bias := func(name string) reg.VecVirtual {
		v, t := YMM(), GP32()
		Load(Param(name), t)
		VMOVD(t, v.AsX())
		VPBROADCASTW(v.AsX(), v)
		return v
	}
	even, odd := bias("even"), bias("odd")
	i := GP64()
	XORQ(i, i)
	Label("loop")
	s, t, e, o := YMM(), YMM(), YMM(), YMM()
	VMOVDQU(Mem{Base: sums, Index: i, Scale: 2, Disp: 2}, s)
	VPADDW(s, s, t)
	VPADDW(t, s, s)
	VPADDW(even, s, e)
	VPADDW(odd, s, o)
	VPADDW(Mem{Base: sums, Index: i, Scale: 2}, e, e)
	VPADDW(Mem{Base: sums, Index: i, Scale: 2, Disp: 4}, o, o)
	VPSRLW(Imm(4), e, e)
	VPSRLW(Imm(4), o, o)
	VPSLLW(Imm(8), o, o)
	VPOR(e, o, o)
	VMOVDQU(o, Mem{Base: dst, Index: i, Scale: 2})
	ADDQ(Imm(16), i)
	CMPQ(i, n)
	JL(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// rgb emits the colour conversion of 32 pixels at a time, of which the last may
// overlap those before. Multiplications of words keep their upper half, so the
// integer parts of factors are added, and what is left is, with c centred:
//
//	r = y + cr + (2*cr*0.402 + 1)>>1
//	b = y + 2*cb + (2*cb*-0.228 + 1)>>1
//	g = y - cr + (cb*-0.34414 + cr*0.28586 + half)
func rgb() {
	TEXT("rgbAVX2", NOSPLIT, "func(dst, luma, cb, cr *byte, n int)")
	Doc("rgbAVX2 is rgbGeneric for n pixels, at least 32.")
	dst, n := Load(Param("dst"), GP64()), Load(Param("n"), GP64())
	luma, cb, cr := Load(Param("luma"), GP64()), Load(Param("cb"), GP64()), Load(Param("cr"), GP64())
	last, x, out := GP64(), GP64(), GP64()
	MOVQ(n, last)
	SUBQ(Imm(32), last)
	XORQ(x, x)
	Label("loop")
	zero := YMM()
	VPXOR(zero, zero, zero)
	ys, us, ws := YMM(), YMM(), YMM()
	VMOVDQU(Mem{Base: luma, Index: x, Scale: 1}, ys)
	VMOVDQU(Mem{Base: cb, Index: x, Scale: 1}, us)
	VMOVDQU(Mem{Base: cr, Index: x, Scale: 1}, ws)
	rgbLo := pixels(ys, us, ws, func(v, w reg.VecVirtual) { VPUNPCKLBW(zero, v, w) })
	rgbHi := pixels(ys, us, ws, func(v, w reg.VecVirtual) { VPUNPCKHBW(zero, v, w) })
	for i := range rgbLo {
		VPACKUSWB(rgbHi[i], rgbLo[i], rgbLo[i])
	}
	LEAQ(Mem{Base: x, Index: x, Scale: 2}, out)
	ADDQ(dst, out)
	for part := range 3 {
		sum, t := YMM(), YMM()
		for channel, v := range rgbLo {
			to := t
			if channel == 0 {
				to = sum
			}
			VPSHUFB(picks(part, channel), v, to)
			if channel > 0 {
				VPOR(t, sum, sum)
			}
		}
		VMOVDQU(sum.AsX(), Mem{Base: out, Disp: 16 * part})
		VEXTRACTI128(Imm(1), sum, Mem{Base: out, Disp: 48 + 16*part})
	}
	ADDQ(Imm(32), x)
	CMPQ(x, last)
	JLE(LabelRef("loop"))
	CMPQ(x, n)
	JGE(LabelRef("done"))
	MOVQ(last, x)
	JMP(LabelRef("loop"))
	Label("done")
	VZEROUPPER()
	RET()
}

// picks returns the places of a channel's samples that go to a third of 16
// pixels.
func picks(part, channel int) Mem {
	return bytes(fmt.Sprintf("pick_%d_%d", part, channel), func(i int) byte {
		if at := 16*part + i; at%3 == channel {
			return byte(at / 3)
		}
		return 0x80
	})
}

// pixels emits the conversion of half of the pixels, which widen takes from a
// vector of bytes, to words of r, g and b.
func pixels(ys, us, ws reg.VecVirtual, widen func(v, w reg.VecVirtual)) [3]reg.VecVirtual {
	part := func(v reg.VecVirtual) reg.VecVirtual {
		w := YMM()
		widen(v, w)
		return w
	}
	y, u, w := part(ys), part(us), part(ws)
	VPSUBW(words(128), u, u)
	VPSUBW(words(128), w, w)

	// scaled emits y + (2*c*factor + 1)>>1 and leaves 2*c in the second.
	scaled := func(c reg.VecVirtual, factor int16) (sum, twice reg.VecVirtual) {
		sum, twice = YMM(), YMM()
		VPADDW(c, c, twice)
		VPMULHW(words(factor), twice, sum)
		VPADDW(words(1), sum, sum)
		VPSRAW(Imm(1), sum, sum)
		VPADDW(y, sum, sum)
		return sum, twice
	}
	r, _ := scaled(w, 91881-1<<16)
	VPADDW(w, r, r)
	b, twice := scaled(u, 116130-2<<16)
	VPADDW(twice, b, b)

	g := dot(pair(u, w), -22554, 1<<16-46802)
	for _, v := range []reg.VecVirtual{g.lo, g.hi} {
		VPADDD(doubles(1<<15), v, v)
		VPSRAD(Imm(16), v, v)
	}
	VPACKSSDW(g.hi, g.lo, g.lo)
	VPSUBW(w, y, y)
	VPADDW(y, g.lo, g.lo)
	return [3]reg.VecVirtual{r, g.lo, b}
}
