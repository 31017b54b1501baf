package ops

import (
	"fmt"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
)

func shapeConv(c *call) ([]Type, error) {
	if err := c.floats(0, 1, 2); err != nil {
		return nil, err
	}
	return convShape(c, c.types[0], c.types[1], 2)
}

func shapeFusedConv(c *call) ([]Type, error) {
	out, err := shapeConv(c)
	if err != nil || !c.has(3) {
		return out, err
	}
	sum, err := broadcast(out[0], c.types[3])
	return []Type{sum}, err
}

// convShape is the output of a convolution of x with w, whose bias is the input at
// place bias.
func convShape(c *call, x, w Type, bias int) ([]Type, error) {
	out := Type{Elem: x.Elem}
	if !x.Ranked || !w.Ranked {
		return []Type{out}, nil
	}
	if len(x.Shape) != 4 || len(w.Shape) != 4 {
		return nil, fmt.Errorf("input is %v and weight %v: want 4 dimensions each", x, w)
	}
	g, err := geometryOf(c.node, w)
	if err != nil {
		return nil, err
	}
	in, per, o := x.Shape[1], w.Shape[1], w.Shape[0]
	if in.Known() && per.Known() && in.N != per.N*g.group || o.Known() && o.N%g.group != 0 {
		return nil, fmt.Errorf("input is %v, weight %v, group %d: the channels do not agree", x, w, g.group)
	}
	if bias < len(c.types) && c.types[bias].Ranked {
		if b := c.types[bias]; len(b.Shape) != 1 || b.At(0).Known() && o.Known() && b.At(0).N != o.N {
			return nil, fmt.Errorf("bias is %v, weight %v", b, w)
		}
	}
	out = shaped(x.Elem, x.Shape[0], o, Unknown, Unknown)
	for i := range 2 {
		if n := x.Shape[2+i]; n.Known() {
			_, size := g.window(i, int(n.N))
			if size <= 0 {
				return nil, fmt.Errorf("input %v is smaller than the kernel", x)
			}
			out.Shape[2+i] = Dim{N: int64(size)}
		}
	}
	return []Type{out}, nil
}

// A geometry is the attributes of a convolution, for both axes.
type geometry struct {
	group                  int64
	kernel, stride, dilate [2]int64
	before, after          [2]int64 // padding
	autoPad                string
}

func geometryOf(n *ir.Node, w Type) (geometry, error) {
	g := geometry{group: ir.IntAttr(n, "group", 1), autoPad: ir.StringAttr(n, "auto_pad", "NOTSET")}
	g.kernel = [2]int64{w.At(2).N, w.At(3).N}
	g.stride, g.dilate = [2]int64{1, 1}, [2]int64{1, 1}
	var pads [4]int64
	for _, part := range []struct {
		name string
		dst  []int64
		min  int64
	}{{"kernel_shape", g.kernel[:], 1}, {"strides", g.stride[:], 1}, {"dilations", g.dilate[:], 1}, {"pads", pads[:], 0}} {
		list := ir.IntsAttr(n, part.name)
		if list == nil {
			continue
		}
		if len(list) != len(part.dst) {
			return g, fmt.Errorf("%s %v: want %d numbers", part.name, list, len(part.dst))
		}
		copy(part.dst, list)
		for _, v := range list {
			if v < part.min || v > math.MaxInt32 {
				return g, fmt.Errorf("%s %v: out of range", part.name, list)
			}
		}
	}
	g.before, g.after = [2]int64{pads[0], pads[1]}, [2]int64{pads[2], pads[3]}
	for i := range 2 {
		if k := w.At(2 + i); k.Known() && k.N != g.kernel[i] {
			return g, fmt.Errorf("kernel_shape %v, but weight is %v", g.kernel, w)
		}
	}
	if g.group < 1 {
		return g, fmt.Errorf("group %d", g.group)
	}
	if !slices.Contains([]string{"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"}, g.autoPad) {
		return g, fmt.Errorf("auto_pad %q", g.autoPad)
	}
	return g, nil
}

// window returns, for axis i of n pixels, the padding before it and the size of the
// output.
func (g geometry) window(i, n int) (before, size int) {
	stride, span := int(g.stride[i]), int(g.dilate[i]*(g.kernel[i]-1))+1
	switch g.autoPad {
	case "SAME_UPPER", "SAME_LOWER":
		size = (n + stride - 1) / stride
		total := max(0, (size-1)*stride+span-n)
		if g.autoPad == "SAME_LOWER" {
			return (total + 1) / 2, size
		}
		return total / 2, size
	case "VALID":
		return 0, (n-span)/stride + 1
	}
	padded := n + int(g.before[i]+g.after[i])
	if padded < span {
		return int(g.before[i]), 0
	}
	return int(g.before[i]), (padded-span)/stride + 1
}
