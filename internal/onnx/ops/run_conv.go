package ops

import (
	"math"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
)

func runConv(c *call) ([]*Value, error) {
	var bias []float64
	if c.has(2) {
		bias = c.values[2].Data
	}
	out, err := convolve(c, c.values[0], c.values[1], bias)
	return one(out), err
}

// runFusedConv is Conv, perhaps an addition of a fourth input, and an activation.
func runFusedConv(c *call) ([]*Value, error) {
	out, err := runConv(c)
	if err != nil {
		return nil, err
	}
	v := out[0]
	if z := c.optional(3); z != nil {
		if z, err = stretch(z, v.Shape); err != nil {
			return nil, err
		}
		for i := range v.Data {
			v.Data[i] += z.Data[i]
		}
	}
	low, high := math.Inf(-1), math.Inf(1)
	switch name, params := ir.StringAttr(c.node, "activation", ""), ir.FloatsAttr(c.node, "activation_params"); {
	case name == "":
	case name == "Relu":
		low = 0
	case name == "Clip" && len(params) == 2:
		low, high = float64(params[0]), float64(params[1])
	default:
		return nil, fault.Unsupportedf("activation %s cannot be run", ir.Quote(name))
	}
	for i, x := range v.Data {
		v.Data[i] = math.Min(math.Max(x, low), high)
	}
	return out, nil
}

// convolve is the convolution of x [N,C,H,W] with w [O,C/group,kh,kw] under the
// attributes of c's node: for every weight, a row of the input is added to a row of
// the output.
func convolve(c *call, x, w *Value, bias []float64) (*Value, error) {
	shape, err := c.outputShape()
	if err != nil {
		return nil, err
	}
	out, err := NewValue(x.Elem, shape...)
	if err != nil {
		return nil, err
	}
	g, err := geometryOf(c.node, sizes(w))
	if err != nil {
		return nil, err
	}
	n, in, height, width := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	outs, oh, ow := shape[1], shape[2], shape[3]
	top, _ := g.window(0, height)
	left, _ := g.window(1, width)
	sy, sx := int(g.stride[0]), int(g.stride[1])
	if w.Shape[2] == 1 && w.Shape[3] == 1 && sy == 1 && sx == 1 && height == oh && width == ow {
		// A pointwise convolution sees one long row.
		width, ow, height, oh = width*height, width*height, 1, 1
	}
	per := w.Shape[1]
	kernel := w.Shape[2] * w.Shape[3]
	for at := range n * outs {
		image, o := at/outs, at%outs
		dst := out.Data[at*oh*ow : (at+1)*oh*ow]
		if bias != nil {
			for i := range dst {
				dst[i] = bias[o]
			}
		}
		first := o / (outs / int(g.group)) * per
		for i := range per {
			plane := image*in + first + i
			src := x.Data[plane*height*width : (plane+1)*height*width]
			for k := range kernel {
				weight := w.Data[(o*per+i)*kernel+k]
				ky, kx := k/w.Shape[3]*int(g.dilate[0])-top, k%w.Shape[3]*int(g.dilate[1])-left
				for y := range oh {
					if iy := y*sy + ky; iy >= 0 && iy < height {
						addRow(dst[y*ow:(y+1)*ow], src[iy*width:(iy+1)*width], weight, sx, kx)
					}
				}
			}
		}
	}
	return out, nil
}

// addRow adds w * src[x*stride+shift] to dst[x] where that is inside src.
func addRow(dst, src []float64, w float64, stride, shift int) {
	if stride == 1 && shift == 0 && len(src) == len(dst) {
		for x, v := range src {
			dst[x] += w * v
		}
		return
	}
	for x := range dst {
		if i := x*stride + shift; i >= 0 && i < len(src) {
			dst[x] += w * src[i]
		}
	}
}

func sizes(v *Value) Type {
	t := shaped(v.Elem)
	for _, d := range v.Shape {
		t.Shape = append(t.Shape, Dim{N: int64(d)})
	}
	return t
}

func runGemm(c *call) ([]*Value, error) {
	out, err := c.output()
	if err != nil {
		return nil, err
	}
	gemm(c, out, c.values[0], c.values[1])
	alpha := float64(ir.FloatAttr(c.node, "alpha", 1))
	for i := range out.Data {
		out.Data[i] *= alpha
	}
	if !c.has(2) {
		return one(out), nil
	}
	bias, err := stretch(c.values[2], out.Shape)
	if err != nil {
		return nil, err
	}
	beta := float64(ir.FloatAttr(c.node, "beta", 1))
	for i := range out.Data {
		out.Data[i] += beta * bias.Data[i]
	}
	return one(out), nil
}

// gemm sets out to a b, each transposed as the attributes say.
func gemm(c *call, out, a, b *Value) {
	k, ai, ak, bk, bj := a.Shape[1], a.Shape[1], 1, b.Shape[1], 1
	if ir.IntAttr(c.node, "transA", 0) != 0 {
		k, ai, ak = a.Shape[0], 1, a.Shape[1]
	}
	if ir.IntAttr(c.node, "transB", 0) != 0 {
		bk, bj = 1, b.Shape[1]
	}
	multiply(out.Data, a.Data, b.Data, out.Shape[0], out.Shape[1], k, ai, ak, bk, bj)
}

// multiply sets dst[i][j] = sum over k of a[i*ai+k*ak] * b[k*bk+j*bj].
func multiply(dst, a, b []float64, m, n, k, ai, ak, bk, bj int) {
	for i := range m {
		for j := range n {
			var sum float64
			for l := range k {
				sum += a[i*ai+l*ak] * b[l*bk+j*bj]
			}
			dst[i*n+j] = sum
		}
	}
}

func runMatMul(c *call) ([]*Value, error) {
	out, err := matMul(c, c.values[0], c.values[1])
	return one(out), err
}

func matMul(c *call, a, b *Value) (*Value, error) {
	out, err := c.output()
	if err != nil {
		return nil, err
	}
	k, n := b.Shape[0], b.Shape[1]
	multiply(out.Data, a.Data, b.Data, elementCount(a.Shape[:a.rank()-1]), n, k, k, 1, n, 1)
	return out, nil
}
