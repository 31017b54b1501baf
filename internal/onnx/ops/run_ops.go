package ops

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

func one(v *Value) []*Value { return []*Value{v} }

// mapped applies f to every element.
func mapped(v *Value, f func(float64) float64) *Value {
	out := &Value{v.Elem, v.Shape, make([]float64, len(v.Data))}
	for i, x := range v.Data {
		out.Data[i] = f(x)
	}
	return out
}

func lesser(a, b float64) float64  { return math.Min(a, b) }
func greater(a, b float64) float64 { return math.Max(a, b) }

// elementwise folds f over the inputs, with broadcasting.
func elementwise(f func(a, b float64) float64) func(*call) ([]*Value, error) {
	return func(c *call) ([]*Value, error) {
		shape, err := c.outputShape()
		if err != nil {
			return nil, err
		}
		out, err := stretch(c.values[0], shape)
		if err != nil {
			return nil, err
		}
		for _, v := range c.values[1:] {
			if v, err = stretch(v, shape); err != nil {
				return nil, err
			}
			for i, x := range v.Data {
				out.Data[i] = f(out.Data[i], x)
			}
			out.round()
		}
		return one(out), nil
	}
}

// stretch copies v, broadcast to shape.
func stretch(v *Value, shape []int) (*Value, error) {
	out, err := NewValue(v.Elem, shape...)
	if err != nil {
		return nil, err
	}
	if slices.Equal(v.Shape, shape) {
		copy(out.Data, v.Data)
		return out, nil
	}
	strides := make([]int, len(shape)) // of v, 0 along axes that stretch
	step := 1
	for i := range v.Shape {
		at := len(v.Shape) - 1 - i
		if v.Shape[at] != 1 {
			strides[len(shape)-1-i] = step
		}
		step *= v.Shape[at]
	}
	gather(out, v.Data, 0, strides)
	return out, nil
}

// gather fills out with the elements of src that strides, one per axis of out, lead
// to from an element on.
func gather(out *Value, src []float64, from int, strides []int) {
	index := make([]int, len(out.Shape))
	for i := range out.Data {
		out.Data[i] = src[from]
		for a := len(index) - 1; a >= 0; a-- { // to the next element
			index[a]++
			from += strides[a]
			if index[a] < out.Shape[a] {
				break
			}
			from -= index[a] * strides[a]
			index[a] = 0
		}
	}
}

func runIdentity(c *call) ([]*Value, error) {
	v := *c.values[0]
	return one(&v), nil
}

func runShape(c *call) ([]*Value, error) {
	shape, ok := Type{Shape: shapeSlice(c), Ranked: c.types[0].Ranked}.Fixed()
	if !ok {
		return nil, errors.New("the shape is not known")
	}
	v := &Value{Elem: pb.TensorProto_INT64, Shape: []int{len(shape)}}
	for _, n := range shape {
		v.Data = append(v.Data, float64(n))
	}
	return one(v), nil
}

func runSigmoid(c *call) ([]*Value, error) {
	return one(mapped(c.values[0], func(x float64) float64 { return 1 / (1 + math.Exp(-x)) })), nil
}

func runRelu(c *call) ([]*Value, error) {
	return one(mapped(c.values[0], func(x float64) float64 { return math.Max(x, 0) })), nil
}

func runClip(c *call) ([]*Value, error) {
	low, high := c.scalar(1, math.Inf(-1)), c.scalar(2, math.Inf(1))
	if c.opset < 11 {
		low, high = float64(ir.FloatAttr(c.node, "min", -math.MaxFloat32)), float64(ir.FloatAttr(c.node, "max", math.MaxFloat32))
	}
	return one(mapped(c.values[0], func(x float64) float64 { return math.Min(math.Max(x, low), high) })), nil
}

// runCast converts: to integers towards zero, to booleans by whether it is not 0.
func runCast(c *call) ([]*Value, error) {
	switch to := ir.DataType(ir.IntAttr(c.node, "to", 0)); to {
	case pb.TensorProto_FLOAT, pb.TensorProto_DOUBLE, pb.TensorProto_FLOAT16:
		return runIdentity(c)
	case pb.TensorProto_BOOL:
		return one(mapped(c.values[0], func(x float64) float64 {
			if x != 0 {
				return 1
			}
			return 0
		})), nil
	case pb.TensorProto_INT64, pb.TensorProto_INT32:
		return one(mapped(c.values[0], math.Trunc)), nil
	default:
		return nil, fault.Unsupportedf("a cast to %v cannot be run", to)
	}
}

