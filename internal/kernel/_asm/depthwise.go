package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A walker emits a depthwise convolution of one output row or of two, a vector of
// channels at a time. It walks the input columns once: each is loaded for all
// outputs that it counts for, so an output is a sum in a register that is begun at
// one column and stored at a later one, and columns outside of the input are never
// touched. Two rows share the loads of the input rows between them.
type walker struct {
	a       Component
	stride  int
	rows    int            // output rows
	in      []reg.Register // input rows
	dst     reg.Register
	pitch   reg.Register // bytes from an output row to the next
	from    reg.Register // bytes from a pixel's first channel
	at, end reg.Register // bytes into the input rows
	out     reg.Register // next output, of the first row
	stop    reg.Register // end of the first row's outputs

	label   string
	bytes   int
	weights []reg.VecPhysical   // [9]
	bias    Op                  // a register, or where there is none left the bias itself
	sums    [][]reg.VecPhysical // by output row
	x       reg.VecPhysical
	limits  [2]Mem            // of ReLU6, or the infinities
	clamp   []reg.VecPhysical // the limits, if there are registers left
}

const sliceBytes = 24 // of a slice's header

// depthwise emits the depthwise convolution for a stride: two output rows at a
// time, and then the one that may be left.
func (s isa) depthwise(stride int) {
	a := declare(fmt.Sprintf("depthwise%d%s", stride, s.name), "Depthwise",
		fmt.Sprintf("is Depthwise for stride %d, of the columns that its cut says.", stride))
	cut := a.Field("cut")
	local := AllocLocal(8)
	w := walker{a: a, stride: stride, limits: [2]Mem{local, local.Offset(4)}}
	w.storeLimits()
	rows, left := Load(a.Field("Rows").Base(), GP64()), Load(a.Field("Rows").Len(), GP64())
	w.dst, w.pitch = Load(a.Field("Dst").Base(), GP64()), Load(cut.Field("pitch"), GP64())
	SHLQ(Imm(2), w.pitch)
	w.stop = Load(cut.Field("outputs"), GP64())
	SHLQ(Imm(7), w.stop)
	ADDQ(w.dst, w.stop)
	w.from, w.at, w.end, w.out = GP64(), GP64(), GP64(), GP64()

	Label("pairs")
	CMPQ(left, imm(window+stride))
	JL(LabelRef("single"))
	w.convolve(s, 2, rows)
	ADDQ(imm(2*stride*sliceBytes), rows)
	SUBQ(imm(2*stride), left)
	for _, p := range []reg.Register{w.dst, w.stop} {
		LEAQ(Mem{Base: p, Index: w.pitch, Scale: 2}, p)
	}
	JMP(LabelRef("pairs"))
	Label("single")
	CMPQ(left, imm(window))
	JL(LabelRef("done"))
	w.convolve(s, 1, rows)
	Label("done")
	VZEROUPPER()
	RET()
}

// window is the height of the convolution.
const window = 3

// storeLimits emits the limits of the results.
func (w *walker) storeLimits() {
	low, high := GP32(), GP32()
	XORL(low, low)
	MOVL(U32(0x40c00000), high) // 6.0
	CMPB(address(w.a.Field("ReLU6")), Imm(0))
	JNE(LabelRef("limits"))
	MOVL(U32(0xff800000), low)  // -Inf
	MOVL(U32(0x7f800000), high) // +Inf
	Label("limits")
	MOVL(low, w.limits[0])
	MOVL(high, w.limits[1])
}

// convolve emits so many output rows of the input rows whose headers are at rows.
func (w *walker) convolve(s isa, n int, rows reg.Register) {
	w.rows, w.in = n, nil
	column := Load(w.a.Field("cut").Field("column"), GP64())
	SHLQ(Imm(7), column)
	for j := range w.stride*(n-1) + window {
		in := GP64()
		MOVQ(Mem{Base: rows, Disp: j * sliceBytes}, in)
		ADDQ(column, in)
		w.in = append(w.in, in)
	}
	XORQ(w.from, w.from)
	for _, bytes := range s.widths {
		w.label, w.bytes = fmt.Sprintf("rows%dx%d", n, bytes/4), bytes
		w.vectors(s)
	}
}

