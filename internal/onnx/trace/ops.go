package trace

import (
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
)

// node traces one operator.
func (t *tracer) node(n *ir.Node) error {
	if len(n.Output) == 0 {
		return unfit(n, "it has no output")
	}
	out := n.Output[0]
	if n.OpType == "Constant" {
		return nil
	}
	if t.constants[ir.Input(n, 0)] != nil && t.values[ir.Input(n, 1)] == nil {
		return t.fold(n)
	}
	x := t.values[ir.Input(n, 0)]
	if t.shapes[ir.Input(n, 0)] || n.OpType == "Shape" || n.OpType == "Size" {
		for _, name := range n.Output {
			t.shapes[name] = true
		}
		return nil
	}
	if x == nil {
		// Addition and the like take a constant first, too.
		if x = t.values[ir.Input(n, 1)]; x == nil || t.constants[ir.Input(n, 0)] == nil {
			return unfit(n, "nothing before it makes its input %q", ir.Input(n, 0))
		}
	}
	y, err := t.apply(n, x)
	if err != nil {
		return err
	}
	t.values[out] = y
	return nil
}

// apply returns what n makes of x.
func (t *tracer) apply(n *ir.Node, x *layer) (*layer, error) {
	switch n.OpType {
	case "Identity", "Cast", "Dropout", "DequantizeLinear":
		return x, nil
	case "Transpose", "Reshape", "Flatten", "Squeeze", "Softmax":
		return x, t.rearranged(n, x)
	case "QuantizeLinear":
		if !t.alone(n) {
			return x, nil // what else takes x sees it before the rounding
		}
		return x, t.quantized(n, x, 1)
	case "Pad":
		return t.pad(n, x)
	case "Conv", "FusedConv":
		return t.conv(n, x, 1, 2)
	case "QLinearConv":
		return t.conv(n, x, 3, 8)
	case "BatchNormalization", "Clip", "Min", "Max", "Relu":
		if !t.alone(n) {
			return nil, unfit(n, "its input is used elsewhere as well")
		}
		if n.OpType == "BatchNormalization" {
			return x, t.batchNorm(n, x)
		}
		return x, t.clip(n, x)
	case "Add", "Sum", "Mul", "Sub", "Div":
		return t.arithmetic(n, x)
	case "QLinearAdd":
		return t.quantizedAdd(n, x)
	case "GlobalAveragePool", "QLinearGlobalAveragePool", "ReduceMean", "AveragePool":
		return t.pool(n, x)
	case "Gemm", "MatMul", "QLinearMatMul", "QGemm":
		return t.linear(n, x)
	}
	return nil, unfit(n, "MobileNetV2 has no such operator")
}

// alone reports whether n is the only one to take its activation, so that what
// it does can be noted there.
func (t *tracer) alone(n *ir.Node) bool {
	for _, in := range n.Input {
		if t.values[in] != nil && len(t.graph.Consumers[in]) > 1 {
			return false
		}
	}
	return true
}

// rearranged checks an operator that only gives data another order or shape.
func (t *tracer) rearranged(n *ir.Node, x *layer) error {
	switch n.OpType {
	case "Transpose":
		switch perm := ir.IntsAttr(n, "perm"); {
		case slices.Equal(perm, []int64{0, 2, 3, 1}), slices.Equal(perm, []int64{0, 3, 1, 2}):
		default:
			return unfit(n, "permutation %v: want one between channels first and last", perm)
		}
	case "Softmax":
		if x.kind != linearLayer {
			return unfit(n, "want it behind the classifier")
		}
	default:
		pooled := x.kind == poolLayer || x.kind == linearLayer || x.kind == convLayer && x.from.kind == poolLayer
		if !pooled {
			return unfit(n, "want it behind the pool")
		}
	}
	return nil
}

// pool adds the global average pool, which may come as a mean over rows and one
// over columns.
func (t *tracer) pool(n *ir.Node, x *layer) (*layer, error) {
	l := &layer{kind: poolLayer, node: n, from: x, out: x.out}
	switch n.OpType {
	case "ReduceMean":
		axes := ir.IntsAttr(n, "axes")
		if c := t.constants[ir.Input(n, 1)]; c != nil && c.ints != nil {
			var err error
			if axes, err = ir.Ints(c.ints); err != nil {
				return nil, err
			}
		}
		for _, a := range axes {
			if a == 0 || a < -3 || a > 3 {
				return nil, unfit(n, "axes %v", axes)
			}
		}
		if x.kind == poolLayer && len(axes) == 1 {
			return x, nil
		}
		if len(axes) != 1 && len(axes) != 2 {
			return nil, unfit(n, "axes %v: want height and width", axes)
		}
	case "AveragePool":
		k := ir.IntsAttr(n, "kernel_shape")
		if len(k) != 2 || k[0] != k[1] {
			return nil, unfit(n, "kernel %v", k)
		}
		l.kernel = int(k[0])
	}
	return l, nil
}

