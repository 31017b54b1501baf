package trace

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ops"
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

// integersOf notes that the constant c holds integers that stand for (c - zero) * scale,
// with the scale as input s of n and the zero point behind it: one for all, or one for
// each index of an axis (DequantizeLinear).
func (t *tracer) integersOf(n *ir.Node, c *constant, s, axis int) (_ *constant, reason string) {
	scale, zero := t.constant(n, s).floats(), t.constant(n, s+1)
	dims := c.dims()
	if axis < 0 {
		axis += len(dims)
	}
	x := &integers{of: c, scale: scale, zero: zero.floats(), axis: axis}
	switch count := max(len(x.scale), len(x.zero)); {
	case len(scale) == 0:
		return nil, "its scale is not a constant"
	case ir.Input(n, s+1) != "" && len(x.zero) == 0:
		return nil, "its zero point is not a constant"
	case ir.Input(n, s+1) == "" && ir.Standard(n.Domain) && n.OpType != "DequantizeLinear":
		return nil, "a zero point is missing"
	case count > 1 && (axis < 0 || axis >= len(dims) || dims[axis] != count || len(scale) > 1 && len(scale) != count || len(x.zero) > 1 && len(x.zero) != count):
		return nil, fmt.Sprintf("%d scales and %d zero points for axis %d of shape %v", len(scale), len(x.zero), axis, dims)
	case !t.folder.Take(2 * ops.ElementCount(dims)): // as numbers and as integers
		return nil, manyCopies
	}
	for _, v := range scale {
		if !(v >= 0) || math.IsInf(float64(v), 0) {
			return nil, fmt.Sprintf("a scale of %v: want a number from 0 up", v)
		}
	}
	return &constant{whole: x}, ""
}

// dequantizedConstant is DequantizeLinear of a constant.
func (t *tracer) dequantizedConstant(n *ir.Node) value {
	c := t.constant(n, 0)
	if c == nil || len(n.Input) < 2 {
		return value{}
	}
	c, reason := t.integersOf(n, c, 1, int(ir.IntAttr(n, "axis", 1)))
	if reason != "" {
		return t.broken(n, "%s", reason)
	}
	return value{constant: c}
}

// at is the index of the scale and the zero point of element i.
func (x *integers) at() func(i int) int {
	inner, count := 1, max(len(x.scale), len(x.zero))
	if count > 1 {
		for _, d := range x.of.dims()[x.axis+1:] {
			inner *= d
		}
	}
	return func(i int) int { return i / inner % count }
}

// numbers are what the integers stand for.
func (x *integers) numbers() []float32 {
	at := x.at()
	list := make([]float32, len(x.of.floats()))
	for i, v := range x.of.floats() {
		k := at(i)
		if len(x.zero) > 0 {
			v -= x.zero[k%len(x.zero)]
		}
		list[i] = v * x.scale[k%len(x.scale)]
	}
	return list
}

// spread is (c - zero) * scale, with one scale for all or one for each index of an
// axis; zero may be nil.
func (t *tracer) spread(c *constant, scale, zero []float32, axis int) (list []float32, reason string) {
	x := &integers{c, scale, zero, axis}
	if count := max(len(scale), len(zero)); count > 1 && (axis >= len(c.dims()) || c.dims()[axis] != count) {
		return nil, fmt.Sprintf("%d scales for axis %d of shape %v", count, axis, c.dims())
	}
	if reason = t.copies(c.floats()); reason != "" {
		return nil, reason
	}
	return x.numbers(), ""
}

// layer are the weights of a layer with out channels, whose axis that is, and the bias,
// as integers; nil where the weights are something else.
func (x *integers) layer(out, axis int, transposed bool, bias *constant) *recognise.Integers {
	if x == nil || !isByte(x.of.elem()) || max(len(x.scale), len(x.zero)) > 1 && x.axis != axis {
		return nil
	}
	l := &recognise.Integers{Weight: make([]int16, len(x.of.floats())), Scale: perOutput(x.scale, out)}
	at, per := x.at(), len(l.Weight)/out
	for i, v := range x.of.floats() {
		if len(x.zero) > 0 {
			v -= x.zero[at(i)%len(x.zero)]
		}
		if transposed {
			i = i%out*per + i/out
		}
		l.Weight[i] = int16(v)
	}
	if of := bias; of != nil {
		if of.whole != nil {
			l.BiasScale = perOutput(of.whole.scale, out)
			if slices.ContainsFunc(of.whole.zero, func(z float32) bool { return z != 0 }) {
				return l // what it stands for is still a bias
			}
			of = of.whole.of
		}
		if of.elem() == pb.TensorProto_INT32 {
			for _, v := range of.computed().Data { // exact, as float32 is not
				l.Bias = append(l.Bias, int32(v))
			}
		}
	}
	return l
}

// perOutput makes of one number for all, or one for each, one for each.
func perOutput(list []float32, out int) []float32 {
	if len(list) == out {
		return list
	}
	return slices.Repeat(list[:1], out)
}

