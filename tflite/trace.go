package tflite

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/recognise"
)

// A value is what is known of one of the graph's tensors. The zero value is one that
// does not depend on the input.
type value struct {
	layer    *recognise.Layer
	first    bool      // the channels come first, [N,C,H,W]: LiteRT's own order has them last
	pooled   bool      // its maps have one pixel, or none are left
	constant []float32 // of a constant that an operator made
}

// A tracer says what the operators of a graph are as layers, one by one.
type tracer struct {
	*graph
	values []value
	source recognise.Source
}

// trace returns the layers that make the graph's outputs.
func (g *graph) trace(in *description) (*tracer, []*recognise.Layer, error) {
	t := &tracer{graph: g, values: make([]value, len(g.tensors))}
	switch {
	case len(g.inputs) == 0 || len(g.outputs) == 0:
		return nil, nil, fault.Unsupportedf("not a MobileNetV2: a graph without input or output")
	case len(g.inputs) > 1:
		return nil, nil, fault.Unsupportedf("not a MobileNetV2: it has %d inputs", len(g.inputs))
	}
	t.input(g.inputs[0], in)
	for i := range g.operators {
		t.operator(&g.operators[i])
	}
	var outputs []*recognise.Layer
	for _, o := range g.outputs {
		if l := t.values[o].layer; l != nil {
			outputs = append(outputs, l)
		}
	}
	if outputs == nil {
		return nil, nil, fault.Unsupportedf("not a MobileNetV2: its outputs do not depend on its input")
	}
	return t, outputs, nil
}

// input notes what the file states of the graph's input.
func (t *tracer) input(at int, in *description) {
	x := &t.tensors[at]
	place := "input " + fault.Shown(string(x.name[:min(len(x.name), maxString)]))
	v := value{layer: &recognise.Layer{Kind: recognise.Input, Place: place}}
	t.source = recognise.Source{Place: place}
	if s := x.shape; len(s) == 4 {
		channels, height, width := 3, 1, 2
		if v.first = s[3] != 3 && s[3] != 1 && (s[1] == 3 || s[1] == 1); v.first {
			channels, height, width = 1, 2, 3
		}
		size := func(i int) int { return max(0, s[i]) }
		t.source.Channels, t.source.Height, t.source.Width = size(channels), size(height), size(width)
	}
	scale, offset, pixels := in.levels(x)
	if scale != nil {
		t.source.Levels = true
		v.layer = &recognise.Layer{Kind: recognise.Affine, Place: place, From: v.layer, Scale: scale, Offset: offset}
	}
	if pixels {
		v.layer.Bytes = x.stands()
	} else {
		v = t.rounded(at, v)
	}
	t.values[at] = v
}

// place is an operator as errors name it.
func (o *operator) place() string { return fmt.Sprintf("operator %d (%v)", o.at, o) }

// operator notes what o makes.
func (t *tracer) operator(o *operator) {
	if len(o.outputs) == 0 {
		return
	}
	v := t.made(o)
	if v.layer != nil && v.layer.Kind != recognise.Other {
		v = t.rounded(o.outputs[0], v)
	}
	for i, out := range o.outputs {
		t.values[out] = value{}
		if i == 0 || o.code == opTopK {
			t.values[out] = v
		}
	}
}

// made is the first output of o.
func (t *tracer) made(o *operator) value {
	depends := false
	for _, in := range o.inputs {
		depends = depends || in >= 0 && t.values[in].layer != nil
	}
	switch {
	case depends:
		return t.apply(o)
	case o.code == opDequantize && len(o.inputs) == 1 && o.inputs[0] >= 0:
		n, ok := elements(t.tensors[o.outputs[0]].shape)
		if c, reason := t.floats(o.inputs[0]); reason == "" && ok && n == len(c) {
			return value{constant: c}
		}
	}
	return value{}
}

