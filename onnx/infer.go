package onnx

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/onnx/internal/pb"
)

// A valueType is what is known of a value before it is computed.
type valueType struct {
	elem   DataType // UNDEFINED if not known
	shape  []dim
	ranked bool // shape says the number of dimensions
}

// A dim is the size of an axis: a number, or, if that is negative, what the file
// calls it ("" if nobody knows).
type dim struct {
	n    int64
	name string
}

var unknown = dim{n: -1}

func (d dim) known() bool { return d.n >= 0 }

func (d dim) String() string {
	switch {
	case d.known():
		return fmt.Sprint(d.n)
	case d.name != "":
		return d.name
	}
	return "?"
}

func (t valueType) String() string {
	if !t.ranked {
		return fmt.Sprintf("%v[...]", t.elem)
	}
	text := make([]string, len(t.shape))
	for i, d := range t.shape {
		text[i] = d.String()
	}
	return fmt.Sprintf("%v[%s]", t.elem, strings.Join(text, ","))
}

// fixed returns the shape as numbers, if all of them are known.
func (t valueType) fixed() ([]int, bool) {
	shape := make([]int, len(t.shape))
	for i, d := range t.shape {
		if !d.known() {
			return nil, false
		}
		shape[i] = int(d.n)
	}
	return shape, t.ranked
}

func shaped(elem DataType, shape ...dim) valueType { return valueType{elem, shape, true} }

func tensorType(t *Tensor) valueType {
	v := shaped(DataType(t.DataType))
	for _, n := range t.Dims {
		v.shape = append(v.shape, dim{n: n})
	}
	return v
}

// declared reads a value_info.
func declared(v *ValueInfo) valueType {
	tensor := v.GetType().GetTensorType()
	if tensor == nil {
		return valueType{}
	}
	t := valueType{elem: DataType(tensor.ElemType), ranked: tensor.Shape != nil}
	for _, d := range tensor.Shape.GetDim() {
		switch value := d.Value.(type) {
		case *pb.TensorShapeProto_Dimension_DimValue:
			t.shape = append(t.shape, dim{n: value.DimValue})
		case *pb.TensorShapeProto_Dimension_DimParam:
			t.shape = append(t.shape, dim{n: -1, name: value.DimParam})
		default:
			t.shape = append(t.shape, unknown)
		}
	}
	return t
}

// info writes t as a value_info.
func (t valueType) info(name string) *ValueInfo {
	var shape []*pb.TensorShapeProto_Dimension
	for _, d := range t.shape {
		switch {
		case d.known():
			shape = append(shape, fixed(int(d.n)))
		case d.name != "":
			shape = append(shape, free(d.name))
		default:
			shape = append(shape, &pb.TensorShapeProto_Dimension{})
		}
	}
	return valueInfo(name, t.elem, shape...)
}

// agrees reports whether one value can be both t and u.
func (t valueType) agrees(u valueType) bool {
	if t.elem != 0 && u.elem != 0 && t.elem != u.elem {
		return false
	}
	if !t.ranked || !u.ranked {
		return true
	}
	return slices.EqualFunc(t.shape, u.shape, func(a, b dim) bool { return !a.known() || !b.known() || a.n == b.n })
}

// A call is one node with what is known of its inputs.
type call struct {
	node   *Node
	opset  int64
	types  []valueType // of the inputs; the zero value where one is absent
	values []*value    // of the inputs that are known or computed; nil elsewhere
}

// has reports whether the i-th input is given.
func (c *call) has(i int) bool { return input(c.node, i) != "" }

// ints returns the integers that the i-th input holds, if its value is known.
func (c *call) ints(i int) ([]int64, bool) {
	if i >= len(c.values) || c.values[i] == nil {
		return nil, false
	}
	var list []int64
	for _, v := range c.values[i].data {
		list = append(list, int64(v))
	}
	return list, true
}

// intsFrom returns a list that is an attribute before opset since, and an input
// from it on. known is false where the input is computed; given where there is
// neither.
func (c *call) intsFrom(name string, i int, since int64) (list []int64, given, known bool) {
	if c.opset < since {
		a := attribute(c.node, name)
		return a.GetInts(), a != nil, true
	}
	if !c.has(i) {
		return nil, false, true
	}
	list, known = c.ints(i)
	return list, true, known
}