func isByte(elem ir.DataType) bool {
	return elem == pb.TensorProto_UINT8 || elem == pb.TensorProto_INT8
}

// limits are the lowest and the highest of integers that activations are rounded to.
var limits = map[ir.DataType][2]float32{
	pb.TensorProto_UINT8: {0, 255}, pb.TensorProto_INT8: {-128, 127},
	pb.TensorProto_UINT16: {0, 65535}, pb.TensorProto_INT16: {-32768, 32767},
}

// stated is what the integers stand for that n makes or takes: the scale is input s, the
// zero point the one behind it. Without that they are of type elem.
func (t *tracer) stated(n *ir.Node, s int, elem ir.DataType) (b *recognise.Bytes, range_ recognise.Range, reason string) {
	scale, ok := t.scalar(n, s)
	if !ok {
		return nil, range_, "its scale is not one constant"
	}
	zero := float32(0)
	if c := t.constant(n, s+1); c != nil {
		elem = c.elem()
		list := c.floats()
		if len(list) != 1 {
			return nil, range_, "its zero point is not one constant"
		}
		zero = list[0]
	} else if ir.Input(n, s+1) != "" {
		return nil, range_, "its zero point is not a constant"
	}
	if l, ok := limits[elem]; ok {
		range_ = recognise.Range{Low: (l[0] - zero) * scale, High: (l[1] - zero) * scale}
	}
	return &recognise.Bytes{Scale: scale, Zero: int(zero), Type: strings.ToLower(elem.String())}, range_, ""
}

// usable returns why a scale of activations can't be one, "" if it can.
func usable(scale float32) (reason string) {
	if scale > 0 && !math.IsInf(float64(scale), 0) && !math.IsInf(float64(1/scale), 0) {
		return ""
	}
	return fmt.Sprintf("a scale of %v: want a number above 0", scale)
}

