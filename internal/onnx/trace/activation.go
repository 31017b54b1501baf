package trace

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
	"github.com/mobilenet-go/mobilenet/internal/recognise"
)

// apply is what n makes of an activation.
func (t *tracer) apply(n *ir.Node) value {
	if !ir.Standard(n.Domain) && n.Domain != "com.microsoft" {
		return t.other(n, "an operator of %s", ir.Quote(n.Domain))
	}
	x := t.values[ir.Input(n, 0)]
	if x.integer && n.OpType != "Cast" && n.OpType != "Mul" {
		return t.other(n, "integers of %s that have no scale yet", x.layer.Place)
	}
	if x.bytes != nil && !takesBytes(n.OpType) {
		return t.other(n, "it takes the integers of %s as numbers", x.layer.Place)
	}
	switch n.OpType {
	case "Conv", "FusedConv":
		return t.activated(n, t.conv(n, 1, 2))
	case "QLinearConv":
		return t.requantised(n, t.conv(n, 3, 8), 6)
	case "ConvInteger":
		return t.convInteger(n)
	case "Gemm", "MatMul":
		return t.linear(n)
	case "QLinearMatMul", "QGemm":
		return t.quantisedLinear(n)
	case "MatMulInteger":
		return t.matMulInteger(n)
	case "Add", "Sum", "Mul", "Sub", "Div":
		return t.arithmetic(n)
	case "QLinearAdd":
		return t.quantisedAdd(n)
	case "DynamicQuantizeLinear":
		return t.dynamic(n)
	case "Clip", "Min", "Max", "Relu":
		return t.clip(n)
	}
	if x.layer == nil {
		return t.other(n, "its first input does not depend on the graph's")
	}
	switch n.OpType {
	case "Identity", "Dropout":
		return x
	case "DequantizeLinear":
		return t.dequantised(n, 0, 1)
	case "Cast":
		return t.cast(n, x)
	case "QuantizeLinear":
		return t.quantised(n, x, 1)
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze":
		return t.reshaped(n, x)
	case "Transpose":
		return t.transposed(n, x)
	case "Gather":
		return t.gathered(n, x)
	case "Slice":
		return t.sliced(n, x)
	case "Pad":
		return t.pad(n, x)
	case "BatchNormalization":
		return t.norm(n, x)
	case "GlobalAveragePool", "ReduceMean", "AveragePool":
		return t.pool(n, x)
	case "QLinearGlobalAveragePool", "QLinearAveragePool":
		return t.quantisedPool(n)
	case "Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid", "Tanh", "HardSwish", "LeakyRelu", "PRelu", "Elu":
		return t.layer(n, recognise.Layer{Kind: recognise.Activation, From: x.layer, Reason: n.OpType})
	case "QLinearSoftmax", "QLinearSigmoid":
		return t.quantisedActivation(n)
	case "ArgMax", "TopK":
		v := t.layer(n, recognise.Layer{Kind: recognise.Choice, From: x.layer, Reason: n.OpType})
		for _, name := range n.Output[1:] {
			t.values[name] = v
		}
		return v
	}
	return t.other(n, "MobileNetV2 has no such operator")
}

// takesBytes reports whether an operator can have integers that stand for numbers as its
// first input.
func takesBytes(op string) bool {
	switch op {
	case "DequantizeLinear", "QGemm", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Gather", "Slice", "Pad", "Clip", "Min", "Max", "ArgMax", "TopK":
		return true
	}
	return strings.HasPrefix(op, "QLinear")
}

// cast passes what stays a number with a fraction, or was none.
func (t *tracer) cast(n *ir.Node, x value) value {
	switch to := ir.DataType(ir.IntAttr(n, "to", 0)); to {
	case pb.TensorProto_FLOAT, pb.TensorProto_FLOAT16, pb.TensorProto_BFLOAT16, pb.TensorProto_DOUBLE:
		return x
	default:
		return t.other(n, "a cast to %v", to)
	}
}