// other is what o makes if no MobileNetV2 has it; it matters if the output depends on it.
func (t *tracer) other(o *operator, format string, args ...any) value {
	return value{layer: &recognise.Layer{Kind: recognise.Other, Place: o.place(), Reason: fmt.Sprintf(format, args...)}}
}

// refused is other for a reason that lies in operand i of o.
func (t *tracer) refused(o *operator, i int, format string, args ...any) value {
	v := t.other(o, format, args...)
	v.layer.Broken = i < len(o.inputs) && o.inputs[i] >= 0 && t.tensors[o.inputs[i]].broken
	return v
}

// then is x with a layer behind it.
func (t *tracer) then(o *operator, x value, l recognise.Layer) value {
	l.Place, l.From = o.place(), x.layer
	return value{layer: &l, first: x.first, pooled: x.pooled || l.Kind == recognise.Pool || l.Kind == recognise.Linear}
}

// rounded is v with the rounding to bytes, where tensor at has bytes.
func (t *tracer) rounded(at int, v value) value {
	x := &t.tensors[at]
	if !x.elem.bytes() {
		return v
	}
	l := recognise.Layer{Kind: recognise.Quantize, Place: v.layer.Place, From: v.layer, Bytes: x.stands()}
	switch {
	case l.Bytes == nil:
		l.Kind, l.Reason, l.Broken = recognise.Other, "its output: "+x.quantization, x.broken
		if x.quantization == "" {
			l.Reason = fmt.Sprintf("its output: %d scales", len(x.scale))
		}
	case v.layer.Bytes != nil && (v.layer.Kind == recognise.Quantize || v.layer.Kind == recognise.Affine) && sameNumbers(v.layer.Bytes, l.Bytes):
		l = *v.layer // uint8 become int8, or the other way
		l.Bytes = x.stands()
	default:
		l.Range.Low, l.Range.High = x.held()
		// A RELU whose bytes end where they may, at 6 or beyond: networks that were
		// quantised with it have it in ReLU6's place.
		c := v.layer
		l.Rectifies = c.Kind == recognise.Clip && c.Low == 0 && math.IsInf(float64(c.High), 1) && l.Range.Low == 0
	}
	v.layer = &l
	return v
}

// sameNumbers reports whether bytes stand for the same numbers, those of int8 being 128
// less than those of uint8.
func sameNumbers(a, b *recognise.Bytes) bool {
	unsigned := func(x *recognise.Bytes) int {
		if x.Type == "int8" {
			return x.Zero + 128
		}
		return x.Zero
	}
	return a.Scale == b.Scale && unsigned(a) == unsigned(b)
}

// stands is what the bytes of an activation stand for, nil where that can't be said.
func (t *tensor) stands() *recognise.Bytes {
	if t.quantization != "" || len(t.scale) != 1 {
		return nil
	}
	b := &recognise.Bytes{Scale: t.scale[0], Type: strings.ToLower(t.elem.String())}
	if len(t.zero) > 0 {
		b.Zero = int(t.zero[0])
	}
	return b
}

// held are the numbers that the lowest and the highest byte of t stand for.
func (t *tensor) held() (low, high float32) {
	zero := int64(0)
	if len(t.zero) > 0 {
		zero = t.zero[0]
	}
	least := int64(0)
	if t.elem == elemInt8 {
		least = -128
	}
	return float32(least-zero) * t.scale[0], float32(least+255-zero) * t.scale[0]
}

