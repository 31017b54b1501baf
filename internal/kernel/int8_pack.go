package kernel

import (
	"fmt"
	"math"
	"unsafe"
)

// Weights are a layer's weights before they are packed: integers, and what
// turns their sums into the layer's output.
type Weights struct {
	W    []int16   // [N][K], each minus its zero point
	Bias []int32   // [N], of the scale sx*sw
	M    []float32 // [N], finite: what Requantize or Dequantize multiplies by
	N, K int       // output channels; inputs of each, for a depthwise convolution its 9 taps, for the first 27
	Zero uint8     // the input's zero point
}

// layouts are how a set has weights in memory: those that fit into bytes, and
// others.
type layouts struct {
	narrow, wide layout
	signed       bool // the bytes multiplied are signed: a narrow layout's inputs are taken minus 128
	lanes        int  // 16-byte parts of a vector that interleaving bytes keeps apart
}

// A layout is an order of weights. The k that a kernel takes at once are a group
// of four: consecutive channels, a row of the first convolution's window with its
// 9 inputs as 12, or a column of the depthwise one's with its 3 taps as 4.
type layout int

const (
	rows  layout = iota // W16 [K][NR]
	pairs               // W16 [K/4][even, odd][NR][2]: k of 0 and 2, then of 1 and 3
	quads               // W8 [K/4][NR][4]
)

// at is where a layout has weight k of channel c.
func (l layout) at(k, c, nr int) int {
	switch l {
	case pairs:
		return ((k/4*2+k%2)*nr+c)*2 + k%4/2
	case quads:
		return (k/4*nr+c)*4 + k%4
	}
	return k*nr + c
}

// groups is the number of groups of four that hold k.
func groups(k int) int { return (k + 3) / 4 }

// The K of filters of the first and of depthwise convolutions, in groups.
const (
	firstK     = 3 * 12
	depthwiseK = 3 * 4
)

// PackPointwise packs block b of the output channels of a 1x1 convolution.
func (s *Int8) PackPointwise(w Weights, b int) Filter {
	nr := NR(w.N, b)
	natural := func(i int) int { return i }
	return s.layouts.pack(w, b, Filter{K: w.K, NR: nr}, natural, natural)
}

// PackFirst packs block b of the output channels of the first convolution, whose
// inputs are in the order of interleaved pixels, [3][3][RGB].
func (s *Int8) PackFirst(w Weights, b int) Filter {
	return s.layouts.pack(w, b, Filter{K: firstK, NR: NR(w.N, b)},
		func(k int) int { return k/9*12 + k%9 },
		func(c int) int { return c })
}

// PackDepthwise packs block b of a depthwise convolution, whose taps are [3][3].
func (s *Int8) PackDepthwise(w Weights, b int) Filter {
	return s.layouts.pack(w, b, Filter{K: depthwiseK, NR: Block},
		func(k int) int { return k%3*4 + k/3 },
		s.layouts.interleaved)
}

// interleaved is the place of channel c after bytes of four rows have been
// interleaved within the parts of a vector: vector q of 4 holds channels 4q to
// 4q+3 of each part.
func (l layouts) interleaved(c int) int {
	part, within := c/16, c%16
	if l.lanes < 2 {
		return c
	}
	return within/4*8 + part*4 + within%4
}

// pack fills f with block b of w, input k at place atK and channel c at atC.
func (l layouts) pack(w Weights, b int, f Filter, atK, atC func(int) int) Filter {
	if len(w.W) != w.N*w.K || len(w.Bias) != w.N || len(w.M) != w.N {
		panic(fmt.Sprintf("kernel: %d weights, %d biases and %d scales for %d channels of %d", len(w.W), len(w.Bias), len(w.M), w.N, w.K))
	}
	first := b * Block
	n := min(f.NR, w.N-first)
	block := w.W[first*w.K : (first+n)*w.K]
	order, offset := l.narrow, int32(0)
	if !bytes8(block) {
		order = l.wide
	}
	size := groups(f.K) * 4 * f.NR
	if order == quads {
		f.W8 = newNumbers[int8](size)
		if l.signed {
			offset = 128
		}
	} else {
		f.W16 = newNumbers[int16](size)
	}
	f.Bias, f.M = newNumbers[int32](f.NR), newNumbers[float32](f.NR)
	for c := range n {
		sum := int32(0)
		for k, v := range block[c*w.K:][:w.K] {
			at := order.at(atK(k), atC(c), f.NR)
			if order == quads {
				f.W8[at] = int8(v)
			} else {
				f.W16[at] = v
			}
			sum += int32(v)
		}
		m := w.M[first+c]
		if v := float64(m); math.IsNaN(v) || math.IsInf(v, 0) {
			panic(fmt.Sprintf("kernel: a sum can't be multiplied by %v", m))
		}
		f.M[atC(c)] = m
		f.Bias[atC(c)] = w.Bias[first+c] + (offset-int32(w.Zero))*sum
	}
	return f
}

// bytes8 reports whether all of w fit into signed bytes.
func bytes8(w []int16) bool {
	for _, v := range w {
		if v != int16(int8(v)) {
			return false
		}
	}
	return true
}

// newNumbers returns n zeros that start at a multiple of 64 bytes.
func newNumbers[T int8 | int16 | int32 | float32](n int) []T {
	size := int(unsafe.Sizeof(T(0)))
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(aligned(n*size, alignment)))), n)
}
