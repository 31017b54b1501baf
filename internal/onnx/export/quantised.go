package export

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
	"github.com/mobilenet-go/mobilenet/model"
)

// MinQuantisedOpset is the first whose DequantizeLinear has a scale for each channel.
const MinQuantisedOpset = 13

// microsoft is the domain of ONNX Runtime's own operators.
const microsoft = "com.microsoft"

// Quantised returns q as an ONNX model: with operators on bytes where qoperator is
// set, and otherwise with float32 ones between pairs of QuantizeLinear and
// DequantizeLinear, which say where bytes are.
func Quantised(q *model.Quantized, qoperator bool, o Options) (*ir.Proto, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	if q.Wide {
		return nil, fault.Unsupportedf("ONNX has no wide residual sums: quantise without them")
	}
	m := &model.Model{Config: q.Config, Labels: q.Labels}
	e := quantisedExporter{exporter: exporter{m: m, o: o, g: &pb.GraphProto{Name: "mobilenet_int8"}}, q: q}
	if e.turned() {
		return nil, fault.Unsupportedf("padding 'same' without a fixed height and width is not written in 8 bits")
	}
	if name, ok := q.KeptFloat(); ok && qoperator {
		return nil, fault.Unsupportedf("layer %s was kept in float32: operators on bytes have none such, QDQ has", name)
	}
	e.symmetric = symmetric(q) && !qoperator
	if err := e.network(q.Config.Network(), qoperator); err != nil {
		return nil, err
	}
	if name, ok := madeTwice(e.g); ok {
		return nil, fmt.Errorf("the graph has a value called %q already: choose another name for the input or output", name)
	}
	metadata, err := metadataOf(m)
	if err != nil {
		return nil, err
	}
	p := &ir.Proto{
		IrVersion:       irVersions[o.Opset-MinOpset],
		ProducerName:    producer,
		ProducerVersion: producerVersion,
		Graph:           e.g,
		OpsetImport:     []*pb.OperatorSetIdProto{{Version: int64(o.Opset)}},
		MetadataProps:   metadata,
	}
	if qoperator {
		p.OpsetImport = append(p.OpsetImport, &pb.OperatorSetIdProto{Domain: microsoft, Version: 1})
	}
	return p, nil
}

// A quantisedExporter appends the nodes and initialisers of q to g.
type quantisedExporter struct {
	exporter
	q *model.Quantized

	// symmetric is what TensorRT takes: 0 is the zero point of everything, biases are
	// float32, and bounds of activations stand before their QuantizeLinear.
	symmetric bool
}

// An activation is bytes, as a value of the graph, and what they stand for.
type activation struct {
	value string
	model.Quantization
	scale, zero string // initialisers
}

// form is how a graph computes with bytes.
type form struct {
	conv   func(c model.Conv, l *model.QuantizedLayer, x activation) activation
	add    func(path string, a, b activation, out model.QuantizedSum) activation
	pool   func(x activation, out model.Quantization) activation
	linear func(l model.Linear, w *model.QuantizedLayer, x activation) string // float32
}

func (e *quantisedExporter) network(n model.Network, qoperator bool) error {
	for _, p := range e.q.Parts() {
		if p.Layer.Float != nil {
			continue
		}
		if elem, _, ok := weightType(p.Layer.Weight); !ok || elem == pb.TensorProto_UINT8 && e.q.Signed {
			u := fault.Unsupportedf("weights further from their zero point than 8 bits go, which ONNX's operators don't take")
			u.Place = p.Name
			return u
		}
	}
	e.h, e.w = e.m.Config.InputSize()
	e.declare(n)
	f := form{e.convFloat, e.addFloat, e.poolFloat, e.linearFloat}
	if qoperator {
		f = form{e.convBytes, e.addBytes, e.poolBytes, e.linearBytes}
	}
	input := e.o.Input
	if e.o.Preprocess {
		input = e.preprocess(input)
	}
	x := e.quantize("input", input, e.q.Input)
	at := 0
	conv := func(c model.Conv) {
		l := &e.q.Convs[at]
		x = e.clip(module(c), f.conv(c, l, x), l)
		e.h, e.w = c.OutSize(e.h), c.OutSize(e.w)
		at++
	}
	conv(n.First)
	for i, b := range n.Blocks {
		in := x
		for _, c := range b.Convs() {
			conv(c)
		}
		if b.Residual() {
			x = f.add(b.Name, in, x, e.q.Sums[i])
		}
	}
	conv(n.Last)
	x = f.pool(x, e.q.Pool)
	logits := f.linear(n.Classifier, &e.q.Classifier, x)
	if e.o.Softmax {
		e.node("Softmax", "", []string{logits}, ir.IntOf("axis", 1))
	}
	last := e.g.Node[len(e.g.Node)-1]
	last.Output[0] = e.o.Output
	return nil
}

