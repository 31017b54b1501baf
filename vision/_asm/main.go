// Command _asm writes the AVX2 kernels of package vision. It is run by go generate.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// precision and half are those of package vision: fraction bits of a coefficient.
const (
	precision = 22
	half      = 1 << (precision - 1)
)

func main() {
	ConstraintExpr("!purego")
	columns(3)
	columns(4)
	columns(0)
	rows()
	paeth(3)
	paeth(4)
	Generate()
}

// rounding returns a register with half in every doubleword.
func rounding() reg.VecVirtual {
	v, t := YMM(), GP32()
	MOVL(U32(half), t)
	VMOVD(t, v.AsX())
	VPBROADCASTD(v.AsX(), v)
	return v
}

// columns emits the sums of a row's pixels, a pixel at a time: its three levels and
// the next one are the doublewords of a register. For 3 and 4 taps, bilinear scaling
// by 1/2 to 1, the loop over them is unrolled; 0 stands for any number.
func columns(taps int) {
	name := map[int]string{3: "columns3AVX2", 4: "columns4AVX2", 0: "columnsAVX2"}[taps]
	signature, count := "func(dst, src *byte, start *int, coef *uint64, pixels int)", fmt.Sprint(taps)
	if taps == 0 {
		signature, count = "func(dst, src *byte, start *int, coef *uint64, n, pixels int)", "n"
	}
	TEXT(name, NOSPLIT, signature)
	Doc(name+" writes pixels, and a byte behind them: each the weighted sum of "+count,
		"pixels of src from its start on. It reads a byte behind the last of them.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	start, coef := Load(Param("start"), GP64()), Load(Param("coef"), GP64())
	pixels := Load(Param("pixels"), GP64())
	first := rounding().AsX()
	from, sum := GP64(), XMM()
	tap := func(i int) {
		v, w := XMM(), XMM()
		VPMOVZXBD(Mem{Base: from, Disp: 3 * i}, v)
		VPBROADCASTD(Mem{Base: coef, Disp: 8 * i}, w)
		VPMULLD(w, v, v)
		VPADDD(v, sum, sum)
	}

	Label("pixel")
	MOVQ(Mem{Base: start}, from)
	LEAQ(Mem{Base: from, Index: from, Scale: 2}, from)
	ADDQ(src, from)
	VMOVDQA(first, sum)
	for i := range taps {
		tap(i)
	}
	if taps > 0 {
		ADDQ(Imm(uint64(8*taps)), coef)
	} else {
		j := Load(Param("n"), GP64())
		Label("tap")
		tap(0)
		ADDQ(Imm(3), from)
		ADDQ(Imm(8), coef)
		DECQ(j)
		JNZ(LabelRef("tap"))
	}
	VPSRAD(Imm(precision), sum, sum)
	VPACKUSDW(sum, sum, sum) // saturation is Pillow's clip8
	VPACKUSWB(sum, sum, sum)
	VMOVD(sum, Mem{Base: dst})
	ADDQ(Imm(3), dst)
	ADDQ(Imm(8), start)
	DECQ(pixels)
	JNZ(LabelRef("pixel"))
	VZEROUPPER()
	RET()
}

// rows emits the weighted sum of rows, 32 bytes at a time. The last 32 overlap those
// before them.
func rows() {
	TEXT("rowsAVX2", NOSPLIT, "func(dst, src *byte, bytes, stride int, coef *uint64, n int)")
	Doc("rowsAVX2 writes the weighted sum of n rows of bytes, at least 32, stride apart.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	last, stride := Load(Param("bytes"), GP64()), Load(Param("stride"), GP64())
	coef, n := Load(Param("coef"), GP64()), Load(Param("n"), GP64())
	first := rounding()
	x, from, k, j := GP64(), GP64(), GP64(), GP64()
	SUBQ(Imm(32), last)
	XORQ(x, x)

	Label("chunk")
	var sums [4]reg.VecVirtual
	for i := range sums {
		sums[i] = YMM()
		VMOVDQA(first, sums[i])
	}
	LEAQ(Mem{Base: src, Index: x, Scale: 1}, from)
	MOVQ(coef, k)
	MOVQ(n, j)
	Label("row")
	w := YMM()
	VPBROADCASTD(Mem{Base: k}, w)
	for i, sum := range sums {
		v := YMM()
		VPMOVZXBD(Mem{Base: from, Disp: 8 * i}, v)
		VPMULLD(w, v, v)
		VPADDD(v, sum, sum)
	}
	ADDQ(stride, from)
	ADDQ(Imm(8), k)
	DECQ(j)
	JNZ(LabelRef("row"))
	for _, sum := range sums {
		VPSRAD(Imm(precision), sum, sum)
	}
	// Packing works in halves: bytes come out as 0-3, 8-11, 16-19, 24-27, 4-7, ...
	VPACKUSDW(sums[1], sums[0], sums[0])
	VPACKUSDW(sums[3], sums[2], sums[2])
	VPACKUSWB(sums[2], sums[0], sums[0])
	order := GLOBL("order", RODATA|NOPTR)
	for i, v := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
		DATA(4*i, U32(v))
	}
	o := YMM()
	VMOVDQU(order, o)
	VPERMD(sums[0], o, sums[0])
	VMOVDQU(sums[0], Mem{Base: dst, Index: x, Scale: 1})
	CMPQ(x, last)
	JGE(LabelRef("done"))
	ADDQ(Imm(32), x)
	CMPQ(x, last)
	CMOVQGT(last, x)
	JMP(LabelRef("chunk"))

	Label("done")
	VZEROUPPER()
	RET()
}

// paeth emits the inverse of PNG's filter 4 for pixels of so many bytes, which are
// words of a register. The predictor is the first of left, up and corner whose
// distance is the least of the three.
func paeth(back int) {
	name := map[int]string{3: "paeth3AVX2", 4: "paeth4AVX2"}[back]
	TEXT(name, NOSPLIT, "func(row, above *byte, pixels int)")
	Doc(name + " undoes the filter of so many pixels. It reads up to 5 bytes behind them.")
	row, above, pixels := Load(Param("row"), GP64()), Load(Param("above"), GP64()), Load(Param("pixels"), GP64())
	left, corner := XMM(), XMM()
	VPXOR(left, left, left)
	VPXOR(corner, corner, corner)
	t := GP64()

	Label("pixel")
	x, up, pa, pb, pc, least := XMM(), XMM(), XMM(), XMM(), XMM(), XMM()
	VPMOVZXBW(Mem{Base: row}, x)
	VPMOVZXBW(Mem{Base: above}, up)
	VPSUBW(corner, up, pa)
	VPSUBW(corner, left, pb)
	VPADDW(pa, pb, pc)
	VPABSW(pa, pa)
	VPABSW(pb, pb)
	VPABSW(pc, pc)
	VPMINSW(pa, pb, least)
	VPMINSW(pc, least, least)
	VPCMPEQW(pa, least, pa)
	VPCMPEQW(pb, least, pb)
	VPBLENDVB(pb, up, corner, corner)
	VPBLENDVB(pa, left, corner, corner)
	VPADDB(corner, x, left) // bytes, so that the words' upper halves stay 0
	VMOVDQA(up, corner)
	VPACKUSWB(left, left, x)
	VMOVQ(x, t)
	if back == 4 {
		MOVL(t.As32(), Mem{Base: row})
	} else {
		MOVW(t.As16(), Mem{Base: row})
		SHRQ(Imm(16), t)
		MOVB(t.As8(), Mem{Base: row, Disp: 2})
	}
	ADDQ(Imm(uint64(back)), row)
	ADDQ(Imm(uint64(back)), above)
	DECQ(pixels)
	JNZ(LabelRef("pixel"))
	RET()
}
