package ops

import (
	"fmt"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// A call is one node with what is known of its inputs.
type call struct {
	node   *ir.Node
	opset  int64
	types  []Type   // of the inputs; the zero value where one is absent
	values []*Value // of the inputs that are known or computed; nil elsewhere
}

// has reports whether the i-th input is given.
func (c *call) has(i int) bool { return ir.Input(c.node, i) != "" }

// ints returns the integers that the i-th input holds, if its value is known.
func (c *call) ints(i int) ([]int64, bool) {
	if i >= len(c.values) || c.values[i] == nil {
		return nil, false
	}
	var list []int64
	for _, v := range c.values[i].Data {
		list = append(list, int64(v))
	}
	return list, true
}

// intsFrom returns a list that is an attribute before opset since, and an input
// from it on. known is false where the input is computed; given where there is
// neither.
func (c *call) intsFrom(name string, i int, since int64) (list []int64, given, known bool) {
	if c.opset < since {
		a := ir.Attr(c.node, name)
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
	if t := c.types[i]; t.Ranked && len(t.Shape) != n {
		return fmt.Errorf("input %d %q is %v, want %d dimensions", i, ir.Input(c.node, i), t, n)
	}
	return nil
}

// floats requires that the inputs at these places have one floating point type.
func (c *call) floats(places ...int) error {
	first := c.types[places[0]]
	for _, i := range places {
		if i >= len(c.types) || c.types[i].Elem == 0 {
			continue
		}
		switch t := c.types[i].Elem; {
		case t != pb.TensorProto_FLOAT && t != pb.TensorProto_FLOAT16 && t != pb.TensorProto_DOUBLE && t != pb.TensorProto_BFLOAT16:
			return fmt.Errorf("input %d %q is %v, want floating point", i, ir.Input(c.node, i), t)
		case first.Elem != 0 && t != first.Elem:
			return fmt.Errorf("input %d %q is %v, but input %d is %v", i, ir.Input(c.node, i), t, places[0], first.Elem)
		}
	}
	return nil
}
