package export

import (
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
	add    func(path string, a, b activation, out model.Quantization) activation
	pool   func(x activation, out model.Quantization) activation
	linear func(l model.Linear, w *model.QuantizedLayer, x activation) string // float32
}

func (e *quantisedExporter) network(n model.Network, qoperator bool) error {
	for _, p := range e.q.Parts() {
		if slices.ContainsFunc(p.Layer.Weight, func(w int16) bool { return w != int16(int8(w)) }) {
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
			x = f.add(b.Name, in, x, e.q.Sums[i].Quantization)
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
	e.initialise(ir.FloatTensor(a.scale, []float32{q.Scale}), byteTensor(a.zero, pb.TensorProto_UINT8, []byte{q.Zero}))
	return a
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
	if l.Min == 0 && l.Max == 255 {
		return x
	}
	low, high := path+".output_min", path+".output_max"
	e.initialise(byteTensor(low, pb.TensorProto_UINT8, []byte{l.Min}), byteTensor(high, pb.TensorProto_UINT8, []byte{l.Max}))
	x.value = e.node("Clip", path, []string{x.value, low, high})
	return x
}

// layer appends the weights of l, their scales and zero points, and the biases.
func (e *quantisedExporter) layer(name string, l *model.QuantizedLayer, shape []int) (weight [3]string, bias string) {
	out := len(l.Bias)
	weights, biases := make([]byte, len(l.Weight)), make([]byte, 0, 4*out)
	for i, w := range l.Weight {
		weights[i] = byte(int8(w))
	}
	for _, b := range l.Bias {
		biases = binary.LittleEndian.AppendUint32(biases, uint32(b))
	}
	weight = [3]string{name + ".weight", name + ".weight_scale", name + ".weight_zero"}
	bias = name + ".bias"
	e.initialise(
		byteTensor(weight[0], pb.TensorProto_INT8, weights, shape...),
		ir.FloatTensor(weight[1], l.Scale, out),
		byteTensor(weight[2], pb.TensorProto_INT8, make([]byte, out), out),
		byteTensor(bias, pb.TensorProto_INT32, biases, out),
	)
	return weight, bias
}

// dequantized appends a layer's weights and biases as float32. The layer reads bytes
// of scale sx.
func (e *quantisedExporter) dequantized(name string, l *model.QuantizedLayer, shape []int, sx float32) (weight, bias string) {
	w, b := e.layer(name, l, shape)
	out := len(l.Bias)
	scales := make([]float32, out)
	for o := range scales {
		scales[o] = l.Multiplier(o, sx, false)
	}
	scale, zero := b+"_scale", b+"_zero" // tools want the zero point, though it is the default
	e.initialise(ir.FloatTensor(scale, scales, out), byteTensor(zero, pb.TensorProto_INT32, make([]byte, 4*out), out))
	weight = e.node("DequantizeLinear", name+".weight", w[:], ir.IntOf("axis", 0))
	return weight, e.node("DequantizeLinear", name+".bias", []string{b, scale, zero}, ir.IntOf("axis", 0))
}

// Operators on float32, between pairs of QuantizeLinear and DequantizeLinear.

func (e *quantisedExporter) convFloat(c model.Conv, l *model.QuantizedLayer, x activation) activation {
	weight, bias := e.dequantized(c.Name, l, c.WeightShape(), x.Scale)
	y := e.node("Conv", c.Name, []string{e.dequantize(c.Name, x), weight, bias}, e.convAttributes(c)...)
	return e.quantize(module(c), y, l.Out)
}

func (e *quantisedExporter) addFloat(path string, a, b activation, out model.Quantization) activation {
	y := e.node("Add", path, []string{e.dequantize(path, a), e.dequantize(path, b)})
	return e.quantize(path, y, out)
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
	return e.dequantize(l.Name, e.clip(l.Name, e.quantize(l.Name, y, w.Out), w))
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

func (e *quantisedExporter) addBytes(path string, a, b activation, out model.Quantization) activation {
	y := e.stands(path, "", out)
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
	return e.dequantize(l.Name, e.clip(l.Name, y, w))
}

func byteTensor(name string, elem pb.TensorProto_DataType, raw []byte, shape ...int) *ir.Tensor {
	t := &ir.Tensor{Name: name, DataType: int32(elem), RawData: raw}
	for _, d := range shape {
		t.Dims = append(t.Dims, int64(d))
	}
	return t
}
