package onnx

import (
	"fmt"

	"github.com/mobilenet-go/mobilenet/onnx/internal/pb"
)

// A Graph is an index over the nodes of a model: who makes a value and who takes
// it. It does not follow later changes to the model.
type Graph struct {
	*pb.GraphProto
	Producer  map[string]*Node   // by the name of an output
	Consumers map[string][]*Node // by the name of an input, in graph order; a node that takes it twice is listed once
	Constants map[string]*Tensor // initialisers and outputs of Constant nodes
}

// NewGraph indexes p. The graph need not be well-formed: of values made twice, the
// first producer counts. Constants that cannot be read are left out.
func NewGraph(p *Proto) *Graph {
	g := &Graph{
		GraphProto: p.Graph,
		Producer:   map[string]*Node{},
		Consumers:  map[string][]*Node{},
		Constants:  map[string]*Tensor{},
	}
	for _, t := range g.Initializer {
		g.Constants[t.Name] = t
	}
	for _, n := range g.Node {
		for _, out := range n.Output {
			if out != "" && g.Producer[out] == nil {
				g.Producer[out] = n
			}
		}
		for i, in := range n.Input {
			if in != "" && !contains(n.Input[:i], in) {
				g.Consumers[in] = append(g.Consumers[in], n)
			}
		}
		if t := constantOf(n); t != nil {
			g.Constants[n.Output[0]] = t
		}
	}
	return g
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// constantOf returns the value of a Constant node, in any of the forms the
// operator has (value_* from opset 12), or nil.
func constantOf(n *Node) *Tensor {
	if n.OpType != "Constant" || !standard(n.Domain) || len(n.Output) != 1 || len(n.Attribute) != 1 {
		return nil
	}
	switch a := n.Attribute[0]; a.Name {
	case "value":
		return a.T
	case "value_float":
		return floatTensor(n.Output[0], []float32{a.GetF()})
	case "value_floats":
		return floatTensor(n.Output[0], a.Floats, len(a.Floats))
	case "value_int":
		return intTensor(n.Output[0], []int64{a.GetI()})
	case "value_ints":
		return intTensor(n.Output[0], a.Ints, len(a.Ints))
	}
	return nil
}

// standard reports whether domain is that of ONNX's own operators.
func standard(domain string) bool { return domain == "" || domain == "ai.onnx" }

// opset returns the version of the standard operators that p imports, 0 for none.
func opset(p *Proto) int64 {
	for _, o := range p.OpsetImport {
		if standard(o.Domain) {
			return o.Version
		}
	}
	return 0
}

// input returns the name of n's i-th input, "" where it has none.
func input(n *Node, i int) string {
	if i < len(n.Input) {
		return n.Input[i]
	}
	return ""
}

// attribute returns n's attribute called name, or nil.
func attribute(n *Node, name string) *Attribute {
	for _, a := range n.Attribute {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// intAttr returns the value of an integer attribute, or what is its default.
func intAttr(n *Node, name string, otherwise int64) int64 {
	if a := attribute(n, name); a != nil {
		return a.GetI()
	}
	return otherwise
}

// floatAttr returns the value of a float attribute, or what is its default.
func floatAttr(n *Node, name string, otherwise float32) float32 {
	if a := attribute(n, name); a != nil {
		return a.GetF()
	}
	return otherwise
}

// stringAttr returns the value of a string attribute, or what is its default.
func stringAttr(n *Node, name, otherwise string) string {
	if a := attribute(n, name); a != nil {
		return string(a.GetS())
	}
	return otherwise
}

// intsAttr returns the values of an attribute that is a list of integers; nil if
// it is absent.
func intsAttr(n *Node, name string) []int64 {
	if a := attribute(n, name); a != nil {
		return a.Ints
	}
	return nil
}

// describe names a node in messages: `Conv node "/features/features.0/Conv"`, or
// by its first output where it has no name, as torch before 1.13 and TensorFlow
// leave it.
func describe(n *Node) string {
	if n.Name == "" && len(n.Output) > 0 {
		return fmt.Sprintf("%s node that makes %q", n.OpType, n.Output[0])
	}
	return fmt.Sprintf("%s node %q", n.OpType, n.Name)
}
