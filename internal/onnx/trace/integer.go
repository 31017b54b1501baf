package trace

import (
	"fmt"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
	"github.com/mobilenet-go/mobilenet/internal/recognise"
)

// isInteger reports whether elements are whole numbers.
func isInteger(elem ir.DataType) bool {
	switch elem {
	case pb.TensorProto_FLOAT, pb.TensorProto_FLOAT16, pb.TensorProto_BFLOAT16, pb.TensorProto_DOUBLE:
		return false
	}
	return true
}

// dequantised is (c - zero) * scale, with the scale as input s of n and the zero point
// behind it: one for all, or one for each index of an axis (QuantizeLinear).
func (t *tracer) dequantised(n *ir.Node, c *constant, s int, axis int) (list []float32, reason string) {
	scale := t.constant(n, s).floats()
	if len(scale) == 0 {
		return nil, "its scale is not a constant"
	}
	return t.spread(c, scale, t.constant(n, s+1).floats(), axis)
}

// spread is (c - zero) * scale, with one scale for all or one for each index of an
// axis; zero may be nil.
func (t *tracer) spread(c *constant, scale, zero []float32, axis int) (list []float32, reason string) {
	dims := c.dims()
	inner, count := 1, max(len(scale), len(zero))
	if count > 1 {
		if axis >= len(dims) || dims[axis] != count {
			return nil, fmt.Sprintf("%d scales for axis %d of shape %v", count, axis, dims)
		}
		for _, d := range dims[axis+1:] {
			inner *= d
		}
	}
	if reason = t.copies(c.floats()); reason != "" {
		return nil, reason
	}
	list = make([]float32, len(c.floats()))
	for i, v := range c.floats() {
		k := i / inner % count
		if len(zero) > 0 {
			v -= zero[k%len(zero)]
		}
		list[i] = v * scale[k%len(scale)]
	}
	return list, ""
}

// quantised notes that x is rounded to 8 bits with the scale at input s of n and the
// zero point behind it. A range that begins at 0 is a ReLU, and for a network that was
// quantised with ReLU6 it ends at 6.
func (t *tracer) quantised(n *ir.Node, x value, s int) value {
	scale, ok := t.scalar(n, s)
	if !ok {
		return t.other(n, "its scale is not one constant")
	}
	lowest, zero := float32(0), float32(0)
	if c := t.constant(n, s+1); c != nil {
		if c.elem() == pb.TensorProto_INT8 {
			lowest = -128
		}
		list := c.floats()
		if len(list) != 1 {
			return t.other(n, "its zero point is not one constant")
		}
		zero = list[0]
	}
	return t.layer(n, recognise.Layer{
		Kind: recognise.Quantize, From: x.layer, Rectifies: zero == lowest,
		Range: recognise.Range{Low: (lowest - zero) * scale, High: (lowest + 255 - zero) * scale},
	})
}

// requantised is v behind its node's own quantisation.
func (t *tracer) requantised(n *ir.Node, v value, s int) value {
	if v.layer.Kind == recognise.Other {
		return v
	}
	q := t.quantised(n, v, s)
	q.layout, q.pooled = v.layout, v.pooled
	return q
}

// quantisedAdd is ONNX Runtime's QLinearAdd: a, its scale and zero point, b, its
// scale and zero point.
func (t *tracer) quantisedAdd(n *ir.Node) value {
	x, y := t.values[ir.Input(n, 0)], t.values[ir.Input(n, 3)]
	if x.layer != nil && y.layer != nil {
		return t.layer(n, recognise.Layer{Kind: recognise.Add, From: x.layer, Operand: y.layer})
	}
	c := y.constant
	if x.layer == nil || c == nil || !t.perChannel(x, c.dims()) {
		return t.other(n, "want an addition of two values, or the classifier's bias")
	}
	list, reason := t.dequantised(n, c, 4, 0)
	if reason != "" {
		return t.other(n, "%s", reason)
	}
	offset := make([]float64, len(list))
	for i, v := range list {
		offset[i] = float64(v)
	}
	return t.layer(n, recognise.Layer{Kind: recognise.Affine, From: x.layer, Offset: offset})
}

