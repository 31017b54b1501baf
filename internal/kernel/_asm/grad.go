package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gradBytes is the vector of the kernels for training. Those that go over
// channels alone wait for memory, so wider ones would gain nothing.
const gradBytes = 32

// A sweep emits a kernel that treats every pixel alike: for each half of the
// channels (a cache line, two vectors) it loads what belongs to the channels,
// goes over the pixels and stores the sums.
type sweep struct {
	a       Component
	pixels  reg.Register
	at      reg.Register // bytes into the pixel arrays, from their end up to 0
	half    reg.Register // bytes into the channel arrays
	end     reg.Register // of the channels, in bytes
	names   []string     // of the pixel arrays
	streams map[string]reg.Register
	free    file
}

func newSweep(s isa, name, arg, doc string, streams ...string) *sweep {
	w := &sweep{
		a:       declare(name+s.name, arg, doc),
		names:   streams,
		streams: map[string]reg.Register{},
		free:    s.file(),
		at:      GP64(), half: GP64(),
	}
	w.pixels = Load(w.a.Field("Pixels"), GP64())
	SHLQ(Imm(7), w.pixels)
	w.end = Load(w.a.Field("NR"), GP64())
	SHLQ(Imm(2), w.end)
	for _, n := range streams {
		w.streams[n] = Load(w.a.Field(n).Base(), GP64())
		ADDQ(w.pixels, w.streams[n])
	}
	XORQ(w.half, w.half)
	return w
}

// loop emits the halves and pixels. Each of the steps is emitted once for each
// of a half's two vectors.
func (w *sweep) loop(begin func(), pixel func(v int), end func()) {
	Label("half")
	begin()
	MOVQ(w.pixels, w.at)
	NEGQ(w.at)
	JZ(LabelRef("done"))
	Label("pixel")
	for v := range 2 {
		pixel(v)
	}
	ADDQ(imm(pixelBytes), w.at)
	JNZ(LabelRef("pixel"))
	end()
	for _, n := range w.names {
		ADDQ(imm(lineBytes), w.streams[n])
	}
	ADDQ(imm(lineBytes), w.half)
	CMPQ(w.half, w.end)
	JL(LabelRef("half"))
	Label("done")
	VZEROUPPER()
	RET()
}

// mem is a pixel's vector v in a stream.
func (w *sweep) mem(stream string, v int) Mem {
	return Mem{Base: w.streams[stream], Index: w.at, Scale: 1, Disp: v * gradBytes}
}

// channels emits the loading of a half's two vectors of a channel array.
func (w *sweep) channels(field string, v []reg.VecPhysical) {
	p := Load(w.a.Field(field).Base(), GP64())
	for i := range v {
		VMOVUPS(Mem{Base: p, Index: w.half, Scale: 1, Disp: i * gradBytes}, v[i])
	}
}

// keep emits the storing of a half's two vectors of a channel array.
func (w *sweep) keep(field string, v []reg.VecPhysical) {
	p := Load(w.a.Field(field).Base(), GP64())
	for i := range v {
		VMOVUPS(v[i], Mem{Base: p, Index: w.half, Scale: 1, Disp: i * gradBytes})
	}
}

// pair takes two vectors.
func (w *sweep) pair() []reg.VecPhysical { return w.free.take(2, gradBytes) }

