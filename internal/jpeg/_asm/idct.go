package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Fractions with constBits, as in idct.go.
const (
	constBits = 13
	pass1Bits = 2

	fix0298 = 2446
	fix0390 = 3196
	fix0541 = 4433
	fix0765 = 6270
	fix0899 = 7373
	fix1175 = 9633
	fix1501 = 12299
	fix1847 = 15137
	fix1961 = 16069
	fix2053 = 16819
	fix2562 = 20995
	fix3072 = 25172
)

type rows [8]reg.VecVirtual

// idct emits the inverse DCT of two blocks, one in each half of the registers.
func idct() {
	TEXT("idctAVX2", NOSPLIT, "func(coefs *[2][64]int16, a, b *byte, aStride, bStride int)")
	Doc("idctAVX2 is idctGeneric for destinations a and b.")
	coefs := Load(Param("coefs"), GP64())
	var r rows
	for i := range r {
		r[i] = YMM()
		VMOVDQU(Mem{Base: coefs, Disp: 16 * i}, r[i].AsX())
		VINSERTI128(Imm(1), Mem{Base: coefs, Disp: 128 + 16*i}, r[i], r[i])
	}
	zero := YMM()
	VPXOR(zero, zero, zero)
	for i := range r {
		VMOVDQU(zero, Mem{Base: coefs, Disp: 32 * i})
	}
	spill := AllocLocal(8 * 32)
	r = butterfly(r, spill, constBits-pass1Bits)
	r = butterfly(transpose(r), spill, constBits+pass1Bits+3)
	store(bytesOf(r))
	VZEROUPPER()
	RET()
}

// A wide is 16 doublewords: those of the lower and those of the upper words of
// each half of a register.
type wide struct{ lo, hi reg.VecVirtual }

// dot emits a*x + b*y, where p has x and y interleaved.
func dot(p wide, a, b int16) wide {
	w := words(a, b)
	out := wide{YMM(), YMM()}
	VPMADDWD(w, p.lo, out.lo)
	VPMADDWD(w, p.hi, out.hi)
	return out
}

// pair emits the interleaving of the words of a and b.
func pair(a, b Op) wide {
	w := wide{YMM(), YMM()}
	VPUNPCKLWD(b, a, w.lo)
	VPUNPCKHWD(b, a, w.hi)
	return w
}

func (w wide) add(v wide) wide {
	VPADDD(v.lo, w.lo, w.lo)
	VPADDD(v.hi, w.hi, w.hi)
	return w
}

// shifted emits v<<constBits with the rounding of a shift right.
func shifted(v, zero reg.VecVirtual, shift int) wide {
	w := pair(zero, v)
	round := doubles(1 << (shift - 1))
	for _, r := range []reg.VecVirtual{w.lo, w.hi} {
		VPSRAD(Imm(16-constBits), r, r)
		VPADDD(round, r, r)
	}
	return w
}

// butterfly emits the inverse DCT across the registers; see idct.go. The even
// part waits in memory for the odd one.
func butterfly(s rows, spill Mem, shift int) rows {
	zero, sum, diff := YMM(), YMM(), YMM()
	VPXOR(zero, zero, zero)
	VPADDW(s[4], s[0], sum)
	VPSUBW(s[4], s[0], diff)
	e0, e1 := shifted(sum, zero, shift), shifted(diff, zero, shift)
	p := pair(s[2], s[6])
	e2 := dot(p, fix0541, fix0541-fix1847)
	e3 := dot(p, fix0541+fix0765, fix0541)
	keep := func(at int, a, b wide) { // a+b at, a-b at 3-at
		t := YMM()
		for half, v := range [][2]reg.VecVirtual{{a.lo, b.lo}, {a.hi, b.hi}} {
			VPADDD(v[1], v[0], t)
			VMOVDQU(t, spill.Offset(64*at+32*half))
			VPSUBD(v[1], v[0], t)
			VMOVDQU(t, spill.Offset(64*(3-at)+32*half))
		}
	}
	keep(0, e0, e3)
	keep(1, e1, e2)

	a, b := YMM(), YMM()
	VPADDW(s[3], s[7], a)
	VPADDW(s[1], s[5], b)
	p = pair(a, b)
	z5 := dot(p, fix1175-fix1961, fix1175)
	z4 := dot(p, fix1175, fix1175-fix0390)
	p = pair(s[7], s[1])
	o0 := dot(p, fix0298-fix0899, -fix0899).add(z5)
	o3 := dot(p, -fix0899, fix1501-fix0899).add(z4)
	p = pair(s[5], s[3])
	o1 := dot(p, fix2053-fix2562, -fix2562).add(z4)
	o2 := dot(p, -fix2562, fix3072-fix2562).add(z5)

	var out rows
	for i, o := range []wide{o3, o2, o1, o0} {
		sum, diff := YMM(), YMM()
		for half, v := range []reg.VecVirtual{o.lo, o.hi} {
			even := YMM()
			VMOVDQU(spill.Offset(64*i+32*half), even)
			t, u := YMM(), YMM()
			VPADDD(v, even, t)
			VPSUBD(v, even, u)
			VPSRAD(Imm(uint64(shift)), t, t)
			VPSRAD(Imm(uint64(shift)), u, u)
			if half == 0 {
				sum, diff = t, u
				continue
			}
			VPACKSSDW(t, sum, sum)
			VPACKSSDW(u, diff, diff)
		}
		out[i], out[7-i] = sum, diff
	}
	return out
}

