package ops

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

func shapeQuantize(c *call) ([]Type, error) {
	out := c.types[0]
	out.Elem = pb.TensorProto_UINT8
	if c.has(2) {
		out.Elem = c.types[2].Elem
	}
	return []Type{out}, nil
}

func shapeDequantize(c *call) ([]Type, error) {
	out := c.types[0]
	out.Elem = cmp.Or(c.types[1].Elem, pb.TensorProto_FLOAT)
	return []Type{out}, nil
}

func shapeQConv(c *call) ([]Type, error) {
	out, err := convShape(c, c.types[0], c.types[3], 8)
	if err == nil {
		out[0].Elem = c.types[7].Elem
	}
	return out, err
}

func shapeQMatMul(c *call) ([]Type, error) {
	return matMulShape(c.types[0], c.types[3], c.types[7].Elem)
}

func shapeQGemm(c *call) ([]Type, error) {
	out, err := gemmShape(c, c.types[0], c.types[3])
	out.Elem = pb.TensorProto_FLOAT // without an output scale
	if c.has(8) {
		out.Elem = c.types[8].Elem
	}
	return []Type{out}, err
}

func shapeQAdd(c *call) ([]Type, error) {
	out, err := broadcast(c.types[0], c.types[3])
	return []Type{out}, err
}

func shapeQPool(c *call) ([]Type, error) {
	if ir.IntAttr(c.node, "channels_last", 0) == 0 {
		return shapePool(c)
	}
	x := c.types[0]
	if !x.Ranked || len(x.Shape) != 4 {
		return []Type{{Elem: x.Elem}}, nil
	}
	return []Type{shaped(x.Elem, x.Shape[0], Dim{N: 1}, Dim{N: 1}, x.Shape[3])}, nil
}

// saturate is the range of an integer type.
var saturate = map[ir.DataType][2]float64{
	pb.TensorProto_UINT8: {0, 255}, pb.TensorProto_INT8: {-128, 127},
	pb.TensorProto_UINT16: {0, 65535}, pb.TensorProto_INT16: {-32768, 32767},
}

// quantised is round(x / scale) + zero, saturated to its type; ties go to even.
func quantised(x, scale, zero float64, elem ir.DataType) float64 {
	limits := saturate[elem]
	// ONNX computes the quotient in float32.
	q := math.RoundToEven(float64(float32(x)/float32(scale))) + zero
	return math.Min(math.Max(q, limits[0]), limits[1])
}

// perAxis returns scale and zero point for each element of v: one for all, or one
// per index of axis a.
func perAxis(v, scale, zero *Value, a int) (func(i int) (s, z float64), error) {
	if len(scale.Data) == 1 && (zero == nil || len(zero.Data) == 1) {
		z := 0.0
		if zero != nil {
			z = zero.Data[0]
		}
		return func(int) (float64, float64) { return scale.Data[0], z }, nil
	}
	if a < 0 || a >= v.rank() || len(scale.Data) != v.Shape[a] || zero != nil && len(zero.Data) != v.Shape[a] {
		return nil, fmt.Errorf("%d scales for shape %v", len(scale.Data), v.Shape)
	}
	inner := elementCount(v.Shape[a+1:])
	return func(i int) (float64, float64) {
		ch := i / inner % v.Shape[a]
		if zero == nil {
			return scale.Data[ch], 0
		}
		return scale.Data[ch], zero.Data[ch]
	}, nil
}

// optional is the i-th input, nil where it is absent.
func (c *call) optional(i int) *Value {
	if i < len(c.values) {
		return c.values[i]
	}
	return nil
}

func runQuantize(c *call) ([]*Value, error) {
	x, zero := c.values[0], c.optional(2)
	at, err := perAxis(x, c.values[1], zero, quantAxis(c.node, x.rank()))
	if err != nil {
		return nil, err
	}
	elem := pb.TensorProto_UINT8
	if zero != nil {
		elem = zero.Elem
	}
	out := &Value{elem, x.Shape, make([]float64, len(x.Data))}
	for i, v := range x.Data {
		s, z := at(i)
		out.Data[i] = quantised(v, s, z, elem)
	}
	return one(out), nil
}

func quantAxis(n *ir.Node, rank int) int {
	a := int(ir.IntAttr(n, "axis", 1))
	if a < 0 {
		a += rank
	}
	return a
}

func runDequantize(c *call) ([]*Value, error) {
	x := c.values[0]
	out, err := dequantised(x, c.values[1], c.optional(2), quantAxis(c.node, x.rank()))
	return one(out), err
}

// dequantised is (q - zero) * scale.
func dequantised(q, scale, zero *Value, a int) (*Value, error) {
	at, err := perAxis(q, scale, zero, a)
	if err != nil {
		return nil, err
	}
	out := &Value{scale.Elem, q.Shape, make([]float64, len(q.Data))}
	for i, v := range q.Data {
		s, z := at(i)
		out.Data[i] = (v - z) * s
	}
	return out, nil
}

