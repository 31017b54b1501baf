package tflite

import (
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/half"
	"github.com/mobilenet-go/mobilenet/model"
)

// Names of what a graph of ours takes and gives.
const (
	inputName    = "images"
	outputName   = "probabilities"
	featuresName = "features"
)

// maxWritten bounds a file's constants: a flatbuffer ends at 2 GB.
const maxWritten = 1 << 30

// Options are the choices of [Export].
type Options struct {
	// Half stores convolutions and classifier as float16, which rounds them. The graph
	// computes in float32.
	Half bool
}

// Export returns m as a .tflite file with an input [1,H,W,3] of normalised pixels and
// an output [1,classes] of probabilities: by SOFTMAX, or by LOGISTIC where the model's
// head has a sigmoid. A model without classes puts out its features [1,C]. Batch
// normalisation is folded; [Parse] returns the folded weights to the bit.
//
// The operators are those of TensorFlow's own converter: CONV_2D and DEPTHWISE_CONV_2D
// with ReLU6, ADD, MEAN, FULLY_CONNECTED, and PAD before strides of 2 where PyTorch's
// padding is not TensorFlow's. LiteRT's metadata has the normalisation and, where the
// model has names, labels.txt behind the model; entries of our own have the config.
func Export(m *model.Model, o Options) ([]byte, error) {
	if m == nil {
		return nil, errors.New("export: no model")
	}
	if err := m.Config.Validate(); err != nil {
		return nil, err
	}
	n := m.Config.Network()
	if err := n.Check(m.Dict); err != nil {
		return nil, err
	}
	size := 0
	for _, s := range n.Specs() {
		size += 4 * len(m.Dict[s.Name].Data)
	}
	if size > maxWritten {
		return nil, fault.TooLargef("%d bytes of weights: a .tflite file ends at 2 GB", size)
	}
	e := &exporter{writer: newWriter(size + size/8 + 1<<16), half: o.Half}
	e.h, e.w = m.Config.InputSize()
	input := e.tensor(inputName, elemFloat32, []int{1, e.h, e.w, 3}, 0, nil)
	x := activation{input, 3}
	conv := func(c model.Conv) { x = e.conv(m, c, x) }
	conv(n.First)
	for _, b := range n.Blocks {
		in := x
		for _, c := range b.Convs() {
			conv(c)
		}
		if b.Residual() {
			x = e.add(b.Name, in, x)
		}
	}
	conv(n.Last)
	out := named{outputName, e.head(m, n, x)}
	if m.Config.Classes == 0 {
		out.name = featuresName
	}
	version := "1.6.0" // of MEAN; runtime_version.cc of TensorFlow
	switch {
	case o.Half:
		version = "1.15.0" // of DEQUANTIZE for float16
	case m.Config.Head.Sigmoid:
		version = "1.14.0" // of LOGISTIC
	}
	return e.file(m, version, named{inputName, input}, out)
}

// Save writes m to a file, which is complete or not there: see [Export].
func Save(path string, m *model.Model, o Options) error {
	data, err := Export(m, o)
	if err != nil {
		return fault.In(path, err)
	}
	return save(path, data)
}

func save(path string, data []byte) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// An exporter writes the network of a model.
type exporter struct {
	*writer
	h, w int // of the current map
	half bool
}

// An activation is the tensor of a map, and how many channels it has.
type activation struct{ tensor, channels int }

// made declares what an operator puts out: a map of the current size.
func (e *exporter) made(name string, channels int) activation {
	return activation{e.tensor(name, elemFloat32, []int{1, e.h, e.w, channels}, 0, nil), channels}
}

// weights writes constants, as float16 with the DEQUANTIZE that makes float32 of them
// where that is wanted.
func (e *exporter) weights(name string, shape []int, values []float32) int {
	if !e.half {
		return e.constant(name, elemFloat32, shape, floatBytes(values), nil)
	}
	b := make([]byte, 0, 2*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint16(b, half.FromFloat32(v))
	}
	stored := e.constant(name+"_half", elemFloat16, shape, b, nil)
	out := e.tensor(name, elemFloat32, shape, 0, nil)
	e.operator(operatorVersion{opDequantize, 3}, []int{stored}, []int{out}, optionsDequantize)
	return out
}

// conv writes c with its norm folded in.
func (e *exporter) conv(m *model.Model, c model.Conv, x activation) activation {
	w, b := m.Fold(c)
	weight := e.weights(c.Name+".weight", convShape(c), channelsLast(c, w))
	bias := e.constant(c.Name+".bias", elemFloat32, []int{c.Out}, floatBytes(b), nil)
	x.tensor = e.padded(m.Config.Padding, c, x, operatorVersion{opPad, 1}, func(shape []int) int {
		return e.tensor(c.Name+".pad", elemFloat32, shape, 0, nil)
	})
	e.h, e.w = c.OutSize(e.h), c.OutSize(e.w)
	y := e.made(module(c), c.Out)
	activation := byte(activationNone)
	if c.ReLU6 {
		activation = activationRelu6
	}
	e.convolve(c, []int{x.tensor, weight, bias}, y.tensor, m.Config.Padding, activation, 1)
	return y
}

