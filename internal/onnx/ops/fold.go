package ops

import (
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
)

// A Folder computes nodes whose inputs are constants. What goes through it in all is
// bounded: a file of a kilobyte can have a thousand nodes that each make a tensor of
// gigabytes, or that each read a large one.
type Folder struct {
	opset int64
	meter
}

// maxFolded is 256 MB of what a Folder makes, which reads as much.
const maxFolded = 1 << 25

// NewFolder returns a Folder for p's nodes. What honest files compute of their
// constants, casts, transposes and the like, is about as large as these.
func NewFolder(p *ir.Proto) *Folder {
	f := &Folder{ir.Opset(p), meter{elements: 1 << 20}}
	count := func(t *ir.Tensor) {
		if n, err := ir.Elements(t); err == nil {
			f.elements = min(maxFolded, f.elements+6*n)
		}
	}
	for _, t := range p.Graph.Initializer {
		count(t)
	}
	for _, n := range p.Graph.Node {
		if t := ir.ConstantOf(n); t != nil {
			count(t)
		}
	}
	f.products = 64 * f.elements
	return f
}

// Take asks for so many elements to be read or made.
func (f *Folder) Take(elements int) bool {
	if elements > f.elements {
		return false
	}
	f.elements -= elements
	return true
}

// Fold returns the one output of n.
func (f *Folder) Fold(n *ir.Node, inputs []*Value) (*Value, error) {
	if len(n.Output) != 1 {
		return nil, fault.Unsupportedf("it has %d outputs", len(n.Output))
	}
	outputs, err := compute(n, f.opset, inputs, &f.meter)
	if err != nil {
		return nil, err
	}
	return outputs[0], nil
}
