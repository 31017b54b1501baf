package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A sweep emits a kernel that treats every pixel alike: for each pass over the
// pixels (of the two cache lines of channels that there may be, or of one) it loads
// what belongs to the channels, goes over the pixels and stores the sums. One pass
// for all channels reads memory in order; with one for each line of a pixel AVX2
// took 1.5 times as long.
type sweep struct {
	a       Component
	bytes   int // of a vector
	vectors int // of a pass
	pixels  reg.Register
	at      reg.Register // bytes into the pixel arrays, from their end up to 0
	from    reg.Register // bytes into the channel arrays
	end     reg.Register // of the channels, in bytes
	names   []string     // of the pixel arrays
	streams map[string]reg.Register
	free    file
}

func newSweep(s isa, name, arg, doc string, streams ...string) *sweep {
	w := &sweep{
		a:       declare(name+s.name, arg, doc),
		bytes:   s.widths[0],
		names:   streams,
		streams: map[string]reg.Register{},
		free:    s.file(),
		at:      GP64(), from: GP64(),
	}
	w.pixels = Load(w.a.Field("Pixels"), GP64())
	SHLQ(Imm(7), w.pixels)
	w.end = Load(w.a.Field("NR"), GP64())
	SHLQ(Imm(2), w.end)
	for _, n := range streams {
		w.streams[n] = Load(w.a.Field(n).Base(), GP64())
		ADDQ(w.pixels, w.streams[n])
	}
	XORQ(w.from, w.from)
	return w
}