// reshaped is x in another shape, or x itself if its shape is known to stay.
func (t *tracer) reshaped(n *ir.Node, x value) value {
	before, known := t.shapes.Types[n.Input[0]].Fixed()
	after, same := t.shapes.Types[n.Output[0]].Fixed()
	if known && same && slices.Equal(before, after) {
		return x
	}
	return t.layer(n, recognise.Layer{Kind: recognise.Reshape, From: x.layer})
}

// transposed moves the channels between first and last.
func (t *tracer) transposed(n *ir.Node, x value) value {
	perm := ir.IntsAttr(n, "perm")
	switch {
	case slices.Equal(perm, []int64{0, 3, 1, 2}) && x.layout != channelsFirst:
		x.layout = channelsFirst
	case slices.Equal(perm, []int64{0, 2, 3, 1}) && x.layout != channelsLast:
		x.layout = channelsLast
	default:
		return t.other(n, "permutation %v: want one between channels first and last", perm)
	}
	return x
}

// gathered is Gather of the channels in the opposite order, or in the same.
func (t *tracer) gathered(n *ir.Node, x value) value {
	if equalAxes([]int64{ir.IntAttr(n, "axis", 0)}, x.layout.channels()) {
		switch indices := t.constant(n, 1).ints(); {
		case slices.Equal(indices, []int64{0, 1, 2}):
			return x
		case slices.Equal(indices, []int64{2, 1, 0}), slices.Equal(indices, []int64{-1, -2, -3}):
			return t.layer(n, recognise.Layer{Kind: recognise.Swap, From: x.layer})
		}
	}
	return t.other(n, "it takes a part of its input: only red and blue may change places")
}

// sliced is Slice with steps of -1: of the channels, or of rows and columns.
func (t *tracer) sliced(n *ir.Node, x value) value {
	starts, ends, axes, steps := t.constant(n, 1).ints(), t.constant(n, 2).ints(), t.constant(n, 3).ints(), t.constant(n, 4).ints()
	all := len(starts) > 0 && len(ends) == len(starts) && len(axes) == len(starts) && len(steps) == len(starts)
	for i := 0; all && i < len(starts); i++ {
		// From the last one on to before the first one of any axis.
		all = starts[i] == -1 && ends[i] < math.MinInt32 && steps[i] == -1
	}
	p := x.layout.pixels()
	switch {
	case all && equalAxes(axes, x.layout.channels()):
		return t.layer(n, recognise.Layer{Kind: recognise.Swap, From: x.layer})
	case all && equalAxes(axes, p[:]...):
		return t.layer(n, recognise.Layer{Kind: recognise.Turn, From: x.layer})
	}
	return t.other(n, "it takes a part of its input: only red and blue may change places, or the whole may be turned")
}

// pad keeps padding with zeros around rows and columns; none at all is nothing.
func (t *tracer) pad(n *ir.Node, x value) value {
	pads := t.intsFrom(n, "pads", 1)
	if len(pads) != 8 || ir.Input(n, 3) != "" || slices.Min(pads) < 0 {
		return t.other(n, "padding %v: want zeros around height and width", pads)
	}
	if slices.Max(pads) == 0 {
		return x
	}
	fill, zero := ir.FloatAttr(n, "value", 0), float32(0)
	if x.bytes != nil {
		zero = float32(x.bytes.Zero)
	}
	if ir.Input(n, 2) != "" {
		var ok bool
		if fill, ok = t.scalar(n, 2); !ok {
			return t.other(n, "padding with what is no constant: want zeros")
		}
	}
	p := x.layout.pixels()
	around := [4]int64{pads[p[0]], pads[p[1]], pads[4+p[0]], pads[4+p[1]]}
	switch mode := ir.StringAttr(n, "mode", "constant"); {
	case mode != "constant" || fill != zero:
		return t.other(n, "padding of mode %s with %v: want zeros", ir.Quote(mode), fill)
	case around[0]+around[1]+around[2]+around[3] != pads[0]+pads[1]+pads[2]+pads[3]+pads[4]+pads[5]+pads[6]+pads[7]:
		return t.other(n, "padding %v: want zeros around height and width", pads)
	}
	return t.layer(n, recognise.Layer{Kind: recognise.Pad, From: x.layer, Pads: around})
}

