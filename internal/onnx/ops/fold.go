package ops

import (
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
)

// A Folder computes nodes whose inputs are constants. What it makes in all is bounded:
// a file of a kilobyte can have a thousand nodes that each make a tensor of gigabytes.
type Folder struct {
	opset int64
	left  int // elements
}

// NewFolder returns a Folder for p's nodes. What honest files compute of their
// constants, casts, transposes and the like, is about as large as these.
func NewFolder(p *ir.Proto) *Folder {
	f := &Folder{opset: ir.Opset(p), left: 1 << 20}
	for _, t := range p.Graph.Initializer {
		if n, err := ir.Elements(t); err == nil {
			f.left += 3 * n
		}
	}
	for _, n := range p.Graph.Node {
		if t := ir.ConstantOf(n); t != nil {
			if n, err := ir.Elements(t); err == nil {
				f.left += 3 * n
			}
		}
	}
	return f
}

// Fold returns the one output of n.
func (f *Folder) Fold(n *ir.Node, inputs []*Value) (*Value, error) {
	if len(n.Output) != 1 {
		return nil, fault.Unsupportedf("it has %d outputs", len(n.Output))
	}
	outputs, err := compute(n, f.opset, inputs, f.left)
	if err != nil {
		return nil, err
	}
	f.left -= len(outputs[0].Data)
	return outputs[0], nil
}