// transpose emits the transposition of 8x8 words in each half of the registers.
func transpose(r rows) rows {
	var w [4]wide // rows 2i and 2i+1, interleaved
	for i := range w {
		w[i] = pair(r[2*i], r[2*i+1])
	}
	unpackDQ := func(a, b reg.VecVirtual) (lo, hi reg.VecVirtual) {
		lo, hi = YMM(), YMM()
		VPUNPCKLDQ(b, a, lo)
		VPUNPCKHDQ(b, a, hi)
		return lo, hi
	}
	var upper, lower [4]reg.VecVirtual // columns 2i and 2i+1 of four rows
	upper[0], upper[1] = unpackDQ(w[0].lo, w[1].lo)
	upper[2], upper[3] = unpackDQ(w[0].hi, w[1].hi)
	lower[0], lower[1] = unpackDQ(w[2].lo, w[3].lo)
	lower[2], lower[3] = unpackDQ(w[2].hi, w[3].hi)
	var out rows
	for i := range upper {
		out[2*i], out[2*i+1] = YMM(), YMM()
		VPUNPCKLQDQ(lower[i], upper[i], out[2*i])
		VPUNPCKHQDQ(lower[i], upper[i], out[2*i+1])
	}
	return out
}

// bytesOf emits the conversion of columns of words to rows of bytes, two rows to
// each half of a register.
func bytesOf(columns rows) [4]reg.VecVirtual {
	for i := range 4 { // column i, column i+4
		VPACKSSWB(columns[i+4], columns[i], columns[i])
	}
	unpackBW := func(a, b reg.VecVirtual) wide {
		w := wide{YMM(), YMM()}
		VPUNPCKLBW(b, a, w.lo)
		VPUNPCKHBW(b, a, w.hi)
		return w
	}
	c01, c23 := unpackBW(columns[0], columns[1]), unpackBW(columns[2], columns[3]) // hi: 4, 5 and 6, 7
	left, right := pair(c01.lo, c23.lo), pair(c01.hi, c23.hi)
	half := bytes("b_128", func(int) byte { return 128 })
	var out [4]reg.VecVirtual
	for i, v := range [][2]reg.VecVirtual{{left.lo, right.lo}, {left.hi, right.hi}} {
		lo, hi := YMM(), YMM()
		VPUNPCKLDQ(v[1], v[0], lo)
		VPUNPCKHDQ(v[1], v[0], hi)
		VPADDB(half, lo, lo)
		VPADDB(half, hi, hi)
		out[2*i], out[2*i+1] = lo, hi
	}
	return out
}

// store emits the stores of two blocks.
func store(r [4]reg.VecVirtual) {
	dst, stride := GP64(), GP64()
	for block, name := range []string{"a", "b"} {
		Load(Param(name), dst)
		Load(Param(name+"Stride"), stride)
		for i, v := range r {
			x := v.AsX()
			if block == 1 {
				x = XMM()
				VEXTRACTI128(Imm(1), v, x)
			}
			VMOVQ(x, Mem{Base: dst})
			VMOVHPS(x, Mem{Base: dst, Index: stride, Scale: 1})
			if i < 3 {
				LEAQ(Mem{Base: dst, Index: stride, Scale: 2}, dst)
			}
		}
	}
}
