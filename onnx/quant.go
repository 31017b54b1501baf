package onnx

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/onnx/internal/pb"
)

func inferQuantize(c *call) ([]valueType, error) {
	out := c.types[0]
	out.elem = pb.TensorProto_UINT8
	if c.has(2) {
		out.elem = c.types[2].elem
	}
	return []valueType{out}, nil
}

func inferDequantize(c *call) ([]valueType, error) {
	out := c.types[0]
	out.elem = cmp.Or(c.types[1].elem, pb.TensorProto_FLOAT)
	return []valueType{out}, nil
}

func inferQConv(c *call) ([]valueType, error) {
	out, err := convShape(c, c.types[0], c.types[3], 8)
	if err == nil {
		out[0].elem = c.types[7].elem
	}
	return out, err
}

func inferQMatMul(c *call) ([]valueType, error) {
	return matMulShape(c.types[0], c.types[3], c.types[7].elem)
}

func inferQGemm(c *call) ([]valueType, error) {
	out, err := gemmShape(c, c.types[0], c.types[3])
	out.elem = pb.TensorProto_FLOAT // without an output scale
	if c.has(8) {
		out.elem = c.types[8].elem
	}
	return []valueType{out}, err
}

func inferQAdd(c *call) ([]valueType, error) {
	out, err := broadcast(c.types[0], c.types[3])
	return []valueType{out}, err
}

func inferQPool(c *call) ([]valueType, error) {
	if intAttr(c.node, "channels_last", 0) == 0 {
		return inferPool(c)
	}
	x := c.types[0]
	if !x.ranked || len(x.shape) != 4 {
		return []valueType{{elem: x.elem}}, nil
	}
	return []valueType{shaped(x.elem, x.shape[0], dim{n: 1}, dim{n: 1}, x.shape[3])}, nil
}

// saturate is the range of an integer type.
var saturate = map[DataType][2]float64{
	pb.TensorProto_UINT8: {0, 255}, pb.TensorProto_INT8: {-128, 127},
	pb.TensorProto_UINT16: {0, 65535}, pb.TensorProto_INT16: {-32768, 32767},
}

// quantised is round(x / scale) + zero, saturated to its type; ties go to even.
func quantised(x, scale, zero float64, elem DataType) float64 {
	limits := saturate[elem]
	// ONNX computes the quotient in float32.
	q := math.RoundToEven(float64(float32(x)/float32(scale))) + zero
	return math.Min(math.Max(q, limits[0]), limits[1])
}

// perAxis returns scale and zero point for each element of v: one for all, or one
// per index of axis a.
func perAxis(v, scale, zero *value, a int) (func(i int) (s, z float64), error) {
	if len(scale.data) == 1 && (zero == nil || len(zero.data) == 1) {
		z := 0.0
		if zero != nil {
			z = zero.data[0]
		}
		return func(int) (float64, float64) { return scale.data[0], z }, nil
	}
	if a < 0 || a >= v.rank() || len(scale.data) != v.shape[a] || zero != nil && len(zero.data) != v.shape[a] {
		return nil, fmt.Errorf("%d scales for shape %v", len(scale.data), v.shape)
	}
	inner := elementCount(v.shape[a+1:])
	return func(i int) (float64, float64) {
		ch := i / inner % v.shape[a]
		if zero == nil {
			return scale.data[ch], 0
		}
		return scale.data[ch], zero.data[ch]
	}, nil
}

// optional is the i-th input, nil where it is absent.
func (c *call) optional(i int) *value {
	if i < len(c.values) {
		return c.values[i]
	}
	return nil
}

func runQuantize(c *call) ([]*value, error) {
	x, zero := c.values[0], c.optional(2)
	at, err := perAxis(x, c.values[1], zero, quantAxis(c.node, x.rank()))
	if err != nil {
		return nil, err
	}
	elem := pb.TensorProto_UINT8
	if zero != nil {
		elem = zero.elem
	}
	out := &value{elem, x.shape, make([]float64, len(x.data))}
	for i, v := range x.data {
		s, z := at(i)
		out.data[i] = quantised(v, s, z, elem)
	}
	return one(out), nil
}

func quantAxis(n *Node, rank int) int {
	a := int(intAttr(n, "axis", 1))
	if a < 0 {
		a += rank
	}
	return a
}

func runDequantize(c *call) ([]*value, error) {
	x := c.values[0]
	out, err := dequantised(x, c.values[1], c.optional(2), quantAxis(c.node, x.rank()))
	return one(out), err
}

