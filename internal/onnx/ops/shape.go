package ops

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

func shapeSame(c *call) ([]Type, error) { return []Type{c.types[0]}, nil }

func shapeBroadcast(c *call) ([]Type, error) {
	out := c.types[0]
	for i, t := range c.types[1:] {
		if t.Elem != 0 && out.Elem != 0 && t.Elem != out.Elem {
			return nil, fmt.Errorf("input %d is %v, but input 0 is %v", i+1, t.Elem, out.Elem)
		}
		var err error
		if out, err = broadcast(out, t); err != nil {
			return nil, err
		}
	}
	return []Type{out}, nil
}

// broadcast aligns shapes at their ends; an axis of 1 stretches
// (onnx/docs/Broadcasting.md).
func broadcast(a, b Type) (Type, error) {
	if !a.Ranked || !b.Ranked {
		return Type{Elem: a.Elem}, nil
	}
	rank := max(len(a.Shape), len(b.Shape))
	out := shaped(a.Elem, make([]Dim, rank)...)
	for i := range rank {
		x, y := Dim{N: 1}, Dim{N: 1}
		if j := i - rank + len(a.Shape); j >= 0 {
			x = a.Shape[j]
		}
		if j := i - rank + len(b.Shape); j >= 0 {
			y = b.Shape[j]
		}
		switch {
		case x.N == 1, x == y, !x.Known() && y.N > 1:
			out.Shape[i] = y
		case y.N == 1, !y.Known() && x.N > 1:
			out.Shape[i] = x
		case !x.Known() || !y.Known():
			out.Shape[i] = Unknown
		default:
			return out, fmt.Errorf("shapes %v and %v do not go together", a, b)
		}
	}
	return out, nil
}

func shapeCast(c *call) ([]Type, error) {
	out := c.types[0]
	out.Elem = ir.DataType(ir.IntAttr(c.node, "to", 0))
	if out.Elem == pb.TensorProto_UNDEFINED {
		return nil, errors.New("to=0 is no type")
	}
	return []Type{out}, nil
}

func shapeConstant(c *call) ([]Type, error) {
	if t := ir.ConstantOf(c.node); t != nil {
		return []Type{tensorType(t)}, nil
	}
	return nil, errors.New("no value that is supported")
}

func shapeShape(c *call) ([]Type, error) {
	n := Unknown
	if c.types[0].Ranked {
		n = Dim{N: int64(len(shapeSlice(c)))}
	}
	return []Type{shaped(pb.TensorProto_INT64, n)}, nil
}

// shapeSlice is the dimensions from start to end, both of which are clamped; a
// negative one counts from the end.
func shapeSlice(c *call) []Dim {
	shape := c.types[0].Shape
	rank := int64(len(shape))
	bound := func(name string, otherwise int64) int64 {
		i := ir.IntAttr(c.node, name, otherwise)
		if i < 0 {
			i += rank
		}
		return min(max(i, 0), rank)
	}
	start, end := bound("start", 0), bound("end", rank)
	return shape[start:max(start, end)]
}

func shapeDropout(c *call) ([]Type, error) {
	mask := c.types[0]
	if c.opset >= 10 {
		mask.Elem = pb.TensorProto_BOOL
	}
	return []Type{c.types[0], mask}, nil
}

func shapeNorm(c *call) ([]Type, error) {
	if err := c.floats(0, 1, 2); err != nil {
		return nil, err
	}
	channels := c.types[0].At(1)
	for i := 1; i < 5; i++ {
		if err := c.rank(i, 1); err != nil {
			return nil, err
		}
		if n := c.types[i].At(0); n.Known() && channels.Known() && n.N != channels.N {
			return nil, fmt.Errorf("input %d %q is %v, but the data has %v channels", i, ir.Input(c.node, i), c.types[i], channels)
		}
	}
	return []Type{c.types[0], c.types[3], c.types[4], c.types[3], c.types[4]}, nil
}

// axis makes a negative axis count from the end, and checks it.
func axis(a int64, rank int) (int, error) {
	if a < int64(-rank) || a >= int64(rank) {
		return 0, fmt.Errorf("axis %d of %d dimensions", a, rank)
	}
	return int((a + int64(rank)) % int64(rank)), nil
}

func axesOf(list []int64, rank int) ([]int, error) {
	if len(list) > rank {
		return nil, fmt.Errorf("%d axes of %d dimensions", len(list), rank)
	}
	var axes []int
	for _, a := range list {
		i, err := axis(a, rank)
		if err != nil {
			return nil, err
		}
		axes = append(axes, i)
	}
	return axes, nil
}

func shapeReduce(c *call) ([]Type, error) {
	x := c.types[0]
	if err := c.floats(0); err != nil {
		return nil, err
	}
	list, _, known := c.intsFrom("axes", 1, 18)
	if !x.Ranked || !known {
		return []Type{{Elem: x.Elem}}, nil
	}
	axes, err := axesOf(list, len(x.Shape))
	if err != nil {
		return nil, err
	}
	out := shaped(x.Elem)
	for i, d := range x.Shape {
		reduced := slices.Contains(axes, i) || len(axes) == 0 && ir.IntAttr(c.node, "noop_with_empty_axes", 0) == 0
		switch {
		case !reduced:
			out.Shape = append(out.Shape, d)
		case ir.IntAttr(c.node, "keepdims", 1) != 0:
			out.Shape = append(out.Shape, Dim{N: 1})
		}
	}
	return []Type{out}, nil
}