// vectors emits the rows for each vector of the channels.
func (w *walker) vectors(s isa) {
	sums := 2
	if w.stride == 1 {
		sums = 3
	}
	free := s.file()
	w.x = free.take(1, w.bytes)[0]
	w.weights, w.sums = free.take(9, w.bytes), nil
	for range w.rows {
		w.sums = append(w.sums, free.take(sums, w.bytes))
	}
	// The bias comes first, for which there may be no pointer register either.
	var bias []reg.VecPhysical
	if len(free) > 0 {
		bias = free.take(1, w.bytes)
	}
	w.clamp = nil
	if len(free) >= 2 {
		w.clamp = free.take(2, w.bytes)
		for i, v := range w.clamp {
			VBROADCASTSS(w.limits[i], v)
		}
	}

	Label(w.label)
	left, next := Load(w.a.Field("NR"), GP64()), Load(w.a.Field("W").Base(), GP64())
	SHLQ(Imm(2), left)
	rowBytes := GP64()
	MOVQ(left, rowBytes)
	SUBQ(w.from, left)
	CMPQ(left, imm(w.bytes))
	JL(LabelRef(w.label + "done"))
	ADDQ(w.from, next)
	for _, v := range w.weights {
		VMOVUPS(Mem{Base: next}, v)
		ADDQ(rowBytes, next)
	}
	at := Load(w.a.Field("Bias").Base(), GP64())
	ADDQ(w.from, at)
	w.bias = Mem{Base: at}
	for _, v := range bias {
		VMOVUPS(w.bias, v)
		w.bias = v
	}
	Load(w.a.Field("Width"), w.end)
	SHLQ(Imm(7), w.end)
	ADDQ(w.from, w.end)
	MOVQ(w.from, w.at)
	LEAQ(Mem{Base: w.dst, Index: w.from, Scale: 1}, w.out)
	if w.stride == 1 {
		w.stride1()
	} else {
		w.stride2()
	}
	Label(w.label + "end")
	ADDQ(imm(w.bytes), w.from)
	JMP(LabelRef(w.label))
	Label(w.label + "done")
}

// A tap is a sum of each row and the column of the weights that the next column
// meets in it.
type tap struct {
	sum    int
	column int
}

// column emits the next column.
func (w *walker) column(taps ...tap) {
	for j, in := range w.in {
		VMOVUPS(Mem{Base: in, Index: w.at, Scale: 1}, w.x)
		for _, t := range taps {
			for row, sums := range w.sums {
				if k := j - w.stride*row; k >= 0 && k < window {
					VFMADD231PS(w.x, w.weights[window*k+t.column], sums[t.sum])
				}
			}
		}
	}
	ADDQ(Imm(pixelBytes), w.at)
}

// begin emits the first value of a sum of each row.
func (w *walker) begin(sum int) {
	for _, sums := range w.sums {
		VMOVUPS(w.bias, sums[sum])
	}
}

// store emits the end of a sum of each row.
func (w *walker) store(sum int) {
	low, high := w.x, w.x
	if w.clamp != nil {
		low, high = w.clamp[0], w.clamp[1]
	} else {
		VBROADCASTSS(w.limits[0], low)
	}
	for _, sums := range w.sums { // as clamp.apply
		VMAXPS(sums[sum], low, sums[sum])
	}
	if w.clamp == nil {
		VBROADCASTSS(w.limits[1], high)
	}
	for row, sums := range w.sums {
		VMINPS(sums[sum], high, sums[sum])
		out := Mem{Base: w.out}
		if row > 0 {
			out.Index, out.Scale = w.pitch, 1
		}
		VMOVUPS(sums[sum], out)
	}
	ADDQ(Imm(pixelBytes), w.out)
}

// last emits a jump to label where no column is left.
func (w *walker) last(label string) {
	CMPQ(w.at, w.end)
	JE(LabelRef(w.label + label))
}

// finish emits what follows the last column: sum is stored if it is an output,
// and not one that lies behind the last.
func (w *walker) finish(sum int) {
	CMPQ(w.out, w.stop)
	JAE(LabelRef(w.label + "end"))
	w.store(sum)
	JMP(LabelRef(w.label + "end"))
}

// stride1 has three sums: a column is the last of one, the middle of the next
// and the first of the one after. The sums change their parts column by column.
// Without padding on the left the row begins with a column that is only a first.
func (w *walker) stride1() {
	w.begin(0)
	w.begin(1)
	CMPQ(address(w.a.Field("Left")), Imm(0))
	JNE(LabelRef(w.label + "padded"))
	w.column(tap{0, 0})
	Label(w.label + "padded")
	w.column(tap{0, 1}, tap{1, 0})
	Label(w.label + "loop")
	for i := range 3 {
		a, b, c := i, (i+1)%3, (i+2)%3
		w.last(fmt.Sprintf("last%d", i))
		w.begin(c)
		w.column(tap{a, 2}, tap{b, 1}, tap{c, 0})
		w.store(a)
	}
	JMP(LabelRef(w.label + "loop"))
	for sum := range 3 {
		Label(w.label + fmt.Sprintf("last%d", sum))
		w.finish(sum)
	}
}

// stride2 has two sums: every other column is the middle of one, those between
// are the last of one and the first of the next. With a column of padding on the
// left the row begins with a middle, otherwise with a first.
func (w *walker) stride2() {
	w.begin(0)
	CMPQ(address(w.a.Field("Left")), Imm(0))
	JNE(LabelRef(w.label + "middle0"))
	w.column(tap{0, 0})
	for a := range 2 {
		b := 1 - a
		Label(w.label + fmt.Sprintf("middle%d", a))
		w.last(fmt.Sprintf("last%d", a))
		w.column(tap{a, 1})
		w.last(fmt.Sprintf("last%d", a))
		w.begin(b)
		w.column(tap{a, 2}, tap{b, 0})
		w.store(a)
	}
	JMP(LabelRef(w.label + "middle0"))
	for sum := range 2 {
		Label(w.label + fmt.Sprintf("last%d", sum))
		w.finish(sum)
	}
}
