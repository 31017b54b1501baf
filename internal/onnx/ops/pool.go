package ops

import (
	"errors"
	"fmt"
	"math"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
)

func shapePool(c *call) ([]Type, error) {
	x := c.types[0]
	if !x.Ranked {
		return []Type{x}, nil
	}
	if len(x.Shape) < 3 {
		return nil, fmt.Errorf("input is %v: want channels and pixels", x)
	}
	out := shaped(x.Elem, x.Shape[0], x.Shape[1])
	for range x.Shape[2:] {
		out.Shape = append(out.Shape, Dim{N: 1})
	}
	return []Type{out}, nil
}

// runPool averages each channel's plane.
func runPool(c *call) ([]*Value, error) {
	x := c.values[0]
	out, err := c.output()
	if err != nil {
		return nil, err
	}
	plane := elementCount(x.Shape[2:])
	for i := range out.Data {
		out.Data[i] = mean(x.Data[i*plane : (i+1)*plane])
	}
	return one(out), nil
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func shapeAverage(c *call) ([]Type, error) {
	x := c.types[0]
	if !x.Ranked {
		return []Type{{Elem: x.Elem}}, nil
	}
	if len(x.Shape) != 4 || len(ir.IntsAttr(c.node, "kernel_shape")) != 2 {
		return []Type{{Elem: x.Elem}}, nil // pools of one and three dimensions are not looked into
	}
	g, err := geometryOf(c.node, Type{})
	if err != nil {
		return nil, err
	}
	out := shaped(x.Elem, x.Shape[0], x.Shape[1], Unknown, Unknown)
	for i := range 2 {
		if n := x.Shape[2+i]; n.Known() {
			size := g.pooled(i, n.N, ir.IntAttr(c.node, "ceil_mode", 0) != 0)
			if size <= 0 {
				return nil, fmt.Errorf("input %v is smaller than the kernel", x)
			}
			out.Shape[2+i] = Dim{N: size}
		}
	}
	return []Type{out}, nil
}

// pooled is the size of axis i of n pixels behind a pool, where ceil rounds up as long as
// the last window begins within the input or the padding before it.
func (g geometry) pooled(i int, n int64, ceil bool) int64 {
	before, size := g.window(i, int(n))
	if ceil && (g.autoPad == "NOTSET" || g.autoPad == "") {
		padded := int(n + g.before[i] + g.after[i])
		span := int(g.dilate[i]*(g.kernel[i]-1)) + 1
		if padded >= span && (padded-span)%int(g.stride[i]) != 0 && size*int(g.stride[i]) < int(n)+before {
			size++
		}
	}
	return int64(size)
}

// runAverage averages windows: of what they have of the input, or, if the padding
// counts, of all of them.
func runAverage(c *call) ([]*Value, error) {
	x := c.values[0]
	if x.rank() != 4 {
		return nil, fault.Unsupportedf("%d dimensions cannot be run", x.rank())
	}
	out, err := c.output()
	if err != nil {
		return nil, err
	}
	g, err := geometryOf(c.node, Type{})
	if err != nil {
		return nil, err
	}
	if ir.IntAttr(c.node, "ceil_mode", 0) != 0 && ir.IntAttr(c.node, "count_include_pad", 0) != 0 {
		return nil, errors.New("ceil_mode with padding that counts cannot be run")
	}
	height, width, oh, ow := x.Shape[2], x.Shape[3], out.Shape[2], out.Shape[3]
	top, _ := g.window(0, height)
	left, _ := g.window(1, width)
	counts := ir.IntAttr(c.node, "count_include_pad", 0) != 0
	for i := range out.Data {
		plane := x.Data[i/(oh*ow)*height*width:][:height*width]
		y0, x0 := i/ow%oh*int(g.stride[0])-top, i%ow*int(g.stride[1])-left
		sum, count := 0.0, 0
		for ky := range int(g.kernel[0]) {
			y := y0 + ky*int(g.dilate[0])
			if y < 0 || y >= height {
				continue
			}
			for kx := range int(g.kernel[1]) {
				if at := x0 + kx*int(g.dilate[1]); at >= 0 && at < width {
					sum += plane[y*width+at]
					count++
				}
			}
		}
		if counts {
			count = int(g.kernel[0] * g.kernel[1])
		}
		out.Data[i] = sum / math.Max(1, float64(count))
	}
	return one(out), nil
}