// module is the module that puts out what c and the ReLU6 behind it make.
func module(c model.Conv) string { return strings.TrimSuffix(c.Name, ".0") }

// stands appends what the bytes of a value stand for.
func (e *quantisedExporter) stands(path, value string, q model.Quantization) activation {
	a := activation{value: value, Quantization: q, scale: path + ".output_scale", zero: path + ".output_zero"}
	e.initialise(ir.FloatTensor(a.scale, []float32{q.Scale}), e.bytes(a.zero, []byte{q.Zero}))
	return a
}

// bytes returns a tensor of activations: signed bytes are 128 less in a graph.
func (e *quantisedExporter) bytes(name string, b []byte, shape ...int) *ir.Tensor {
	if !e.q.Signed {
		return byteTensor(name, pb.TensorProto_UINT8, b, shape...)
	}
	signed := make([]byte, len(b))
	for i, v := range b {
		signed[i] = v - 128
	}
	return byteTensor(name, pb.TensorProto_INT8, signed, shape...)
}

// symmetric reports whether 0 is the zero point of all activations.
func symmetric(q *model.Quantized) bool {
	zeros := []model.Quantization{q.Input, q.Pool}
	for i := range q.Convs {
		zeros = append(zeros, q.Convs[i].Out)
	}
	for i, b := range q.Config.Network().Blocks {
		if b.Residual() {
			zeros = append(zeros, q.Sums[i].Quantization)
		}
	}
	return q.Signed && !slices.ContainsFunc(zeros, func(z model.Quantization) bool { return z.Zero != 128 })
}

func (e *quantisedExporter) initialise(t ...*ir.Tensor) {
	e.g.Initializer = append(e.g.Initializer, t...)
}

// quantize appends a QuantizeLinear.
func (e *quantisedExporter) quantize(path, x string, q model.Quantization) activation {
	a := e.stands(path, "", q)
	a.value = e.node("QuantizeLinear", path, []string{x, a.scale, a.zero})
	return a
}

// dequantize appends a DequantizeLinear.
func (e *quantisedExporter) dequantize(path string, x activation) string {
	return e.node("DequantizeLinear", path, []string{x.value, x.scale, x.zero})
}

// clip appends the bounds of the bytes that l puts out, where there are any. ReLU6
// is none where the bytes end at 0 and at 6 or less.
func (e *quantisedExporter) clip(path string, x activation, l *model.QuantizedLayer) activation {
	if l.Min == 0 && l.Max == 255 || e.symmetric {
		return x
	}
	low, high := path+".output_min", path+".output_max"
	e.initialise(e.bytes(low, []byte{l.Min}), e.bytes(high, []byte{l.Max}))
	x.value = e.node("Clip", path, []string{x.value, low, high})
	return x
}

// bound is clip for what becomes the bytes that l puts out.
func (e *quantisedExporter) bound(path, y string, l *model.QuantizedLayer) string {
	switch {
	case l.Min == 0 && l.Max == 255 || !e.symmetric:
		return y
	case l.Min == l.Out.Zero && l.Max == 255:
		return e.node("Relu", path, []string{y})
	}
	low, high := path+".output_min", path+".output_max"
	e.initialise(ir.FloatTensor(low, []float32{l.Out.Dequantize(l.Min)}), ir.FloatTensor(high, []float32{l.Out.Dequantize(l.Max)}))
	return e.node("Clip", path, []string{y, low, high})
}

