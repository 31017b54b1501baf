package onnx

import (
	"fmt"
	"math"

	"github.com/mobilenet-go/mobilenet/internal/half"
	"github.com/mobilenet-go/mobilenet/onnx/internal/pb"
)

// A value is a tensor while a graph runs. Elements of every type are held as
// float64, which is exact for float32 and for integers up to 2^53; what a node
// makes is rounded to its type.
type value struct {
	elem  DataType
	shape []int
	data  []float64
}

// maxValue bounds the elements of one value, 512 MB: shapes come from files. The
// largest of the family takes 10 MB an image.
const maxValue = 1 << 26

func newValue(elem DataType, shape ...int) (*value, error) {
	n := 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > maxValue/d {
			return nil, &UnsupportedError{fmt.Sprintf("a tensor of shape %v is larger than what is run", shape)}
		}
		n *= d
	}
	return &value{elem, shape, make([]float64, n)}, nil
}

func (v *value) rank() int { return len(v.shape) }

// round brings every element to what its type can hold.
func (v *value) round() {
	switch v.elem {
	case pb.TensorProto_FLOAT:
		for i, x := range v.data {
			v.data[i] = float64(float32(x))
		}
	case pb.TensorProto_FLOAT16:
		for i, x := range v.data {
			v.data[i] = float64(half.ToFloat32(half.FromFloat32(float32(x))))
		}
	case pb.TensorProto_DOUBLE, pb.TensorProto_BFLOAT16:
	default: // integers are divided towards zero
		for i, x := range v.data {
			v.data[i] = math.Trunc(x)
		}
	}
}

// valueOf reads a tensor.
func valueOf(t *Tensor) (*value, error) {
	v := &value{elem: DataType(t.DataType)}
	for _, d := range t.Dims {
		v.shape = append(v.shape, int(d))
	}
	if floats, err := Floats(t); err == nil {
		v.data = make([]float64, len(floats))
		for i, x := range floats {
			v.data[i] = float64(x)
		}
		return v, nil
	}
	ints, err := Ints(t)
	v.data = make([]float64, len(ints))
	for i, x := range ints {
		v.data[i] = float64(x)
	}
	return v, err
}

// Run computes p's outputs, [value_info]'s order, for one input: data is its
// elements in row-major order, whatever their type. It is the reference that
// [Simplify] is checked with: plain loops in float64, each node's output rounded to
// its type; BatchNormalization in training takes the batch's statistics, Dropout
// drops nothing. An image of 224x224 takes about half a second.
func Run(p *Proto, shape []int, data []float32) ([][]float32, error) {
	if n := len(freeInputs(p)); n != 1 {
		return nil, &UnsupportedError{fmt.Sprintf("the graph has %d inputs, not one", n)}
	}
	in := freeInputs(p)[0]
	x, err := newValue(declared(in).elem, shape...)
	if err != nil {
		return nil, err
	}
	if len(x.data) != len(data) {
		return nil, fmt.Errorf("%d values for an input of shape %v", len(data), shape)
	}
	for i, v := range data {
		x.data[i] = float64(v)
	}
	values := map[string]*value{in.Name: x}
	for _, t := range p.Graph.Initializer {
		if values[t.Name], err = valueOf(t); err != nil {
			return nil, err
		}
	}
	uses := lastUses(p)
	for i, n := range p.Graph.Node {
		if err := step(n, opset(p), values); err != nil {
			return nil, fmt.Errorf("%s: %w", describe(n), err)
		}
		for _, name := range n.Input {
			if uses[name] == i {
				delete(values, name)
			}
		}
	}
	var outputs [][]float32
	for _, o := range p.Graph.Output {
		v := values[o.Name]
		if v == nil {
			return nil, fmt.Errorf("nothing makes the output %q", o.Name)
		}
		floats := make([]float32, len(v.data))
		for i, x := range v.data {
			floats[i] = float32(x)
		}
		outputs = append(outputs, floats)
	}
	return outputs, nil
}

// freeInputs are the graph's inputs without those that are initialisers, as files
// of IR version 3 list them.
func freeInputs(p *Proto) []*ValueInfo {
	given := map[string]bool{}
	for _, t := range p.Graph.Initializer {
		given[t.Name] = true
	}
	var free []*ValueInfo
	for _, v := range p.Graph.Input {
		if !given[v.Name] {
			free = append(free, v)
		}
	}
	return free
}

// lastUses is the index of the node behind which a value is not needed any more.
func lastUses(p *Proto) map[string]int {
	uses := map[string]int{}
	for i, n := range p.Graph.Node {
		for _, name := range n.Input {
			uses[name] = i
		}
	}
	for _, o := range p.Graph.Output {
		uses[o.Name] = math.MaxInt
	}
	return uses
}

// step runs n and puts its outputs into values.
func step(n *Node, opset int64, values map[string]*value) error {
	op, ok := find(n)
	if !ok {
		return &UnsupportedError{"the operator cannot be run"}
	}
	c := &call{node: n, opset: opset}
	for i, name := range n.Input {
		v := values[name]
		if v == nil && name != "" {
			return fmt.Errorf("nothing makes its input %d %q", i, name)
		}
		t := valueType{}
		if v != nil {
			t = shaped(v.elem)
			for _, d := range v.shape {
				t.shape = append(t.shape, dim{n: int64(d)})
			}
		}
		c.types, c.values = append(c.types, t), append(c.values, v)
	}
	version, ok := op.at(opset)
	if !standard(n.Domain) {
		version, ok = op.versions[0], true
	}
	if !ok || len(n.Input) < version.minInputs {
		return fmt.Errorf("%d inputs, opset %d: not that operator", len(n.Input), opset)
	}
	for i := range version.minInputs {
		if version.minInputs < many && c.values[i] == nil {
			return fmt.Errorf("its input %d is not given", i)
		}
	}
	// What the shapes must satisfy is checked once, by the inference.
	types, err := op.infer(c)
	if err != nil {
		return err
	}
	outputs, err := op.run(c)
	if err != nil {
		return err
	}
	for i, name := range n.Output {
		if i >= len(outputs) || name == "" {
			continue
		}
		outputs[i].elem = types[i].elem
		outputs[i].round()
		values[name] = outputs[i]
	}
	return nil
}

// outputShape is the shape that the inference gives the first output. All inputs
// are known when a graph runs, so it is a shape of numbers.
func (c *call) outputShape() ([]int, error) {
	op, _ := find(c.node)
	types, err := op.infer(c)
	if err != nil {
		return nil, err
	}
	shape, ok := types[0].fixed()
	if !ok {
		return nil, fmt.Errorf("its output's shape is not known")
	}
	return shape, nil
}

// output makes the value that outputShape says.
func (c *call) output() (*value, error) {
	shape, err := c.outputShape()
	if err != nil {
		return nil, err
	}
	return newValue(c.types[0].elem, shape...)
}

// scalar is the one element of the i-th input, or what is its default.
func (c *call) scalar(i int, otherwise float64) float64 {
	if i >= len(c.values) || c.values[i] == nil || len(c.values[i].data) == 0 {
		return otherwise
	}
	return c.values[i].data[0]
}
