package onnx

import (
	"fmt"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/onnx/internal/pb"
)

func runConv(c *call) ([]*value, error) {
	var bias []float64
	if c.has(2) {
		bias = c.values[2].data
	}
	out, err := convolve(c, c.values[0], c.values[1], bias)
	return one(out), err
}

// convolve is the convolution of x [N,C,H,W] with w [O,C/group,kh,kw] under the
// attributes of c's node: for every weight, a row of the input is added to a row of
// the output.
func convolve(c *call, x, w *value, bias []float64) (*value, error) {
	shape, err := c.outputShape()
	if err != nil {
		return nil, err
	}
	out, err := newValue(x.elem, shape...)
	if err != nil {
		return nil, err
	}
	g, err := geometryOf(c.node, sizes(w))
	if err != nil {
		return nil, err
	}
	n, in, height, width := x.shape[0], x.shape[1], x.shape[2], x.shape[3]
	outs, oh, ow := shape[1], shape[2], shape[3]
	top, _ := g.window(0, height)
	left, _ := g.window(1, width)
	sy, sx := int(g.stride[0]), int(g.stride[1])
	if w.shape[2] == 1 && w.shape[3] == 1 && sy == 1 && sx == 1 && height == oh && width == ow {
		// A pointwise convolution sees one long row.
		width, ow, height, oh = width*height, width*height, 1, 1
	}
	per := w.shape[1]
	kernel := w.shape[2] * w.shape[3]
	for at := range n * outs {
		image, o := at/outs, at%outs
		dst := out.data[at*oh*ow : (at+1)*oh*ow]
		if bias != nil {
			for i := range dst {
				dst[i] = bias[o]
			}
		}
		first := o / (outs / int(g.group)) * per
		for i := range per {
			plane := image*in + first + i
			src := x.data[plane*height*width : (plane+1)*height*width]
			for k := range kernel {
				weight := w.data[(o*per+i)*kernel+k]
				ky, kx := k/w.shape[3]*int(g.dilate[0])-top, k%w.shape[3]*int(g.dilate[1])-left
				for y := range oh {
					if iy := y*sy + ky; iy >= 0 && iy < height {
						addRow(dst[y*ow:(y+1)*ow], src[iy*width:(iy+1)*width], weight, sx, kx)
					}
				}
			}
		}
	}
	return out, nil
}

// addRow adds w * src[x*stride+shift] to dst[x] where that is inside src.
func addRow(dst, src []float64, w float64, stride, shift int) {
	if stride == 1 && shift == 0 && len(src) == len(dst) {
		for x, v := range src {
			dst[x] += w * v
		}
		return
	}
	for x := range dst {
		if i := x*stride + shift; i >= 0 && i < len(src) {
			dst[x] += w * src[i]
		}
	}
}

func sizes(v *value) valueType {
	t := shaped(v.elem)
	for _, d := range v.shape {
		t.shape = append(t.shape, dim{n: int64(d)})
	}
	return t
}

func runGemm(c *call) ([]*value, error) {
	out, err := c.output()
	if err != nil {
		return nil, err
	}
	gemm(c, out, c.values[0], c.values[1])
	if !c.has(2) {
		return one(out), nil
	}
	bias, err := stretch(c.values[2], out.shape)
	if err != nil {
		return nil, err
	}
	beta := float64(floatAttr(c.node, "beta", 1))
	for i := range out.data {
		out.data[i] += beta * bias.data[i]
	}
	return one(out), nil
}

// gemm sets out to alpha a b, each transposed as the attributes say.
func gemm(c *call, out, a, b *value) {
	k, ai, ak, bk, bj := a.shape[1], a.shape[1], 1, b.shape[1], 1
	if intAttr(c.node, "transA", 0) != 0 {
		k, ai, ak = a.shape[0], 1, a.shape[1]
	}
	if intAttr(c.node, "transB", 0) != 0 {
		bk, bj = 1, b.shape[1]
	}
	multiply(out.data, a.data, b.data, out.shape[0], out.shape[1], k, ai, ak, bk, bj)
	alpha := float64(floatAttr(c.node, "alpha", 1))
	for i := range out.data {
		out.data[i] *= alpha
	}
}

// multiply sets dst[i][j] = sum over k of a[i*ai+k*ak] * b[k*bk+j*bj].
func multiply(dst, a, b []float64, m, n, k, ai, ak, bk, bj int) {
	for i := range m {
		for j := range n {
			var sum float64
			for l := range k {
				sum += a[i*ai+l*ak] * b[l*bk+j*bj]
			}
			dst[i*n+j] = sum
		}
	}
}

func runMatMul(c *call) ([]*value, error) {
	out, err := matMul(c, c.values[0], c.values[1])
	return one(out), err
}

func matMul(c *call, a, b *value) (*value, error) {
	out, err := c.output()
	if err != nil {
		return nil, err
	}
	k, n := b.shape[0], b.shape[1]
	multiply(out.data, a.data, b.data, elementCount(a.shape[:a.rank()-1]), n, k, k, 1, n, 1)
	return out, nil
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