// quantisedLinear is QLinearMatMul, or ONNX Runtime's QGemm.
func (t *tracer) quantisedLinear(n *ir.Node) value {
	c := t.constant(n, 3)
	transposed := n.OpType == "QGemm" && ir.IntAttr(n, "transB", 0) != 0
	axis := 1
	if transposed {
		axis = 0
	}
	if c == nil || len(c.dims()) != 2 {
		return t.other(n, "its weights are not a constant matrix")
	}
	weight, reason := t.dequantised(n, c, 4, axis)
	if reason != "" {
		return t.other(n, "%s", reason)
	}
	l, reason := t.matrix(n, c, weight, transposed)
	if reason != "" {
		return t.other(n, "%s", reason)
	}
	if n.OpType == "QGemm" {
		if l.Weight, reason = t.times(l.Weight, ir.FloatAttr(n, "alpha", 1)); reason != "" {
			return t.other(n, "%s", reason)
		}
		if l.Bias, reason = t.bias(n, 6, 3, l.Out); reason != "" {
			return t.other(n, "%s", reason)
		}
	}
	return t.layer(n, l)
}

// dynamic is a quantisation whose scale is computed as the graph runs. It cancels: the
// integers are divided by the scale, and what is made of them is multiplied with it.
func (t *tracer) dynamic(n *ir.Node) value {
	x := t.values[ir.Input(n, 0)]
	if x.layer == nil || len(n.Output) != 3 {
		return t.other(n, "want three outputs of an activation")
	}
	v := t.layer(n, recognise.Layer{Kind: recognise.Quantize, From: x.layer})
	t.values[n.Output[1]] = value{scale: []float64{1}, rounded: v.layer}
	return v
}

// scaled multiplies such a scale with a constant, or an activation with such a scale.
func (t *tracer) scaled(n *ir.Node, x, y value) value {
	if x.scale == nil {
		x, y = y, x
	}
	switch c := y.constant.floats(); {
	case n.OpType != "Mul" || y.scale != nil:
		return t.other(n, "want a product of scales")
	case y.integer && y.layer.From == x.rounded:
		l := t.layer(n, recognise.Layer{Kind: recognise.Affine, From: y.layer, Scale: x.scale})
		l.layout, l.pooled = y.layout, y.pooled
		return l
	case c != nil && len(x.scale) == 1:
		list := make([]float64, len(c))
		for i, v := range c {
			list[i] = x.scale[0] * float64(v)
		}
		return value{scale: list, rounded: x.rounded}
	}
	return t.other(n, "want a product of scales, or of integers and a scale")
}

// convInteger is a convolution of integers: x, w, and their zero points.
func (t *tracer) convInteger(n *ir.Node) value {
	c := t.constant(n, 1)
	l, reason := convLayer(n, c)
	x := t.values[n.Input[0]]
	if reason == "" && (x.layer == nil || x.layout == channelsLast) {
		reason = "want an input of pixels, channels first"
	}
	if reason == "" {
		l.Weight, reason = t.spread(c, []float32{1}, t.constant(n, 3).floats(), 0)
	}
	if reason != "" {
		return t.other(n, "%s", reason)
	}
	l.From = x.layer
	v := t.layer(n, l)
	v.layout, v.integer = channelsFirst, true
	return v
}

// matMulInteger is a matrix of integers: x, w, and their zero points.
func (t *tracer) matMulInteger(n *ir.Node) value {
	c := t.constant(n, 1)
	if c == nil || len(c.dims()) != 2 {
		return t.other(n, "its weights are not a constant matrix")
	}
	weight, reason := t.spread(c, []float32{1}, t.constant(n, 3).floats(), 1)
	if reason != "" {
		return t.other(n, "%s", reason)
	}
	l, reason := t.matrix(n, c, weight, false)
	if reason != "" {
		return t.other(n, "%s", reason)
	}
	v := t.layer(n, l)
	v.integer = true
	return v
}
