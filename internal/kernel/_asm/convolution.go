package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// declare begins a function of one argument, a pointer to the package's type
// arg, and returns what it points to.
func declare(name, arg string, doc ...string) Component {
	TEXT(name, NOSPLIT, fmt.Sprintf("func(a *%s)", arg))
	Doc(append([]string{name + " " + doc[0]}, doc[1:]...)...)
	Pragma("noescape")
	return Dereference(Param("a"))
}

// address returns where c lies in memory.
func address(c Component) Mem {
	b, err := c.Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// An ahead goes over the weights behind those of a call and fetches them into
// the second-level cache, some lines per iteration of k: where weights are many they
// are the next ones. Without it the 7x7 layers take 8 % longer.
type ahead struct {
	w       Component // the weights
	at, end reg.Register
}

func newAhead(a Component, nr int) ahead {
	at, end := Load(a.Field("W").Base(), GP64()), Load(a.Field("K"), GP64())
	IMUL3Q(U32(4*nr), end, end)
	ADDQ(end, at)
	ADDQ(at, end)
	return ahead{a.Field("W"), at, end}
}

// lines emits the fetch of so many lines.
func (h ahead) lines(n int) {
	for i := range n {
		PREFETCHT1(Mem{Base: h.at, Disp: i * lineBytes})
	}
	if n == 1 {
		ADDQ(Imm(lineBytes), h.at)
		return
	}
	ADDQ(imm(n*lineBytes), h.at)
}

// wrap emits the end of a tile: as many weights as the call has are enough, then
// it fetches lines that are there.
func (h ahead) wrap(label string) {
	CMPQ(h.at, h.end)
	JB(LabelRef(label))
	Load(h.w.Base(), h.at)
	Label(label)
}

// A list is an ahead that fetches the slices in Next instead, if there are any, one
// after the other.
type list struct {
	ahead
	next  Component
	taken Mem // bytes of Next that have been gone over
}

func newList(a Component, nr int) list {
	return list{newAhead(a, nr), a.Field("Next"), AllocLocal(8)}
}

// start emits the way to the first slice and from there to the first tile.
func (l list) start() {
	MOVQ(U32(0), l.taken)
	CMPQ(address(l.next.Len()), Imm(0))
	JNE(LabelRef("fetched"))
}

// moved emits the end of a tile.
func (l list) moved() {
	CMPQ(l.at, l.end)
	JAE(LabelRef("fetched"))
}

// fetched emits what follows the end of a slice: the next one, and after the last the
// call's own weights, which are in the cache.
func (l list) fetched() {
	Label("fetched")
	slice, n := GP64(), Load(l.next.Len(), GP64())
	IMUL3Q(U32(sliceBytes), n, n)
	MOVQ(l.taken, slice)
	CMPQ(slice, n)
	JGE(LabelRef("own"))
	ADDQ(Imm(sliceBytes), l.taken)
	ADDQ(Load(l.next.Base(), n), slice)
	MOVQ(Mem{Base: slice}, l.at)
	MOVQ(Mem{Base: slice, Disp: 8}, l.end)
	LEAQ(Mem{Base: l.at, Index: l.end, Scale: 4}, l.end)
	JMP(LabelRef("next"))
	Label("own")
	Load(l.w.Base(), l.at)
	TESTQ(n, n)
	JZ(LabelRef("next"))
	MOVQ(l.at, l.end)
	JMP(LabelRef("next"))
}

// pointwise emits the pointwise convolution for an NR.
func (s isa) pointwise(nr int) {
	a := declare(fmt.Sprintf("pointwise%d%s", nr, s.name), "Pointwise",
		fmt.Sprintf("is Pointwise for NR = %d, in tiles of %d pixels. A nil Bias", nr, s.shapes[nr].rows),
		"counts as zeros; there must be Add then.")
	add := Load(a.Field("Add").Base(), GP64())
	src := Load(a.Field("Src").Base(), GP64())
	next := newList(a, nr)
	t := tiler{
		isa: s, shape: s.shapes[nr], nr: nr,
		pixels: Load(a.Field("Pixels"), GP64()),
		dst:    Load(a.Field("Dst").Base(), GP64()),
		src:    src,
		step:   pixelBytes,
		start: func(t *tile) {
			bias := Load(a.Field("Bias").Base(), GP64())
			TESTQ(bias, bias)
			JZ(LabelRef(t.label + "add"))
			t.bias(bias)
			CMPQ(address(a.Field("Add").Base()), Imm(0))
			JE(LabelRef(t.label + "sum"))
			t.each(func(at int, sum reg.VecPhysical) { VADDPS(Mem{Base: add, Disp: at}, sum, sum) })
			JMP(LabelRef(t.label + "sum"))
			Label(t.label + "add")
			t.each(func(at int, sum reg.VecPhysical) { VMOVUPS(Mem{Base: add, Disp: at}, sum) })
			Label(t.label + "sum")
		},
		sum: func(t *tile) { t.sumChannels(a, src, next) },
		finish: func(t *tile) {
			CMPB(address(a.Field("ReLU6")), Imm(0))
			JE(LabelRef(t.label + "store"))
			t.relu6()
			Label(t.label + "store")
		},
		moved: func(rows int) {
			ADDQ(imm(rows*pixelBytes), add)
			next.moved()
		},
	}
	next.start()
	t.emit()
	next.fetched()
}

// unroll is the number of k in an iteration.
const unroll = 4

// fewPixels is the map of 3x3 that an image of 96x96 ends in.
const fewPixels = 9

// linesAhead is how many lines of the next weights to fetch in an iteration of k, so
// that even a call for few pixels fetches them all: with one line, the network took
// 13 % longer at 96x96 and 7 % at 128x128. A single pixel is the classifier, which
// reads as fast as the third-level cache gives: fetches only get in its way.
func (t *tile) linesAhead() int {
	if t.rows == 1 {
		return 1
	}
	tiles := 2 // of what is less than two of the tallest
	if t.rows == t.shape.rows {
		tiles = (fewPixels + t.rows - 1) / t.rows
	}
	used := unroll * t.nr * 4 / lineBytes // by an iteration
	return max(1, (used+tiles-1)/tiles)
}

// sumChannels emits the loop over the blocks of input channels.
func (t *tile) sumChannels(a Component, src reg.Register, next list) {
	const block = pixelBytes / 4
	in, w, left, n := GP64(), GP64(), GP64(), GP64()
	MOVQ(src, in)
	Load(a.Field("W").Base(), w)
	Load(a.Field("K"), left)

	Label(t.label + "block")
	MOVQ(U32(block/unroll), n)
	CMPQ(left, Imm(block))
	JGE(LabelRef(t.label + "k"))
	MOVQ(left, n)
	SHRQ(Imm(2), n)
	JZ(LabelRef(t.label + "rest"))

	Label(t.label + "k")
	for k := range unroll {
		t.multiply(Mem{Base: in, Disp: 4 * k}, Mem{Base: w, Disp: 4 * t.nr * k})
	}
	next.lines(t.linesAhead())
	ADDQ(Imm(4*unroll), in)
	ADDQ(imm(4*t.nr*unroll), w)
	DECQ(n)
	JNZ(LabelRef(t.label + "k"))

	// The next block is SrcStride floats from where this one began.
	SUBQ(Imm(block), left)
	JLE(LabelRef(t.label + "rest"))
	Load(a.Field("SrcStride"), n)
	LEAQ(Mem{Base: in, Index: n, Scale: 4, Disp: -pixelBytes}, in)
	JMP(LabelRef(t.label + "block"))

	// K modulo 4, in a number that may have become K-32 or 0 modulo 32.
	Label(t.label + "rest")
	ANDQ(Imm(unroll-1), left)
	JZ(LabelRef(t.label + "end"))
	Label(t.label + "one")
	t.multiply(Mem{Base: in}, Mem{Base: w})
	ADDQ(Imm(4), in)
	ADDQ(imm(4*t.nr), w)
	DECQ(left)
	JNZ(LabelRef(t.label + "one"))
	Label(t.label + "end")
}

// first emits the first convolution for an NR.
func (s isa) first(nr int) {
	a := declare(fmt.Sprintf("first%d%s", nr, s.name), "First",
		fmt.Sprintf("is First for NR = %d, in tiles of %d pixels.", nr, s.shapes[nr].rows))
	at := GP64() // bytes into the rows
	XORQ(at, at)
	tiler{
		isa: s, shape: s.shapes[nr], nr: nr,
		pixels: Load(a.Field("Width"), GP64()),
		dst:    Load(a.Field("Dst").Base(), GP64()),
		src:    at,
		step:   4 * 6,
		start:  func(t *tile) { t.bias(Load(a.Field("Bias").Base(), GP64())) },
		sum:    func(t *tile) { t.sumRows(a, at) },
		finish: func(t *tile) { t.relu6() },
		moved:  func(int) {},
	}.emit()
}

// sumRows emits the loop over the three input rows.
func (t *tile) sumRows(a Component, at reg.Register) {
	const perRow = 9
	rows, w, n, in := GP64(), GP64(), GP64(), GP64()
	LEAQ(address(a.Field("Rows").Index(0).Base()), rows)
	Load(a.Field("W").Base(), w)
	MOVQ(U32(3), n)
	Label(t.label + "row")
	MOVQ(Mem{Base: rows}, in)
	ADDQ(at, in)
	for i := range perRow {
		t.multiply(Mem{Base: in, Disp: 4 * i}, Mem{Base: w, Disp: 4 * t.nr * i})
	}
	ADDQ(Imm(sliceBytes), rows)
	ADDQ(imm(4*t.nr*perRow), w)
	DECQ(n)
	JNZ(LabelRef(t.label + "row"))
}