// apply is what o makes of an activation.
func (t *tracer) apply(o *operator) value {
	in := func(i int) value {
		if i < len(o.inputs) && o.inputs[i] >= 0 {
			return t.values[o.inputs[i]]
		}
		return value{}
	}
	switch o.code {
	case opAdd, opSub, opMul, opDiv, opMaximum, opMinimum:
		return t.arithmetic(o, in(0), in(1))
	}
	x := in(0)
	if x.layer == nil {
		return t.other(o, "its first input does not depend on the graph's")
	}
	inf := float32(math.Inf(1))
	switch o.code {
	case opConv, opDepthwise:
		return t.conv(o, x)
	case opFullyConnected:
		return t.linear(o, x)
	case opRelu:
		return t.then(o, x, recognise.Layer{Kind: recognise.Clip, Low: 0, High: inf})
	case opRelu6:
		return t.then(o, x, recognise.Layer{Kind: recognise.Clip, Low: 0, High: 6})
	case opReluN1To1:
		return t.then(o, x, recognise.Layer{Kind: recognise.Clip, Low: -1, High: 1})
	case opMean:
		return t.mean(o, x)
	case opAveragePool:
		return t.averagePool(o, x)
	case opReshape, opSqueeze, opExpandDims:
		return t.then(o, x, recognise.Layer{Kind: recognise.Reshape})
	case opPad, opPadV2:
		return t.pad(o, x)
	case opTranspose:
		return t.transposed(o, x)
	case opQuantize, opDequantize:
		return x
	case opCast:
		return t.cast(o, x)
	case opSoftmax:
		if b := o.options.f32(softmaxBeta); b != 1 {
			return t.other(o, "beta is %v, want 1", b)
		}
		return t.then(o, x, recognise.Layer{Kind: recognise.Activation, Reason: "Softmax"})
	case opLogSoftmax:
		return t.then(o, x, recognise.Layer{Kind: recognise.Activation, Reason: "LogSoftmax"})
	case opLogistic:
		return t.then(o, x, recognise.Layer{Kind: recognise.Activation, Reason: "Sigmoid"})
	case opTanh, opHardSwish:
		return t.then(o, x, recognise.Layer{Kind: recognise.Activation, Reason: o.String()})
	case opArgMax, opTopK:
		return t.then(o, x, recognise.Layer{Kind: recognise.Choice, Reason: o.String()})
	}
	return t.other(o, "MobileNetV2 has no such operator")
}

// cast passes numbers that become float32: pixels of an input of bytes.
func (t *tracer) cast(o *operator, x value) value {
	if e := t.tensors[o.outputs[0]].elem; e != elemFloat32 {
		return t.other(o, "a cast to %v", e)
	}
	return x
}

// activated is v with the activation that o's options name.
func (t *tracer) activated(o *operator, v value, slot int) value {
	if v.layer.Kind == recognise.Other {
		return v
	}
	inf := float32(math.Inf(1))
	switch a := o.options.u8(slot); a {
	case activationNone:
		return v
	case activationRelu:
		return t.then(o, v, recognise.Layer{Kind: recognise.Clip, Low: 0, High: inf})
	case activationRelu6:
		return t.then(o, v, recognise.Layer{Kind: recognise.Clip, Low: 0, High: 6})
	case activationReluN1:
		return t.then(o, v, recognise.Layer{Kind: recognise.Clip, Low: -1, High: 1})
	default:
		return t.other(o, "activation %d", a)
	}
}

// constant returns the numbers and the shape of operand i of o, or the reason why it
// has none.
func (t *tracer) constant(o *operator, i int) (values []float32, shape []int, reason string) {
	if i >= len(o.inputs) || o.inputs[i] < 0 {
		return nil, nil, "it is not there"
	}
	at := o.inputs[i]
	if c := t.values[at].constant; c != nil {
		return c, t.tensors[at].shape, ""
	}
	values, reason = t.floats(at)
	return values, t.tensors[at].shape, reason
}