// norm is a batch normalisation, whose epsilon is what somebody wrote down.
func (t *tracer) norm(n *ir.Node, x value) value {
	var parts [4][]float32
	for i := range parts {
		if parts[i] = t.constant(n, i+1).floats(); parts[i] == nil {
			return t.other(n, "its input %s is not a constant", ir.Quote(ir.Input(n, i+1)))
		}
	}
	if x.layout == channelsLast {
		return t.other(n, "a batch normalisation of rows: the channels are last")
	}
	s := recognise.Statistics{Scale: parts[0], Bias: parts[1], Mean: parts[2], Variance: parts[3], Eps: decimal(ir.FloatAttr(n, "epsilon", 1e-5))}
	return t.layer(n, recognise.Layer{Kind: recognise.Norm, From: x.layer, Norm: s})
}

// clip is Relu, Clip with attributes or inputs, or Min or Max with a constant.
func (t *tracer) clip(n *ir.Node) value {
	low, high := float32(math.Inf(-1)), float32(math.Inf(1))
	from, known := t.values[ir.Input(n, 0)], true
	bound := func(i int, to *float32) {
		if ir.Input(n, i) == "" {
			return
		}
		v, ok := t.scalar(n, i)
		known = known && ok
		*to = v
	}
	switch n.OpType {
	case "Relu":
		low = 0
	case "Clip":
		low, high = ir.FloatAttr(n, "min", low), ir.FloatAttr(n, "max", high)
		bound(1, &low)
		bound(2, &high)
	case "Min", "Max":
		at := 1
		if from.layer == nil {
			from, at = t.values[ir.Input(n, 1)], 0
		}
		to := &low
		if n.OpType == "Min" {
			to = &high
		}
		bound(at, to)
		known = known && len(n.Input) == 2
	}
	if !known || from.layer == nil {
		return t.other(n, "its bounds are not constants")
	}
	if low == -math.MaxFloat32 {
		low = float32(math.Inf(-1))
	}
	if high == math.MaxFloat32 {
		high = float32(math.Inf(1))
	}
	l := recognise.Layer{Kind: recognise.Clip, From: from.layer, Low: low, High: high, Bytes: from.bytes}
	if b := from.bytes; b != nil {
		l.Low, l.High = bounds(b, low, high)
	}
	v := t.layer(n, l)
	v.bytes = from.bytes
	return v
}

// bounds are the numbers that bounds of integers stand for. The integer of 6 is ReLU6's
// bound, also where it is the last one there is.
func bounds(b *recognise.Bytes, low, high float32) (_, _ float32) {
	ends := limits[pb.TensorProto_UINT8]
	if b.Type == "int8" {
		ends = limits[pb.TensorProto_INT8]
	}
	number := func(v float32) float32 { return (v - float32(b.Zero)) * b.Scale }
	six := float32(math.RoundToEven(float64(6/b.Scale))) + float32(b.Zero)
	switch {
	case high == min(six, ends[1]):
		high = 6
	case high >= ends[1]:
		high = float32(math.Inf(1))
	default:
		high = number(high)
	}
	if low <= ends[0] && b.Zero > int(ends[0]) {
		return float32(math.Inf(-1)), high
	}
	return number(low), high
}

