//go:build linux && !purego

package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// TestAVX512VNNIEmulated is TestAVX512Emulated for 8-bit networks, compared with
// what plain Go leaves.
func TestAVX512VNNIEmulated(t *testing.T) {
	g := newGuest8(t)
	for nr := 8; nr <= Block; nr += 8 {
		for pixels := 1; pixels <= 30; pixels++ {
			g.pointwise(1+pixels*11%70, nr, pixels, output(pixels)%outputs)
			g.first(nr, pixels)
		}
	}
	for width := 1; width <= 12; width++ {
		for _, s := range strides {
			g.depthwise(width, s.stride, s.left)
		}
		g.elements(width)
	}
	g.run(t)
}

// A guest8 is a guest with bytes. Outputs whose padding means nothing lie at the
// arena's end, which isn't compared; an 8-bit convolution copies their channels to
// where they are.
type guest8 struct {
	*guest
	m    *memory8
	rest int // floats of the arena before its end
}

func newGuest8(t *testing.T) *guest8 {
	g := &guest8{newGuest(t, "int8_avx512vnni_amd64.s"), &memory8{rng: rand.New(rand.NewPCG(1, 4))}, guestBytes / 4}
	g.m.alloc = func(n, align int) []byte {
		g.used += 8 + g.m.rng.IntN(32)
		at := 0
		if align == 1 {
			at = g.m.rng.IntN(4)
		}
		b := g.take((at + n + 3) / 4)
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b))), 4*len(b))[at:][:n:n]
	}
	return g
}

// unspecified returns a block of so many pixels behind what is compared.
func (g *guest8) unspecified(pixels int) []uint8 {
	n := pixels * Block
	g.rest -= (n+3)/4 + 16
	b := g.arena[g.rest:][:n/4]
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

// both returns a layer's filter for the guest and another one for plain Go.
func (g *guest8) both(l layer8, pack func(*Int8, Weights, int) *Filter) (guest, host *Filter) {
	return g.m.filter(pack(&avx512vnniInt8, l.Weights, l.block)), pack(&GenericInt8, l.Weights, l.block)
}

// pointer changes the pointer at field to where the guest has a copy of f.
func (g *guest8) pointer(field **Filter, f *Filter) {
	*(*uint64)(unsafe.Pointer(field)) = g.put(unsafe.Pointer(f), unsafe.Sizeof(*f))
}

// narrow returns a layer of nr channels that the set's own kernels take.
func (g *guest8) narrow(k, nr int) layer8 {
	return layer8{g.m.weights(nr, k, false), 0}
}

func (g *guest8) pointwise(k, nr, pixels int, out output) {
	l := g.narrow(k, nr)
	a := newPointwiseInt8(g.m, &avx512vnniInt8, l, pixels, out)
	var f *Filter
	f, a.Filter = g.both(l, (*Int8).PackPointwise)
	if a.Float == nil {
		dst := a.Dst
		a.Dst = g.unspecified(pixels)
		defer g.channels(dst, a.Dst, nr, pixels)
	}
	host := a
	g.pointer(&a.Filter, f)
	g.call(fmt.Sprintf("pointwise%dInt8AVX512VNNI", nr), unsafe.Pointer(&a), unsafe.Sizeof(a), func() { GenericInt8.Pointwise(host) })
}

// channels copies nr channels: a convolution of one weight a channel.
func (g *guest8) channels(dst, src []uint8, nr, pixels int) {
	w := Weights{N: Block, K: nr, W: make([]int16, Block*nr), Bias: make([]int32, Block), M: make([]float32, Block)}
	for c := range nr {
		w.W[c*nr+c], w.M[c] = 1, 1
	}
	f, host := g.both(layer8{w, 0}, (*Int8).PackPointwise)
	a := PointwiseInt8{Dst: dst, Src: src, Filter: host, Range: Range{Max: 255}, Pixels: pixels}
	b := a
	g.pointer(&a.Filter, f)
	g.call("pointwise32Int8AVX512VNNI", unsafe.Pointer(&a), unsafe.Sizeof(a), func() { GenericInt8.Pointwise(b) })
}

func (g *guest8) first(nr, width int) {
	l := g.narrow(27, nr)
	a := newFirstInt8(g.m, &avx512vnniInt8, l, width)
	var f *Filter
	f, a.Filter = g.both(l, (*Int8).PackFirst)
	dst := a.Dst
	a.Dst = g.unspecified(width)
	host := a
	g.pointer(&a.Filter, f)
	g.call(fmt.Sprintf("first%dInt8AVX512VNNI", nr), unsafe.Pointer(&a), unsafe.Sizeof(a), func() { GenericInt8.First(host) })
	g.channels(dst, a.Dst, nr, width)
}

func (g *guest8) depthwise(width, stride, left int) {
	l := g.narrow(9, Block)
	a := newDepthwiseInt8(g.m, &avx512vnniInt8, l, width, stride, left)
	a.More = 0 // further rows are further calls of the code that is emulated,
	a.end()    // which goes by where Dst ends
	var f *Filter
	f, a.Filter = g.both(l, (*Int8).PackDepthwise)
	host := a
	g.pointer(&a.Filter, f)
	g.call(fmt.Sprintf("depthwise%dInt8AVX512VNNI", stride), unsafe.Pointer(&a), unsafe.Sizeof(a), func() { GenericInt8.Depthwise(host) })
}

func (g *guest8) elements(n int) {
	a := newAddInt8(g.m, n)
	g.call("addInt8AVX512VNNI", unsafe.Pointer(&a), unsafe.Sizeof(a), func() { GenericInt8.Add(a) })
	x := newAddFixedInt8(g.m, n)
	g.call("addFixedInt8AVX512VNNI", unsafe.Pointer(&x), unsafe.Sizeof(x), func() { GenericInt8.AddFixed(x) })
	q := newQuantizeInt8(g.m, n*Block)
	g.call("quantizeInt8AVX512VNNI", unsafe.Pointer(&q), unsafe.Sizeof(q), func() { GenericInt8.Quantize(q) })
	l := newLookupInt8(g.m, 31*n)
	host := l
	l.Table = (*[3][256]uint8)(unsafe.Pointer(unsafe.SliceData(take[uint8](g.m, 3*256))))
	*l.Table = *host.Table
	g.call("lookupInt8AVX512VNNI", unsafe.Pointer(&l), unsafe.Sizeof(l), func() { GenericInt8.Lookup(host) })
	for _, queries := range []int{2, 4} {
		d := newDotInt8(g.m, DotRows, queries, DotStride*(1+n%2))
		g.call(fmt.Sprintf("dot%dInt8AVX512VNNI", queries), unsafe.Pointer(&d), unsafe.Sizeof(d), func() { GenericInt8.Dot(d) })
	}
	for out := toBytes; out <= toFloats; out++ {
		p := newPoolInt8(g.m, n, out)
		g.call("poolInt8AVX512VNNI", unsafe.Pointer(&p), unsafe.Sizeof(p), func() { GenericInt8.Pool(p) })
	}
}