// layer appends the weights of l, their scales and zero points, and the biases.
func (e *quantisedExporter) layer(name string, l *model.QuantizedLayer, shape []int) (weight [3]string, bias string) {
	out := len(l.Bias)
	elem, zero, _ := weightType(l.Weight)
	weights, biases := make([]byte, len(l.Weight)), make([]byte, 0, 4*out)
	for i, w := range l.Weight {
		weights[i] = byte(w + zero)
	}
	for _, b := range l.Bias {
		biases = binary.LittleEndian.AppendUint32(biases, uint32(b))
	}
	weight = [3]string{name + ".weight", name + ".weight_scale", name + ".weight_zero"}
	bias = name + ".bias"
	e.initialise(
		byteTensor(weight[0], elem, weights, shape...),
		ir.FloatTensor(weight[1], l.Scale, out),
		byteTensor(weight[2], elem, bytes.Repeat([]byte{byte(zero)}, out), out),
		byteTensor(bias, pb.TensorProto_INT32, biases, out),
	)
	return weight, bias
}

// weightType returns the type that holds weights, and their zero point: signed bytes if
// they fit, or else unsigned ones. ok is false where neither does.
func weightType(weights []int16) (elem pb.TensorProto_DataType, zero int16, ok bool) {
	low, high := slices.Min(weights), slices.Max(weights)
	if low >= -128 && high <= 127 {
		return pb.TensorProto_INT8, 0, true
	}
	zero = max(0, -low)
	return pb.TensorProto_UINT8, zero, zero <= 255 && high+zero <= 255
}

// dequantized appends a layer's weights and biases as float32. The layer reads bytes
// of scale sx.
func (e *quantisedExporter) dequantized(name string, l *model.QuantizedLayer, shape []int, sx float32) (weight, bias string) {
	if f := l.Float; f != nil {
		weight, bias = name+".weight", name+".bias"
		e.initialise(ir.FloatTensor(weight, f.Weight, shape...), ir.FloatTensor(bias, f.Bias, len(f.Bias)))
		return weight, bias
	}
	w, b := e.layer(name, l, shape)
	weight = e.node("DequantizeLinear", name+".weight", w[:], ir.IntOf("axis", 0))
	out := len(l.Bias)
	scales := make([]float32, out)
	for o := range scales {
		scales[o] = l.Multiplier(o, sx, false)
	}
	if e.symmetric {
		numbers := make([]float32, out)
		for o := range numbers {
			numbers[o] = float32(float64(l.Bias[o]) * float64(scales[o]))
		}
		e.g.Initializer[len(e.g.Initializer)-1] = ir.FloatTensor(b, numbers, out)
		return weight, b
	}
	scale, zero := b+"_scale", b+"_zero" // tools want the zero point, though it is the default
	e.initialise(ir.FloatTensor(scale, scales, out), byteTensor(zero, pb.TensorProto_INT32, make([]byte, 4*out), out))
	return weight, e.node("DequantizeLinear", name+".bias", []string{b, scale, zero}, ir.IntOf("axis", 0))
}

// Operators on float32, between pairs of QuantizeLinear and DequantizeLinear.

func (e *quantisedExporter) convFloat(c model.Conv, l *model.QuantizedLayer, x activation) activation {
	weight, bias := e.dequantized(c.Name, l, c.WeightShape(), x.Scale)
	y := e.node("Conv", c.Name, []string{e.dequantize(c.Name, x), weight, bias}, e.convAttributes(c)...)
	return e.quantize(module(c), e.bound(module(c), y, l), l.Out)
}

func (e *quantisedExporter) addFloat(path string, a, b activation, out model.QuantizedSum) activation {
	if out.Swapped {
		a, b = b, a
	}
	y := e.node("Add", path, []string{e.dequantize(path, a), e.dequantize(path, b)})
	return e.quantize(path, y, out.Quantization)
}

