package trace

import (
	"fmt"
	"math"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/recognise"
)

// conv is a convolution whose weights and bias are inputs w and b of n. Quantised
// weights are followed by their scale and zero point.
func (t *tracer) conv(n *ir.Node, w, b int) value {
	x, c := t.values[n.Input[0]], t.constant(n, w)
	if v := t.values[ir.Input(n, w)]; c == nil && v.layer != nil && v.layer.Kind == recognise.Other {
		return v // says why the weights are no constant
	}
	if n.OpType == "QLinearConv" {
		if x = t.dequantised(n, 0, 1); x.layer != nil && x.layer.Kind == recognise.Other {
			return x
		}
		if c != nil {
			var reason string
			if c, reason = t.integersOf(n, c, w+1, 0); reason != "" {
				return t.broken(n, "%s", reason)
			}
		}
	}
	l, reason := convLayer(n, c)
	switch {
	case reason != "":
		return t.other(n, "%s", reason)
	case x.layer == nil || x.layout == channelsLast:
		return t.other(n, "want an input of pixels, channels first")
	}
	l.From = x.layer
	if l.Bias, reason = t.bias(n, b, w, l.Out); reason != "" {
		return t.other(n, "%s", reason)
	}
	l.Whole = c.whole.layer(l.Out, 0, false, t.constant(n, b))
	v := t.layer(n, l)
	v.layout = channelsFirst
	return v
}

// convLayer is a convolution without bias and input, or the reason why it is none.
func convLayer(n *ir.Node, c *constant) (l recognise.Layer, reason string) {
	if c == nil || len(c.dims()) != 4 || len(c.floats()) == 0 {
		return l, "its weights are not a constant of four dimensions"
	}
	dims := c.dims()
	l = recognise.Layer{
		Kind: recognise.Conv, Weight: c.floats(),
		Out: dims[0], In: dims[1], Kernel: dims[2], Stride: 1, Groups: int(ir.IntAttr(n, "group", 1)),
	}
	if dims[3] != l.Kernel {
		return l, fmt.Sprintf("a kernel of %dx%d", dims[2], dims[3])
	}
	if s := ir.IntsAttr(n, "strides"); len(s) == 2 && s[0] == s[1] {
		l.Stride = int(s[0])
	} else if s != nil {
		return l, fmt.Sprintf("strides %v", s)
	}
	for _, d := range ir.IntsAttr(n, "dilations") {
		if d != 1 {
			return l, fmt.Sprintf("dilations %v", ir.IntsAttr(n, "dilations"))
		}
	}
	return l, padded(n, &l)
}

// padded works out the padding that n itself adds.
func padded(n *ir.Node, l *recognise.Layer) (reason string) {
	around := [4]int64{1, 1, 1, 1}
	switch auto := ir.StringAttr(n, "auto_pad", "NOTSET"); {
	case auto == "NOTSET" || auto == "":
		if p := ir.IntsAttr(n, "pads"); len(p) == 4 {
			l.Pads = [4]int64(p)
		} else if p != nil {
			return fmt.Sprintf("pads %v", p)
		}
	case auto == "VALID" || l.Kernel == 1 && l.Stride == 1:
	case auto == "SAME_UPPER" && l.Kernel == 3 && l.Stride == 2:
		l.Same = true
	case l.Kernel == 3 && l.Stride == 1, auto == "SAME_LOWER" && l.Kernel == 3 && l.Stride == 2:
		l.Pads = around // SAME_LOWER has its one pixel at the top and left, where it counts
	default:
		return fmt.Sprintf("auto_pad %s", ir.Quote(auto))
	}
	return ""
}

// bias is input b of n, one number for each of out channels. An integer one counts in
// the product of two scales: the input's, which is input 1, and that of the weights,
// behind input w.
func (t *tracer) bias(n *ir.Node, b, w, out int) (bias []float32, reason string) {
	if ir.Input(n, b) == "" {
		return nil, ""
	}
	c := t.constant(n, b)
	bias = c.floats()
	if len(bias) != out {
		return nil, fmt.Sprintf("its bias is not a constant of %d values", out)
	}
	if !isInteger(c.elem()) {
		return bias, ""
	}
	xs, ws := t.constant(n, 1).floats(), t.constant(n, w+1).floats()
	if len(xs) != 1 || len(ws) != 1 && len(ws) != out {
		return nil, "its scales are not constants"
	}
	wide := make([]float32, out)
	for i, v := range bias {
		wide[i] = float32(float64(v) * float64(xs[0]) * float64(ws[i%len(ws)]))
	}
	return wide, ""
}