// product multiplies dimensions, unknown if one of them is.
func product(dims []Dim) Dim {
	if len(dims) == 1 {
		return dims[0]
	}
	n := int64(1)
	for _, d := range dims {
		if !d.Known() || d.N != 0 && n > math.MaxInt64/d.N {
			return Unknown
		}
		n *= d.N
	}
	return Dim{N: n}
}

func shapeFlatten(c *call) ([]Type, error) {
	x := c.types[0]
	if !x.Ranked {
		return []Type{shaped(x.Elem, Unknown, Unknown)}, nil
	}
	a := ir.IntAttr(c.node, "axis", 1)
	if a != int64(len(x.Shape)) {
		i, err := axis(a, len(x.Shape))
		if err != nil {
			return nil, err
		}
		a = int64(i)
	}
	left, right := product(x.Shape[:a]), product(x.Shape[a:])
	if a == 0 {
		left = Dim{N: 1}
	}
	return []Type{shaped(x.Elem, left, right)}, nil
}

func shapeReshape(c *call) ([]Type, error) {
	x := c.types[0]
	want, known := c.ints(1)
	if !known {
		return []Type{{Elem: x.Elem}}, nil
	}
	out := shaped(x.Elem)
	free := -1
	for i, n := range want {
		switch {
		case n == 0 && ir.IntAttr(c.node, "allowzero", 0) == 0:
			out.Shape = append(out.Shape, x.At(i))
		case n == -1 && free < 0:
			free = i
			out.Shape = append(out.Shape, Unknown)
		case n < 0:
			return nil, fmt.Errorf("shape %v", want)
		default:
			out.Shape = append(out.Shape, Dim{N: n})
		}
	}
	if !x.Ranked {
		return []Type{out}, nil
	}
	have := product(x.Shape)
	if free >= 0 {
		out.Shape[free] = quotient(x.Shape, slices.Delete(slices.Clone(out.Shape), free, free+1))
		if have.Known() && !out.Shape[free].Known() {
			return nil, fmt.Errorf("%v does not become %v", x, want)
		}
	}
	if n := product(out.Shape); have.Known() && n.Known() && have.N != n.N {
		return nil, fmt.Errorf("%v does not become %v", x, want)
	}
	return []Type{out}, nil
}

// quotient divides the product of one list of dimensions by that of another;
// named ones that are in both cancel.
func quotient(of, by []Dim) Dim {
	of = slices.Clone(of)
	var rest []Dim
	for _, d := range by {
		if i := slices.Index(of, d); i >= 0 {
			of = slices.Delete(of, i, i+1)
		} else {
			rest = append(rest, d)
		}
	}
	n, p := product(rest), product(of)
	switch {
	case len(rest) == 0 && len(of) == 0:
		return Dim{N: 1}
	case len(rest) == 0:
		return p
	case n.N == 1:
		return p
	case n.N <= 0 || !p.Known() || p.N%n.N != 0: // also a product too large to be known
		return Unknown
	}
	return Dim{N: p.N / n.N}
}

func shapeSqueeze(c *call) ([]Type, error) {
	x := c.types[0]
	list, given, known := c.intsFrom("axes", 1, 13)
	if !x.Ranked || !known {
		return []Type{{Elem: x.Elem}}, nil
	}
	axes, err := axesOf(list, len(x.Shape))
	if err != nil {
		return nil, err
	}
	out := shaped(x.Elem)
	for i, d := range x.Shape {
		remove := slices.Contains(axes, i) || !given && d.N == 1
		if remove && d.Known() && d.N != 1 {
			return nil, fmt.Errorf("axis %d of %v is not 1", i, x)
		}
		if !remove {
			out.Shape = append(out.Shape, d)
		}
	}
	return []Type{out}, nil
}

func shapeUnsqueeze(c *call) ([]Type, error) {
	x := c.types[0]
	list, _, known := c.intsFrom("axes", 1, 13)
	if !x.Ranked || !known {
		return []Type{{Elem: x.Elem}}, nil
	}
	rank := len(x.Shape) + len(list)
	axes, err := axesOf(list, rank)
	if err != nil {
		return nil, err
	}
	out, rest := shaped(x.Elem), x.Shape
	for i := range rank {
		if slices.Contains(axes, i) {
			out.Shape = append(out.Shape, Dim{N: 1})
			continue
		}
		if len(rest) == 0 {
			return nil, fmt.Errorf("axes %v name one twice", list)
		}
		out.Shape, rest = append(out.Shape, rest[0]), rest[1:]
	}
	return []Type{out}, nil
}

