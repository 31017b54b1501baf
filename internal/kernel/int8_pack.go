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
	signed       bool // the set multiplies signed bytes: it takes 128 off the inputs of narrow weights

	// The pointwise kernel for 16-bit weights computes, for every four inputs, the
	// products of sums (a0+w2)*(a2+w0) + (a1+w3)*(a3+w1), and takes a0*a2 + a1*a3 off
	// itself. The bias has w0*w2 + w1*w3 taken off.
	inner bool
}

// A layout is an order of weights, [panels][K/side][channels][side]. Four k are
// always whole: consecutive channels, a row of the first convolution's window, 9
// inputs of 12, or a column of the depthwise one's, 3 taps of 4.
type layout struct {
	wide  bool            // 16-bit weights
	side  int             // k side by side
	panel int             // channels side by side
	order func(c int) int // of a depthwise convolution's channels
}

// layoutRows are the rows of NR that plain Go goes over.
var layoutRows = layout{true, 1, Block, inOrder}

func inOrder(c int) int { return c }

// at is where a layout has weight k of channel c, of size weights a channel.
func (l layout) at(k, c, nr, size int) int {
	panel := c / l.panel * l.panel
	width := min(l.panel, nr-panel)
	return panel*size + (k/l.side*width+c-panel)*l.side + k%l.side
}

// group is how many k are always whole.
const group = 4

// groups is the number of groups that hold k.
func groups(k int) int { return (k + group - 1) / group }

// The K of filters of the first and of depthwise convolutions, in groups.
const (
	FirstK     = 3 * 3 * group
	DepthwiseK = 3 * group
)

// FilterBytes is the memory that NewFilter takes.
func FilterBytes(k, nr int, wide bool) int {
	return weightBytes(k, nr, wide) + 2*wholeLines(4*nr)
}

func weightBytes(k, nr int, wide bool) int {
	n := groups(k) * group * nr
	if wide {
		n *= 2
	}
	return wholeLines(n)
}

func wholeLines(n int) int { return (n + alignment - 1) / alignment * alignment }

// NewFilter returns a filter for nr channels, of 8-bit or of 16-bit weights, whose
// numbers are what mem holds: FilterBytes of them, from the start of a cache line on.
func NewFilter(k, nr int, wide bool, mem []byte) *Filter {
	f := &Filter{K: k, NR: nr}
	mem = mem[:FilterBytes(k, nr, wide)]
	n, at := groups(k)*group*nr, weightBytes(k, nr, wide)
	if wide {
		f.W16 = numbersIn[int16](mem, n)
	} else {
		f.W8 = numbersIn[int8](mem, n)
	}
	f.Bias = numbersIn[int32](mem[at:], nr)
	f.M = numbersIn[float32](mem[at+wholeLines(4*nr):], nr)
	return f
}

// Channel writes the weights of channel c of a pointwise filter that s has packed to
// dst, [K], and returns its bias: integers, or where the filter has a Float numbers.
// zero is that of the bytes that the filter reads.
func (s *Int8) Channel(f *Filter, c int, zero uint8, dst []float32) (bias float32) {
	if f.Float != nil {
		for k := range dst[:f.K] {
			dst[k] = f.Float.W[k*f.NR+c]
		}
		return f.Float.Bias[c]
	}
	l, offset, sum := s.layouts.wide, int32(0), int32(0)
	if !f.Wide() {
		if l = s.layouts.narrow; s.layouts.signed {
			offset = 128
		}
	}
	size := groups(f.K) * group
	for k := range dst[:f.K] {
		var v int32
		if at := l.at(k, c, f.NR, size); f.Wide() {
			v = int32(f.W16[at])
		} else {
			v = int32(f.W8[at])
		}
		dst[k] = float32(v)
		sum += v
	}
	sum = f.Bias[c] - (offset-int32(zero))*sum
	if s.layouts.inner && f.Wide() {
		sum += innerSquares(dst[:f.K])
	}
	return float32(sum)
}

// Wide reports whether the weights have 16 bits.
func (f *Filter) Wide() bool { return f.W16 != nil }

// Copy gives f the numbers of g, which is as large and as wide.
func (f *Filter) Copy(g *Filter) {
	copy(f.W8, g.W8)
	copy(f.W16, g.W16)
	copy(f.Bias, g.Bias)
	copy(f.M, g.M)
}