// quantised notes that x is rounded to 8 bits with the scale at input s of n and the
// zero point behind it. A range that begins at 0 is a ReLU, and for a network that was
// quantised with ReLU6 it ends at 6.
func (t *tracer) quantised(n *ir.Node, x value, s int) value {
	elem := ir.DataType(ir.IntAttr(n, "output_dtype", int64(pb.TensorProto_UINT8)))
	if elem == pb.TensorProto_UNDEFINED {
		elem = pb.TensorProto_UINT8
	}
	b, holds, reason := t.stated(n, s, elem)
	if reason != "" {
		return t.other(n, "%s", reason)
	}
	if reason = usable(b.Scale); reason != "" {
		return t.broken(n, "%s", reason)
	}
	v := t.layer(n, recognise.Layer{Kind: recognise.Quantize, From: x.layer, Rectifies: holds.Low == 0 && holds.High > 0, Range: holds, Bytes: b})
	v.bytes = b
	return v
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

// dequantised is the numbers that input i of n stands for, whose scale is input s. These
// should be what made the integers; if not they are multiplied.
func (t *tracer) dequantised(n *ir.Node, i, s int) value {
	x := t.values[ir.Input(n, i)]
	if x.layer == nil || x.bytes == nil && x.layer.Kind == recognise.Quantize && t.values[ir.Input(n, s)].scale != nil {
		return x // the latter is what DynamicQuantizeLinear makes
	}
	for l := x.layer; l != nil; l = l.From {
		if l.Kind == recognise.Other { // and says why
			return value{layer: l}
		}
		if l.Kind != recognise.Reshape && l.Kind != recognise.Clip && l.Kind != recognise.Pad {
			break
		}
	}
	elem := ir.DataType(pb.TensorProto_UINT8)
	if x.bytes != nil && x.bytes.Type == "int8" || x.layer.Kind == recognise.Input && t.signed {
		elem = pb.TensorProto_INT8
	}
	b, _, reason := t.stated(n, s, elem)
	if reason != "" {
		return t.other(n, "%s", reason)
	}
	if reason = usable(b.Scale); reason != "" {
		return t.broken(n, "%s", reason)
	}
	l := recognise.Layer{Kind: recognise.Affine, From: x.layer, Bytes: b}
	zero, scale := float64(b.Zero), float64(b.Scale)
	switch {
	case x.bytes == nil && x.layer.Kind == recognise.Input:
		l.Scale, l.Offset = []float64{scale}, []float64{-zero * scale}
	case x.bytes == nil:
		return t.other(n, "its input is not integers")
	case *x.bytes == *b:
		x.bytes = nil
		return x
	default:
		l.Scale, l.Offset = []float64{scale / float64(x.bytes.Scale)}, []float64{(float64(x.bytes.Zero) - zero) * scale}
	}
	v := t.layer(n, l)
	v.layout, v.pooled = x.layout, x.pooled
	return v
}

// quantisedAdd is ONNX Runtime's QLinearAdd: a, its scale and zero point, b, its
// scale and zero point, those of the sum.
func (t *tracer) quantisedAdd(n *ir.Node) value {
	x, y := t.dequantised(n, 0, 1), t.dequantised(n, 3, 4)
	for _, v := range []value{x, y} {
		if v.layer != nil && v.layer.Kind == recognise.Other {
			return v
		}
	}
	if x.layer != nil && y.layer != nil {
		return t.requantised(n, t.layer(n, recognise.Layer{Kind: recognise.Add, From: x.layer, Operand: y.layer}), 6)
	}
	c, s, swapped := y.constant, 4, false
	if x.layer == nil {
		x, c, s, swapped = y, x.constant, 1, true
	}
	if x.layer == nil || c == nil || !t.perChannel(x, c.dims()) {
		return t.other(n, "want an addition of two values, or the classifier's bias")
	}
	c, reason := t.integersOf(n, c, s, 0)
	if reason != "" {
		return t.broken(n, "%s", reason)
	}
	v := t.layer(n, recognise.Layer{Kind: recognise.Affine, From: x.layer, Offset: widened(c.floats()), Added: c.added(swapped)})
	v.layout, v.pooled = x.layout, x.pooled
	return t.requantised(n, v, 6)
}

// added is a constant of bytes with one scale, which are added; nil for another one.
func (c *constant) added(swapped bool) *recognise.Added {
	if c == nil || c.whole == nil || !isByte(c.whole.of.elem()) || len(c.whole.scale) != 1 || len(c.whole.zero) > 1 {
		return nil
	}
	x := c.whole
	a := &recognise.Added{Swapped: swapped, Of: recognise.Bytes{Scale: x.scale[0], Type: strings.ToLower(x.of.elem().String())}}
	if len(x.zero) > 0 {
		a.Of.Zero = int(x.zero[0])
	}
	for _, v := range x.of.floats() {
		a.Values = append(a.Values, int(v))
	}
	return a
}

func widened(list []float32) []float64 {
	out := make([]float64, len(list))
	for i, v := range list {
		out[i] = float64(v)
	}
	return out
}

// quantisedPool is ONNX Runtime's QLinearGlobalAveragePool or QLinearAveragePool.
func (t *tracer) quantisedPool(n *ir.Node) value {
	x := t.dequantised(n, 0, 1)
	if x.layer == nil || x.layer.Kind == recognise.Other {
		return x
	}
	return t.requantised(n, t.pool(n, x), 3)
}

// quantisedActivation is ONNX Runtime's QLinearSoftmax or QLinearSigmoid.
func (t *tracer) quantisedActivation(n *ir.Node) value {
	x := t.dequantised(n, 0, 1)
	if x.layer == nil || x.layer.Kind == recognise.Other {
		return x
	}
	v := t.layer(n, recognise.Layer{Kind: recognise.Activation, From: x.layer, Reason: strings.TrimPrefix(n.OpType, "QLinear")})
	return t.requantised(n, v, 3)
}

// quantisedLinear is QLinearMatMul, or ONNX Runtime's QGemm.
func (t *tracer) quantisedLinear(n *ir.Node) value {
	x, c := t.dequantised(n, 0, 1), t.constant(n, 3)
	if x.layer != nil && x.layer.Kind == recognise.Other {
		return x
	}
	transposed := n.OpType == "QGemm" && ir.IntAttr(n, "transB", 0) != 0
	if c == nil || len(c.dims()) != 2 {
		return t.other(n, "its weights are not a constant matrix")
	}
	c, reason := t.integersOf(n, c, 4, outputAxis(transposed))
	if reason != "" {
		return t.broken(n, "%s", reason)
	}
	l, reason := t.matrix(n, x, c, c.floats(), transposed)
	if reason != "" {
		return t.other(n, "%s", reason)
	}
	out, bias := 6, (*constant)(nil)
	if n.OpType == "QGemm" {
		out, bias = 7, t.constant(n, 6)
		if l.Bias, reason = t.bias(n, 6, 3, l.Out); reason != "" {
			return t.other(n, "%s", reason)
		}
	}
	l.Whole = c.whole.layer(l.Out, outputAxis(transposed), !transposed, bias)
	if n.OpType == "QGemm" {
		if l.Weight, reason = t.times(l.Weight, ir.FloatAttr(n, "alpha", 1)); reason != "" {
			return t.other(n, "%s", reason)
		}
		if ir.FloatAttr(n, "alpha", 1) != 1 {
			l.Whole = nil
		}
	}
	v := t.layer(n, l)
	if ir.Input(n, out) == "" {
		return v
	}
	return t.requantised(n, v, out)
}

// outputAxis is the axis of a matrix's outputs.
func outputAxis(transposed bool) int {
	if transposed {
		return 0
	}
	return 1
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
	l, reason := t.matrix(n, t.values[n.Input[0]], c, weight, false)
	if reason != "" {
		return t.other(n, "%s", reason)
	}
	v := t.layer(n, l)
	v.integer = true
	return v
}
