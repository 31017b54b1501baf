package ops

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

func shapeArgMax(c *call) ([]Type, error) {
	x := c.types[0]
	out := Type{Elem: pb.TensorProto_INT64}
	if !x.Ranked {
		return []Type{out}, nil
	}
	a, err := axis(ir.IntAttr(c.node, "axis", 0), len(x.Shape))
	if err != nil {
		return nil, err
	}
	out = shaped(out.Elem, x.Shape[:a]...)
	out.Shape = slices.Clone(out.Shape)
	if ir.IntAttr(c.node, "keepdims", 1) != 0 {
		out.Shape = append(out.Shape, Dim{N: 1})
	}
	out.Shape = append(out.Shape, x.Shape[a+1:]...)
	return []Type{out}, nil
}

// runArgMax is the place of the largest along an axis: the first one of equals, or the
// last.
func runArgMax(c *call) ([]*Value, error) {
	out, err := c.output()
	if err != nil {
		return nil, err
	}
	last := ir.IntAttr(c.node, "select_last_index", 0) != 0
	err = c.lines(0, func(i int, line []float64) {
		best := 0
		for j, v := range line {
			if v > line[best] || last && v == line[best] {
				best = j
			}
		}
		out.Data[i] = float64(best)
	})
	return one(out), err
}

// lines calls f with the numbers of the first input along its axis, line by line in the
// order of the other axes.
func (c *call) lines(otherwise int64, f func(i int, line []float64)) error {
	x := c.values[0]
	a, err := axis(ir.IntAttr(c.node, "axis", otherwise), x.rank())
	if err != nil {
		return err
	}
	n, inner := x.Shape[a], elementCount(x.Shape[a+1:])
	if n == 0 {
		return fmt.Errorf("axis %d of %v is empty", a, c.types[0])
	}
	line := make([]float64, n)
	for i := range len(x.Data) / n {
		from := i/inner*n*inner + i%inner
		for j := range line {
			line[j] = x.Data[from+j*inner]
		}
		f(i, line)
	}
	return nil
}

func shapeTopK(c *call) ([]Type, error) {
	x := c.types[0]
	values, places := Type{Elem: x.Elem}, Type{Elem: pb.TensorProto_INT64}
	if !x.Ranked {
		return []Type{values, places}, nil
	}
	a, err := axis(ir.IntAttr(c.node, "axis", -1), len(x.Shape))
	if err != nil {
		return nil, err
	}
	k := Unknown
	if list, known := c.ints(1); known && len(list) == 1 {
		if k.N = list[0]; k.N < 0 || x.Shape[a].Known() && k.N > x.Shape[a].N {
			return nil, fmt.Errorf("the best %d of %v", k.N, x.Shape[a])
		}
	}
	values.Ranked, values.Shape = true, slices.Clone(x.Shape)
	values.Shape[a] = k
	places.Ranked, places.Shape = true, values.Shape
	return []Type{values, places}, nil
}

// runTopK is the largest or smallest along an axis, sorted, and their places.
func runTopK(c *call) ([]*Value, error) {
	values, err := c.output()
	if err != nil {
		return nil, err
	}
	places := &Value{pb.TensorProto_INT64, values.Shape, make([]float64, len(values.Data))}
	a, err := axis(ir.IntAttr(c.node, "axis", -1), values.rank())
	if err != nil {
		return nil, err
	}
	k, inner := values.Shape[a], elementCount(values.Shape[a+1:])
	sign := 1.0
	if ir.IntAttr(c.node, "largest", 1) == 0 {
		sign = -1
	}
	order := make([]int, c.values[0].Shape[a])
	err = c.lines(-1, func(i int, line []float64) {
		for j := range order {
			order[j] = j
		}
		slices.SortStableFunc(order, func(p, q int) int { return cmp.Compare(sign*line[q], sign*line[p]) })
		to := i/inner*k*inner + i%inner
		for j := range k {
			values.Data[to+j*inner], places.Data[to+j*inner] = line[order[j]], float64(order[j])
		}
	})
	return []*Value{values, places}, err
}