// dequantised is (q - zero) * scale.
func dequantised(q, scale, zero *value, a int) (*value, error) {
	at, err := perAxis(q, scale, zero, a)
	if err != nil {
		return nil, err
	}
	out := &value{scale.elem, q.shape, make([]float64, len(q.data))}
	for i, v := range q.data {
		s, z := at(i)
		out.data[i] = (v - z) * s
	}
	return out, nil
}

// requantised quantises x under the scale at place i and the zero point behind it.
func (c *call) requantised(x *value, i int) []*value {
	scale, zero := c.scalar(i, 1), c.scalar(i+1, 0)
	elem := c.types[0].elem
	return one(mapped(x, func(v float64) float64 { return quantised(v, scale, zero, elem) }))
}

// runQConv dequantises, convolves and quantises: the same integers in float64.
func runQConv(c *call) ([]*value, error) {
	x, err := dequantised(c.values[0], c.values[1], c.values[2], 1)
	if err != nil {
		return nil, err
	}
	w, err := dequantised(c.values[3], c.values[4], c.values[5], 0)
	if err != nil {
		return nil, err
	}
	var bias []float64
	if c.has(8) {
		for o, b := range c.values[8].data {
			s := c.values[4].data[o%len(c.values[4].data)]
			bias = append(bias, b*s*c.scalar(1, 1))
		}
	}
	out, err := convolve(c, x, w, bias)
	if err != nil {
		return nil, err
	}
	return c.requantised(out, 6), nil
}

func runQMatMul(c *call) ([]*value, error) {
	a, err := dequantised(c.values[0], c.values[1], c.values[2], 0)
	if err != nil {
		return nil, err
	}
	b, err := dequantised(c.values[3], c.values[4], c.values[5], 1)
	if err != nil {
		return nil, err
	}
	out, err := matMul(c, a, b)
	if err != nil {
		return nil, err
	}
	return c.requantised(out, 6), nil
}

// runQGemm is a Gemm of integers with an int32 bias; without an output scale its
// result is float.
func runQGemm(c *call) ([]*value, error) {
	columns := 1 - int(intAttr(c.node, "transB", 0)) // b's axis that becomes the output's columns
	a, err := dequantised(c.values[0], c.values[1], c.values[2], 0)
	if err != nil {
		return nil, err
	}
	b, err := dequantised(c.values[3], c.values[4], c.values[5], columns)
	if err != nil {
		return nil, err
	}
	out, err := c.output()
	if err != nil {
		return nil, err
	}
	gemm(c, out, a, b)
	if bias := c.optional(6); bias != nil {
		scale := &value{pb.TensorProto_FLOAT, c.values[4].shape, slices.Clone(c.values[4].data)}
		for i := range scale.data {
			scale.data[i] *= c.scalar(1, 1) * float64(floatAttr(c.node, "alpha", 1))
		}
		wide, err := dequantised(bias, scale, nil, bias.rank()-1)
		if err != nil {
			return nil, err
		}
		if wide, err = stretch(wide, out.shape); err != nil {
			return nil, err
		}
		for i := range out.data {
			out.data[i] += wide.data[i]
		}
	}
	if c.optional(7) == nil {
		return one(out), nil
	}
	inner := *c
	inner.types = []valueType{{elem: c.types[8].elem}}
	return inner.requantised(out, 7), nil
}

func runQAdd(c *call) ([]*value, error) {
	shape, err := c.outputShape()
	if err != nil {
		return nil, err
	}
	var sum *value
	for i := 0; i < 6; i += 3 {
		v, err := dequantised(c.values[i], c.values[i+1], c.values[i+2], 1)
		if err != nil {
			return nil, err
		}
		if v, err = stretch(v, shape); err != nil {
			return nil, err
		}
		if sum == nil {
			sum = v
			continue
		}
		for j := range sum.data {
			sum.data[j] += v.data[j]
		}
	}
	return c.requantised(sum, 6), nil
}

func runQPool(c *call) ([]*value, error) {
	if intAttr(c.node, "channels_last", 0) != 0 {
		return nil, &UnsupportedError{"channels_last cannot be run"}
	}
	x, err := dequantised(c.values[0], c.values[1], c.values[2], 1)
	if err != nil {
		return nil, err
	}
	inner := *c
	inner.values = []*value{x}
	out, err := runPool(&inner)
	if err != nil {
		return nil, err
	}
	return c.requantised(out[0], 3), nil
}
