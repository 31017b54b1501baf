package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A walker8 emits an 8-bit depthwise convolution of one row. Like walker it goes
// over the input columns once: a column's three rows and a zero, or two pairs of
// them, are interleaved so that a vector holds the inputs of its sums side by
// side, and count for all outputs that the column is part of.
//
// Interleaving works within 16-byte parts of the vectors, and so does packing the
// sums to bytes: the sums in between, and with them weights and bias, have an
// order of their own, which the packing in Go knows.
type walker8 struct {
	set     isa8
	a       Component
	limits  limits
	in      [3]reg.Register
	at, end reg.Register // bytes into the input rows
	out     reg.Register // next output
	stop    reg.Register // end of the outputs
	w       reg.Register
	bias, m reg.Register
	passes  int // over the row, for as many parts of the channels
	vectors int // of sums for an output in a pass
	pass    int
	plain   bool // see limits
	pads    int  // emitted in the pass so far
	sums    [3][]reg.VecPhysical
	weights []reg.VecPhysical   // by column, part and vector, if there are registers for them
	x       [][]reg.VecPhysical // the interleaved column, by part and vector
	free    file
	zero    reg.VecPhysical
	q       requantizer
}

// depthwise emits the depthwise convolution for a stride. Body emits the walk
// along the row, which ends at the label "end".
func (s isa8) depthwise(stride int, body func(w *walker8)) {
	a := declare(fmt.Sprintf("depthwise%dInt8%s", stride, s.name), "DepthwiseInt8",
		fmt.Sprintf("is DepthwiseInt8 for stride %d.", stride),
		"It puts out as many pixels as Dst has room for.")
	w := walker8{set: s, a: a, passes: 2, vectors: 2}
	if s.isa.registers == 32 {
		w.passes, w.vectors = 1, 4
	}
	s.bytes = 32 // 512 bits would be two columns, which have their sums in different places
	w.limits = s.limits(rangeOf(a))
	if s.wide {
		w.limits.small(filter(a), 32)
	}
	for j := range w.in {
		w.in[j] = Load(a.Field("Rows").Index(j).Base(), GP64())
	}
	f := filter(a)
	w.w = Load(s.weights(f).Base(), GP64())
	w.bias = Load(f.Field("Bias").Base(), GP64())
	w.m = Load(f.Field("M").Base(), GP64())
	w.end = Load(a.Field("Width"), GP64())
	w.stop = Load(a.Field("Dst").Len(), GP64())
	w.at, w.out = GP64(), GP64()
	SHLQ(Imm(5), w.end)
	ADDQ(address(a.Field("Dst").Base()), w.stop)
	CMPL(w.limits.plain, Imm(0))
	JE(LabelRef("plain"))
	w.row(body)
	Label("plain")
	w.plain = true
	w.row(body)
}

// row emits the passes over a row.
func (w *walker8) row(body func(w *walker8)) {
	for w.pass = range w.passes {
		w.begin()
		body(w)
		Label(w.label("end"))
	}
	VZEROUPPER()
	RET()
}

func (w *walker8) label(name string) string {
	if w.plain {
		return fmt.Sprintf("plain%d%s", w.pass, name)
	}
	return fmt.Sprintf("pass%d%s", w.pass, name)
}

// begin emits the beginning of a pass and hands out the registers.
func (w *walker8) begin() {
	const bytes = 32
	XORQ(w.at, w.at)
	Load(w.a.Field("Dst").Base(), w.out)
	free := w.set.isa.file()
	w.zero = free.take(1, bytes)[0]
	zero(w.zero)
	for i := range w.sums {
		w.sums[i] = free.take(w.vectors, bytes)
	}
	w.pads = 0
	w.weights = nil
	if !w.set.wide {
		w.weights = free.take(3*w.vectors, bytes)
		for i, v := range w.weights {
			VMOVUPS(w.weight(i/w.vectors, 0, i%w.vectors), v)
		}
	}
	w.q = w.set.requantizer(w.limits, w.plain)
	if w.passes == 1 || w.set.wide {
		w.q.inRegisters(&free)
	}
	w.free = free
}

// place is where the pass has vector v among a block's channels, in bytes of its
// 32-bit sums.
func (w *walker8) place(v int) int { return 32 * (w.pass*w.vectors + v) }

