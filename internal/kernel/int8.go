package kernel

import "math"

// An Int8 is the kernels of one instruction set for networks of 8-bit integers.
// Activations are bytes in the blocked layout [C/32][H][W][32], so that a pixel
// is 32 bytes from the next; a byte q stands for the number (q - zero)*scale.
// Blocks are always whole: kernels may read and write the padding, whose content
// means nothing, and never let it into a result.
//
// All sums are int32 and exact, modulo 2^32. They leave as bytes by one formula,
// [Range.Requantize], which is that of ONNX's QLinearConv in ONNX Runtime and of
// LiteRT's default kernels, or as float32 by [Dequantize]. Every rounding is part
// of the contract, so all sets give the same bits. So is that no sum of products
// saturates: that of VPMADDUBSW, 16 bits for two products, does.
//
// Packing and computing belong to a set: PackPointwise, PackDepthwise and PackFirst
// make what its kernels read of [Weights].
//
// Every function panics where its arguments are too short, and reads and writes
// nothing outside of them.
type Int8 struct {
	Name      string // as in MOBILENET_CPU
	Pointwise func(PointwiseInt8)
	Depthwise func(DepthwiseInt8)
	First     func(FirstInt8)
	Add       func(AddInt8)
	AddFixed  func(AddFixedInt8)
	Pool      func(PoolInt8)
	Quantize  func(QuantizeInt8)
	Lookup    func(LookupInt8)
	Dot       func(DotInt8)
	Peak      func(iterations int) (ops int) // multiplies and adds as fast as it can, for comparison
	layouts   layouts
}

// A Range is what the bytes that a kernel puts out can be. ReLU and ReLU6 are no
// more than that: Min is then the zero point and Max the byte of 6.
type Range struct {
	Zero     int32 // the byte of the number 0
	Min, Max int32 // 0 <= Min <= Max <= 255
}

// Requantize is how a sum becomes a byte:
//
//	clamp(rne(float32(sum)*m) + Zero, Min, Max)
//
// where rne rounds to the nearest integer, ties to even, and m is
// float32(sx*sw)/sy for the scales of the input, the weights and the output, or in
// torch's QNNPACK float32(sx*sw)*(1/sy). The
// product is rounded to float32 before it is rounded to an integer.
func (r Range) Requantize(sum int32, m float32) uint8 { return r.quantize(Dequantize(sum, m)) }

// quantize is clamp(rne(v) + Zero, Min, Max). NaN becomes Max: no sum and finite
// m make one.
func (r Range) quantize(v float32) uint8 {
	if top := float32(r.Max - r.Zero); !(v < top) {
		v = top
	}
	if bottom := float32(r.Min - r.Zero); v < bottom {
		v = bottom
	}
	return uint8(int32(math.RoundToEven(float64(v))) + r.Zero)
}

// Dequantize is how a sum becomes a number: float32(sum)*m, where m is sx*sw.
func Dequantize(sum int32, m float32) float32 {
	return float32(float32(sum) * m) // the conversion keeps an addition behind it from being fused
}

// A Filter is the weights of one block of output channels, as a set's Pack
// functions lay them out for it. A set that multiplies bytes has W8 for what its
// fast kernels can take: weights of a byte each, and sums that Requantize
// multiplies to less than 2^31. All else, which is rare, is W16, for kernels that
// are about half as fast.
type Filter struct {
	W8   []int8    // the weights, or
	W16  []int16   // the weights
	Bias []int32   // [NR], with what the zero points contribute
	M    []float32 // [NR]: what a sum is multiplied by
	K    int       // inputs a sum
	NR   int       // output channels: 8, 16, 24 or 32

	// Float is a filter of float32 in place of all that: see [Int8.With].
	Float *FloatFilter
}