// Sums of integers are exact in float64, and leave as ONNX Runtime has it: see requantised.

// requantised is how sums become bytes, or without an output scale numbers: x, whose
// axis a are channels, times float32(sx*sw)/sy in float32, rounded. The scales are inputs
// 1, 4 and i, the zero point the one behind i.
func (c *call) requantised(x *Value, i, a int) ([]*Value, error) {
	sx, sw := float32(c.scalar(1, 1)), c.values[4].Data
	if c.node.OpType == "QGemm" {
		sx *= ir.FloatAttr(c.node, "alpha", 1)
	}
	if a < 0 || a >= x.rank() || len(sw) != 1 && len(sw) != x.Shape[a] {
		return nil, fmt.Errorf("%d scales for shape %v", len(sw), x.Shape)
	}
	inner := elementCount(x.Shape[a+1:])
	m := func(k int) float32 { return sx * float32(sw[k/inner%x.Shape[a]%len(sw)]) }
	out := &Value{elemFloat, x.Shape, make([]float64, len(x.Data))}
	if c.optional(i) == nil {
		for k, v := range x.Data {
			out.Data[k] = float64(float32(v) * m(k))
		}
		return one(out), nil
	}
	scale, zero := float32(c.scalar(i, 1)), c.scalar(i+1, 0)
	out.Elem = pb.TensorProto_UINT8
	if z := c.optional(i + 1); z != nil {
		out.Elem = z.Elem
	}
	for k, v := range x.Data {
		out.Data[k] = saturated(math.RoundToEven(float64(float32(v)*(m(k)/scale)))+zero, out.Elem)
	}
	return one(out), nil
}

// saturated brings v into the range of its type.
func saturated(v float64, elem ir.DataType) float64 {
	limits := saturate[elem]
	return math.Min(math.Max(v, limits[0]), limits[1])
}

// integers are input i, less the zero point two behind it: one, or one for each index of
// an axis.
func (c *call) integers(i, axis int) (*Value, error) {
	ones := &Value{elemFloat, nil, []float64{1}}
	if zero := c.optional(i + 2); zero != nil && len(zero.Data) > 1 {
		ones = &Value{elemFloat, zero.Shape, slices.Repeat(ones.Data, len(zero.Data))}
	}
	return dequantised(c.values[i], ones, c.optional(i+2), axis)
}

func runQConv(c *call) ([]*Value, error) {
	x, err := c.integers(0, 1)
	if err != nil {
		return nil, err
	}
	w, err := c.integers(3, 0)
	if err != nil {
		return nil, err
	}
	var bias []float64
	if c.has(8) {
		bias = c.values[8].Data
	}
	out, err := convolve(c, x, w, bias)
	if err != nil {
		return nil, err
	}
	return c.requantised(out, 6, 1)
}

func runQMatMul(c *call) ([]*Value, error) {
	a, err := c.integers(0, 0)
	if err != nil {
		return nil, err
	}
	b, err := c.integers(3, 1)
	if err != nil {
		return nil, err
	}
	out, err := matMul(c, a, b)
	if err != nil {
		return nil, err
	}
	return c.requantised(out, 6, out.rank()-1)
}

// runQGemm is a Gemm of integers with an int32 bias; without an output scale its
// result is float.
func runQGemm(c *call) ([]*Value, error) {
	columns := 1 - int(ir.IntAttr(c.node, "transB", 0)) // b's axis that becomes the output's columns
	a, err := c.integers(0, 0)
	if err != nil {
		return nil, err
	}
	b, err := c.integers(3, columns)
	if err != nil {
		return nil, err
	}
	out, err := c.output()
	if err != nil {
		return nil, err
	}
	gemm(c, out, a, b)
	if bias := c.optional(6); bias != nil {
		wide, err := stretch(bias, out.Shape)
		if err != nil {
			return nil, err
		}
		for i := range out.Data {
			out.Data[i] += wide.Data[i]
		}
	}
	return c.requantised(out, 7, out.rank()-1)
}

// runQAdd is a sum of bytes as ONNX Runtime computes it on x86: [kernel.AddInt8].
func runQAdd(c *call) ([]*Value, error) {
	shape, err := c.outputShape()
	if err != nil {
		return nil, err
	}
	a, err := stretch(c.values[0], shape)
	if err != nil {
		return nil, err
	}
	b, err := stretch(c.values[3], shape)
	if err != nil {
		return nil, err
	}
	sum := float32(c.scalar(6, 1))
	ra, rb := float32(c.scalar(1, 1))/sum, float32(c.scalar(4, 1))/sum
	za, zb, zero := float32(c.scalar(2, 0)), float32(c.scalar(5, 0)), float32(c.scalar(7, 0))
	offset := zero - fma(ra, za, float32(rb*zb))
	elem := c.types[0].Elem
	out := &Value{elem, shape, make([]float64, len(a.Data))}
	for i, v := range a.Data {
		s := fma(float32(v), ra, fma(float32(b.Data[i]), rb, offset))
		out.Data[i] = saturated(math.RoundToEven(float64(s)), elem)
	}
	return one(out), nil
}

