package ops

import (
	"fmt"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// An Inference is what is known of every value of a graph.
type Inference struct {
	Opset  int64
	Types  map[string]Type
	Values map[string]*Value // of constants
}

// InferShapes works out the type and shape of every value. Nodes of operators that are
// not known make values of which nothing is known. The first node that its inputs
// do not suit is an error, which names it.
func InferShapes(p *ir.Proto) (*Inference, error) {
	in := &Inference{Opset: ir.Opset(p), Types: map[string]Type{}, Values: map[string]*Value{}}
	for _, v := range p.Graph.Input {
		in.Types[v.Name] = Declared(v)
	}
	for _, t := range p.Graph.Initializer {
		in.Types[t.Name] = tensorType(t)
		in.keepConstant(t.Name, t)
	}
	for _, n := range p.Graph.Node {
		if err := in.node(n); err != nil {
			return in, ir.At(n, err)
		}
	}
	return in, nil
}

// maxKept is the number of elements up to which the values of constants are kept:
// shapes, axes and the like.
const maxKept = 16

func (in *Inference) keepConstant(name string, t *ir.Tensor) {
	if n, err := ir.Elements(t); err == nil && n <= maxKept {
		in.Values[name], _ = ValueOf(t)
	}
}

func (in *Inference) node(n *ir.Node) error {
	c := in.call(n)
	op, ok := find(n)
	if !ok {
		return nil
	}
	v, ok := op.at(n.Domain, in.Opset)
	if !ok {
		return fmt.Errorf("opset %d does not have the operator", in.Opset)
	}
	if len(n.Input) < v.MinInputs || len(n.Input) > v.MaxInputs {
		return fmt.Errorf("%d inputs: want %d to %d", len(n.Input), v.MinInputs, v.MaxInputs)
	}
	outputs, err := op.shapes(c)
	if err != nil {
		return err
	}
	for i, name := range n.Output {
		if i < len(outputs) && name != "" {
			if rank := len(outputs[i].Shape); rank > maxRank {
				return fmt.Errorf("it makes a tensor of %d dimensions", rank)
			}
			in.Types[name] = outputs[i]
		}
	}
	if n.OpType == "Constant" && len(n.Output) == 1 {
		if t := ir.ConstantOf(n); t != nil {
			in.keepConstant(n.Output[0], t)
		}
	}
	in.foldShape(c)
	return nil
}

// foldShape computes nodes that work on shapes (Shape, Gather, Concat, ...), so that
// a Reshape behind them is understood.
func (in *Inference) foldShape(c *call) {
	if len(c.node.Output) != 1 {
		return
	}
	out := c.node.Output[0]
	if c.node.OpType == "Shape" {
		if v, err := runShape(c); err == nil {
			in.Values[out] = v[0]
		}
		return
	}
	for i := range c.values {
		if c.values[i] == nil && c.has(i) || c.types[i].Elem != pb.TensorProto_INT64 {
			return
		}
	}
	// Its size is known before anything is computed, and where it isn't, nothing is.
	shape, ok := in.Types[out].Fixed()
	if op, known := find(c.node); ok && known && len(c.values) > 0 && ElementCount(shape) <= maxKept {
		if v, err := op.run(c); err == nil {
			in.Values[out] = v[0]
		}
	}
}

// Shapes returns what is known of the values of p, by name: what the file states
// and, for other values, what follows from their operators. An operator that its
// inputs do not suit ends the search; a check says which.
func Shapes(p *ir.Proto) map[string]*ir.ValueInfo {
	shapes := map[string]*ir.ValueInfo{}
	in, _ := InferShapes(p) // what came before an error holds
	for name, t := range in.Types {
		if t.Ranked {
			shapes[name] = t.Info(name)
		}
	}
	for _, stated := range [][]*ir.ValueInfo{p.Graph.ValueInfo, p.Graph.Output} {
		for _, v := range stated {
			if Declared(v).Ranked {
				shapes[v.Name] = v
			}
		}
	}
	return shapes
}

// ZeroPads returns what a Pad node adds around rows and columns, in the order of a
// convolution's pads, if it adds zeros there and nothing elsewhere.
func (in *Inference) ZeroPads(n *ir.Node) (by [4]int64, ok bool) {
	c := in.call(n)
	list, _, known := c.intsFrom("pads", 1, 11)
	if !known || len(list) != 8 || c.has(3) || slices.Min(list) < 0 || list[0]|list[1]|list[4]|list[5] != 0 {
		return by, false
	}
	zero := ir.FloatAttr(n, "value", 0) == 0 && (!c.has(2) || c.values[2] != nil && c.scalar(2, 0) == 0)
	return [4]int64{list[2], list[3], list[6], list[7]}, zero && ir.StringAttr(n, "mode", "constant") == "constant"
}

// call is n with what is known of its inputs.
func (in *Inference) call(n *ir.Node) *call {
	c := &call{node: n, opset: in.Opset}
	for _, name := range n.Input {
		c.types, c.values = append(c.types, in.Types[name]), append(c.values, in.Values[name])
	}
	return c
}