// permutation is the perm attribute; reversed axes if it is absent.
func permutation(n *ir.Node, rank int) ([]int, error) {
	list := ir.IntsAttr(n, "perm")
	if list == nil {
		for i := rank - 1; i >= 0; i-- {
			list = append(list, int64(i))
		}
	}
	perm := make([]int, len(list))
	seen := make([]bool, rank)
	for i, v := range list {
		if v < 0 || v >= int64(rank) || seen[v] {
			return nil, fmt.Errorf("perm %v for %d dimensions", list, rank)
		}
		perm[i], seen[v] = int(v), true
	}
	if len(perm) != rank {
		return nil, fmt.Errorf("perm %v for %d dimensions", list, rank)
	}
	return perm, nil
}

func shapeTranspose(c *call) ([]Type, error) {
	x := c.types[0]
	if !x.Ranked {
		return []Type{x}, nil
	}
	perm, err := permutation(c.node, len(x.Shape))
	if err != nil {
		return nil, err
	}
	out := shaped(x.Elem)
	for _, i := range perm {
		out.Shape = append(out.Shape, x.Shape[i])
	}
	return []Type{out}, nil
}

func shapeConcat(c *call) ([]Type, error) {
	out := c.types[0]
	for _, t := range c.types {
		if !t.Ranked || len(t.Shape) != len(out.Shape) {
			return []Type{{Elem: out.Elem}}, nil
		}
	}
	a, err := axis(ir.IntAttr(c.node, "axis", 0), len(out.Shape))
	if err != nil {
		return nil, err
	}
	out.Shape = slices.Clone(out.Shape)
	for _, t := range c.types[1:] {
		if d := t.Shape[a]; d.Known() && out.Shape[a].Known() {
			out.Shape[a].N += d.N
		} else {
			out.Shape[a] = Unknown
		}
	}
	return []Type{out}, nil
}

func shapeGather(c *call) ([]Type, error) {
	x, index := c.types[0], c.types[1]
	if !x.Ranked || !index.Ranked {
		return []Type{{Elem: x.Elem}}, nil
	}
	a, err := axis(ir.IntAttr(c.node, "axis", 0), len(x.Shape))
	if err != nil {
		return nil, err
	}
	return []Type{shaped(x.Elem, slices.Concat(x.Shape[:a], index.Shape, x.Shape[a+1:])...)}, nil
}

func shapePad(c *call) ([]Type, error) {
	x := c.types[0]
	pads, _, known := c.intsFrom("pads", 1, 11)
	if !x.Ranked || !known || c.has(3) {
		return []Type{{Elem: x.Elem}}, nil
	}
	rank := len(x.Shape)
	if len(pads) != 2*rank {
		return nil, fmt.Errorf("pads %v for %v", pads, x)
	}
	out := shaped(x.Elem)
	for i, d := range x.Shape {
		if by := pads[i] + pads[rank+i]; by != 0 {
			if d.Known() {
				d.N += by
			} else {
				d = Unknown
			}
		}
		out.Shape = append(out.Shape, d)
	}
	return []Type{out}, nil
}

func shapeGemm(c *call) ([]Type, error) {
	if err := errors.Join(c.floats(0, 1, 2), c.rank(0, 2), c.rank(1, 2)); err != nil {
		return nil, err
	}
	out, err := gemmShape(c, c.types[0], c.types[1])
	if err != nil {
		return nil, err
	}
	if c.has(2) {
		if b, err := broadcast(out, c.types[2]); err != nil || b.Ranked && len(b.Shape) != 2 {
			return nil, fmt.Errorf("input 2 %q is %v, which does not go with %v", ir.Input(c.node, 2), c.types[2], out)
		}
	}
	return []Type{out}, nil
}

// gemmShape is the shape of a times b, each transposed as the attributes say.
func gemmShape(c *call, a, b Type) (Type, error) {
	m, k := a.At(0), a.At(1)
	if ir.IntAttr(c.node, "transA", 0) != 0 {
		m, k = k, m
	}
	k2, n := b.At(0), b.At(1)
	if ir.IntAttr(c.node, "transB", 0) != 0 {
		k2, n = n, k2
	}
	if k.Known() && k2.Known() && k.N != k2.N {
		return Type{}, fmt.Errorf("inputs are %v and %v: %v and %v should be equal", a, b, k, k2)
	}
	return shaped(a.Elem, m, n), nil
}

func shapeMatMul(c *call) ([]Type, error) {
	if a, b := c.types[0].Elem, c.types[1].Elem; a != 0 && b != 0 && a != b {
		return nil, fmt.Errorf("inputs are %v and %v", a, b)
	}
	return matMulShape(c.types[0], c.types[1], c.types[0].Elem)
}

func matMulShape(a, b Type, elem ir.DataType) ([]Type, error) {
	if !a.Ranked || !b.Ranked || len(a.Shape) < 2 || len(b.Shape) != 2 {
		return []Type{{Elem: elem}}, nil
	}
	k, k2 := a.Shape[len(a.Shape)-1], b.Shape[0]
	if k.Known() && k2.Known() && k.N != k2.N {
		return nil, fmt.Errorf("inputs are %v and %v: %v and %v should be equal", a, b, k, k2)
	}
	return []Type{shaped(elem, append(slices.Clone(a.Shape[:len(a.Shape)-1]), b.Shape[1])...)}, nil
}
