package trace

import (
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ops"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// A constant is a tensor that is known before the graph runs: one in the file, or one
// computed of such. It is decoded when somebody asks for its numbers.
type constant struct {
	tensor *ir.Tensor
	value  *ops.Value // nil while only tensor is there
	whole  *integers  // what it is computed from instead of both, when somebody asks
	list   []float32  // decoded
}

// integers stand for (of - zero) * scale, with one scale and zero point for all, or one
// for each index of an axis; zero may be nil.
type integers struct {
	of          *constant
	scale, zero []float32
	axis        int
}

// dims is the constant's shape.
func (c *constant) dims() []int {
	switch {
	case c.value != nil:
		return c.value.Shape
	case c.whole != nil:
		return c.whole.of.dims()
	}
	dims := make([]int, len(c.tensor.Dims))
	for i, d := range c.tensor.Dims {
		dims[i] = int(d)
	}
	return dims
}

// elem is the type of the constant's elements.
func (c *constant) elem() ir.DataType {
	switch {
	case c.value != nil:
		return c.value.Elem
	case c.whole != nil:
		return pb.TensorProto_FLOAT
	}
	return ir.DataType(c.tensor.DataType)
}

// floats are the constant's elements, integers too, nil if they cannot be read.
func (c *constant) floats() []float32 {
	switch {
	case c == nil:
		return nil
	case c.list != nil:
		return c.list
	case c.whole != nil:
		c.list = c.whole.numbers()
		return c.list
	case c.value == nil:
		if list, err := ir.Floats(c.tensor); err == nil {
			c.list = list
			return list
		}
		if c.list = rawBytes(c.tensor); c.list != nil {
			return c.list
		}
	}
	if v := c.computed(); v != nil {
		c.list = make([]float32, len(v.Data))
		for i, x := range v.Data {
			c.list[i] = float32(x)
		}
	}
	return c.list
}

// rawBytes are the elements of a tensor of bytes, which are most of what a quantised graph
// holds; nil for others.
func rawBytes(t *ir.Tensor) []float32 {
	n, err := ir.Elements(t)
	if elem := ir.DataType(t.DataType); err != nil || !isByte(elem) || len(t.RawData) != n || n == 0 {
		return nil
	}
	list := make([]float32, n)
	for i, b := range t.RawData {
		if list[i] = float32(b); t.DataType == int32(pb.TensorProto_INT8) {
			list[i] = float32(int8(b))
		}
	}
	return list
}

// ints are the constant's elements as integers, nil if they cannot be read. They are
// axes, sizes and the like: of more than 64 nobody asks for them.
func (c *constant) ints() []int64 {
	if c == nil || ops.ElementCount(c.dims()) > 64 {
		return nil
	}
	v := c.computed()
	if v == nil {
		return nil
	}
	list := make([]int64, len(v.Data))
	for i, x := range v.Data {
		list[i] = int64(x)
	}
	return list
}

// computed is the constant for the operators, nil if it cannot be read.
func (c *constant) computed() *ops.Value {
	switch {
	case c == nil:
		return nil
	case c.value != nil:
		return c.value
	case c.whole != nil:
		v := &ops.Value{Elem: pb.TensorProto_FLOAT, Shape: c.dims()}
		for _, x := range c.floats() {
			v.Data = append(v.Data, float64(x))
		}
		return v
	}
	v, err := ops.ValueOf(c.tensor)
	if err != nil {
		return nil
	}
	return v
}

// constant returns the i-th input of n, nil where it is absent or depends on the
// graph's input.
func (t *tracer) constant(n *ir.Node, i int) *constant { return t.values[ir.Input(n, i)].constant }

// folded computes n, whose inputs are constants.
func (t *tracer) folded(n *ir.Node) value {
	if n.OpType == "DequantizeLinear" && ir.IntAttr(n, "block_size", 0) == 0 {
		return t.dequantizedConstant(n)
	}
	var inputs []*ops.Value
	for i, name := range n.Input {
		c := t.constant(n, i)
		if c == nil && name != "" || c != nil && !t.folder.Take(ops.ElementCount(c.dims())) {
			return value{}
		}
		v := c.computed()
		if v == nil && name != "" {
			return value{}
		}
		inputs = append(inputs, v)
	}
	v, err := t.folder.Fold(n, inputs)
	if err != nil {
		return value{}
	}
	return value{constant: &constant{value: v}}
}

// copies returns why list is not to be copied, "" if it may be: a thousand nodes can each
// want their own copy of a large constant.
func (t *tracer) copies(list []float32) (reason string) {
	if t.folder.Take(len(list)) {
		return ""
	}
	return manyCopies
}

const manyCopies = "the graph needs many more copies of constants than are in the file"

// scalar is the one number that input i of n holds; ok is false where it is not known.
func (t *tracer) scalar(n *ir.Node, i int) (x float32, ok bool) {
	if list := t.constant(n, i).floats(); len(list) == 1 {
		return list[0], true
	}
	return 0, false
}

// intsFrom is a list that is an attribute in older opsets, and input i in newer ones.
func (t *tracer) intsFrom(n *ir.Node, name string, i int) []int64 {
	if c := t.constant(n, i); c != nil {
		return c.ints()
	}
	return ir.IntsAttr(n, name)
}