// conv is CONV_2D with weights [O,H,W,I], or DEPTHWISE_CONV_2D with [1,H,W,O].
func (t *tracer) conv(o *operator, x value) value {
	if x.first {
		return t.other(o, "want an input of pixels, channels last")
	}
	w, shape, reason := t.constant(o, 1)
	if reason == "" && len(shape) != 4 {
		reason = fmt.Sprintf("%v", shape)
	}
	if reason != "" {
		return t.refused(o, 1, "its weights: %s", reason)
	}
	l := recognise.Layer{Kind: recognise.Conv, Kernel: shape[1], Out: shape[0], In: shape[3], Groups: 1}
	activation, padding, strides, dilations := convActivation, convPadding, [2]int{convStrideH, convStrideW}, [2]int{convDilationH, convDilationW}
	if o.code == opDepthwise {
		l.Out, l.In, l.Groups = shape[3], 1, shape[3]
		activation, padding, strides, dilations = depthActivation, depthPadding, [2]int{depthStrideH, depthStrideW}, [2]int{depthDilationH, depthDilationW}
		if s := t.tensors[o.inputs[0]].shape; len(s) == 4 && s[3] != l.Out && s[3] > 0 {
			l.Groups = s[3] // it has a multiplier: no MobileNetV2
		}
	} else if s := t.tensors[o.inputs[0]].shape; len(s) == 4 && s[3] > l.In && l.In > 0 && s[3]%l.In == 0 {
		l.Groups = s[3] / l.In
	}
	l.Stride = int(o.options.i32(strides[0], 0))
	switch {
	case shape[1] != shape[2]:
		return t.other(o, "a kernel of %dx%d", shape[1], shape[2])
	case o.options.i32(strides[1], 0) != int32(l.Stride):
		return t.other(o, "strides [%d %d]", l.Stride, o.options.i32(strides[1], 0))
	case o.options.i32(dilations[0], 1) != 1 || o.options.i32(dilations[1], 1) != 1:
		return t.other(o, "dilations [%d %d]", o.options.i32(dilations[0], 1), o.options.i32(dilations[1], 1))
	}
	if same := o.options.u8(padding) == paddingSame; same && l.Kernel == 3 {
		if l.Same = l.Stride == 2; !l.Same {
			l.Pads = [4]int64{1, 1, 1, 1}
		}
	}
	if l.Weight, reason = channelsFirst(t, w, shape, o.code == opDepthwise); reason != "" {
		return t.other(o, "%s", reason)
	}
	if l.Bias, reason = t.bias(o, l.Out); reason != "" {
		return t.refused(o, 2, "its bias: %s", reason)
	}
	if l.Whole, reason = t.whole(o, &l); reason != "" {
		return t.other(o, "%s", reason)
	}
	return t.activated(o, t.then(o, t.hybrid(o, x), l), activation)
}

const manyCopies = "the graph needs many more copies of constants than are in the file"

// channelsFirst returns weights as [O,I,H,W].
func channelsFirst[T any](t *tracer, w []T, shape []int, depthwise bool) (_ []T, reason string) {
	out, pixels, in := shape[0], shape[1]*shape[2], shape[3]
	if depthwise { // [1,H,W,O] becomes [O,1,H,W]
		out, in = in, 1
		if shape[0] != 1 {
			return nil, fmt.Sprintf("weights of %v: want 1 in front", shape)
		}
	} else if pixels == 1 {
		return w, ""
	}
	if !t.take(len(w)) {
		return nil, manyCopies
	}
	moved := make([]T, len(w))
	for o := range out {
		for p := range pixels {
			for i := range in {
				from := (o*pixels+p)*in + i
				if depthwise {
					from = p*out + o
				}
				moved[(o*in+i)*pixels+p] = w[from]
			}
		}
	}
	return moved, ""
}

// bias is operand 2 of o, one number for each of out channels.
func (t *tracer) bias(o *operator, out int) (bias []float32, reason string) {
	if len(o.inputs) < 3 || o.inputs[2] < 0 {
		return nil, ""
	}
	bias, _, reason = t.constant(o, 2)
	if reason == "" && len(bias) != out {
		reason = fmt.Sprintf("%d values for %d channels", len(bias), out)
	}
	return bias, reason
}