// convolve writes the operator of c, for a map that is padded already where PyTorch's
// padding needs that.
func (e *exporter) convolve(c model.Conv, in []int, out int, p model.Padding, activation byte, version int32) {
	padding := byte(paddingSame)
	if pads(p, c) {
		padding = paddingValid
	}
	if c.Depthwise() {
		e.operator(operatorVersion{opDepthwise, version}, in, []int{out}, optionsDepthwise,
			choice{depthPadding, padding}, choice{depthStrideW, c.Stride}, choice{depthStrideH, c.Stride},
			choice{depthMultiplier, 1}, choice{depthActivation, activation}, choice{depthDilationW, 1}, choice{depthDilationH, 1})
		return
	}
	e.operator(operatorVersion{opConv, version}, in, []int{out}, optionsConv,
		choice{convPadding, padding}, choice{convStrideW, c.Stride}, choice{convStrideH, c.Stride},
		choice{convActivation, activation}, choice{convDilationW, 1}, choice{convDilationH, 1})
}

// pads reports whether c needs a PAD operator: PyTorch's one pixel around is
// TensorFlow's SAME at stride 1, and not at stride 2.
func pads(p model.Padding, c model.Conv) bool {
	return p == model.PadTorch && c.Kernel == 3 && c.Stride == 2
}

// padded returns x with the pixels around it that c needs, in a tensor that declare
// makes.
func (e *exporter) padded(p model.Padding, c model.Conv, x activation, o operatorVersion, declare func(shape []int) int) int {
	if !pads(p, c) {
		return x.tensor
	}
	around := e.constant(c.Name+".pads", elemInt32, []int{4, 2}, intBytes([]int32{0, 0, 1, 1, 1, 1, 0, 0}), nil)
	out := declare([]int{1, e.h + 2, e.w + 2, x.channels})
	e.operator(o, []int{x.tensor, around}, []int{out}, optionsPad)
	return out
}

func (e *exporter) add(name string, a, b activation) activation {
	y := e.made(name, b.channels)
	e.operator(operatorVersion{opAdd, 1}, []int{a.tensor, b.tensor}, []int{y.tensor}, optionsAdd)
	return y
}

// head writes what is behind the last map.
func (e *exporter) head(m *model.Model, n model.Network, x activation) (out int) {
	e.h, e.w = 1, 1
	axes := e.constant("pool.axes", elemInt32, []int{2}, intBytes([]int32{1, 2}), nil)
	features := e.tensor(featuresName, elemFloat32, []int{1, x.channels}, 0, nil)
	e.operator(operatorVersion{opMean, 1}, []int{x.tensor, axes}, []int{features}, optionsReducer)
	at := features
	for _, l := range n.Linears() {
		weight := e.weights(l.Name+".weight", []int{l.Out, l.In}, m.Dict[l.Name+".weight"].Data)
		bias := e.constant(l.Name+".bias", elemFloat32, []int{l.Out}, floatBytes(m.Dict[l.Name+".bias"].Data), nil)
		name, activation := "logits", byte(activationNone)
		if l != n.Classifier {
			name, activation = l.Name, activationRelu
		}
		y := e.tensor(name, elemFloat32, []int{1, l.Out}, 0, nil)
		e.operator(operatorVersion{opFullyConnected, 1}, []int{at, weight, bias}, []int{y}, optionsFully, choice{fullyActivation, activation})
		at = y
	}
	if m.Config.Classes == 0 {
		return at
	}
	return e.probabilities(at, m.Config)
}

// probabilities writes the last operator.
func (e *exporter) probabilities(logits int, c model.Config) int {
	out := e.tensor(outputName, elemFloat32, []int{1, c.Classes}, 0, nil)
	if c.Head.Sigmoid {
		e.operator(operatorVersion{opLogistic, 1}, []int{logits}, []int{out}, 0)
	} else {
		e.operator(operatorVersion{opSoftmax, 1}, []int{logits}, []int{out}, optionsSoftmax, choice{softmaxBeta, float32(1)})
	}
	return out
}

// file finishes the model of m, for LiteRT from a version on.
func (e *exporter) file(m *model.Model, version string, in, out named) ([]byte, error) {
	padded := make([]byte, 16)
	copy(padded, version)
	e.entry("min_runtime_version", padded)
	labels := m.Labels
	if len(labels) != m.Config.Classes { // one output has two names, and LiteRT wants one for each
		labels = nil
	}
	e.entry(metadataKey, about(m.Config, out.name, labels != nil))
	entries, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		e.entry(key, []byte(entries[key]))
	}
	return withLabels(e.finish("mobilenet-go", in, out), labels)
}

// module is the module that puts out what c and the ReLU6 behind it make.
func module(c model.Conv) string { return strings.TrimSuffix(c.Name, ".0") }

// convShape is that of c's weights in LiteRT.
func convShape(c model.Conv) []int {
	if c.Depthwise() {
		return []int{1, c.Kernel, c.Kernel, c.Out}
	}
	return []int{c.Out, c.Kernel, c.Kernel, c.In}
}

// channelsLast returns weights [O,I,H,W] as [O,H,W,I], and those of a depthwise
// convolution, [O,1,H,W], as [1,H,W,O].
func channelsLast[T any](c model.Conv, w []T) []T {
	if c.Kernel == 1 {
		return w
	}
	moved, pixels, in := make([]T, len(w)), c.Kernel*c.Kernel, c.In/c.Groups
	for o := range c.Out {
		for i := range in {
			for p := range pixels {
				to := (o*pixels+p)*in + i
				if c.Depthwise() {
					to = p*c.Out + o
				}
				moved[to] = w[(o*in+i)*pixels+p]
			}
		}
	}
	return moved
}
