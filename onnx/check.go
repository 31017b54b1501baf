package onnx

import (
	"github.com/mobilenet-go/mobilenet/internal/onnx/check"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ops"
	"github.com/mobilenet-go/mobilenet/internal/onnx/simplify"
)

// Check reports what is wrong with g, as onnx.checker does with full_check: versions,
// names that are made twice or not at all, nodes before their inputs, operators'
// inputs, outputs and attributes, tensors whose data does not fit their shape, and
// types and shapes that contradict each other. All errors of the graph's structure
// are reported at once, up to a hundred, each a *[fault.Error] whose Place is a node or
// tensor; the text has the first ten. Types and shapes are looked at when there are
// none. Operators outside MobileNetV2's family are not looked into: see [Unchecked].
func Check(g *Graph) error { return check.Graph(ir.Unwrap(g)) }

// Unchecked lists the places of the nodes whose operators [Check] knows nothing of,
// other than that their inputs exist.
func Unchecked(g *Graph) []string { return check.Unchecked(ir.Unwrap(g)) }

// Simplify returns a smaller graph that computes the same: constants become
// initialisers, what depends on them alone is computed, nodes that pass their input
// on or that nothing uses go, padding moves into the convolution behind it, and so
// does batch normalisation into the convolution before it, unless the graph trains.
// The types and shapes of all values are written into it. float16 and
// 8-bit weights stay so, behind the nodes that widen them.
//
// g should pass [Check]; the two share tensors. Nodes of unknown operators are kept.
// [Difference] compares the two.
func Simplify(g *Graph) (*Graph, error) {
	p, err := simplify.Graph(ir.Unwrap(g))
	if err != nil {
		return nil, err
	}
	return ir.Wrap(p), nil
}

// Difference runs both graphs, which have one input of the same kind, on the same
// random data and returns the largest absolute difference of an output, and the
// largest absolute output of a. Axes without a fixed size get 1 image of 64x64. Of a
// batch of fixed size one image is run, if the graph can run one. What takes more than
// some seconds or 256 MB is an error.
func Difference(a, b *Graph, seed uint64) (difference, largest float64, err error) {
	return simplify.Difference(ir.Unwrap(a), ir.Unwrap(b), seed)
}

// Run computes the outputs of a graph with one input, in the graph's order, slowly:
// it is a reference to compare with. data is the input's elements in row-major order,
// whatever their type. Plain loops compute in float64, and each node's output is
// rounded to its type; BatchNormalization in training takes the batch's statistics,
// Dropout drops nothing. An image of 224x224 takes about half a second.
func Run(g *Graph, shape []int, data []float32) ([][]float32, error) {
	return ops.Run(ir.Unwrap(g), shape, data)
}