// whole is the weights and biases of a layer as integers, nil where the weights are none.
func (t *tracer) whole(o *operator, l *recognise.Layer) (_ *recognise.Integers, reason string) {
	w := &t.tensors[o.inputs[1]]
	if !w.elem.bytes() || w.data == nil {
		return nil, ""
	}
	n := &recognise.Integers{Scale: w.scale}
	if len(w.scale) == 1 {
		n.Scale = make([]float32, l.Out)
		for i := range n.Scale {
			n.Scale[i] = w.scale[0]
		}
	}
	if len(n.Scale) != l.Out || len(w.scale) > 1 && w.shape[w.axis] != l.Out {
		return nil, fmt.Sprintf("its weights: %d scales on axis %d of %v", len(w.scale), w.axis, w.shape)
	}
	if !t.take(len(w.data)) {
		return nil, manyCopies
	}
	values, reason := w.integers()
	if reason != "" {
		return nil, reason
	}
	n.Weight = make([]int16, len(values))
	for i, v := range values {
		n.Weight[i] = int16(v)
	}
	if l.Kind == recognise.Conv {
		if n.Weight, reason = channelsFirst(t, n.Weight, w.shape, o.code == opDepthwise); reason != "" {
			return nil, reason
		}
	}
	if l.Bias == nil {
		return n, ""
	}
	b := &t.tensors[o.inputs[2]]
	if b.elem != elemInt32 || b.data == nil {
		return n, "" // rounded to what it is worth: see recognise.Quantized
	}
	if values, reason = b.integers(); reason != "" {
		return nil, reason
	}
	for i, v := range values {
		n.Bias = append(n.Bias, int32(v))
		n.BiasScale = append(n.BiasScale, b.scale[b.channel(i)])
	}
	return n, ""
}

// hybrid is x with a rounding behind it where weights of bytes meet an activation of
// numbers: LiteRT rounds that to bytes as it runs, by what it finds in it.
func (t *tracer) hybrid(o *operator, x value) value {
	if t.tensors[o.inputs[1]].elem.bytes() && t.tensors[o.inputs[0]].elem == elemFloat32 {
		return t.then(o, x, recognise.Layer{Kind: recognise.Quantize})
	}
	return x
}

// linear is FULLY_CONNECTED with weights [O,I].
func (t *tracer) linear(o *operator, x value) value {
	w, shape, reason := t.constant(o, 1)
	if reason == "" && len(shape) != 2 {
		reason = fmt.Sprintf("%v", shape)
	}
	if reason == "" && o.options.u8(fullyFormat) != 0 {
		reason = "they are shuffled"
	}
	if reason != "" {
		return t.refused(o, 1, "its weights: %s", reason)
	}
	l := recognise.Layer{Kind: recognise.Linear, Kernel: 1, Weight: w, Out: shape[0], In: shape[1]}
	if l.Bias, reason = t.bias(o, l.Out); reason != "" {
		return t.refused(o, 2, "its bias: %s", reason)
	}
	if l.Whole, reason = t.whole(o, &l); reason != "" {
		return t.other(o, "%s", reason)
	}
	return t.activated(o, t.then(o, t.hybrid(o, x), l), fullyActivation)
}

