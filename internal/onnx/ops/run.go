package ops

import (
	"fmt"
	"math"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
)

// Run computes p's outputs, [value_info]'s order, for one input: data is its
// elements in row-major order, whatever their type. It is the reference that
// [Simplify] is checked with: plain loops in float64, each node's output rounded to
// its type; BatchNormalization in training takes the batch's statistics, Dropout
// drops nothing. An image of 224x224 takes about half a second.
func Run(p *ir.Proto, shape []int, data []float32) ([][]float32, error) {
	if n := len(ir.FreeInputs(p)); n != 1 {
		return nil, fault.Unsupportedf("the graph has %d inputs, not one", n)
	}
	in := ir.FreeInputs(p)[0]
	x, err := NewValue(Declared(in).Elem, shape...)
	if err != nil {
		return nil, err
	}
	if len(x.Data) != len(data) {
		return nil, fmt.Errorf("%d values for an input of shape %v", len(data), shape)
	}
	for i, v := range data {
		x.Data[i] = float64(v)
	}
	values := map[string]*Value{in.Name: x}
	for _, t := range p.Graph.Initializer {
		if values[t.Name], err = ValueOf(t); err != nil {
			return nil, err
		}
	}
	m := meter{elements: maxLive - len(x.Data), products: maxProducts}
	uses := lastUses(p)
	for i, n := range p.Graph.Node {
		if err := m.step(n, ir.Opset(p), values); err != nil {
			return nil, ir.At(n, err)
		}
		for _, name := range n.Input {
			if v := values[name]; v != nil && uses[name] == i {
				m.elements += len(v.Data)
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
		floats := make([]float32, len(v.Data))
		for i, x := range v.Data {
			floats[i] = float32(x)
		}
		outputs = append(outputs, floats)
	}
	return outputs, nil
}

// lastUses is the index of the node behind which a value is not needed any more.
func lastUses(p *ir.Proto) map[string]int {
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

// Bounds on a graph that is run: shapes come from files. An image of 224x224 takes 300
// million products and, at once, 2.4 million elements of activations.
const (
	maxLive     = 1 << 25 // elements of values, 256 MB
	maxProducts = 1 << 32 // a few seconds
)

// A meter is what a graph that runs may still take.
type meter struct{ elements, products int }

// step runs n and puts its outputs into values.
func (m *meter) step(n *ir.Node, opset int64, values map[string]*Value) error {
	var inputs []*Value
	for i, name := range n.Input {
		v := values[name]
		if v == nil && name != "" {
			return fmt.Errorf("nothing makes its input %d %s", i, ir.Quote(name))
		}
		inputs = append(inputs, v)
	}
	outputs, err := compute(n, opset, inputs, m)
	for i, v := range outputs {
		if i < len(n.Output) && n.Output[i] != "" {
			values[n.Output[i]] = v
		}
	}
	return err
}

// take counts what an operator makes of its inputs before it does.
func (m *meter) take(n *ir.Node, inputs []*Value, types []Type) error {
	made := 0
	for _, t := range types[:min(len(types), len(n.Output))] {
		if shape, ok := t.Fixed(); ok {
			made = add(made, ElementCount(shape))
		}
	}
	read := 0
	for _, v := range inputs {
		if v != nil {
			read += len(v.Data)
		}
	}
	// An element that is read or made takes the time of some eight products.
	products := add(8*read, add(multiplied(8, made), multiplied(made, factors(n, inputs))))
	if made > m.elements || products > m.products {
		return fault.TooLargef("it makes %d elements by %d products: more than is run", made, products)
	}
	m.elements -= made
	m.products -= products
	return nil
}

// factors is how many products one element that n makes is the sum of.
func factors(n *ir.Node, inputs []*Value) int {
	weights := 1
	switch n.OpType {
	case "QLinearConv", "QLinearMatMul", "QGemm":
		weights = 3
	case "Conv", "FusedConv", "ConvInteger", "Gemm", "MatMul", "MatMulInteger":
	case "AveragePool":
		k := 1
		for _, v := range ir.IntsAttr(n, "kernel_shape") {
			k = multiplied(k, int(max(1, v)))
		}
		return k
	default:
		return 1
	}
	if weights >= len(inputs) || inputs[weights] == nil || len(inputs[weights].Shape) < 2 {
		return 1
	}
	// A convolution's row of weights, and at most the whole of a matrix' longer side.
	shape := inputs[weights].Shape
	if len(shape) == 2 {
		return max(shape[0], shape[1])
	}
	return ElementCount(shape[1:])
}

// add and multiplied have the largest int for what is larger.
func add(a, b int) int {
	if a > math.MaxInt-b {
		return math.MaxInt
	}
	return a + b
}

func multiplied(a, b int) int {
	if a > 0 && b > math.MaxInt/a {
		return math.MaxInt
	}
	return a * b
}

// compute returns what n makes of its inputs, nil where one is absent.
func compute(n *ir.Node, opset int64, inputs []*Value, m *meter) ([]*Value, error) {
	op, ok := find(n)
	if !ok {
		return nil, fault.Unsupportedf("the operator cannot be run")
	}
	c := &call{node: n, opset: opset, values: inputs}
	for _, v := range inputs {
		t := Type{}
		if v != nil {
			t = sizes(v)
		}
		c.types = append(c.types, t)
	}
	version, ok := op.at(n.Domain, opset)
	if !ok || len(n.Input) < version.MinInputs {
		return nil, fmt.Errorf("%d inputs, opset %d: not that operator", len(n.Input), opset)
	}
	for i := range version.MinInputs {
		if version.MinInputs < Many && c.values[i] == nil {
			return nil, fmt.Errorf("its input %d is not given", i)
		}
	}
	// What the shapes must satisfy is checked once, by the inference.
	types, err := op.shapes(c)
	if err != nil {
		return nil, err
	}
	if err := m.take(n, inputs, types); err != nil {
		return nil, err
	}
	outputs, err := op.run(c)
	if err != nil {
		return nil, err
	}
	for i := range outputs {
		outputs[i].Elem = types[i].Elem
		outputs[i].round()
	}
	return outputs, nil
}

// outputShape is the shape that the inference gives the first output. All inputs
// are known when a graph runs, so it is a shape of numbers.
func (c *call) outputShape() ([]int, error) {
	op, _ := find(c.node)
	types, err := op.shapes(c)
	if err != nil {
		return nil, err
	}
	shape, ok := types[0].Fixed()
	if !ok {
		return nil, fmt.Errorf("its output's shape is not known")
	}
	return shape, nil
}

// output makes the value that outputShape says.
func (c *call) output() (*Value, error) {
	shape, err := c.outputShape()
	if err != nil {
		return nil, err
	}
	return NewValue(c.types[0].Elem, shape...)
}

// scalar is the one element of the i-th input, or what is its default.
func (c *call) scalar(i int, otherwise float64) float64 {
	if i >= len(c.values) || c.values[i] == nil || len(c.values[i].Data) == 0 {
		return otherwise
	}
	return c.values[i].Data[0]
}
