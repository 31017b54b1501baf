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
//     dynamic quantisation. The model's Dequantized says so: it does not round;
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
func Model(g *Graph) (*model.Model, error) { return trace.Model(ir.Unwrap(g)) }