// arithmetic is a residual sum, or a constant for all or for each channel.
func (t *tracer) arithmetic(o *operator, a, b value) value {
	if a.layer != nil && b.layer != nil {
		if o.code != opAdd {
			return t.other(o, "two activations: only their sum is part of a MobileNetV2")
		}
		v := t.then(o, a, recognise.Layer{Kind: recognise.Add, Operand: b.layer})
		return t.activated(o, v, addActivation)
	}
	x, at := a, 1
	if a.layer == nil {
		x, at = b, 0
	}
	c, shape, reason := t.constant(o, at)
	if reason != "" {
		return t.refused(o, at, "its other input: %s", reason)
	}
	if n := len(c); n != 1 && (x.first || len(shape) == 0 || shape[len(shape)-1] != n) {
		return t.other(o, "a constant of %v: want one for all, or one for each channel", shape)
	}
	values := make([]float64, len(c))
	for i, v := range c {
		values[i] = float64(v)
	}
	l := recognise.Layer{Kind: recognise.Affine}
	switch {
	case o.code == opAdd:
		l.Offset = values
	case o.code == opMul:
		l.Scale = values
	case o.code == opSub && at == 1:
		for i := range values {
			values[i] = -values[i]
		}
		l.Offset = values
	case o.code == opDiv && at == 1:
		for i := range values {
			values[i] = 1 / values[i]
		}
		l.Scale = values
	case o.code == opMaximum && len(c) == 1:
		l = recognise.Layer{Kind: recognise.Clip, Low: c[0], High: float32(math.Inf(1))}
	case o.code == opMinimum && len(c) == 1:
		l = recognise.Layer{Kind: recognise.Clip, Low: float32(math.Inf(-1)), High: c[0]}
	default:
		return t.other(o, "of a constant and an activation, in this order")
	}
	return t.activated(o, t.then(o, x, l), addActivation)
}

// mean is the mean over rows and columns.
func (t *tracer) mean(o *operator, x value) value {
	axes, ok := []int(nil), false
	if len(o.inputs) > 1 {
		axes, ok = t.list(o.inputs[1])
	}
	axes = slices.Clone(axes)
	for i, a := range axes {
		if a < 0 {
			axes[i] = a + 4
		}
	}
	slices.Sort(axes)
	want := []int{1, 2}
	if x.first {
		want = []int{2, 3}
	}
	if !ok || !slices.Equal(axes, want) {
		return t.other(o, "a mean over axes %v: want rows and columns, %v", axes, want)
	}
	return t.then(o, x, recognise.Layer{Kind: recognise.Pool})
}

// averagePool is the mean over all of a map.
func (t *tracer) averagePool(o *operator, x value) value {
	h, w := int(o.options.i32(poolFilterH, 0)), int(o.options.i32(poolFilterW, 0))
	s := t.tensors[o.inputs[0]].shape
	if len(s) != 4 || s[1] != h || s[2] != w || o.options.u8(poolPadding) != paddingValid || x.first {
		return t.other(o, "it averages %dx%d of %v: want all of a map", h, w, s)
	}
	return t.activated(o, t.then(o, x, recognise.Layer{Kind: recognise.Pool, Reason: o.String()}), poolActivation)
}

// pad is zeros around rows and columns.
func (t *tracer) pad(o *operator, x value) value {
	p, ok := []int(nil), len(o.inputs) > 1
	if ok {
		p, ok = t.list(o.inputs[1])
	}
	switch {
	case !ok || len(p) != 8 || slices.Min(p) < 0 || x.first || p[0]+p[1]+p[6]+p[7] != 0:
		return t.other(o, "padding %v: want zeros around height and width", p)
	case len(o.inputs) > 2:
		c, _, reason := t.constant(o, 2)
		if reason != "" || len(c) != 1 || c[0] != 0 {
			return t.other(o, "it pads with something else than 0")
		}
	}
	pads := [4]int64{int64(p[2]), int64(p[4]), int64(p[3]), int64(p[5])}
	if pads == [4]int64{} {
		return x
	}
	return t.then(o, x, recognise.Layer{Kind: recognise.Pad, Pads: pads})
}

// transposed moves the channels between first and last. Behind the pool it changes
// nothing but the shape.
func (t *tracer) transposed(o *operator, x value) value {
	p, ok := []int(nil), false
	if len(o.inputs) > 1 {
		p, ok = t.list(o.inputs[1])
	}
	switch {
	case ok && x.pooled:
		return t.then(o, x, recognise.Layer{Kind: recognise.Reshape})
	case slices.Equal(p, []int{0, 2, 3, 1}) && x.first:
		x.first = false
	case slices.Equal(p, []int{0, 3, 1, 2}) && !x.first:
		x.first = true
	default:
		return t.other(o, "permutation %v: want one between channels first and last", p)
	}
	return x
}