func runConstant(c *call) ([]*Value, error) {
	v, err := ValueOf(ir.ConstantOf(c.node))
	return one(v), err
}

// runDropout drops nothing, so that runs can be compared.
func runDropout(c *call) ([]*Value, error) {
	mask := mapped(c.values[0], func(float64) float64 { return 1 })
	x := *c.values[0]
	return []*Value{&x, mask}, nil
}

// runReshaped is any operator that changes the shape alone.
func runReshaped(c *call) ([]*Value, error) {
	shape, err := c.outputShape()
	if err != nil {
		return nil, err
	}
	return one(&Value{c.values[0].Elem, shape, c.values[0].Data}), nil
}

func runTranspose(c *call) ([]*Value, error) {
	x := c.values[0]
	perm, err := permutation(c.node, x.rank())
	if err != nil {
		return nil, err
	}
	out, err := c.output()
	if err != nil {
		return nil, err
	}
	strides := make([]int, x.rank())
	for i, p := range perm {
		strides[i] = 1
		for _, d := range x.Shape[p+1:] {
			strides[i] *= d
		}
	}
	gather(out, x.Data, 0, strides)
	return one(out), nil
}

func runConcat(c *call) ([]*Value, error) {
	out, err := c.output()
	if err != nil {
		return nil, err
	}
	a, err := axis(ir.IntAttr(c.node, "axis", 0), out.rank())
	if err != nil {
		return nil, err
	}
	at := 0
	for outer := range elementCount(out.Shape[:a]) {
		for _, v := range c.values {
			n := elementCount(v.Shape[a:])
			at += copy(out.Data[at:], v.Data[outer*n:(outer+1)*n])
		}
	}
	return one(out), nil
}

