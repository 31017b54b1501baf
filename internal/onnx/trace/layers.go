package trace

import (
	"strconv"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
)

// conv adds a convolution whose weights and bias are inputs w and b of n; for
// QLinearConv the scales and zero points follow what they belong to.
func (t *tracer) conv(n *ir.Node, x *layer, w, b int) (*layer, error) {
	c := t.constants[ir.Input(n, w)]
	if c == nil || len(c.dims) != 4 || len(c.data) == 0 {
		return nil, unfit(n, "its weights are not a constant of four dimensions")
	}
	l := &layer{
		kind: convLayer, node: n, from: x, weight: c.data,
		out: c.dims[0], in: c.dims[1], kernel: c.dims[2],
		stride: 1, groups: int(ir.IntAttr(n, "group", 1)),
	}
	if c.dims[3] != l.kernel {
		return nil, unfit(n, "a kernel of %dx%d", c.dims[2], c.dims[3])
	}
	if s := ir.IntsAttr(n, "strides"); len(s) == 2 && s[0] == s[1] {
		l.stride = int(s[0])
	} else if s != nil {
		return nil, unfit(n, "strides %v", s)
	}
	for _, d := range ir.IntsAttr(n, "dilations") {
		if d != 1 {
			return nil, unfit(n, "dilations %v", ir.IntsAttr(n, "dilations"))
		}
	}
	if err := l.padded(n); err != nil {
		return nil, err
	}
	if n.OpType == "QLinearConv" {
		data, err := t.dequantized(n, c, ir.Input(n, w+1), ir.Input(n, w+2), 0)
		if err != nil {
			return nil, err
		}
		l.weight = data
		if err := t.quantized(n, l, 6); err != nil {
			return nil, err
		}
	}
	return l, t.bias(n, l, b, w)
}

// padded works out the padding of a convolution: its own, and that of a Pad
// before it.
func (l *layer) padded(n *ir.Node) error {
	if p := ir.IntsAttr(n, "pads"); len(p) == 4 {
		l.pads = [4]int64(p)
	} else if p != nil {
		return unfit(n, "pads %v", p)
	}
	switch auto := ir.StringAttr(n, "auto_pad", "NOTSET"); auto {
	case "SAME_UPPER":
		l.same = l.stride == 2 && l.kernel == 3
		if l.stride == 1 && l.kernel == 3 {
			l.pads = [4]int64{1, 1, 1, 1}
		}
	case "NOTSET", "VALID", "":
	default:
		return unfit(n, "auto_pad %s", auto)
	}
	if l.from.kind == padLayer {
		for i, p := range l.from.pads {
			l.pads[i] += p
		}
		l.from = l.from.from
	}
	return nil
}

// bias reads the bias of l from input b of n. A quantised one counts in the
// product of two scales: the input's, which is input 1, and that of the weights,
// which are input w.
func (t *tracer) bias(n *ir.Node, l *layer, b, w int) error {
	name := ir.Input(n, b)
	if name == "" {
		return nil
	}
	c := t.constants[name]
	if c == nil || len(c.data) != l.out {
		return unfit(n, "its bias is not a constant of %d values", l.out)
	}
	l.bias = c.data
	if c.ints == nil {
		return nil
	}
	xs, ws := t.constants[ir.Input(n, 1)], t.constants[ir.Input(n, w+1)]
	if xs == nil || len(xs.data) != 1 || ws == nil || len(ws.data) == 0 {
		return unfit(n, "its scales are not constants")
	}
	l.bias = make([]float32, l.out)
	for i, v := range c.data {
		l.bias[i] = float32(float64(v) * float64(xs.data[0]) * float64(ws.data[i%len(ws.data)]))
	}
	return nil
}

