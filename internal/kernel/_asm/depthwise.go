package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A walker emits a depthwise convolution of one row, a vector of channels at a
// time. It walks the input columns once: each is loaded for all outputs that it
// counts for, so an output is a sum in a register that is begun at one column
// and stored at a later one, and columns outside of the input are never touched.
type walker struct {
	in       [3]reg.Register
	dst      reg.Register
	bias     reg.Register
	w        reg.Register
	at, end  reg.Register // bytes into the input rows
	out      reg.Register // next output
	stop     reg.Register // end of the outputs
	channels reg.Register // to come
	left     Mem          // columns of padding

	label   string
	bytes   int
	weights []reg.VecPhysical // [9]
	sums    []reg.VecPhysical
	x       reg.VecPhysical
	clamp   clamp
}

// depthwise emits the depthwise convolution for a stride. Body emits the walk
// along the row, which ends at the label "end".
func (s isa) depthwise(stride int, body func(w *walker)) {
	a := declare(fmt.Sprintf("depthwise%d%s", stride, s.name), "Depthwise",
		fmt.Sprintf("is Depthwise for stride %d.", stride),
		"It puts out as many pixels as Dst has room for.")
	w := walker{
		dst:      Load(a.Field("Dst").Base(), GP64()),
		bias:     Load(a.Field("Bias").Base(), GP64()),
		w:        Load(a.Field("W").Base(), GP64()),
		end:      Load(a.Field("Width"), GP64()),
		channels: Load(a.Field("NR"), GP64()),
		at:       GP64(),
		out:      GP64(),
		stop:     Load(a.Field("Dst").Len(), GP64()),
		left:     address(a.Field("Left")),
	}
	for j := range w.in {
		w.in[j] = Load(a.Field("Rows").Index(j).Base(), GP64())
	}
	SHLQ(Imm(7), w.end)
	LEAQ(Mem{Base: w.dst, Index: w.stop, Scale: 4}, w.stop)
	for _, bytes := range s.widths {
		w.label, w.bytes = fmt.Sprintf("x%d", bytes/4), bytes
		free := s.file()
		w.clamp = newClamp(&free, bytes)
		w.clamp.unless(address(a.Field("ReLU6")), w.label+"limits")
		w.weights, w.sums, w.x = free.take(9, bytes), free.take(3, bytes), free.take(1, bytes)[0]
		Label(w.label)
		CMPQ(w.channels, imm(bytes/4))
		JL(LabelRef(w.label + "done"))
		next, rowBytes := GP64(), GP64()
		MOVQ(w.w, next)
		Load(a.Field("NR"), rowBytes)
		SHLQ(Imm(2), rowBytes)
		for _, v := range w.weights {
			VMOVUPS(Mem{Base: next}, v)
			ADDQ(rowBytes, next)
		}
		XORQ(w.at, w.at)
		MOVQ(w.dst, w.out)
		body(&w)
		Label(w.label + "end")
		for _, p := range []reg.Register{w.in[0], w.in[1], w.in[2], w.dst, w.bias, w.w} {
			ADDQ(imm(bytes), p)
		}
		SUBQ(imm(bytes/4), w.channels)
		JMP(LabelRef(w.label))
		Label(w.label + "done")
	}
	VZEROUPPER()
	RET()
}

// A tap is a sum and the column of the weights that the next column meets in it.
type tap struct {
	sum    reg.VecPhysical
	column int
}

// column emits the next column. Each vector after the first of a cache line has
// the line behind fetched, for the vectors to come.
func (w *walker) column(taps ...tap) {
	for j, in := range w.in {
		VMOVUPS(Mem{Base: in, Index: w.at, Scale: 1}, w.x)
		PREFETCHT0(Mem{Base: in, Index: w.at, Scale: 1, Disp: w.bytes})
		for _, t := range taps {
			VFMADD231PS(w.x, w.weights[3*j+t.column], t.sum)
		}
	}
	ADDQ(Imm(pixelBytes), w.at)
}

// begin emits the first value of a sum.
func (w *walker) begin(sum reg.VecPhysical) { VMOVUPS(Mem{Base: w.bias}, sum) }

// store emits the end of a sum.
func (w *walker) store(sum reg.VecPhysical) {
	w.clamp.apply(sum)
	VMOVUPS(sum, Mem{Base: w.out})
	ADDQ(Imm(pixelBytes), w.out)
}

// last emits a jump to label where no column is left.
func (w *walker) last(label string) {
	CMPQ(w.at, w.end)
	JE(LabelRef(w.label + label))
}

// finish emits what follows the last column: sum is stored if it is an output,
// and not one that lies behind the last.
func (w *walker) finish(sum reg.VecPhysical) {
	CMPQ(w.out, w.stop)
	JAE(LabelRef(w.label + "end"))
	w.store(sum)
	JMP(LabelRef(w.label + "end"))
}

// stride1 has three sums: a column is the last of one, the middle of the next
// and the first of the one after. The sums change their parts column by column.
// Without padding on the left the row begins with a column that is only a first.
func (w *walker) stride1() {
	parts := func(i int) (a, b, c reg.VecPhysical) {
		return w.sums[i%3], w.sums[(i+1)%3], w.sums[(i+2)%3]
	}
	a, b, _ := parts(0)
	w.begin(a)
	w.begin(b)
	CMPQ(w.left, Imm(0))
	JNE(LabelRef(w.label + "padded"))
	w.column(tap{a, 0})
	Label(w.label + "padded")
	w.column(tap{a, 1}, tap{b, 0})
	Label(w.label + "loop")
	for i := range 3 {
		a, b, c := parts(i)
		w.last(fmt.Sprintf("last%d", i))
		w.begin(c)
		w.column(tap{a, 2}, tap{b, 1}, tap{c, 0})
		w.store(a)
	}
	JMP(LabelRef(w.label + "loop"))
	for i, sum := range w.sums {
		Label(w.label + fmt.Sprintf("last%d", i))
		w.finish(sum)
	}
}

// stride2 has two sums: every other column is the middle of one, those between
// are the last of one and the first of the next. With a column of padding on the
// left the row begins with a middle, otherwise with a first.
func (w *walker) stride2() {
	a, b := w.sums[0], w.sums[1]
	w.begin(a)
	CMPQ(w.left, Imm(0))
	JNE(LabelRef(w.label + "middle0"))
	w.column(tap{a, 0})
	for i := range 2 {
		Label(w.label + fmt.Sprintf("middle%d", i))
		w.last(fmt.Sprintf("last%d", i))
		w.column(tap{a, 1})
		w.last(fmt.Sprintf("last%d", i))
		w.begin(b)
		w.column(tap{a, 2}, tap{b, 0})
		w.store(a)
		a, b = b, a
	}
	JMP(LabelRef(w.label + "middle0"))
	for i, sum := range w.sums[:2] {
		Label(w.label + fmt.Sprintf("last%d", i))
		w.finish(sum)
	}
}