// weight is where the weights of a column, a part of it and a vector are.
func (w *walker8) weight(column, part, v int) Mem {
	return Mem{Base: w.w, Disp: (column*w.set.parts()+part)*pixelBytes + w.place(v)}
}

// A tap8 is the sums of an output and the column of the weights that the next
// column meets in them.
type tap8 struct {
	sums   []reg.VecPhysical
	column int
}

// column emits the next column.
func (w *walker8) column(taps ...tap8) {
	w.load()
	ADDQ(Imm(pixelBytes8), w.at)
	w.dot(taps)
}

// dot emits the products of the column that has been loaded.
func (w *walker8) dot(taps []tap8) {
	for _, t := range taps {
		for part, x := range w.x {
			for i, v := range x {
				if w.set.wide {
					product := w.registers(0, 1)[0]
					VPMADDWD(w.weight(t.column, part, i), v, product)
					VPADDD(product, t.sums[i], t.sums[i])
					continue
				}
				w.set.dot(v, w.weights[t.column*w.vectors+i], t.sums[i], nil)
			}
		}
	}
}

// load emits the interleaving of a column.
func (w *walker8) load() {
	row := func(j, disp int) Mem { return Mem{Base: w.in[j], Index: w.at, Scale: 1, Disp: disp} }
	if w.set.wide {
		c := w.registers(1, 4)
		for j := range w.in {
			VPMOVZXBW(row(j, 16*w.pass), c[j])
		}
		VPUNPCKLWD(c[1], c[0], c[3])
		VPUNPCKHWD(c[1], c[0], c[0])
		VPUNPCKLWD(w.zero, c[2], c[1])
		VPUNPCKHWD(w.zero, c[2], c[2])
		w.x = [][]reg.VecPhysical{{c[3], c[0]}, {c[1], c[2]}}
		return
	}
	c := w.registers(0, w.vectors+1)
	low, high := w.passes == 1 || w.pass == 0, w.passes == 1 || w.pass == 1
	VMOVUPS(row(0, 0), c[0])
	VMOVUPS(row(2, 0), c[1])
	if low && high {
		VPUNPCKHBW(row(1, 0), c[0], c[2])
		VPUNPCKHBW(w.zero, c[1], c[3])
		VPUNPCKHWD(c[3], c[2], c[4])
		VPUNPCKLWD(c[3], c[2], c[3])
		VPUNPCKLBW(row(1, 0), c[0], c[0])
		VPUNPCKLBW(w.zero, c[1], c[1])
		VPUNPCKHWD(c[1], c[0], c[2])
		VPUNPCKLWD(c[1], c[0], c[0])
		w.x = [][]reg.VecPhysical{{c[0], c[2], c[3], c[4]}}
		return
	}
	if low {
		VPUNPCKLBW(row(1, 0), c[0], c[0])
		VPUNPCKLBW(w.zero, c[1], c[1])
	} else {
		VPUNPCKHBW(row(1, 0), c[0], c[0])
		VPUNPCKHBW(w.zero, c[1], c[1])
	}
	VPUNPCKHWD(c[1], c[0], c[2])
	VPUNPCKLWD(c[1], c[0], c[0])
	w.x = [][]reg.VecPhysical{{c[0], c[2]}}
}

// pad emits a column of padding, which takes part only where it isn't zero.
func (w *walker8) pad(taps ...tap8) {
	w.pads++
	skip := w.label(fmt.Sprintf("pad%d", w.pads))
	pad, t := Load(w.a.Field("Pad"), GP32()), GP32()
	TESTL(pad, pad)
	JZ(LabelRef(skip))
	all := func(pattern uint32, x []reg.VecPhysical) {
		IMUL3L(U32(pattern), pad, t)
		VMOVD(t, as(x[0], 16))
		for _, v := range x {
			VPBROADCASTD(as(x[0], 16), v)
		}
	}
	if w.set.wide {
		c := w.registers(1, 4)
		all(0x00010001, c[:2])
		all(1, c[2:])
		w.x = [][]reg.VecPhysical{c[:2], c[2:]}
	} else {
		c := w.registers(0, w.vectors)
		all(0x00010101, c)
		w.x = [][]reg.VecPhysical{c}
	}
	w.dot(taps)
	Label(skip)
}