// arithmetic is an operation of two activations, or of one and a constant.
func (t *tracer) arithmetic(n *ir.Node) value {
	if len(n.Input) != 2 {
		return t.other(n, "%d inputs: want 2", len(n.Input))
	}
	x, y := t.values[n.Input[0]], t.values[n.Input[1]]
	if x.scale != nil || y.scale != nil {
		return t.scaled(n, x, y)
	}
	op := n.OpType
	if x.layer != nil && y.layer != nil {
		if op != "Add" && op != "Sum" || x.layout != y.layout && x.layout != anyLayout && y.layout != anyLayout {
			return t.other(n, "want an addition of two values, or a constant")
		}
		return t.layer(n, recognise.Layer{Kind: recognise.Add, From: x.layer, Operand: y.layer})
	}
	c, swapped := y.constant, false
	if x.layer == nil {
		x, c, swapped = y, x.constant, true
	}
	numbers := c.floats()
	if numbers == nil || !t.perChannel(x, c.dims()) {
		return t.other(n, "want a constant for all, or one for each channel")
	}
	l := recognise.Layer{Kind: recognise.Affine, From: x.layer}
	if op == "Add" {
		l.Added = c.added(swapped)
	}
	list := make([]float64, len(numbers))
	for i, v := range numbers {
		switch list[i] = float64(v); {
		case op == "Sub" && !swapped:
			list[i] = -list[i]
		case op == "Div":
			list[i] = 1 / list[i]
		}
	}
	switch {
	case op == "Div" && swapped:
		return t.other(n, "a constant is divided by its input")
	case op == "Mul" || op == "Div":
		l.Scale = list
	case op == "Sub" && swapped:
		l.Scale, l.Offset = []float64{-1}, list
	default:
		l.Offset = list
	}
	return t.layer(n, l)
}

// perChannel reports whether a constant of this shape has one number for all of x, or
// one for each channel. Of maps, whose layout is known, the axis must be the channels';
// behind the pool there is no other.
func (t *tracer) perChannel(x value, dims []int) bool {
	axis, count := -1, 0
	for i, d := range dims {
		if d != 1 {
			axis, count = i, count+1
		}
	}
	if count == 0 {
		return true
	}
	return count == 1 && (x.pooled || int64(axis+4-len(dims)) == x.layout.channels())
}

// pool is the global average pool, also as a window as large as the map.
func (t *tracer) pool(n *ir.Node, x value) value {
	l := recognise.Layer{Kind: recognise.Pool, From: x.layer}
	switch n.OpType {
	case "ReduceMean":
		return t.mean(n, x)
	case "AveragePool", "QLinearAveragePool":
		k, pads := ir.IntsAttr(n, "kernel_shape"), ir.IntsAttr(n, "pads")
		if len(k) != 2 || k[0] != k[1] || len(pads) > 0 && slices.Max(pads) != 0 || x.layout == channelsLast || ir.IntAttr(n, "channels_last", 0) != 0 {
			return t.other(n, "a mean over %v pixels, padding %v: want all pixels", k, pads)
		}
		l.Kernel = int(k[0])
		if height, width, ok := t.size(n.Input[0]); ok {
			if height != l.Kernel || width != l.Kernel {
				return t.other(n, "it averages %dx%d of %dx%d pixels", k[0], k[1], height, width)
			}
			l.Kernel = 0
		}
	default:
		if last := ir.IntAttr(n, "channels_last", 0) != 0; last != (x.layout == channelsLast) {
			return t.other(n, "the pool takes the channels where they are not")
		}
	}
	return t.layer(n, l)
}

// mean is the global average pool as the mean over rows and columns, at once or one
// after the other.
func (t *tracer) mean(n *ir.Node, x value) value {
	axes := t.intsFrom(n, "axes", 1)
	p := x.layout.pixels()
	switch {
	case x.averaged != nil && len(axes) == 1 && axes[0] != 0 && axes[0] != x.layout.channels():
		return t.layer(n, recognise.Layer{Kind: recognise.Pool, From: x.averaged})
	case equalAxes(axes, p[:]...):
		return t.layer(n, recognise.Layer{Kind: recognise.Pool, From: x.layer})
	case equalAxes(axes, p[0]), equalAxes(axes, p[1]):
		v := t.other(n, "a mean over axes %v alone: want height and width", axes)
		v.averaged, v.layout = x.layer, x.layout
		return v
	}
	return t.other(n, "a mean over axes %v: want height and width", axes)
}

// decimal is the number that somebody wrote down and the file holds as float32:
// 1e-5, not 9.99999974737875e-06.
func decimal(f float32) float64 {
	v, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	if err != nil {
		return float64(f) // NaN and infinities, which the config refuses
	}
	return v
}