// rank requires that the i-th input has n dimensions, if it is known how many.
func (c *call) rank(i, n int) error {
	if t := c.types[i]; t.ranked && len(t.shape) != n {
		return fmt.Errorf("input %d %q is %v, want %d dimensions", i, input(c.node, i), t, n)
	}
	return nil
}

// floats requires that the inputs at these places have one floating point type.
func (c *call) floats(places ...int) error {
	first := c.types[places[0]]
	for _, i := range places {
		if i >= len(c.types) || c.types[i].elem == 0 {
			continue
		}
		switch t := c.types[i].elem; {
		case t != pb.TensorProto_FLOAT && t != pb.TensorProto_FLOAT16 && t != pb.TensorProto_DOUBLE && t != pb.TensorProto_BFLOAT16:
			return fmt.Errorf("input %d %q is %v, want floating point", i, input(c.node, i), t)
		case first.elem != 0 && t != first.elem:
			return fmt.Errorf("input %d %q is %v, but input %d is %v", i, input(c.node, i), t, places[0], first.elem)
		}
	}
	return nil
}

// at is dimension i of t, unknown if its rank is.
func (t valueType) at(i int) dim {
	if i < 0 || i >= len(t.shape) {
		return unknown
	}
	return t.shape[i]
}

// An inference is what is known of every value of a graph.
type inference struct {
	opset  int64
	types  map[string]valueType
	values map[string]*value // of constants
}

// infer works out the type and shape of every value. Nodes of operators that are
// not known make values of which nothing is known. The first node that its inputs
// do not suit is an error, which names it.
func infer(p *Proto) (*inference, error) {
	in := &inference{opset: opset(p), types: map[string]valueType{}, values: map[string]*value{}}
	for _, v := range p.Graph.Input {
		in.types[v.Name] = declared(v)
	}
	for _, t := range p.Graph.Initializer {
		in.types[t.Name] = tensorType(t)
		in.keepConstant(t.Name, t)
	}
	for _, n := range p.Graph.Node {
		if err := in.node(n); err != nil {
			return in, fmt.Errorf("%s: %w", describe(n), err)
		}
	}
	return in, nil
}

// maxKept is the number of elements up to which the values of constants are kept:
// shapes, axes and the like.
const maxKept = 16

func (in *inference) keepConstant(name string, t *Tensor) {
	if n, err := elements(t); err == nil && n <= maxKept {
		in.values[name], _ = valueOf(t)
	}
}

func (in *inference) node(n *Node) error {
	c := &call{node: n, opset: in.opset}
	for _, name := range n.Input {
		c.types = append(c.types, in.types[name])
		c.values = append(c.values, in.values[name])
	}
	op, ok := find(n)
	if !ok {
		return nil
	}
	v, ok := op.at(in.opset)
	if !standard(n.Domain) {
		v, ok = op.versions[0], true
	}
	if !ok {
		return fmt.Errorf("opset %d does not have the operator", in.opset)
	}
	if len(n.Input) < v.minInputs || len(n.Input) > v.maxInput {
		return fmt.Errorf("%d inputs: want %d to %d", len(n.Input), v.minInputs, v.maxInput)
	}
	outputs, err := op.infer(c)
	if err != nil {
		return err
	}
	for i, name := range n.Output {
		if i < len(outputs) && name != "" {
			in.types[name] = outputs[i]
		}
	}
	if n.OpType == "Constant" && len(n.Output) == 1 {
		if t := constantOf(n); t != nil {
			in.keepConstant(n.Output[0], t)
		}
	}
	in.foldShape(c)
	return nil
}

// foldShape computes nodes that work on shapes (Shape, Gather, Concat, ...), so that
// a Reshape behind them is understood.
func (in *inference) foldShape(c *call) {
	if len(c.node.Output) != 1 {
		return
	}
	out := c.node.Output[0]
	if c.node.OpType == "Shape" {
		if v, err := runShape(c); err == nil {
			in.values[out] = v[0]
		}
		return
	}
	for i := range c.values {
		if c.values[i] == nil && c.has(i) || c.types[i].elem != pb.TensorProto_INT64 {
			return
		}
	}
	if op, ok := find(c.node); ok && len(c.values) > 0 {
		if v, err := op.run(c); err == nil && len(v[0].data) <= maxKept {
			in.values[out] = v[0]
		}
	}
}