// registers returns n free registers from the i-th on.
func (w *walker8) registers(i, n int) []reg.VecPhysical {
	free := w.free[i:]
	return free.take(n, 32)
}

// first emits the first value of sums.
func (w *walker8) first(sums []reg.VecPhysical) {
	for i, v := range sums {
		VMOVUPS(Mem{Base: w.bias, Disp: w.place(i)}, v)
	}
}

// store emits the end of sums.
func (w *walker8) store(v []reg.VecPhysical) {
	for i, v := range v {
		w.q.round(v, Mem{Base: w.m, Disp: w.place(i)})
	}
	for i := 0; i < len(v); i += 2 {
		w.q.words(v[i], v[i+1])
	}
	r := v[0]
	switch {
	case w.passes == 1:
		VPACKUSWB(v[2], r, r)
		w.q.clamp(r)
		VMOVUPS(r, Mem{Base: w.out})
	case w.set.wide:
		VPACKUSWB(r, r, r)
		VPERMQ(Imm(0x08), r, r)
		w.q.clamp(r)
		VMOVUPS(as(r, 16), Mem{Base: w.out, Disp: 16 * w.pass})
	default:
		VPACKUSWB(r, r, r)
		w.q.clamp(r)
		VMOVQ(as(r, 16), Mem{Base: w.out, Disp: 8 * w.pass})
		VEXTRACTI128(Imm(1), r, as(r, 16))
		VMOVQ(as(r, 16), Mem{Base: w.out, Disp: 16 + 8*w.pass})
	}
	ADDQ(Imm(pixelBytes8), w.out)
}

// last emits a jump to label where no column is left.
func (w *walker8) last(label string) {
	CMPQ(w.at, w.end)
	JE(LabelRef(w.label(label)))
}

// finish emits the last output of a pass, which meets padding in taps.
func (w *walker8) finish(label string, sums []reg.VecPhysical, columns ...int) {
	Label(w.label(label))
	var taps []tap8
	for _, c := range columns {
		taps = append(taps, tap8{sums, c})
	}
	w.pad(taps...)
	w.store(sums)
	JMP(LabelRef(w.label("end")))
}

// stride1 has three outputs in the making: see walker.
func (w *walker8) stride1() {
	parts := func(i int) (a, b, c []reg.VecPhysical) {
		return w.sums[i%3], w.sums[(i+1)%3], w.sums[(i+2)%3]
	}
	a, b, _ := parts(0)
	w.first(a)
	w.first(b)
	w.pad(tap8{a, 0})
	w.column(tap8{a, 1}, tap8{b, 0})
	Label(w.label("loop"))
	for i := range 3 {
		a, b, c := parts(i)
		w.last(fmt.Sprintf("last%d", i))
		w.first(c)
		w.column(tap8{a, 2}, tap8{b, 1}, tap8{c, 0})
		w.store(a)
	}
	JMP(LabelRef(w.label("loop")))
	for i, sums := range w.sums {
		w.finish(fmt.Sprintf("last%d", i), sums, 2)
	}
}

// stride2 has two, of which one is whole at every other column. Where a row ends
// with the first column of an output, that is one that lies behind the last if
// there is padding on the left.
func (w *walker8) stride2() {
	a, b := w.sums[0], w.sums[1]
	w.first(a)
	CMPQ(address(w.a.Field("Left")), Imm(0))
	JE(LabelRef(w.label("unpadded")))
	w.pad(tap8{a, 0})
	JMP(LabelRef(w.label("loop")))
	Label(w.label("unpadded"))
	w.column(tap8{a, 0})
	Label(w.label("loop"))
	for i := range 2 {
		w.last(fmt.Sprintf("first%d", i))
		w.column(tap8{a, 1})
		w.last(fmt.Sprintf("last%d", i))
		w.first(b)
		w.column(tap8{a, 2}, tap8{b, 0})
		w.store(a)
		a, b = b, a
	}
	JMP(LabelRef(w.label("loop")))
	for i, sums := range w.sums[:2] {
		w.finish(fmt.Sprintf("last%d", i), sums, 2)
		Label(w.label(fmt.Sprintf("first%d", i)))
		CMPQ(w.out, w.stop)
		JAE(LabelRef(w.label("end")))
		w.finish(fmt.Sprintf("alone%d", i), sums, 1, 2)
	}
}