// batchNorm attaches a norm to the convolution before it.
func (t *tracer) batchNorm(n *ir.Node, x *layer) error {
	if x.kind != convLayer || x.norm != nil || x.low {
		return unfit(n, "no convolution right before it")
	}
	var parts [4][]float32
	for i := range parts {
		c := t.constants[ir.Input(n, i+1)]
		if c == nil || len(c.data) != x.out {
			return unfit(n, "input %q is not a constant of %d values", ir.Input(n, i+1), x.out)
		}
		parts[i] = c.data
	}
	x.norm = &norm{parts[0], parts[1], parts[2], parts[3], decimal(ir.FloatAttr(n, "epsilon", 1e-5))}
	return nil
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

// clip notes a lower bound of 0 and an upper bound of 6, which may come one by
// one: Relu and Min, Max and Min, or Clip with attributes or inputs.
func (t *tracer) clip(n *ir.Node, x *layer) error {
	bounds := map[string]*float32{}
	at := func(name string, i int) {
		if c := t.constants[ir.Input(n, i)]; c != nil && len(c.data) == 1 {
			bounds[name] = &c.data[0]
		}
	}
	switch n.OpType {
	case "Relu":
		zero := float32(0)
		bounds["min"] = &zero
	case "Clip":
		for _, name := range []string{"min", "max"} {
			if a := ir.Attr(n, name); a != nil {
				v := a.GetF()
				bounds[name] = &v
			}
		}
		at("min", 1)
		at("max", 2)
	case "Min":
		at("max", 0)
		at("max", 1)
	case "Max":
		at("min", 0)
		at("min", 1)
	}
	if x.kind != convLayer || len(bounds) == 0 {
		return unfit(n, "no ReLU6 of a convolution")
	}
	if v := bounds["min"]; v != nil {
		if *v != 0 {
			return unfit(n, "a lower bound of %v, want 0", *v)
		}
		x.low = true
	}
	if v := bounds["max"]; v != nil {
		if *v != 6 {
			return unfit(n, "an upper bound of %v, want 6", *v)
		}
		x.high = true
	}
	return nil
}

// arithmetic is an addition of two values, or of one and a constant: a bias, the
// scale of a norm, or what prepares the input.
func (t *tracer) arithmetic(n *ir.Node, x *layer) (*layer, error) {
	other := ir.Input(n, 1)
	c := t.constants[other]
	if c == nil {
		c = t.constants[ir.Input(n, 0)]
	}
	if c == nil {
		y := t.values[other]
		if n.OpType != "Add" && n.OpType != "Sum" || y == nil {
			return nil, unfit(n, "want an addition of two values, or a constant")
		}
		return &layer{kind: addLayer, node: n, from: x, add: y, out: x.out}, nil
	}
	if x.kind == inputLayer {
		return x, x.prepare(n, c)
	}
	if (x.kind != convLayer && x.kind != linearLayer) || x.low || x.norm != nil || len(c.data) != 1 && len(c.data) != x.out {
		return nil, unfit(n, "a constant of %d values with no convolution to take it", len(c.data))
	}
	if !t.alone(n) {
		return nil, unfit(n, "its input is used elsewhere as well")
	}
	switch n.OpType {
	case "Add", "Sub":
		sign := float32(1)
		if n.OpType == "Sub" {
			sign = -1
		}
		x.affine(nil, c.data, sign)
	case "Mul":
		x.affine(c.data, nil, 1)
	default:
		return nil, unfit(n, "behind a convolution")
	}
	return x, nil
}

// affine scales the output of a convolution and adds to it. One value stands for
// all channels.
func (l *layer) affine(scale, offset []float32, sign float32) {
	bias := make([]float32, l.out)
	copy(bias, l.bias)
	if scale != nil {
		weight := make([]float32, len(l.weight))
		per := len(weight) / l.out
		for i, w := range l.weight {
			weight[i] = w * scale[i/per%len(scale)]
		}
		l.weight = weight
		for i := range bias {
			bias[i] *= scale[i%len(scale)]
		}
	}
	if offset != nil {
		for i := range bias {
			bias[i] += sign * offset[i%len(offset)]
		}
	}
	l.bias = bias
}

// prepare notes what is done to the colours of the input: x*scale + offset.
func (l *layer) prepare(n *ir.Node, c *constant) error {
	if len(c.data) != 1 && len(c.data) != 3 {
		return unfit(n, "%d constants for an input of 3 colours", len(c.data))
	}
	if l.scale == nil {
		l.scale, l.offset = []float32{1, 1, 1}, []float32{0, 0, 0}
	}
	for i := range 3 {
		v := c.data[i%len(c.data)]
		switch n.OpType {
		case "Add", "Sum":
			l.offset[i] += v
		case "Sub":
			l.offset[i] -= v
		case "Mul":
			l.scale[i], l.offset[i] = l.scale[i]*v, l.offset[i]*v
		case "Div":
			l.scale[i], l.offset[i] = l.scale[i]/v, l.offset[i]/v
		}
	}
	return nil
}

// quantizedAdd is ONNX Runtime's QLinearAdd: a, its scale and zero point, b, its
// scale and zero point.
func (t *tracer) quantizedAdd(n *ir.Node, x *layer) (*layer, error) {
	if y := t.values[ir.Input(n, 3)]; y != nil {
		return &layer{kind: addLayer, node: n, from: x, add: y, out: x.out}, nil
	}
	c := t.constants[ir.Input(n, 3)]
	if c == nil || x.kind != linearLayer || len(c.data) != x.out {
		return nil, unfit(n, "want an addition of two values, or the classifier's bias")
	}
	data, err := t.dequantized(n, c, ir.Input(n, 4), ir.Input(n, 5), 0)
	if err != nil {
		return nil, err
	}
	x.affine(nil, data, 1)
	return x, nil
}

// linear adds the classifier: Gemm with weights [out][in] or [in][out], MatMul
// with [in][out], and the quantised forms of both.
func (t *tracer) linear(n *ir.Node, x *layer) (*layer, error) {
	quantized := n.OpType == "QLinearMatMul" || n.OpType == "QGemm"
	transB := (n.OpType == "Gemm" || n.OpType == "QGemm") && ir.IntAttr(n, "transB", 0) != 0
	at := 1
	if quantized {
		at = 3
	}
	c := t.constants[ir.Input(n, at)]
	if c == nil || len(c.dims) != 2 || len(c.data) == 0 {
		return nil, unfit(n, "its weights are not a constant matrix")
	}
	w := *c
	if quantized {
		axis := int64(1)
		if transB {
			axis = 0
		}
		data, err := t.dequantized(n, c, ir.Input(n, 4), ir.Input(n, 5), axis)
		if err != nil {
			return nil, err
		}
		w.data = data
	}
	if ir.IntAttr(n, "transA", 0) != 0 {
		return nil, unfit(n, "a transposed input")
	}
	if !transB {
		dims, data, err := transposed(n, &w, []int64{1, 0})
		if err != nil {
			return nil, err
		}
		w.dims, w.data = dims, data
	}
	l := &layer{kind: linearLayer, node: n, from: x, weight: w.data, out: w.dims[0], in: w.dims[1], kernel: 1}
	switch n.OpType {
	case "QGemm":
		return l, t.bias(n, l, 6, 3)
	case "Gemm":
		return l, t.gemmBias(n, l)
	}
	return l, nil
}

// gemmBias applies alpha to the product and adds beta times the third input.
func (t *tracer) gemmBias(n *ir.Node, l *layer) error {
	if alpha := ir.FloatAttr(n, "alpha", 1); alpha != 1 {
		l.affine([]float32{alpha}, nil, 1)
	}
	name := ir.Input(n, 2)
	if name == "" {
		return nil
	}
	b := t.constants[name]
	if b == nil || len(b.data) != l.out && len(b.data) != 1 {
		return unfit(n, "its bias is not a constant of %d values", l.out)
	}
	l.affine(nil, b.data, ir.FloatAttr(n, "beta", 1))
	return nil
}
