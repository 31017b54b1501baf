package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A sweep emits a kernel that treats every pixel alike: for each pass over the
// pixels (of the channels in a cache line, or where vectors are a line of the two
// lines there may be) it loads what belongs to the channels, goes over the pixels
// and stores the sums.
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
	const most = 2 // vectors: what AVX2's 16 registers have room for
	for lines := most * w.bytes / lineBytes; lines > 0; lines-- {
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

// pair takes two vectors.
func (w *sweep) pair() []reg.VecPhysical { return w.free.take(2, w.bytes) }

func (s isa) affine() {
	for _, add := range []bool{false, true} {
		name, doc, streams := "affine", "is Affine without Add.", []string{"Dst", "Src"}
		if add {
			name, doc, streams = "affineAdd", "is Affine with Add.", []string{"Dst", "Src", "Add"}
		}
		w := newSweep(s, name, "Affine", doc, streams...)
		c := newClamp(&w.free, w.bytes)
		c.unless(address(w.a.Field("ReLU6")), "limits")
		scale, shift, x := w.pair(), w.pair(), w.pair()
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
	center, sum, squares, x := w.pair(), w.pair(), w.pair(), w.pair()
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
	for _, relu6 := range []bool{false, true} {
		name, doc := "linearGrad", "is AffineGrad without ReLU6."
		if relu6 {
			name, doc = "affineGrad", "is AffineGrad with ReLU6."
		}
		w := newSweep(s, name, "AffineGrad", doc, "Grad", "Src")
		var c clamp
		if relu6 {
			c = newClamp(&w.free, w.bytes)
		}
		mean, sum, dot := w.pair(), w.pair(), w.pair()
		var scale, shift []reg.VecPhysical
		if relu6 {
			scale, shift = w.pair(), w.pair()
		}
		work := w.free.take(4, w.bytes) // the vectors share them: AVX2 has no more
		x, g, z, mask := work[0], work[1], work[2], work[3]
		w.loop(func() {
			w.channels("Mean", mean)
			w.channels("Sum", sum)
			w.channels("Dot", dot)
			if relu6 {
				w.channels("Scale", scale)
				w.channels("Shift", shift)
			}
		}, func(v int) {
			VMOVUPS(w.mem("Src", v), x)
			if !relu6 {
				VMOVUPS(w.mem("Grad", v), g)
			} else {
				VMOVAPS(scale[v], z)
				VFMADD213PS(shift[v], x, z)
				s.between(c, z, w.mem("Grad", v), mask, g)
				VMOVUPS(g, w.mem("Grad", v))
			}
			VADDPS(g, sum[v], sum[v])
			VSUBPS(mean[v], x, x)
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
	ka, kb, kc, x := w.pair(), w.pair(), w.pair(), w.pair()
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
	shape := s.grads[nr]
	rowBytes := 4 * nr
	src, dw := Load(a.Field("Src").Base(), GP64()), Load(a.Field("DW").Base(), GP64())
	k := Load(a.Field("K"), GP64())
	pixels := Load(a.Field("Pixels"), GP64())
	TESTQ(pixels, pixels)
	JZ(LabelRef("done"))
	free := s.file()
	sums := make([][]reg.VecPhysical, shape.rows)
	for r := range sums {
		sums[r] = shape.take(&free)
	}
	g, x := shape.take(&free), free.take(1, shape.widths[0])[0]
	grad, in, n, part := GP64(), GP64(), GP64(), GP64()
	Label("tile")
	XORQ(part, part) // bytes into the outputs
	Label("part")
	each := func(f func(m Mem, sum reg.VecPhysical)) {
		for r := range sums {
			for v, at := range shape.offsets() {
				f(Mem{Base: dw, Index: part, Scale: 1, Disp: r*rowBytes + at}, sums[r][v])
			}
		}
	}
	each(func(m Mem, sum reg.VecPhysical) { VMOVUPS(m, sum) })
	MOVQ(src, in)
	Load(a.Field("Grad").Base(), grad)
	ADDQ(part, grad)
	MOVQ(pixels, n)
	Label("pixel")
	for v, at := range shape.offsets() {
		VMOVUPS(Mem{Base: grad, Disp: at}, g[v])
	}
	for r := range sums {
		VBROADCASTSS(Mem{Base: in, Disp: 4 * r}, x)
		for v, bytes := range shape.widths {
			VFMADD231PS(g[v], as(x, bytes), sums[r][v])
		}
	}
	ADDQ(imm(pixelBytes), grad)
	ADDQ(imm(pixelBytes), in)
	DECQ(n)
	JNZ(LabelRef("pixel"))
	each(func(m Mem, sum reg.VecPhysical) { VMOVUPS(sum, m) })
	ADDQ(imm(shape.bytes()), part)
	CMPQ(part, imm(rowBytes))
	JL(LabelRef("part"))
	ADDQ(imm(4*shape.rows), src)
	ADDQ(imm(shape.rows*rowBytes), dw)
	SUBQ(imm(shape.rows), k)
	JG(LabelRef("tile"))
	Label("done")
	VZEROUPPER()
	RET()
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
// sums for a vector of channels, along the row.
func (s isa) depthwiseGrad() {
	a := declare("depthwiseGrad"+s.name, "DepthwiseGrad", "is DepthwiseGrad.")
	var rows [3]reg.Register
	for j := range rows {
		rows[j] = Load(a.Field("Rows").Index(j).Base(), GP64())
	}
	grad, dw := Load(a.Field("Grad").Base(), GP64()), Load(a.Field("DW").Base(), GP64())
	stride := Load(a.Field("Stride"), GP64())
	SHLQ(Imm(7), stride)
	width, g, in := GP64(), GP64(), GP64()
	s.vectors(a, append(rows[:], grad, dw), func(label string, bytes int) {
		free := s.file()
		sums, x := free.take(9, bytes), free.take(1, bytes)[0]
		for t, v := range sums {
			VMOVUPS(Mem{Base: dw, Disp: t * pixelBytes}, v)
		}
		Load(a.Field("Width"), width)
		MOVQ(grad, g)
		XORQ(in, in)
		Label(label + "pixel")
		VMOVUPS(Mem{Base: g}, x)
		for j, row := range rows {
			for i := range 3 {
				VFMADD231PS(Mem{Base: row, Index: in, Scale: 1, Disp: i * pixelBytes}, x, sums[3*j+i])
			}
		}
		ADDQ(stride, in)
		ADDQ(imm(pixelBytes), g)
		DECQ(width)
		JNZ(LabelRef(label + "pixel"))
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