// PointwiseInt8 is a 1x1 convolution into one block of output channels: for
// p < Pixels and n < NR the sum
//
//	acc = Bias[n] + Σk Src[p][k]*W[k][n]
//
// leaves as Dst[p][n] = Range.Requantize(acc, M[n]), or where Float is given as
//
//	Float[p][n] = Dequantize(acc, M[n]) + Add[p][n]
//
// in two roundings. It is also the classifier, with images for pixels.
type PointwiseInt8 struct {
	Dst       []uint8   // [Pixels][Block], or
	Float     []float32 // [Pixels][Block], Dst being nil
	Add       []float32 // [Pixels][Block] with Float, or nil; may be Float, otherwise overlaps nothing
	Src       []uint8   // blocks [Pixels][Block], SrcStride bytes apart
	Filter    *Filter   // from PackPointwise
	Range     Range     // of Dst
	Pixels    int
	SrcStride int
}

// DepthwiseInt8 is output rows of one block of a depthwise 3x3 convolution: in the
// first Dst[x][c] = Range.Requantize(acc, M[c]) of
//
//	acc = Bias[c] + Σji Rows[j][x*Stride-Left+i][c]*W[3*j+i][c]
//
// where a column outside of the input holds Pad. In each of the More others Dst
// begins a row further on and Rows begin Stride rows further on. It is always whole
// blocks: what it makes of their padding means nothing.
type DepthwiseInt8 struct {
	Dst    []uint8    // [1+More][ceil(Width/Stride)][Block]
	Rows   [3][]uint8 // each [1+More*Stride][Width][Block]: the input rows above, at and below; all Pad for a row of padding
	Filter *Filter    // from PackDepthwise
	Range  Range
	Width  int   // input columns
	Stride int   // 1 or 2
	Left   int   // columns of padding before the first: 1, or 0 at stride 2
	Pad    uint8 // the input's zero point
	More   int   // output rows besides the first
}

// OutWidth is the number of output columns.
func (a *DepthwiseInt8) OutWidth() int {
	if a.Stride == 1 {
		return a.Width // a division takes as long as two columns
	}
	return (a.Width + 1) / 2
}

// FirstInt8 is one output row of one block of the first convolution, 3x3 at
// stride 2 from 3 channels: Dst[x][n] = Range.Requantize(acc, M[n]) of
//
//	acc = Bias[n] + Σji Rows[j][6*x+i]*W[9*j+i][n]
//
// Its input rows are interleaved RGB with the padding written out, so that output
// column x reads 9 bytes from 6*x on, and 3 more that don't count.
type FirstInt8 struct {
	Dst    []uint8    // [Width][Block]
	Rows   [3][]uint8 // each at least 6*Width+6 bytes
	Filter *Filter    // from PackFirst
	Range  Range
	Width  int // output columns
}

// AddInt8 is a residual sum, byte by byte:
//
//	v = fma(A[i]-Origin, ScaleA, fma(B[i]-Origin, ScaleB, Offset))
//	Dst[i] = clamp(rne(v) + Range.Zero, Range.Min, Range.Max)
//
// which is what ONNX Runtime's QLinearAdd computes on x86, with what
// [NewAddInt8] returns. fma rounds once.
type AddInt8 struct {
	Dst, A, B      []uint8 // equally long, whole pixels of [Block]; Dst may be A or B
	ScaleA, ScaleB float32
	Offset         float32
	Origin         float32 // the byte of the integer 0: 0, or 128 where bytes are signed ones plus 128
	Range          Range   // Zero is Origin
}

// NewAddInt8 returns the constants for adding a and b, given the scale and zero
// point of each and of the sum. Their order matters where a sum is close to a tie,
// and so does the origin.
func NewAddInt8(a, b, sum Scale, origin uint8) AddInt8 {
	zero := func(s Scale) float32 { return float32(int(s.Zero) - int(origin)) }
	ra, rb := a.Scale/sum.Scale, b.Scale/sum.Scale
	zeros := fma(ra, zero(a), float32(rb*zero(b)))
	return AddInt8{
		ScaleA: ra, ScaleB: rb, Offset: zero(sum) - zeros,
		Origin: float32(origin), Range: Range{Zero: int32(origin), Max: 255},
	}
}