func (e *quantisedExporter) poolFloat(x activation, out model.Quantization) activation {
	y := e.quantize("avgpool", e.node("GlobalAveragePool", "avgpool", []string{e.dequantize("avgpool", x)}), out)
	flat := y // in the form that all tools fuse
	z := e.node("Flatten", "flatten", []string{e.dequantize("flatten", y)}, ir.IntOf("axis", 1))
	flat.value = e.node("QuantizeLinear", "flatten", []string{z, y.scale, y.zero})
	return flat
}

func (e *quantisedExporter) linearFloat(l model.Linear, w *model.QuantizedLayer, x activation) string {
	weight, bias := e.dequantized(l.Name, w, []int{l.Out, l.In}, x.Scale)
	y := e.node("Gemm", l.Name, []string{e.dequantize(l.Name, x), weight, bias}, ir.IntOf("transB", 1))
	if !e.q.Logits {
		return y
	}
	return e.logits(l, w, e.quantize(l.Name, e.bound(l.Name, y, w), w.Out), e.addFloat)
}

// logits appends what stands behind the classifier's bytes.
func (e *quantisedExporter) logits(l model.Linear, w *model.QuantizedLayer, y activation, add func(string, activation, activation, model.QuantizedSum) activation) string {
	y = e.clip(l.Name, y, w)
	if b := e.q.ClassBias; b != nil {
		path := l.Name + ".class_bias"
		bias := e.stands(path, path, b.Of)
		e.initialise(e.bytes(path, b.Bytes, l.Out))
		y = add(l.Name+".sum", y, bias, b.Sum)
	}
	return e.dequantize(l.Name, y)
}

// Operators on bytes, most of them ONNX Runtime's.

func (e *quantisedExporter) microsoft(op, path string, inputs []string, attrs ...*ir.Attribute) string {
	x := e.node(op, path, inputs, attrs...)
	e.g.Node[len(e.g.Node)-1].Domain = microsoft
	return x
}

func (e *quantisedExporter) convBytes(c model.Conv, l *model.QuantizedLayer, x activation) activation {
	w, b := e.layer(c.Name, l, c.WeightShape())
	y := e.stands(module(c), "", l.Out)
	y.value = e.node("QLinearConv", module(c), []string{
		x.value, x.scale, x.zero, w[0], w[1], w[2], y.scale, y.zero, b,
	}, e.convAttributes(c)...)
	return y
}

func (e *quantisedExporter) addBytes(path string, a, b activation, out model.QuantizedSum) activation {
	if out.Swapped {
		a, b = b, a
	}
	y := e.stands(path, "", out.Quantization)
	y.value = e.microsoft("QLinearAdd", path, []string{a.value, a.scale, a.zero, b.value, b.scale, b.zero, y.scale, y.zero})
	return y
}

func (e *quantisedExporter) poolBytes(x activation, out model.Quantization) activation {
	y := e.stands("avgpool", "", out)
	z := e.microsoft("QLinearGlobalAveragePool", "avgpool", []string{x.value, x.scale, x.zero, y.scale, y.zero}, ir.IntOf("channels_last", 0))
	y.value = e.node("Flatten", "flatten", []string{z}, ir.IntOf("axis", 1))
	return y
}

func (e *quantisedExporter) linearBytes(l model.Linear, w *model.QuantizedLayer, x activation) string {
	weight, bias := e.layer(l.Name, w, []int{l.Out, l.In})
	inputs := []string{x.value, x.scale, x.zero, weight[0], weight[1], weight[2], bias}
	attributes := []*ir.Attribute{ir.FloatOf("alpha", 1), ir.IntOf("transA", 0), ir.IntOf("transB", 1)}
	if !e.q.Logits {
		return e.microsoft("QGemm", l.Name, inputs, attributes...)
	}
	y := e.stands(l.Name, "", w.Out)
	y.value = e.microsoft("QGemm", l.Name, append(inputs, y.scale, y.zero), attributes...)
	return e.logits(l, w, y, e.addBytes)
}

func byteTensor(name string, elem pb.TensorProto_DataType, raw []byte, shape ...int) *ir.Tensor {
	t := &ir.Tensor{Name: name, DataType: int32(elem), RawData: raw}
	for _, d := range shape {
		t.Dims = append(t.Dims, int64(d))
	}
	return t
}
