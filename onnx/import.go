package onnx

import (
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/trace"
	"github.com/mobilenet-go/mobilenet/model"
)

// Import reads the MobileNetV2 in an .onnx file: [Read] and [Model]. The error names
// the file.
func Import(name string) (*model.Model, error) {
	g, err := Read(name)
	if err != nil {
		return nil, err
	}
	m, err := Model(g)
	return m, fault.In(name, err)
}

// Model recognises the MobileNetV2 in a graph by its structure, whatever its names, and
// returns its weights as float32 under torchvision's names. It takes
//
//   - graphs of torch's exporters in every mode, of TensorFlow's by way of tf2onnx
//     (transposed layouts, asymmetric padding), simplified, optimised by ONNX Runtime
//     (FusedConv) and half precision ones;
//   - quantised ones: QLinear operators, pairs of QuantizeLinear and DequantizeLinear,
//     dynamic quantisation. The model's Dequantized says so: it does not round, as what
//     [Network] returns does;
//   - heads of one matrix or of several with ReLU between, a 1x1 convolution, with
//     norms; Softmax, LogSoftmax or Sigmoid, ArgMax or TopK behind them; none, for
//     features;
//   - preparation of the photos in the graph: constants, norms, red and blue that change
//     places.
//
// A folded batch normalisation comes back as the identity with a bias (see
// [model.Unfold]). Assumed and Notes of the model say what the graph leaves open.
//
// The error of a graph that is something else is a *[fault.Error] whose Place is the
// first node, seen from the output, that does not fit.
func Model(g *Graph) (*model.Model, error) {
	m, _, err := trace.Network(ir.Unwrap(g))
	return m, err
}

// Network is [Model], and where the graph is one of 8-bit integers that this engine runs as
// such, q has them, with the graph's own scales. It takes operators on bytes (QLinearConv,
// QLinearMatMul, ONNX Runtime's QLinearAdd, QLinearGlobalAveragePool and QGemm) and pairs of
// QuantizeLinear and DequantizeLinear around those on numbers; uint8 and int8; weights with
// a scale for all or one for each channel, and zero points.
//
// q computes the bytes that ONNX Runtime computes with these operators on x86. Of pairs that
// are what it makes of them unless it is told to optimise nothing; where some operator has
// no form on bytes, such as a Clip that the bytes' bounds don't stand for, it rounds sums of
// float32, and bytes next to a tie differ.
//
// Where part of the graph computes with numbers q is nil, and Unfit of the model names the
// first operator that does.
func Network(g *Graph) (m *model.Model, q *model.Quantized, err error) {
	return trace.Network(ir.Unwrap(g))
}