// shapeSlices is Slice, whose starts, ends, axes and steps are inputs from opset 10 on.
func shapeSlices(c *call) ([]Type, error) {
	x := c.types[0]
	parts, ok, err := c.sliceParts()
	if err != nil {
		return nil, err
	}
	if !ok {
		return []Type{{Elem: x.Elem}}, nil
	}
	out := shaped(x.Elem, slices.Clone(x.Shape)...)
	for i, p := range parts {
		if p.step == 0 { // not an axis that is sliced
			continue
		}
		if !x.Shape[i].Known() {
			if !p.all {
				out.Shape[i] = Unknown
			}
			continue
		}
		out.Shape[i] = Dim{N: p.count}
	}
	return []Type{out}, nil
}

// A slicePart is what Slice takes along one axis.
type slicePart struct {
	start, step, count int64
	all                bool // whatever the size is
}

// sliceParts are what Slice takes along each axis; ok is false where that is computed.
func (c *call) sliceParts() (parts []slicePart, ok bool, err error) {
	x := c.types[0]
	starts, _, known1 := c.intsFrom("starts", 1, 10)
	ends, _, known2 := c.intsFrom("ends", 2, 10)
	axes, given, known3 := c.intsFrom("axes", 3, 10)
	steps, stepped, known4 := c.intsFrom("steps", 4, 10)
	if !x.Ranked || !known1 || !known2 || !known3 || !known4 {
		return nil, false, nil
	}
	if !given {
		for i := range starts {
			axes = append(axes, int64(i))
		}
	}
	places, err := axesOf(axes, len(x.Shape))
	if err != nil {
		return nil, false, err
	}
	if len(places) != len(starts) || len(ends) != len(starts) || stepped && len(steps) != len(starts) {
		return nil, false, fmt.Errorf("%d starts, %d ends, %d axes, %d steps", len(starts), len(ends), len(axes), len(steps))
	}
	parts = make([]slicePart, len(x.Shape))
	for i, a := range places {
		step := int64(1)
		if stepped {
			step = steps[i]
		}
		if step == 0 {
			return nil, false, fmt.Errorf("a step of 0")
		}
		parts[a] = slicePart{step: step}
		if n := x.Shape[a].N; n >= 0 && n < math.MaxInt32 {
			parts[a] = sliced(starts[i], ends[i], step, n)
		} else if n >= 0 {
			return nil, false, fmt.Errorf("it slices an axis of %d", n)
		}
		parts[a].all = step == -1 && starts[i] == -1 && ends[i] < math.MinInt32 || step == 1 && starts[i] == 0 && ends[i] > math.MaxInt32
	}
	return parts, true, nil
}

// sliced clamps a slice to an axis of n; negative places count from the end.
func sliced(start, end, step, n int64) slicePart {
	low, high := int64(0), n // of a start, and of an end
	if step < 0 {
		low, high = -1, n-1
	}
	place := func(v int64) int64 {
		if v < 0 {
			v += n
		}
		return min(max(v, low), high)
	}
	from := min(max(place(start), 0), max(0, high))
	distance := place(end) - from
	if step < 0 {
		distance, step = -distance, -max(step, -n-1) // the smallest int64 has no negative
		return slicePart{start: from, step: -step, count: max(0, (distance+step-1)/step)}
	}
	step = min(step, n+1)
	return slicePart{start: from, step: step, count: max(0, (distance+step-1)/step)}
}

func runSlices(c *call) ([]*Value, error) {
	x := c.values[0]
	parts, _, err := c.sliceParts()
	if err != nil {
		return nil, err
	}
	out, err := c.output()
	if err != nil || len(out.Data) == 0 {
		return one(out), err
	}
	strides, from, step := make([]int, x.rank()), 0, 1
	for i := x.rank() - 1; i >= 0; i-- {
		strides[i] = step
		if p := parts[i]; p.step != 0 {
			from += int(p.start) * step
			strides[i] = int(p.step) * step
		}
		step *= x.Shape[i]
	}
	gather(out, x.Data, from, strides)
	return one(out), nil
}