func (s isa) affine() {
	for _, add := range []bool{false, true} {
		name, doc, streams := "affine", "is Affine without Add.", []string{"Dst", "Src"}
		if add {
			name, doc, streams = "affineAdd", "is Affine with Add.", []string{"Dst", "Src", "Add"}
		}
		w := newSweep(s, name, "Affine", doc, streams...)
		c := newClamp(&w.free, gradBytes)
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
			c = newClamp(&w.free, gradBytes)
		}
		mean, sum, dot := w.pair(), w.pair(), w.pair()
		var scale, shift []reg.VecPhysical
		if relu6 {
			scale, shift = w.pair(), w.pair()
		}
		work := w.free.take(4, gradBytes) // the two vectors share them: there are no more
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
			VMOVUPS(w.mem("Grad", v), g)
			if relu6 {
				const less = 0x11 // ordered, quiet
				VMOVAPS(scale[v], z)
				VFMADD213PS(shift[v], x, z)
				VCMPPS(Imm(less), z, c.zero, mask)
				VANDPS(mask, g, g)
				VCMPPS(Imm(less), c.six, z, mask)
				VANDPS(mask, g, g)
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
// of 4 inputs and as many vectors of outputs, with a pixel's products added to
// all of a tile's sums at once.
func (s isa) pointwiseGrad(nr int) {
	a := declare(fmt.Sprintf("pointwiseGrad%d%s", nr, s.name), "PointwiseGrad", fmt.Sprintf("is PointwiseGrad for NR = %d.", nr))
	const rows = 4
	vectors := map[int]int{8: 1, 16: 2, 24: 3, 32: 2}[nr]
	rowBytes := 4 * nr
	src, dw := Load(a.Field("Src").Base(), GP64()), Load(a.Field("DW").Base(), GP64())
	k := Load(a.Field("K"), GP64())
	pixels := Load(a.Field("Pixels"), GP64())
	TESTQ(pixels, pixels)
	JZ(LabelRef("done"))
	free := s.file()
	var sums [rows][]reg.VecPhysical
	for r := range sums {
		sums[r] = free.take(vectors, gradBytes)
	}
	x, g := free.take(1, gradBytes)[0], free.take(vectors, gradBytes)
	grad, in, n, part := GP64(), GP64(), GP64(), GP64()
	Label("tile")
	XORQ(part, part) // bytes into the outputs
	Label("part")
	at := func(r, v int) Mem { return Mem{Base: dw, Index: part, Scale: 1, Disp: r*rowBytes + v*gradBytes} }
	for r := range sums {
		for v := range sums[r] {
			VMOVUPS(at(r, v), sums[r][v])
		}
	}
	MOVQ(src, in)
	Load(a.Field("Grad").Base(), grad)
	ADDQ(part, grad)
	MOVQ(pixels, n)
	Label("pixel")
	for v := range g {
		VMOVUPS(Mem{Base: grad, Disp: v * gradBytes}, g[v])
	}
	for r := range sums {
		VBROADCASTSS(Mem{Base: in, Disp: 4 * r}, x)
		for v := range g {
			VFMADD231PS(g[v], x, sums[r][v])
		}
	}
	ADDQ(imm(pixelBytes), grad)
	ADDQ(imm(pixelBytes), in)
	DECQ(n)
	JNZ(LabelRef("pixel"))
	for r := range sums {
		for v := range sums[r] {
			VMOVUPS(sums[r][v], at(r, v))
		}
	}
	ADDQ(imm(vectors*gradBytes), part)
	CMPQ(part, imm(rowBytes))
	JL(LabelRef("part"))
	ADDQ(imm(4*rows), src)
	ADDQ(imm(rows*rowBytes), dw)
	SUBQ(imm(rows), k)
	JG(LabelRef("tile"))
	Label("done")
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
	channels := Load(a.Field("NR"), GP64())
	stride := Load(a.Field("Stride"), GP64())
	SHLQ(Imm(7), stride)
	width, g, in := GP64(), GP64(), GP64()
	free := s.file()
	sums, x := free.take(9, gradBytes), free.take(1, gradBytes)[0]
	Label("vector")
	for t, v := range sums {
		VMOVUPS(Mem{Base: dw, Disp: t * pixelBytes}, v)
	}
	Load(a.Field("Width"), width)
	MOVQ(grad, g)
	XORQ(in, in)
	Label("pixel")
	VMOVUPS(Mem{Base: g}, x)
	for j, row := range rows {
		for i := range 3 {
			VFMADD231PS(Mem{Base: row, Index: in, Scale: 1, Disp: i * pixelBytes}, x, sums[3*j+i])
		}
	}
	ADDQ(stride, in)
	ADDQ(imm(pixelBytes), g)
	DECQ(width)
	JNZ(LabelRef("pixel"))
	for t, v := range sums {
		VMOVUPS(v, Mem{Base: dw, Disp: t * pixelBytes})
	}
	for _, p := range append(rows[:], grad, dw) {
		ADDQ(imm(gradBytes), p)
	}
	SUBQ(imm(gradBytes/4), channels)
	JG(LabelRef("vector"))
	VZEROUPPER()
	RET()
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
	channels := Load(a.Field("NR"), GP64())
	tap := GP64() // bytes from a tap of W to the next
	MOVQ(channels, tap)
	SHLQ(Imm(2), tap)
	width, in, out := GP64(), GP64(), GP64()
	free := s.file()
	var taps [2][]reg.VecPhysical
	for j := range taps {
		taps[j] = free.take(3, gradBytes)
	}
	here, next, x := free.take(2, gradBytes), free.take(2, gradBytes), free.take(1, gradBytes)[0]
	Label("vector")
	for j := range rows {
		VMOVUPS(Mem{Base: w[j]}, taps[j][0])
		VMOVUPS(Mem{Base: w[j], Index: tap, Scale: 1}, taps[j][1])
		VMOVUPS(Mem{Base: w[j], Index: tap, Scale: 2}, taps[j][2])
		VMOVUPS(Mem{Base: rows[j]}, next[j])
	}
	Load(a.Field("Width"), width)
	MOVQ(dst, out)
	XORQ(in, in)
	Label("pair")
	for j := range rows {
		VMOVAPS(next[j], here[j])
	}
	VMULPS(here[0], taps[0][1], x)
	VFMADD231PS(here[1], taps[1][1], x)
	VMOVUPS(x, Mem{Base: out})
	DECQ(width)
	JZ(LabelRef("end"))
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
	JNZ(LabelRef("pair"))
	Label("end")
	for _, p := range append(append(rows[:], w[:]...), dst) {
		ADDQ(imm(gradBytes), p)
	}
	SUBQ(imm(gradBytes/4), channels)
	JG(LabelRef("vector"))
	VZEROUPPER()
	RET()
}