// fma is x*y + z rounded once, slowly.
func fma(x, y, z float32) float32 {
	exact := func(v float32) *big.Float { return new(big.Float).SetPrec(320).SetFloat64(float64(v)) }
	for _, v := range []float32{x, y, z} {
		if v != v || v-v != 0 { // NaN or infinite
			return x*y + z
		}
	}
	p := exact(x)
	f, _ := p.Mul(p, exact(y)).Add(p, exact(z)).Float32()
	return f
}

func runQPool(c *call) ([]*Value, error) {
	if ir.IntAttr(c.node, "channels_last", 0) != 0 {
		return nil, fault.Unsupportedf("channels_last cannot be run")
	}
	x, err := c.integers(0, 1)
	if err != nil {
		return nil, err
	}
	if x.rank() < 3 || len(x.Data) == 0 {
		return nil, fmt.Errorf("a mean of shape %v", x.Shape)
	}
	n := elementCount(x.Shape[2:])
	shape := append(slices.Clone(x.Shape[:2]), slices.Repeat([]int{1}, x.rank()-2)...)
	out := &Value{c.types[0].Elem, shape, make([]float64, elementCount(shape))}
	m, zero := float32(c.scalar(1, 1))/(float32(c.scalar(3, 1))*float32(n)), c.scalar(4, 0)
	for i := range out.Data {
		sum := 0.0
		for _, v := range x.Data[i*n : (i+1)*n] {
			sum += v
		}
		out.Data[i] = saturated(math.RoundToEven(float64(float32(sum)*m))+zero, out.Elem)
	}
	return one(out), nil
}

func shapeDynamicQuantize(c *call) ([]Type, error) {
	if err := c.floats(0); err != nil {
		return nil, err
	}
	out := c.types[0]
	out.Elem = pb.TensorProto_UINT8
	return []Type{out, shaped(pb.TensorProto_FLOAT), shaped(pb.TensorProto_UINT8)}, nil
}

// runDynamicQuantize quantises to the 8 bits that hold the range of x, widened to hold 0.
func runDynamicQuantize(c *call) ([]*Value, error) {
	x := c.values[0]
	low, high := 0.0, 0.0
	for _, v := range x.Data {
		low, high = math.Min(low, v), math.Max(high, v)
	}
	scale := float64(float32(float32(high)-float32(low)) / 255)
	zero := 0.0
	if scale > 0 {
		zero = math.Min(math.Max(math.RoundToEven(float64(float32(-low)/float32(scale))), 0), 255)
	}
	out := mapped(x, func(v float64) float64 {
		if scale == 0 {
			return zero
		}
		return quantised(v, scale, zero, pb.TensorProto_UINT8)
	})
	return []*Value{out, {pb.TensorProto_FLOAT, nil, []float64{scale}}, {pb.TensorProto_UINT8, nil, []float64{zero}}}, nil
}

func shapeConvInteger(c *call) ([]Type, error) {
	out, err := convShape(c, c.types[0], c.types[1], 4)
	if err == nil {
		out[0].Elem = pb.TensorProto_INT32
	}
	return out, err
}

// runConvInteger is a convolution of (x - its zero point) and (w - its zero points).
func runConvInteger(c *call) ([]*Value, error) {
	x, w, err := c.withoutZeros(0)
	if err != nil {
		return nil, err
	}
	out, err := convolve(c, x, w, nil)
	return one(out), err
}

func shapeMatMulInteger(c *call) ([]Type, error) {
	return matMulShape(c.types[0], c.types[1], pb.TensorProto_INT32)
}

// runMatMulInteger is a product of (a - its zero point) and (b - its zero points).
func runMatMulInteger(c *call) ([]*Value, error) {
	a, b, err := c.withoutZeros(1)
	if err != nil {
		return nil, err
	}
	out, err := matMul(c, a, b)
	return one(out), err
}

// withoutZeros are the first two inputs less their zero points, inputs 2 and 3, of
// which the second may have one for each index of an axis.
func (c *call) withoutZeros(axis int) (a, b *Value, err error) {
	scale := func(zero *Value) *Value {
		s := &Value{elemFloat, nil, []float64{1}}
		if zero != nil && len(zero.Data) > 1 {
			s = &Value{elemFloat, zero.Shape, slices.Repeat([]float64{1}, len(zero.Data))}
		}
		return s
	}
	if a, err = dequantised(c.values[0], scale(nil), c.optional(2), 0); err != nil {
		return nil, nil, err
	}
	b, err = dequantised(c.values[1], scale(c.optional(3)), c.optional(3), axis)
	return a, b, err
}

const elemFloat = pb.TensorProto_FLOAT