func elementCount(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func runGather(c *call) ([]*Value, error) {
	x, index := c.values[0], c.values[1]
	a, err := axis(ir.IntAttr(c.node, "axis", 0), x.rank())
	if err != nil {
		return nil, err
	}
	out, err := c.output()
	if err != nil {
		return nil, err
	}
	n, inner := x.Shape[a], elementCount(x.Shape[a+1:])
	at := 0
	for outer := range elementCount(x.Shape[:a]) {
		for _, i := range index.Data {
			if i < 0 {
				i += float64(n)
			}
			if i < 0 || i >= float64(n) {
				return nil, fmt.Errorf("index %v of %d", i, n)
			}
			from := (outer*n + int(i)) * inner
			at += copy(out.Data[at:], x.Data[from:from+inner])
		}
	}
	return one(out), nil
}

func runPad(c *call) ([]*Value, error) {
	x := c.values[0]
	if mode := ir.StringAttr(c.node, "mode", "constant"); mode != "constant" {
		return nil, fault.Unsupportedf("mode %q cannot be run", mode)
	}
	out, err := c.output()
	if err != nil {
		return nil, err
	}
	pads, _, _ := c.intsFrom("pads", 1, 11)
	fill := c.scalar(2, float64(ir.FloatAttr(c.node, "value", 0)))
	for i := range out.Data {
		out.Data[i] = fill
	}
	if len(x.Data) == 0 || slices.ContainsFunc(pads, func(p int64) bool { return p < 0 }) {
		return nil, fault.Unsupportedf("pads %v cannot be run", pads)
	}
	index := make([]int, x.rank())
	for _, v := range x.Data {
		to := 0
		for a, i := range index {
			to = to*out.Shape[a] + i + int(pads[a])
		}
		out.Data[to] = v
		for a := len(index) - 1; a >= 0; a-- {
			if index[a]++; index[a] < x.Shape[a] {
				break
			}
			index[a] = 0
		}
	}
	return one(out), nil
}

func runReduce(c *call) ([]*Value, error) {
	x := c.values[0]
	out, err := c.output()
	if err != nil {
		return nil, err
	}
	list, _, _ := c.intsFrom("axes", 1, 18)
	axes, err := axesOf(list, x.rank())
	if err != nil {
		return nil, err
	}
	if len(axes) == 0 && ir.IntAttr(c.node, "noop_with_empty_axes", 0) != 0 {
		return runIdentity(c)
	}
	index := make([]int, x.rank())
	for _, v := range x.Data {
		to := 0
		for a, i := range index {
			if len(axes) > 0 && !slices.Contains(axes, a) {
				to = to*x.Shape[a] + i
			}
		}
		out.Data[to] += v
		for a := len(index) - 1; a >= 0; a-- {
			if index[a]++; index[a] < x.Shape[a] {
				break
			}
			index[a] = 0
		}
	}
	count := float64(len(x.Data)) / float64(max(1, len(out.Data)))
	for i := range out.Data {
		out.Data[i] /= count
	}
	return one(out), nil
}

// runSoftmax is exp(x) / sum over exp(x) along axis; before opset 13 over all axes from
// it on.
func runSoftmax(c *call) ([]*Value, error) {
	return softmax(c, func(v, sum float64) float64 { return math.Exp(v) / sum })
}

// runLogSoftmax is the logarithm of that, also where that rounds to 0.
func runLogSoftmax(c *call) ([]*Value, error) {
	return softmax(c, func(v, sum float64) float64 { return v - math.Log(sum) })
}

// softmax computes f of every x, less the largest along the axis, and of the sum over
// the exponentials of these.
func softmax(c *call, f func(v, sum float64) float64) ([]*Value, error) {
	x := c.values[0]
	otherwise := int64(-1)
	if c.opset < 13 {
		otherwise = 1
	}
	a, err := axis(ir.IntAttr(c.node, "axis", otherwise), x.rank())
	if err != nil {
		return nil, err
	}
	n, inner := x.Shape[a], elementCount(x.Shape[a+1:])
	if c.opset < 13 {
		n, inner = n*inner, 1
	}
	out := &Value{x.Elem, x.Shape, make([]float64, len(x.Data))}
	for i := range len(x.Data) / max(1, n) {
		from := i/inner*n*inner + i%inner
		largest, sum := math.Inf(-1), 0.0
		for j := range n {
			largest = math.Max(largest, x.Data[from+j*inner])
		}
		for j := range n {
			sum += math.Exp(x.Data[from+j*inner] - largest)
		}
		for j := range n {
			out.Data[from+j*inner] = f(x.Data[from+j*inner]-largest, sum)
		}
	}
	return one(out), nil
}

// runNorm is BatchNormalization with the stored statistics, or, in training, with
// the batch's: then it also returns the running ones (from opset 14), or those and
// the batch's own (before).
func runNorm(c *call) ([]*Value, error) {
	x := c.values[0]
	if x.rank() < 2 {
		return nil, fmt.Errorf("input is %v", c.types[0])
	}
	training := ir.IntAttr(c.node, "training_mode", 0) != 0
	if c.opset < 14 {
		training = len(c.node.Output) > 1
	}
	channels, plane := x.Shape[1], elementCount(x.Shape[2:])
	for i, v := range c.values[1:5] {
		if len(v.Data) != channels {
			return nil, fmt.Errorf("input %d has %d values for %d channels", i+1, len(v.Data), channels)
		}
	}
	means, variances := c.values[3], c.values[4]
	if training {
		means, variances = batchStatistics(x)
	}
	eps := float64(ir.FloatAttr(c.node, "epsilon", 1e-5))
	out := &Value{x.Elem, x.Shape, make([]float64, len(x.Data))}
	for i := range x.Shape[0] * channels {
		ch := i % channels
		scale := c.values[1].Data[ch] / math.Sqrt(variances.Data[ch]+eps)
		shift := c.values[2].Data[ch] - means.Data[ch]*scale
		for j := i * plane; j < (i+1)*plane; j++ {
			out.Data[j] = x.Data[j]*scale + shift
		}
	}
	if !training {
		return one(out), nil
	}
	keep := float64(ir.FloatAttr(c.node, "momentum", 0.9))
	running := func(old, batch *Value) *Value {
		v := &Value{old.Elem, old.Shape, make([]float64, channels)}
		for i := range v.Data {
			v.Data[i] = keep*old.Data[i] + (1-keep)*batch.Data[i]
		}
		return v
	}
	return []*Value{out, running(c.values[3], means), running(c.values[4], variances), means, variances}, nil
}

// batchStatistics is the mean and the (population) variance of each channel.
func batchStatistics(x *Value) (means, variances *Value) {
	channels, plane := x.Shape[1], elementCount(x.Shape[2:])
	means = &Value{x.Elem, []int{channels}, make([]float64, channels)}
	variances = &Value{x.Elem, []int{channels}, make([]float64, channels)}
	count := float64(x.Shape[0] * plane)
	each := func(f func(ch int, v float64)) {
		for i := range x.Shape[0] * channels {
			for _, v := range x.Data[i*plane : (i+1)*plane] {
				f(i%channels, v)
			}
		}
	}
	each(func(ch int, v float64) { means.Data[ch] += v / count })
	each(func(ch int, v float64) {
		d := v - means.Data[ch]
		variances.Data[ch] += d * d / count
	})
	return means, variances
}