// AddFixedInt8 is a residual sum in fixed point, byte by byte:
//
//	Dst[i] = clamp(((A[i]*FactorA + B[i]*FactorB + Offset) >> Shift) + Range.Zero, Range.Min, Range.Max)
//
// in int32, with a shift that keeps the sign. It is what LiteRT's default kernels
// compute (XNNPACK's qs8-vadd and qu8-vadd), with what [NewAddFixedInt8] returns.
type AddFixedInt8 struct {
	Dst, A, B        []uint8 // equally long, whole pixels of [Block]; Dst may be A or B
	FactorA, FactorB int32
	Offset           int32
	Shift            int32 // 13 to 30
	Range            Range
}

// NewAddFixedInt8 returns the constants for adding a and b, given the scale and zero
// point of each and of the sum. ok is false where the larger of the scales of a and b is
// not 2^-10 to less than 2^8 times that of the sum: LiteRT computes such sums otherwise.
func NewAddFixedInt8(a, b, sum Scale) (_ AddFixedInt8, ok bool) {
	ra, rb := a.Scale/sum.Scale, b.Scale/sum.Scale
	if most := max(ra, rb); !(min(ra, rb) >= 0x1p-10 && most < 0x1p8) {
		return AddFixedInt8{}, false
	}
	_, exponent := math.Frexp(float64(max(ra, rb))) // of 0.5 to 1 times 2^exponent
	shift := 21 - exponent
	factor := func(r float32) int32 { return int32(math.RoundToEven(math.Ldexp(float64(r), shift))) }
	x := AddFixedInt8{FactorA: factor(ra), FactorB: factor(rb), Shift: int32(shift), Range: Range{Zero: int32(sum.Zero), Max: 255}}
	x.Offset = 1<<(shift-1) - x.FactorA*int32(a.Zero) - x.FactorB*int32(b.Zero)
	return x, true
}

// A Scale is what the bytes of a tensor stand for: (q - Zero)*Scale.
type Scale struct {
	Scale float32
	Zero  uint8
}

// PoolInt8 is the global average pool of one block, the requantised sum
//
//	acc = Σp (Src[p][c] - Zero)
//
// as Dst[c] = Range.Requantize(acc, M) with M = sx/(Pixels*sy), which is ONNX
// Runtime's QLinearGlobalAveragePool, and what it makes of DequantizeLinear,
// GlobalAveragePool and QuantizeLinear when it optimises; or where Float is given
// as Float[c] = Dequantize(acc, M) with M = sx/Pixels.
type PoolInt8 struct {
	Dst    []uint8   // [Block], or
	Float  []float32 // [Block], Dst being nil
	Src    []uint8   // [Pixels][Block]
	Range  Range     // of Dst
	Pixels int
	Zero   uint8 // the input's zero point
	M      float32
}

// QuantizeInt8 makes bytes of numbers:
//
//	Dst[i] = clamp(rne(Src[i]*M) + Zero, Min, Max)
//
// NaN becomes Max.
type QuantizeInt8 struct {
	Dst   []uint8
	Src   []float32 // as long as Dst
	M     float32   // 1/scale
	Range Range
}

// AvailableInt8 returns the 8-bit sets that this CPU can run, the fastest first.
// The last one is the plain Go set.
func AvailableInt8() []*Int8 { return append(nativeInt8(), &GenericInt8) }

// LookupInt8 quantises interleaved RGB, of which a level of a colour is always the
// same byte:
//
//	Dst[i] = Table[i%3][Src[i]]
type LookupInt8 struct {
	Dst   []uint8
	Src   []uint8 // as long as Dst
	Table *[3][256]uint8
}
