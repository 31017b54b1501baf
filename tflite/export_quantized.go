package tflite

import (
	"errors"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// ExportQuantized returns q as a .tflite file of int8: weights with a scale for each
// output channel, biases int32, activations of one scale a tensor, whose bytes are 128
// less than q's. The input is [1,H,W,3] of normalised pixels, which QUANTIZE makes bytes
// of, and the output [1,classes] of probabilities, by SOFTMAX of float32 logits, which
// DEQUANTIZE makes of bytes.
//
// LiteRT's default kernels compute q's bytes, but for residual sums: theirs are in fixed
// point, and differ from q's where these are close to a tie (see
// [model.Quantized.LiteRT]), and multipliers and the input's bytes are not those of a
// QNNPACK network. [Parse] returns a network whose sums are theirs.
//
// A network whose logits are numbers gets bytes for them, too: q.Classifier.Out says what
// these stand for. An error is [errors.ErrUnsupported] where it doesn't, or where a
// network has what LiteRT's operators don't take.
func ExportQuantized(q *model.Quantized) ([]byte, error) {
	if q == nil {
		return nil, errors.New("export: no model")
	}
	q, err := Prepare(q)
	if err != nil {
		return nil, err
	}
	n := q.Config.Network()
	e := &quantizedExporter{exporter: exporter{writer: newWriter(1 << 20)}, q: q}
	e.h, e.w = q.Config.InputSize()
	pixels := e.tensor(inputName, elemFloat32, []int{1, e.h, e.w, 3}, 0, nil)
	x := e.bytes("input", []int{1, e.h, e.w, 3}, q.Input)
	e.operator(operatorVersion{opQuantize, 1}, []int{pixels}, []int{x.tensor}, optionsQuantize)
	at := 0
	conv := func(c model.Conv) {
		x = e.conv(c, &q.Convs[at], x)
		at++
	}
	conv(n.First)
	for i, b := range n.Blocks {
		in := x
		for _, c := range b.Convs() {
			conv(c)
		}
		if b.Residual() {
			y := e.bytes(b.Name, []int{1, e.h, e.w, b.Out}, q.Sums[i].Quantization)
			e.operator(operatorVersion{opAdd, 2}, []int{in.tensor, x.tensor}, []int{y.tensor}, optionsAdd)
			x = y
		}
	}
	conv(n.Last)
	m := &model.Model{Config: q.Config, Labels: q.Labels}
	out := e.head(n, x)
	return e.file(m, "1.14.0", named{inputName, pixels}, named{outputName, out}) // of int8; runtime_version.cc of TensorFlow
}

// SaveQuantized writes q to a file, which is complete or not there: see
// [ExportQuantized].
func SaveQuantized(path string, q *model.Quantized) error {
	data, err := ExportQuantized(q)
	if err != nil {
		return fault.In(path, err)
	}
	return save(path, data)
}

// Prepare returns q as LiteRT computes it, and as [Parse] reads it from what
// [ExportQuantized] writes: with bytes of logits, and sums in fixed point.
func Prepare(q *model.Quantized) (*model.Quantized, error) {
	own := *q
	switch {
	case q.Wide:
		return nil, fault.Unsupportedf("TFLite has no wide residual sums: quantise without them")
	case q.ClassBias != nil:
		return nil, fault.Unsupportedf("TFLite has no bytes that are added to the logits' bytes")
	case !q.Logits && q.Classifier.Out == model.Quantization{Scale: 1}:
		return nil, fault.Unsupportedf("TFLite wants bytes for logits, and nothing says what they stand for: quantise the model again")
	case !q.Logits:
		own.Logits = true
		own.Classifier.Min, own.Classifier.Max = 0, 255
	}
	own.LiteRT, own.Signed, own.QNNPACK = true, true, false
	if err := own.Validate(); err != nil {
		return nil, err
	}
	inputs, _ := own.Inputs()
	convs := append(own.Config.Network().Convs(), model.Conv{})
	for i, p := range own.Parts() {
		if p.Layer.Float != nil {
			return nil, unsupported(p.Name, "weights of float32 in a network of bytes: TFLite's operators don't mix")
		}
		x := own.Pool
		if i < len(inputs) {
			x = inputs[i]
		}
		for o, s := range p.Layer.Scale {
			// XNNPACK takes from 2^-32 on, and no sum reaches that.
			if m := p.Layer.Multiplier(o, x.Scale, true); m >= 0x1p8 {
				return nil, unsupported(p.Name, "weights of scale %v multiply sums by %v: LiteRT takes less than 256", s, m)
			}
		}
		if _, ok := activationOf(convs[i], p.Layer); !ok {
			return nil, unsupported(p.Name, "its output is bounded by %d and %d, which is neither ReLU6 nor ReLU nor nothing", p.Layer.Min, p.Layer.Max)
		}
		for _, w := range p.Layer.Weight {
			if w < -127 || w > 127 {
				return nil, unsupported(p.Name, "a weight is %d from its zero point: TFLite takes up to 127", w)
			}
		}
	}
	return &own, nil
}

// activationOf is LiteRT's activation that bounds what l puts out; ok is false where none
// does.
func activationOf(c model.Conv, l *model.QuantizedLayer) (activation byte, ok bool) {
	none, relu := l.Min == 0 && l.Max == 255, l.Min == l.Out.Zero && l.Max == 255
	relu6 := l.Min == l.Out.Zero && l.Max == l.Out.Quantize(6)
	switch { // more than one may do
	case relu6 && (c.ReLU6 || !none):
		return activationRelu6, true
	case relu && (c.ReLU6 || !none):
		return activationRelu, true
	case none:
		return activationNone, true
	}
	return 0, false
}

func unsupported(place, format string, args ...any) error {
	e := fault.Unsupportedf(format, args...)
	e.Place = place
	return e
}

// A quantizedExporter writes the network of q.
type quantizedExporter struct {
	exporter
	q *model.Quantized
}

// A bytesMap is an activation of bytes, and what they stand for.
type bytesMap struct {
	activation
	model.Quantization
}

func (e *quantizedExporter) bytes(name string, shape []int, q model.Quantization) bytesMap {
	t := e.tensor(name, elemInt8, shape, 0, &quantization{scale: []float32{q.Scale}, zero: []int64{int64(q.Zero) - 128}})
	return bytesMap{activation{t, shape[len(shape)-1]}, q}
}

// conv writes c and the activation behind it.
func (e *quantizedExporter) conv(c model.Conv, l *model.QuantizedLayer, x bytesMap) bytesMap {
	weight, bias := e.layer(c, l, x.Quantization)
	in := e.padded(e.q.Config.Padding, c, x.activation, operatorVersion{opPad, 2}, func(shape []int) int {
		return e.bytes(c.Name+".pad", shape, x.Quantization).tensor
	})
	e.h, e.w = c.OutSize(e.h), c.OutSize(e.w)
	y := e.bytes(module(c), []int{1, e.h, e.w, c.Out}, l.Out)
	activation, _ := activationOf(c, l)
	e.convolve(c, []int{in, weight, bias}, y.tensor, e.q.Config.Padding, activation, 3)
	return y
}

// layer writes the weights and biases of l, which takes bytes of x. An output channel
// that is always 0 gets weights of 0 in steps that LiteRT takes.
func (e *quantizedExporter) layer(c model.Conv, l *model.QuantizedLayer, x model.Quantization) (weight, bias int) {
	scale, biasScale := make([]float32, c.Out), make([]float32, c.Out)
	bytes, biases := make([]byte, len(l.Weight)), make([]int32, c.Out)
	per := len(l.Weight) / c.Out
	for o := range scale {
		scale[o] = l.Scale[o]
		if m := l.Multiplier(o, x.Scale, true); m < 0x1p-32 { // no sum of 32 bits makes a half of it
			scale[o] = l.Out.Scale / x.Scale
		} else {
			biases[o] = l.Bias[o]
			for i := o * per; i < (o+1)*per; i++ {
				bytes[i] = byte(int8(l.Weight[i]))
			}
		}
		biasScale[o] = x.Scale * scale[o]
	}
	axis := int32(0)
	if c.Depthwise() {
		axis = 3
	}
	zeros := make([]int64, c.Out)
	weight = e.constant(c.Name+".weight", elemInt8, convShape(c), channelsLast(c, bytes), &quantization{scale, zeros, axis})
	bias = e.constant(c.Name+".bias", elemInt32, []int{c.Out}, intBytes(biases), &quantization{biasScale, zeros, 0})
	return weight, bias
}

// head writes what is behind the last map: the classifier is a 1x1 convolution, which has
// a scale for each class in every LiteRT, and FULLY_CONNECTED only in late ones.
func (e *quantizedExporter) head(n model.Network, x bytesMap) (out int) {
	pooled := e.bytes("pool", []int{1, 1, 1, x.channels}, e.q.Pool)
	if e.q.AveragePool {
		e.operator(operatorVersion{opAveragePool, 2}, []int{x.tensor}, []int{pooled.tensor}, optionsPool,
			choice{poolPadding, byte(paddingValid)}, choice{poolStrideW, 1}, choice{poolStrideH, 1}, choice{poolFilterW, e.w}, choice{poolFilterH, e.h})
	} else {
		axes := e.constant("pool.axes", elemInt32, []int{2}, intBytes([]int32{1, 2}), nil)
		e.operator(operatorVersion{opMean, 2}, []int{x.tensor, axes}, []int{pooled.tensor}, optionsReducer, choice{reducerKeep, byte(1)})
	}
	e.h, e.w = 1, 1
	l := n.Classifier
	c := model.Conv{Name: l.Name, In: l.In, Out: l.Out, Kernel: 1, Stride: 1, Groups: 1}
	y := e.conv(c, &e.q.Classifier, pooled)
	shape := e.constant("shape", elemInt32, []int{2}, intBytes([]int32{1, int32(l.Out)}), nil)
	flat := e.bytes("flatten", []int{1, l.Out}, y.Quantization)
	e.operator(operatorVersion{opReshape, 1}, []int{y.tensor, shape}, []int{flat.tensor}, optionsReshape)
	logits := e.tensor("logits", elemFloat32, []int{1, l.Out}, 0, nil)
	e.operator(operatorVersion{opDequantize, 2}, []int{flat.tensor}, []int{logits}, optionsDequantize)
	return e.probabilities(logits, e.q.Config)
}