// activated is what FusedConv does to the convolution: it adds a fourth input and
// applies an activation (ONNX Runtime's ContribOperators.md).
func (t *tracer) activated(n *ir.Node, v value) value {
	if n.OpType == "Conv" || v.layer.Kind == recognise.Other {
		return v
	}
	l := v.layer
	if ir.Input(n, 3) != "" {
		z := t.values[n.Input[3]].layer
		if z == nil {
			return t.other(n, "it adds what is no activation")
		}
		l = &recognise.Layer{Kind: recognise.Add, Place: l.Place, From: z, Operand: l}
	}
	low, high := float32(math.Inf(-1)), float32(math.Inf(1))
	switch name, params := ir.StringAttr(n, "activation", ""), ir.FloatsAttr(n, "activation_params"); {
	case name == "":
	case name == "Relu":
		low = 0
	case name == "Clip" && len(params) == 2:
		low, high = params[0], params[1]
	default:
		return t.other(n, "its activation is %s", ir.Quote(name))
	}
	v.layer = &recognise.Layer{Kind: recognise.Clip, Place: l.Place, From: l, Low: low, High: high}
	return v
}

// linear is Gemm with weights [out][in] or [in][out], or MatMul with [in][out].
func (t *tracer) linear(n *ir.Node) value {
	c, transposed := t.constant(n, 1), ir.IntAttr(n, "transB", 0) != 0
	if v := t.values[ir.Input(n, 1)]; c == nil && v.layer != nil && v.layer.Kind == recognise.Other {
		return v // says why the weights are no constant
	}
	l, reason := t.matrix(n, t.values[n.Input[0]], c, c.floats(), transposed)
	if reason != "" {
		return t.other(n, "%s", reason)
	}
	alpha, beta := ir.FloatAttr(n, "alpha", 1), ir.FloatAttr(n, "beta", 1)
	if alpha == 1 && beta == 1 {
		bias := t.constant(n, 2)
		if n.OpType == "MatMul" || bias != nil && len(bias.floats()) != l.Out {
			bias = nil
		}
		l.Whole = c.whole.layer(l.Out, outputAxis(transposed), !transposed, bias)
	}
	if n.OpType == "Gemm" {
		if l.Weight, reason = t.times(l.Weight, alpha); reason != "" {
			return t.other(n, "%s", reason)
		}
		if ir.Input(n, 2) != "" {
			bias := t.constant(n, 2).floats()
			if len(bias) != l.Out && len(bias) != 1 {
				return t.other(n, "its bias is not a constant of %d values", l.Out)
			}
			l.Bias = make([]float32, l.Out)
			for i := range l.Bias {
				l.Bias[i] = beta * bias[i%len(bias)]
			}
		}
	}
	return t.layer(n, l)
}

// matrix is the matrix of n's input x with a constant, whose numbers are weight:
// [out][in] if it is transposed, else [in][out].
func (t *tracer) matrix(n *ir.Node, x value, c *constant, weight []float32, transposed bool) (l recognise.Layer, reason string) {
	switch {
	case x.layer == nil || c == nil || len(c.dims()) != 2 || len(weight) == 0:
		return l, "its weights are not a constant matrix"
	case ir.IntAttr(n, "transA", 0) != 0:
		return l, "a transposed input"
	}
	rows, columns := c.dims()[0], c.dims()[1]
	l = recognise.Layer{Kind: recognise.Linear, From: x.layer, Weight: weight, Out: rows, In: columns, Kernel: 1}
	if transposed {
		return l, ""
	}
	if reason = t.copies(weight); reason != "" {
		return l, reason
	}
	l.Out, l.In, l.Weight = columns, rows, make([]float32, len(weight))
	for i, w := range weight {
		l.Weight[i%columns*rows+i/columns] = w
	}
	return l, ""
}

// times is list with every number multiplied, or list itself.
func (t *tracer) times(list []float32, by float32) (_ []float32, reason string) {
	if by == 1 {
		return list, ""
	}
	if reason = t.copies(list); reason != "" {
		return nil, reason
	}
	scaled := make([]float32, len(list))
	for i, v := range list {
		scaled[i] = v * by
	}
	return scaled, ""
}
