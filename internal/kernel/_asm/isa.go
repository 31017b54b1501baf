package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	pixelBytes = 128 // from a pixel to the next in the blocked layout
	lineBytes  = 64  // of a cache line
)

// An isa is what the kernels of an instruction set differ in.
type isa struct {
	name      string
	registers int                 // vector registers
	widths    []int               // of a vector in bytes, for kernels that take any
	shapes    map[int]shape       // by NR
	grads     map[int][]gradShape // by NR, the tallest first: one is for inputs too few for those before it
}

// A shape is the tallest tile for an NR: its pixels, and the vectors that hold a
// pixel's channels.
type shape struct{ rows, vectors, bytes int }

// A gradShape is a tile of weights whose gradients are summed up at once: the input
// channels, and the bytes of each of the vectors of output channels. Several tiles
// side by side make up a row of NR. There are no fewer sums than cover the latency
// of a multiply-add, 8, where there can be; 12 of them let AVX2 take 10 % less time
// than 8. The rows of the last one divide those of all others and 32: it goes over
// what is left.
type gradShape struct {
	rows   int
	widths []int
}

// take takes vectors of the shape's widths off the file's front.
func (g gradShape) take(f *file) []reg.VecPhysical {
	var v []reg.VecPhysical
	for _, bytes := range g.widths {
		v = append(v, f.take(1, bytes)...)
	}
	return v
}

// offsets returns where each vector begins, in bytes.
func (g gradShape) offsets() []int {
	at := make([]int, len(g.widths))
	for i := range at[1:] {
		at[i+1] = at[i] + g.widths[i]
	}
	return at
}

func (g gradShape) bytes() int {
	last := len(g.widths) - 1
	return g.offsets()[last] + g.widths[last]
}

// The tallest tiles leave registers for a pixel's weights and an input, or for
// the inputs and one vector of weights.
var sets = map[string]isa{
	"avx2": {"AVX2", 16, []int{32}, map[int]shape{
		8:  {12, 1, 32},
		16: {6, 2, 32},
		24: {4, 3, 32},
		32: {3, 4, 32},
	}, map[int][]gradShape{
		8:  {{12, []int{32}}, {8, []int{32}}, {4, []int{32}}},
		16: {{6, []int{32, 32}}, {4, []int{32, 32}}, {2, []int{32, 32}}},
		24: {{4, []int{32, 32, 32}}},
		32: {{6, []int{32, 32}}, {4, []int{32, 32}}, {2, []int{32, 32, 32, 32}}},
	}},
	// AVX-512 F, and VL for vectors of 32 bytes.
	"avx512": {"AVX512", 32, []int{64, 32}, map[int]shape{
		8:  {14, 1, 32},
		16: {14, 1, 64},
		24: {7, 3, 32},
		32: {14, 2, 64},
	}, map[int][]gradShape{
		8:  {{8, []int{32}}},
		16: {{8, []int{64}}},
		24: {{8, []int{64, 32}}},
		32: {{8, []int{64, 64}}},
	}},
}

var zmm = [...]reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
	reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
	reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}

// A file is vector registers that are free. Which ones a kernel uses is written
// down, not left to an allocator, so that nothing ever spills.
type file []reg.VecPhysical

func (s isa) file() file { return zmm[:s.registers] }

// take takes n registers of so many bytes off the file's front.
func (f *file) take(n, bytes int) []reg.VecPhysical {
	var v []reg.VecPhysical
	for _, r := range (*f)[:n] {
		v = append(v, as(r, bytes))
	}
	*f = (*f)[n:]
	return v
}

// as returns the part of register v that is so many bytes wide.
func as(v reg.VecPhysical, bytes int) reg.VecPhysical {
	switch bytes {
	case 16:
		return v.AsX().(reg.VecPhysical)
	case 32:
		return v.AsY().(reg.VecPhysical)
	}
	return v.AsZ().(reg.VecPhysical)
}

// A clamp is the limits of ReLU6 in registers.
type clamp struct{ zero, six reg.VecPhysical }

// newClamp emits the limits into the file's next registers.
func newClamp(f *file, bytes int) clamp {
	v := f.take(2, bytes)
	zero(v[0])
	t := GP32()
	MOVL(U32(0x40c00000), t) // 6.0
	VMOVD(t, as(v[1], 16))
	VBROADCASTSS(as(v[1], 16), v[1])
	return clamp{v[0], v[1]}
}

// unless emits the widening of the limits to the infinities where flag is 0.
func (c clamp) unless(flag Mem, label string) {
	CMPB(flag, Imm(0))
	JNE(LabelRef(label))
	t := GP32()
	limit := func(v reg.VecPhysical, bits uint32) {
		MOVL(U32(bits), t)
		VMOVD(t, as(v, 16))
		VBROADCASTSS(as(v, 16), v)
	}
	limit(c.zero, 0xff800000) // -Inf
	limit(c.six, 0x7f800000)  // +Inf
	Label(label)
}

// zero emits the clearing of registers. They must be among the first 16: the
// instruction that clears others needs AVX-512 DQ.
func zero(regs ...reg.VecPhysical) {
	for _, v := range regs {
		x := as(v, 16) // the rest of a register is cleared along
		VXORPS(x, x, x)
	}
}

// apply emits ReLU6. Where a value is NaN the maximum and minimum of x86 are
// their second source, which is the first operand here: NaN stays NaN.
func (c clamp) apply(v reg.VecPhysical) {
	VMAXPS(v, c.zero, v)
	VMINPS(v, c.six, v)
}

// imm is a constant operand, in the width that every instruction here takes.
func imm(n int) Op { return U32(n) }