// fold applies an operator to constants.
func (t *tracer) fold(n *ir.Node) error {
	c := t.constants[ir.Input(n, 0)]
	out := *c
	switch n.OpType {
	case "Identity", "Cast":
	case "Reshape":
		to := t.constants[ir.Input(n, 1)]
		if to == nil || to.ints == nil {
			return unfit(n, "a constant reshaped to something that is not")
		}
		out.dims = reshaped(len(c.data), to.data)
	case "Squeeze", "Unsqueeze":
		out.dims = nil
		for _, d := range c.dims {
			if d != 1 {
				out.dims = append(out.dims, d)
			}
		}
	case "Transpose":
		perm := ir.IntsAttr(n, "perm")
		var err error
		if out.dims, out.data, err = transposed(n, c, perm); err != nil {
			return err
		}
	case "DequantizeLinear":
		data, err := t.dequantized(n, c, ir.Input(n, 1), ir.Input(n, 2), ir.IntAttr(n, "axis", 1))
		if err != nil {
			return err
		}
		out.data, out.ints = data, nil
	case "Gather", "Concat", "Slice", "Shape":
		t.shapes[n.Output[0]] = true
		return nil
	default:
		return unfit(n, "a constant computed by %s", n.OpType)
	}
	t.constants[n.Output[0]] = &out
	return nil
}

// reshaped is the shape that Reshape gives n values, one dimension of which may
// be -1.
func reshaped(n int, to []float32) []int {
	dims, known, free := []int{}, 1, -1
	for i, d := range to {
		if d < 0 {
			free = i
		} else {
			known *= max(1, int(d))
		}
		dims = append(dims, int(d))
	}
	if free >= 0 {
		dims[free] = n / known
	}
	return dims
}

// transposed reorders the dimensions of c.
func transposed(n *ir.Node, c *constant, perm []int64) ([]int, []float32, error) {
	rank := len(c.dims)
	if perm == nil {
		for i := range rank {
			perm = append(perm, int64(rank-1-i))
		}
	}
	sorted := slices.Sorted(slices.Values(perm))
	for i, p := range sorted {
		if len(perm) != rank || p != int64(i) {
			return nil, nil, unfit(n, "permutation %v of shape %v", perm, c.dims)
		}
	}
	strides := make([]int, rank)
	step := 1
	for i := rank - 1; i >= 0; i-- {
		strides[i] = step
		step *= c.dims[i]
	}
	dims := make([]int, rank)
	for i, p := range perm {
		dims[i] = c.dims[p]
	}
	data := make([]float32, len(c.data))
	index := make([]int, rank)
	at := 0
	for i := range data {
		data[i] = c.data[at]
		for d := rank - 1; d >= 0; d-- {
			s := strides[perm[d]]
			at += s
			if index[d]++; index[d] < dims[d] {
				break
			}
			at -= index[d] * s
			index[d] = 0
		}
	}
	return dims, data, nil
}

// dequantized is (c - zero) * scale, with one scale for all or one for each index
// of an axis (QuantizeLinear).
func (t *tracer) dequantized(n *ir.Node, c *constant, scale, zero string, axis int64) ([]float32, error) {
	s, z := t.constants[scale], t.constants[zero]
	if s == nil || len(s.data) == 0 {
		return nil, unfit(n, "its scale is not a constant")
	}
	if axis < 0 {
		axis += int64(len(c.dims))
	}
	inner := 1
	if len(s.data) > 1 {
		if axis < 0 || axis >= int64(len(c.dims)) || c.dims[axis] != len(s.data) {
			return nil, unfit(n, "%d scales for axis %d of shape %v", len(s.data), axis, c.dims)
		}
		for _, d := range c.dims[axis+1:] {
			inner *= d
		}
	}
	out := make([]float32, len(c.data))
	for i, v := range c.data {
		k := i / inner % len(s.data)
		if z != nil && len(z.data) > 0 {
			v -= z.data[k%len(z.data)]
		}
		out[i] = v * s.data[k]
	}
	return out, nil
}

// quantized notes that x is rounded to 8 bits with the scale and zero point at
// input i of n. A range that begins at 0 is a ReLU, and for a network that was
// quantised with ReLU6 it ends at 6.
func (t *tracer) quantized(n *ir.Node, x *layer, i int) error {
	zero := t.constants[ir.Input(n, i+1)]
	if zero == nil || len(zero.data) == 0 || x.kind != convLayer {
		return nil
	}
	lowest := float32(0)
	if zero.ints != nil && ir.DataType(zero.ints.DataType).String() == "INT8" {
		lowest = -128
	}
	if zero.data[0] == lowest {
		x.low, x.high = true, true
	}
	return nil
}

// pad keeps the padding for the convolution that follows.
func (t *tracer) pad(n *ir.Node, x *layer) (*layer, error) {
	pads := ir.IntsAttr(n, "pads")
	if c := t.constants[ir.Input(n, 1)]; c != nil && c.ints != nil {
		var err error
		if pads, err = ir.Ints(c.ints); err != nil {
			return nil, err
		}
	}
	if len(pads) != 8 || ir.StringAttr(n, "mode", "constant") != "constant" {
		return nil, unfit(n, "padding %v: want zeros around height and width", pads)
	}
	if v := t.constants[ir.Input(n, 2)]; v != nil && len(v.data) > 0 && v.data[0] != 0 {
		return nil, unfit(n, "padding with %v: want zeros", v.data[0])
	}
	at := 2 // [N C H W]
	if pads[1] != 0 || pads[5] != 0 {
		at = 1 // [N H W C]
	}
	return &layer{kind: padLayer, node: n, from: x, out: x.out, pads: [4]int64{pads[at], pads[at+1], pads[at+4], pads[at+5]}}, nil
}
