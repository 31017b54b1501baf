package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/onnx/internal/pb"
)

func inferSame(c *call) ([]valueType, error) { return []valueType{c.types[0]}, nil }

func inferBroadcast(c *call) ([]valueType, error) {
	out := c.types[0]
	for i, t := range c.types[1:] {
		if t.elem != 0 && out.elem != 0 && t.elem != out.elem {
			return nil, fmt.Errorf("input %d is %v, but input 0 is %v", i+1, t.elem, out.elem)
		}
		var err error
		if out, err = broadcast(out, t); err != nil {
			return nil, err
		}
	}
	return []valueType{out}, nil
}

// broadcast aligns shapes at their ends; an axis of 1 stretches
// (onnx/docs/Broadcasting.md).
func broadcast(a, b valueType) (valueType, error) {
	if !a.ranked || !b.ranked {
		return valueType{elem: a.elem}, nil
	}
	rank := max(len(a.shape), len(b.shape))
	out := shaped(a.elem, make([]dim, rank)...)
	for i := range rank {
		x, y := dim{n: 1}, dim{n: 1}
		if j := i - rank + len(a.shape); j >= 0 {
			x = a.shape[j]
		}
		if j := i - rank + len(b.shape); j >= 0 {
			y = b.shape[j]
		}
		switch {
		case x.n == 1, x == y, !x.known() && y.n > 1:
			out.shape[i] = y
		case y.n == 1, !y.known() && x.n > 1:
			out.shape[i] = x
		case !x.known() || !y.known():
			out.shape[i] = unknown
		default:
			return out, fmt.Errorf("shapes %v and %v do not go together", a, b)
		}
	}
	return out, nil
}

func inferCast(c *call) ([]valueType, error) {
	out := c.types[0]
	out.elem = DataType(intAttr(c.node, "to", 0))
	if out.elem == pb.TensorProto_UNDEFINED {
		return nil, errors.New("to=0 is no type")
	}
	return []valueType{out}, nil
}

func inferConstant(c *call) ([]valueType, error) {
	if t := constantOf(c.node); t != nil {
		return []valueType{tensorType(t)}, nil
	}
	return nil, errors.New("no value that is supported")
}

func inferShape(c *call) ([]valueType, error) {
	n := unknown
	if c.types[0].ranked {
		n = dim{n: int64(len(shapeSlice(c)))}
	}
	return []valueType{shaped(pb.TensorProto_INT64, n)}, nil
}

// shapeSlice is the dimensions from start to end, both of which are clamped; a
// negative one counts from the end.
func shapeSlice(c *call) []dim {
	shape := c.types[0].shape
	rank := int64(len(shape))
	bound := func(name string, otherwise int64) int64 {
		i := intAttr(c.node, name, otherwise)
		if i < 0 {
			i += rank
		}
		return min(max(i, 0), rank)
	}
	start, end := bound("start", 0), bound("end", rank)
	return shape[start:max(start, end)]
}

func inferDropout(c *call) ([]valueType, error) {
	mask := c.types[0]
	if c.opset >= 10 {
		mask.elem = pb.TensorProto_BOOL
	}
	return []valueType{c.types[0], mask}, nil
}

func inferNorm(c *call) ([]valueType, error) {
	if err := c.floats(0, 1, 2); err != nil {
		return nil, err
	}
	channels := c.types[0].at(1)
	for i := 1; i < 5; i++ {
		if err := c.rank(i, 1); err != nil {
			return nil, err
		}
		if n := c.types[i].at(0); n.known() && channels.known() && n.n != channels.n {
			return nil, fmt.Errorf("input %d %q is %v, but the data has %v channels", i, input(c.node, i), c.types[i], channels)
		}
	}
	return []valueType{c.types[0], c.types[3], c.types[4], c.types[3], c.types[4]}, nil
}

func inferPool(c *call) ([]valueType, error) {
	x := c.types[0]
	if !x.ranked {
		return []valueType{x}, nil
	}
	if len(x.shape) < 3 {
		return nil, fmt.Errorf("input is %v: want channels and pixels", x)
	}
	out := shaped(x.elem, x.shape[0], x.shape[1])
	for range x.shape[2:] {
		out.shape = append(out.shape, dim{n: 1})
	}
	return []valueType{out}, nil
}

// axis makes a negative axis count from the end, and checks it.
func axis(a int64, rank int) (int, error) {
	if a < int64(-rank) || a >= int64(rank) {
		return 0, fmt.Errorf("axis %d of %d dimensions", a, rank)
	}
	return int((a + int64(rank)) % int64(rank)), nil
}