// PackPointwise packs block b of the output channels of a 1x1 convolution.
func (s *Int8) PackPointwise(w Weights, b int) *Filter {
	f := s.layouts.pack(w, b, Filter{K: w.K, NR: NR(w.N, b)}, inOrder, inOrder)
	if s.layouts.inner && f.W16 != nil {
		for c := range min(f.NR, w.N-b*Block) {
			f.Bias[c] -= innerSquares(w.channel(b*Block + c))
		}
	}
	return f
}

// innerSquares is what the weights of a channel add to the products of sums: see
// layouts.inner.
func innerSquares[T int16 | float32](w []T) (sum int32) {
	for k, v := range w {
		if k&2 == 0 && k+2 < len(w) {
			sum += int32(v) * int32(w[k+2])
		}
	}
	return sum
}

// PackFirst packs block b of the output channels of the first convolution, whose
// inputs are in the order of interleaved pixels, [3][3][RGB].
func (s *Int8) PackFirst(w Weights, b int) *Filter {
	return s.layouts.pack(w, b, Filter{K: FirstK, NR: NR(w.N, b)},
		func(k int) int { return k/9*12 + k%9 }, inOrder)
}

// PackDepthwise packs block b of a depthwise convolution, whose taps are [3][3].
func (s *Int8) PackDepthwise(w Weights, b int) *Filter {
	return s.layouts.pack(w, b, Filter{K: DepthwiseK, NR: Block},
		func(k int) int { return k%3*4 + k/3 }, nil)
}

// pack fills f with block b of w, input k at place atK and channel c at atC, or in
// the layout's own order.
func (l layouts) pack(w Weights, b int, f Filter, atK, atC func(int) int) *Filter {
	if len(w.W) != w.N*w.K || len(w.Bias) != w.N || len(w.M) != w.N {
		panic(fmt.Sprintf("kernel: %d weights, %d biases and %d scales for %d channels of %d", len(w.W), len(w.Bias), len(w.M), w.N, w.K))
	}
	first := b * Block
	n := min(f.NR, w.N-first)
	order, offset := l.wide, int32(0)
	if w.narrow(first, n) {
		order = l.narrow
	}
	if atC == nil {
		order.panel, atC = Block, order.order
	}
	size := groups(f.K) * group
	if order.wide {
		f.W16 = newNumbers[int16](size * f.NR)
	} else {
		f.W8 = newNumbers[int8](size * f.NR)
		if l.signed {
			offset = 128
		}
	}
	f.Bias, f.M = newNumbers[int32](f.NR), newNumbers[float32](f.NR)
	for c := range n {
		sum := int32(0)
		for k, v := range w.channel(first + c) {
			at := order.at(atK(k), atC(c), f.NR, size)
			if order.wide {
				f.W16[at] = v
			} else {
				f.W8[at] = int8(v)
			}
			sum += int32(v)
		}
		f.M[atC(c)] = w.M[first+c]
		f.Bias[atC(c)] = w.Bias[first+c] + (offset-int32(w.Zero))*sum
	}
	return &f
}

func (w *Weights) channel(c int) []int16 { return w.W[c*w.K:][:w.K] }

// narrow reports whether n channels have weights of a byte and products that
// don't go beyond int32. The factor leaves room for two roundings.
func (w *Weights) narrow(first, n int) bool {
	for c := first; c < first+n; c++ {
		low, high := int64(w.Bias[c]), int64(w.Bias[c])
		for _, v := range w.channel(c) {
			if v != int16(int8(v)) {
				return false
			}
			zero := -int64(w.Zero) * int64(v)
			low += zero + 255*min(0, int64(v))
			high += zero + 255*max(0, int64(v))
		}
		most := float64(max(-low, high))
		if most >= 1<<31 {
			most = 1 << 31 // sums go round
		}
		m := math.Abs(float64(w.M[c]))
		if math.IsNaN(m) || math.IsInf(m, 0) {
			panic(fmt.Sprintf("kernel: a sum can't be multiplied by %v", m))
		}
		if most*m*(1+0x1p-20) >= 1<<31 {
			return false
		}
	}
	return true
}

// newNumbers returns n zeros that start at a multiple of 64 bytes.
func newNumbers[T int8 | int16 | int32 | float32](n int) []T {
	size := int(unsafe.Sizeof(T(0)))
	return numbersIn[T](aligned(n*size, alignment), n)
}

// numbersIn returns the first n numbers in mem.
func numbersIn[T int8 | int16 | int32 | float32](mem []byte, n int) []T {
	size := int(unsafe.Sizeof(T(0)))
	mem = mem[:n*size]
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mem))), n)
}