// loop emits the passes. Each of the steps is emitted once for each of a pass's
// vectors.
func (w *sweep) loop(begin func(), pixel func(v int), end func()) {
	for lines := pixelBytes / lineBytes; lines > 0; lines-- {
		w.vectors = lines * lineBytes / w.bytes
		w.pass(fmt.Sprintf("lines%d", lines), lines*lineBytes, begin, pixel, end)
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// pass emits the passes over so many bytes of a pixel, as long as there is a
// channel in the last line of them.
func (w *sweep) pass(label string, bytes int, begin func(), pixel func(v int), end func()) {
	last := GP64()
	Label(label)
	LEAQ(Mem{Base: w.from, Disp: bytes - lineBytes}, last)
	CMPQ(last, w.end)
	JGE(LabelRef(label + "done"))
	begin()
	MOVQ(w.pixels, w.at)
	NEGQ(w.at)
	JZ(LabelRef("done"))
	Label(label + "pixel")
	for v := range w.vectors {
		pixel(v)
	}
	ADDQ(imm(pixelBytes), w.at)
	JNZ(LabelRef(label + "pixel"))
	end()
	for _, n := range w.names {
		ADDQ(imm(bytes), w.streams[n])
	}
	ADDQ(imm(bytes), w.from)
	JMP(LabelRef(label))
	Label(label + "done")
}

// mem is a pixel's vector v in a stream.
func (w *sweep) mem(stream string, v int) Mem {
	return Mem{Base: w.streams[stream], Index: w.at, Scale: 1, Disp: v * w.bytes}
}

// channels emits the loading of a pass's vectors of a channel array.
func (w *sweep) channels(field string, v []reg.VecPhysical) {
	p := Load(w.a.Field(field).Base(), GP64())
	for i := range w.vectors {
		VMOVUPS(Mem{Base: p, Index: w.from, Scale: 1, Disp: i * w.bytes}, v[i])
	}
}

// keep emits the storing of a pass's vectors of a channel array.
func (w *sweep) keep(field string, v []reg.VecPhysical) {
	p := Load(w.a.Field(field).Base(), GP64())
	for i := range w.vectors {
		VMOVUPS(v[i], Mem{Base: p, Index: w.from, Scale: 1, Disp: i * w.bytes})
	}
}

// take takes the vectors of a pixel.
func (w *sweep) take() []reg.VecPhysical { return w.free.take(pixelBytes/w.bytes, w.bytes) }

// A constant is a channel array that is only read: in registers, or in memory where
// there are too few.
type constant struct {
	field string
	v     []reg.VecPhysical
	at    reg.Register
}

// constants chooses where the channel arrays are, for all alike.
func (w *sweep) constants(fields ...string) []*constant {
	var all []*constant
	each := pixelBytes / w.bytes
	enough := len(w.free) >= len(fields)*each
	for _, f := range fields {
		c := &constant{field: f}
		if enough {
			c.v = w.take()
		}
		all = append(all, c)
	}
	return all
}

// load emits what a pass needs of a constant.
func (w *sweep) load(c *constant) {
	if c.v != nil {
		w.channels(c.field, c.v)
		return
	}
	c.at = Load(w.a.Field(c.field).Base(), GP64())
	ADDQ(w.from, c.at)
}

// operand is a constant's vector v.
func (w *sweep) operand(c *constant, v int) Op {
	if c.v != nil {
		return c.v[v]
	}
	return Mem{Base: c.at, Disp: v * w.bytes}
}

func (s isa) affine() {
	for _, add := range []bool{false, true} {
		name, doc, streams := "affine", "is Affine without Add.", []string{"Dst", "Src"}
		if add {
			name, doc, streams = "affineAdd", "is Affine with Add.", []string{"Dst", "Src", "Add"}
		}
		w := newSweep(s, name, "Affine", doc, streams...)
		c := newClamp(&w.free, w.bytes)
		c.unless(address(w.a.Field("ReLU6")), "limits")
		scale, shift, x := w.take(), w.take(), w.take()
		w.loop(func() {
			w.channels("Scale", scale)
			w.channels("Shift", shift)
		}, func(v int) {
			VMOVUPS(w.mem("Src", v), x[v])
			VFMADD213PS(shift[v], scale[v], x[v])
			if add {
				VADDPS(w.mem("Add", v), x[v], x[v])
			}
			c.apply(x[v])
			VMOVUPS(x[v], w.mem("Dst", v))
		}, func() {})
	}
}

func (s isa) moments() {
	w := newSweep(s, "moments", "Moments", "is Moments.", "Src")
	center, sum, squares, x := w.take(), w.take(), w.take(), w.take()
	w.loop(func() {
		w.channels("Center", center)
		w.channels("Sum", sum)
		w.channels("Squares", squares)
	}, func(v int) {
		VMOVUPS(w.mem("Src", v), x[v])
		VSUBPS(center[v], x[v], x[v])
		VADDPS(x[v], sum[v], sum[v])
		VFMADD231PS(x[v], x[v], squares[v])
	}, func() {
		w.keep("Sum", sum)
		w.keep("Squares", squares)
	})
}

func (s isa) affineGrad() {
	for _, name := range []string{"linearGrad", "affineGrad", "activationGrad"} {
		relu6, activation := name != "linearGrad", name == "activationGrad"
		doc, streams := "is AffineGrad without ReLU6.", []string{"Grad", "Src"}
		if relu6 {
			doc = "is AffineGrad with ReLU6."
		}
		if activation {
			doc, streams = "is AffineGrad with ReLU6 and Activation.", append(streams, "Activation")
		}
		w := newSweep(s, name, "AffineGrad", doc, streams...)
		var c clamp
		if relu6 {
			c = newClamp(&w.free, w.bytes)
		}
		sum, dot := w.take(), w.take()
		work := w.free.take(4, w.bytes) // the vectors share them
		x, g, z, mask := work[0], work[1], work[2], work[3]
		fields := []string{"Mean"}
		if relu6 {
			fields = append(fields, "Scale", "Shift")
		}
		constants := w.constants(fields...)
		w.loop(func() {
			w.channels("Sum", sum)
			w.channels("Dot", dot)
			for _, c := range constants {
				w.load(c)
			}
		}, func(v int) {
			VMOVUPS(w.mem("Src", v), x)
			if !relu6 {
				VMOVUPS(w.mem("Grad", v), g)
			} else {
				VMOVUPS(w.operand(constants[2], v), z)
				VFMADD231PS(w.operand(constants[1], v), x, z)
				s.between(c, z, w.mem("Grad", v), mask, g)
				VMOVUPS(g, w.mem("Grad", v))
			}
			if activation {
				c.apply(z)
				VMOVUPS(z, w.mem("Activation", v))
			}
			VADDPS(g, sum[v], sum[v])
			VSUBPS(w.operand(constants[0], v), x, x)
			VFMADD231PS(x, g, dot[v])
		}, func() {
			w.keep("Sum", sum)
			w.keep("Dot", dot)
		})
	}
}

// between emits the loading of src into dst, with 0 for what has z not inside of
// the limits. mask is free.
func (s isa) between(c clamp, z reg.VecPhysical, src Mem, mask, dst reg.VecPhysical) {
	const less = 0x11 // ordered, quiet
	if s.name == "AVX512" {
		VCMPPS(Imm(less), z, c.zero, reg.K1)
		VCMPPS(Imm(less), c.six, z, reg.K1, reg.K1)
		VMOVUPS_Z(src, reg.K1, dst)
		return
	}
	VCMPPS(Imm(less), z, c.zero, mask)
	VANDPS(src, mask, dst)
	VCMPPS(Imm(less), c.six, z, mask)
	VANDPS(mask, dst, dst)
}

func (s isa) normGrad() {
	w := newSweep(s, "normGrad", "NormGrad", "is NormGrad.", "Dst", "Grad", "Src")
	ka, kb, kc, x := w.take(), w.take(), w.take(), w.take()
	w.loop(func() {
		w.channels("A", ka)
		w.channels("B", kb)
		w.channels("C", kc)
	}, func(v int) {
		VMOVUPS(w.mem("Src", v), x[v])
		VFMADD213PS(kc[v], kb[v], x[v])
		VFMADD231PS(w.mem("Grad", v), ka[v], x[v])
		VMOVUPS(x[v], w.mem("Dst", v))
	}, func() {})
}

// pointwiseGrad emits the gradient of a pointwise convolution's weights in tiles
// of so many inputs and vectors of outputs, with a pixel's products added to all
// of a tile's sums at once.
func (s isa) pointwiseGrad(nr int) {
	a := declare(fmt.Sprintf("pointwiseGrad%d%s", nr, s.name), "PointwiseGrad", fmt.Sprintf("is PointwiseGrad for NR = %d.", nr))
	g := gradTiler{
		a: a, rowBytes: 4 * nr, free: s.file(),
		src: Load(a.Field("Src").Base(), GP64()), dw: Load(a.Field("DW").Base(), GP64()),
		pixels: Load(a.Field("Pixels"), GP64()),
		grad:   GP64(), in: GP64(), n: GP64(), part: GP64(),
	}
	k := Load(a.Field("K"), GP64())
	TESTQ(g.pixels, g.pixels)
	JZ(LabelRef("done"))
	shapes := s.grads[nr]
	for i, shape := range shapes {
		label := fmt.Sprintf("rows%d", shape.rows)
		Label(label)
		least := shape.rows
		if i == len(shapes)-1 {
			least = 1
		}
		CMPQ(k, imm(least))
		JL(LabelRef(label + "done"))
		g.tile(label, shape)
		ADDQ(imm(4*shape.rows), g.src)
		ADDQ(imm(shape.rows*g.rowBytes), g.dw)
		SUBQ(imm(shape.rows), k)
		JMP(LabelRef(label))
		Label(label + "done")
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// A gradTiler emits tiles of a pointwise convolution's gradient.
type gradTiler struct {
	a                 Component
	rowBytes          int
	free              file
	src, dw, pixels   reg.Register
	grad, in, n, part reg.Register
}

// tile emits a tile's inputs for all outputs.
func (g gradTiler) tile(label string, shape gradShape) {
	sums := make([][]reg.VecPhysical, shape.rows)
	for r := range sums {
		sums[r] = shape.take(&g.free)
	}
	v, x := shape.take(&g.free), g.free.take(1, shape.widths[0])[0]
	each := func(f func(m Mem, sum reg.VecPhysical)) {
		for r := range sums {
			for i, at := range shape.offsets() {
				f(Mem{Base: g.dw, Index: g.part, Scale: 1, Disp: r*g.rowBytes + at}, sums[r][i])
			}
		}
	}
	XORQ(g.part, g.part) // bytes into the outputs
	Label(label + "part")
	CMPB(address(g.a.Field("First")), Imm(0))
	JNE(LabelRef(label + "first"))
	each(func(m Mem, sum reg.VecPhysical) { VMOVUPS(m, sum) })
	JMP(LabelRef(label + "sums"))
	Label(label + "first")
	each(func(_ Mem, sum reg.VecPhysical) { zero(sum) })
	Label(label + "sums")
	MOVQ(g.src, g.in)
	Load(g.a.Field("Grad").Base(), g.grad)
	ADDQ(g.part, g.grad)
	MOVQ(g.pixels, g.n)
	Label(label + "pixel")
	for i, at := range shape.offsets() {
		VMOVUPS(Mem{Base: g.grad, Disp: at}, v[i])
	}
	for r := range sums {
		VBROADCASTSS(Mem{Base: g.in, Disp: 4 * r}, x)
		for i, bytes := range shape.widths {
			VFMADD231PS(v[i], as(x, bytes), sums[r][i])
		}
	}
	ADDQ(imm(pixelBytes), g.grad)
	ADDQ(imm(pixelBytes), g.in)
	DECQ(g.n)
	JNZ(LabelRef(label + "pixel"))
	each(func(m Mem, sum reg.VecPhysical) { VMOVUPS(sum, m) })
	ADDQ(imm(shape.bytes()), g.part)
	CMPQ(g.part, imm(g.rowBytes))
	JL(LabelRef(label + "part"))
}

// vectors emits body for every width of a vector, the widest first, around a loop
// over the vectors of NR channels. Body gets a prefix for its labels. After it the
// pointers are moved by a vector.
func (s isa) vectors(a Component, pointers []reg.Register, body func(label string, bytes int)) {
	channels := Load(a.Field("NR"), GP64())
	for _, bytes := range s.widths {
		label := fmt.Sprintf("x%d", bytes/4)
		Label(label)
		CMPQ(channels, imm(bytes/4))
		JL(LabelRef(label + "done"))
		body(label, bytes)
		for _, p := range pointers {
			ADDQ(imm(bytes), p)
		}
		SUBQ(imm(bytes/4), channels)
		JMP(LabelRef(label))
		Label(label + "done")
	}
	VZEROUPPER()
	RET()
}

// depthwiseGrad emits the gradient of a depthwise convolution's weights: nine
// sums for a vector of channels, along all rows.
func (s isa) depthwiseGrad() {
	a := declare("depthwiseGrad"+s.name, "DepthwiseGrad", "is DepthwiseGrad for rows of 2 columns and more.")
	cut := a.Field("cut")
	dw, from := Load(a.Field("DW").Base(), GP64()), GP64()
	XORQ(from, from) // bytes from a pixel's first channel
	in := [window]reg.Register{GP64(), GP64(), GP64()}
	stride := Load(a.Field("Stride"), GP64())
	SHLQ(Imm(7), stride)
	rows, left, g, n, t := GP64(), GP64(), GP64(), GP64(), GP64()
	grad := GP64()
	s.vectors(a, []reg.Register{dw, from}, func(label string, bytes int) {
		free := s.file()
		sums, x := free.take(9, bytes), free.take(1, bytes)[0]
		for t, v := range sums {
			VMOVUPS(Mem{Base: dw, Disp: t * pixelBytes}, v)
		}
		// pixel emits an output with the kernel's columns [first, end); in are at the
		// input column of the kernel's first that there is.
		pixel := func(first, end int) {
			VMOVUPS(Mem{Base: g}, x)
			for j, row := range in {
				for i := first; i < end; i++ {
					VFMADD231PS(Mem{Base: row, Disp: (i - first) * pixelBytes}, x, sums[window*j+i])
				}
			}
			ADDQ(imm(pixelBytes), g)
		}
		Load(a.Field("Rows").Base(), rows)
		Load(a.Field("Rows").Len(), left)
		Load(a.Field("Grad").Base(), grad)
		ADDQ(from, grad)
		Label(label + "row")
		for j, p := range in {
			MOVQ(Mem{Base: rows, Disp: j * sliceBytes}, p)
			ADDQ(from, p)
		}
		MOVQ(grad, g)
		CMPQ(address(cut.Field("left")), Imm(0))
		JE(LabelRef(label + "middle"))
		pixel(1, window)
		for _, p := range in { // Stride columns on, less the one that was not there
			LEAQ(Mem{Base: p, Index: stride, Scale: 1, Disp: -pixelBytes}, p)
		}
		Label(label + "middle")
		Load(cut.Field("middle"), n)
		TESTQ(n, n)
		JZ(LabelRef(label + "right"))
		Label(label + "pixel")
		pixel(0, window)
		for _, p := range in {
			ADDQ(stride, p)
		}
		DECQ(n)
		JNZ(LabelRef(label + "pixel"))
		Label(label + "right")
		CMPQ(address(cut.Field("right")), Imm(0))
		JE(LabelRef(label + "end"))
		pixel(0, window-1)
		Label(label + "end")
		Load(a.Field("Pitch"), t)
		SHLQ(Imm(7), t)
		ADDQ(t, grad)
		Load(a.Field("Stride"), t)
		SUBQ(t, left)
		IMUL3Q(U32(sliceBytes), t, t)
		ADDQ(t, rows)
		CMPQ(left, imm(window))
		JGE(LabelRef(label + "row"))
		for t, v := range sums {
			VMOVUPS(v, Mem{Base: dw, Disp: t * pixelBytes})
		}
	})
}

// depthwiseTransposed emits two columns at a time of a vector of channels. The
// second one's next column is the first one's of the pair behind it.
func (s isa) depthwiseTransposed() {
	a := declare("depthwiseTransposed"+s.name, "DepthwiseTransposed", "is DepthwiseTransposed.")
	var rows, w [2]reg.Register
	for j := range rows {
		rows[j] = Load(a.Field("Rows").Index(j).Base(), GP64())
		w[j] = Load(a.Field("W").Index(j).Base(), GP64())
	}
	dst := Load(a.Field("Dst").Base(), GP64())
	tap := Load(a.Field("NR"), GP64())
	SHLQ(Imm(2), tap) // bytes from a tap of W to the next
	width, in, out := GP64(), GP64(), GP64()
	s.vectors(a, []reg.Register{rows[0], rows[1], w[0], w[1], dst}, func(label string, bytes int) {
		free := s.file()
		taps := [2][]reg.VecPhysical{free.take(3, bytes), free.take(3, bytes)}
		here, next, x := free.take(2, bytes), free.take(2, bytes), free.take(1, bytes)[0]
		for j := range rows {
			VMOVUPS(Mem{Base: w[j]}, taps[j][0])
			VMOVUPS(Mem{Base: w[j], Index: tap, Scale: 1}, taps[j][1])
			VMOVUPS(Mem{Base: w[j], Index: tap, Scale: 2}, taps[j][2])
			VMOVUPS(Mem{Base: rows[j]}, next[j])
		}
		Load(a.Field("Width"), width)
		MOVQ(dst, out)
		XORQ(in, in)
		Label(label + "pair")
		for j := range rows {
			VMOVAPS(next[j], here[j])
		}
		VMULPS(here[0], taps[0][1], x)
		VFMADD231PS(here[1], taps[1][1], x)
		VMOVUPS(x, Mem{Base: out})
		DECQ(width)
		JZ(LabelRef(label + "end"))
		ADDQ(imm(pixelBytes), in)
		for j, row := range rows {
			VMOVUPS(Mem{Base: row, Index: in, Scale: 1}, next[j])
		}
		VMULPS(here[0], taps[0][2], x)
		VFMADD231PS(next[0], taps[0][0], x)
		VFMADD231PS(here[1], taps[1][2], x)
		VFMADD231PS(next[1], taps[1][0], x)
		VMOVUPS(x, Mem{Base: out, Disp: pixelBytes})
		ADDQ(imm(2*pixelBytes), out)
		DECQ(width)
		JNZ(LabelRef(label + "pair"))
		Label(label + "end")
	})
}

// turn emits squares of 8 rows and columns. A vector has four columns of a row, and in its
// other half those of the row four below.
func (s isa) turn() {
	const side, bytes = 8, 32
	a := declare("turn"+s.name, "Turn", "is Turn for rows and columns that are multiples of 8.")
	stride := func(field string) reg.Register {
		r := Load(a.Field(field), GP64())
		SHLQ(Imm(2), r)
		return r
	}
	fromPitch, toPitch := stride("SrcStride"), stride("DstStride")
	src, dst := Load(a.Field("Src").Base(), GP64()), Load(a.Field("Dst").Base(), GP64())
	rows, columns := Load(a.Field("Rows"), GP64()), GP64()
	from, to, at := GP64(), GP64(), GP64()
	Label("rows")
	MOVQ(src, from)
	MOVQ(dst, to)
	Load(a.Field("Columns"), columns)
	Label("columns")
	free := s.file()
	x, pairs, turned := free.take(8, bytes), free.take(4, bytes), free.take(1, bytes)[0]
	MOVQ(from, at)
	for r := range side {
		half := uint8(r / 4)
		for i, v := range []reg.VecPhysical{x[r%4], x[4+r%4]} {
			m := Mem{Base: at, Disp: 16 * i}
			if half == 0 {
				VMOVUPS(m, as(v, 16))
			} else {
				VINSERTF128(Imm(1), m, v, v)
			}
		}
		if r < side-1 {
			ADDQ(fromPitch, at)
		}
	}
	for i := range 2 {
		x := x[4*i:]
		VUNPCKLPS(x[1], x[0], pairs[0])
		VUNPCKHPS(x[1], x[0], pairs[1])
		VUNPCKLPS(x[3], x[2], pairs[2])
		VUNPCKHPS(x[3], x[2], pairs[3])
		for c := range 4 {
			if c%2 == 0 {
				VUNPCKLPD(pairs[2+c/2], pairs[c/2], turned)
			} else {
				VUNPCKHPD(pairs[2+c/2], pairs[c/2], turned)
			}
			VMOVUPS(turned, Mem{Base: to})
			ADDQ(toPitch, to)
		}
	}
	ADDQ(imm(bytes), from)
	SUBQ(imm(side), columns)
	JNZ(LabelRef("columns"))
	LEAQ(Mem{Base: src, Index: fromPitch, Scale: 8}, src)
	ADDQ(imm(bytes), dst)
	SUBQ(imm(side), rows)
	JNZ(LabelRef("rows"))
	VZEROUPPER()
	RET()
}