func axesOf(list []int64, rank int) ([]int, error) {
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

func inferReduce(c *call) ([]valueType, error) {
	x := c.types[0]
	if err := c.floats(0); err != nil {
		return nil, err
	}
	list, _, known := c.intsFrom("axes", 1, 18)
	if !x.ranked || !known {
		return []valueType{{elem: x.elem}}, nil
	}
	axes, err := axesOf(list, len(x.shape))
	if err != nil {
		return nil, err
	}
	out := shaped(x.elem)
	for i, d := range x.shape {
		reduced := slices.Contains(axes, i) || len(axes) == 0 && intAttr(c.node, "noop_with_empty_axes", 0) == 0
		switch {
		case !reduced:
			out.shape = append(out.shape, d)
		case intAttr(c.node, "keepdims", 1) != 0:
			out.shape = append(out.shape, dim{n: 1})
		}
	}
	return []valueType{out}, nil
}

// product multiplies dimensions, unknown if one of them is.
func product(dims []dim) dim {
	if len(dims) == 1 {
		return dims[0]
	}
	n := int64(1)
	for _, d := range dims {
		if !d.known() || d.n != 0 && n > math.MaxInt64/d.n {
			return unknown
		}
		n *= d.n
	}
	return dim{n: n}
}

func inferFlatten(c *call) ([]valueType, error) {
	x := c.types[0]
	if !x.ranked {
		return []valueType{shaped(x.elem, unknown, unknown)}, nil
	}
	a := intAttr(c.node, "axis", 1)
	if a != int64(len(x.shape)) {
		i, err := axis(a, len(x.shape))
		if err != nil {
			return nil, err
		}
		a = int64(i)
	}
	left, right := product(x.shape[:a]), product(x.shape[a:])
	if a == 0 {
		left = dim{n: 1}
	}
	return []valueType{shaped(x.elem, left, right)}, nil
}

func inferReshape(c *call) ([]valueType, error) {
	x := c.types[0]
	want, known := c.ints(1)
	if !known {
		return []valueType{{elem: x.elem}}, nil
	}
	out := shaped(x.elem)
	free := -1
	for i, n := range want {
		switch {
		case n == 0 && intAttr(c.node, "allowzero", 0) == 0:
			out.shape = append(out.shape, x.at(i))
		case n == -1 && free < 0:
			free = i
			out.shape = append(out.shape, unknown)
		case n < 0:
			return nil, fmt.Errorf("shape %v", want)
		default:
			out.shape = append(out.shape, dim{n: n})
		}
	}
	if !x.ranked {
		return []valueType{out}, nil
	}
	have := product(x.shape)
	if free >= 0 {
		out.shape[free] = quotient(x.shape, slices.Delete(slices.Clone(out.shape), free, free+1))
		if have.known() && !out.shape[free].known() {
			return nil, fmt.Errorf("%v does not become %v", x, want)
		}
	}
	if n := product(out.shape); have.known() && n.known() && have.n != n.n {
		return nil, fmt.Errorf("%v does not become %v", x, want)
	}
	return []valueType{out}, nil
}

// quotient divides the product of one list of dimensions by that of another;
// named ones that are in both cancel.
func quotient(of, by []dim) dim {
	of = slices.Clone(of)
	n := int64(1)
	for _, d := range by {
		if i := slices.Index(of, d); i >= 0 {
			of = slices.Delete(of, i, i+1)
		} else if d.n > 0 {
			n *= d.n
		} else {
			return unknown
		}
	}
	p := product(of)
	switch {
	case len(of) == 0 && n == 1:
		return dim{n: 1}
	case n == 1:
		return p
	case !p.known() || p.n%n != 0:
		return unknown
	}
	return dim{n: p.n / n}
}

func inferSqueeze(c *call) ([]valueType, error) {
	x := c.types[0]
	list, given, known := c.intsFrom("axes", 1, 13)
	if !x.ranked || !known {
		return []valueType{{elem: x.elem}}, nil
	}
	axes, err := axesOf(list, len(x.shape))
	if err != nil {
		return nil, err
	}
	out := shaped(x.elem)
	for i, d := range x.shape {
		remove := slices.Contains(axes, i) || !given && d.n == 1
		if remove && d.known() && d.n != 1 {
			return nil, fmt.Errorf("axis %d of %v is not 1", i, x)
		}
		if !remove {
			out.shape = append(out.shape, d)
		}
	}
	return []valueType{out}, nil
}

func inferUnsqueeze(c *call) ([]valueType, error) {
	x := c.types[0]
	list, _, known := c.intsFrom("axes", 1, 13)
	if !x.ranked || !known {
		return []valueType{{elem: x.elem}}, nil
	}
	rank := len(x.shape) + len(list)
	axes, err := axesOf(list, rank)
	if err != nil {
		return nil, err
	}
	out, rest := shaped(x.elem), x.shape
	for i := range rank {
		if slices.Contains(axes, i) {
			out.shape = append(out.shape, dim{n: 1})
			continue
		}
		if len(rest) == 0 {
			return nil, fmt.Errorf("axes %v name one twice", list)
		}
		out.shape, rest = append(out.shape, rest[0]), rest[1:]
	}
	return []valueType{out}, nil
}

// permutation is the perm attribute; reversed axes if it is absent.
func permutation(n *Node, rank int) ([]int, error) {
	list := intsAttr(n, "perm")
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

func inferTranspose(c *call) ([]valueType, error) {
	x := c.types[0]
	if !x.ranked {
		return []valueType{x}, nil
	}
	perm, err := permutation(c.node, len(x.shape))
	if err != nil {
		return nil, err
	}
	out := shaped(x.elem)
	for _, i := range perm {
		out.shape = append(out.shape, x.shape[i])
	}
	return []valueType{out}, nil
}

func inferConcat(c *call) ([]valueType, error) {
	out := c.types[0]
	for _, t := range c.types {
		if !t.ranked || len(t.shape) != len(out.shape) {
			return []valueType{{elem: out.elem}}, nil
		}
	}
	a, err := axis(intAttr(c.node, "axis", 0), len(out.shape))
	if err != nil {
		return nil, err
	}
	out.shape = slices.Clone(out.shape)
	for _, t := range c.types[1:] {
		if d := t.shape[a]; d.known() && out.shape[a].known() {
			out.shape[a].n += d.n
		} else {
			out.shape[a] = unknown
		}
	}
	return []valueType{out}, nil
}

func inferGather(c *call) ([]valueType, error) {
	x, index := c.types[0], c.types[1]
	if !x.ranked || !index.ranked {
		return []valueType{{elem: x.elem}}, nil
	}
	a, err := axis(intAttr(c.node, "axis", 0), len(x.shape))
	if err != nil {
		return nil, err
	}
	return []valueType{shaped(x.elem, slices.Concat(x.shape[:a], index.shape, x.shape[a+1:])...)}, nil
}

func inferPad(c *call) ([]valueType, error) {
	x := c.types[0]
	pads, _, known := c.intsFrom("pads", 1, 11)
	if !x.ranked || !known || c.has(3) {
		return []valueType{{elem: x.elem}}, nil
	}
	rank := len(x.shape)
	if len(pads) != 2*rank {
		return nil, fmt.Errorf("pads %v for %v", pads, x)
	}
	out := shaped(x.elem)
	for i, d := range x.shape {
		if by := pads[i] + pads[rank+i]; by != 0 {
			if d.known() {
				d.n += by
			} else {
				d = unknown
			}
		}
		out.shape = append(out.shape, d)
	}
	return []valueType{out}, nil
}

func inferGemm(c *call) ([]valueType, error) {
	if err := errors.Join(c.floats(0, 1, 2), c.rank(0, 2), c.rank(1, 2)); err != nil {
		return nil, err
	}
	out, err := gemmShape(c, c.types[0], c.types[1])
	if err != nil {
		return nil, err
	}
	if c.has(2) {
		if b, err := broadcast(out, c.types[2]); err != nil || b.ranked && len(b.shape) != 2 {
			return nil, fmt.Errorf("input 2 %q is %v, which does not go with %v", input(c.node, 2), c.types[2], out)
		}
	}
	return []valueType{out}, nil
}

// gemmShape is the shape of a times b, each transposed as the attributes say.
func gemmShape(c *call, a, b valueType) (valueType, error) {
	m, k := a.at(0), a.at(1)
	if intAttr(c.node, "transA", 0) != 0 {
		m, k = k, m
	}
	k2, n := b.at(0), b.at(1)
	if intAttr(c.node, "transB", 0) != 0 {
		k2, n = n, k2
	}
	if k.known() && k2.known() && k.n != k2.n {
		return valueType{}, fmt.Errorf("inputs are %v and %v: %v and %v should be equal", a, b, k, k2)
	}
	return shaped(a.elem, m, n), nil
}

func inferMatMul(c *call) ([]valueType, error) {
	if a, b := c.types[0].elem, c.types[1].elem; a != 0 && b != 0 && a != b {
		return nil, fmt.Errorf("inputs are %v and %v", a, b)
	}
	return matMulShape(c.types[0], c.types[1], c.types[0].elem)
}

func matMulShape(a, b valueType, elem DataType) ([]valueType, error) {
	if !a.ranked || !b.ranked || len(a.shape) < 2 || len(b.shape) != 2 {
		return []valueType{{elem: elem}}, nil
	}
	k, k2 := a.shape[len(a.shape)-1], b.shape[0]
	if k.known() && k2.known() && k.n != k2.n {
		return nil, fmt.Errorf("inputs are %v and %v: %v and %v should be equal", a, b, k, k2)
	}
	return []valueType{shaped(elem, append(slices.Clone(a.shape[:len(a.shape)-1]), b.shape[1])...)}, nil
}
