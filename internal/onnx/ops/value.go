package ops

import (
	"math"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/half"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// ElementCount is the number of elements of a shape from a file, or the largest int.
func ElementCount(shape []int) int {
	n := 1
	for _, d := range shape {
		n = multiplied(n, d)
	}
	return n
}

// Tensor is v as float32 or int64, nil if it is of another type.
func (v *Value) Tensor() *ir.Tensor {
	switch v.Elem {
	case pb.TensorProto_FLOAT:
		data := make([]float32, len(v.Data))
		for i, x := range v.Data {
			data[i] = float32(x)
		}
		return ir.FloatTensor("", data, v.Shape...)
	case pb.TensorProto_INT64:
		data := make([]int64, len(v.Data))
		for i, x := range v.Data {
			data[i] = int64(x)
		}
		return ir.IntTensor("", data, v.Shape...)
	}
	return nil
}

// A Value is a tensor while a graph runs. Elements of every type are held as
// float64, which is exact for float32 and for integers up to 2^53; what a node
// makes is rounded to its type.
type Value struct {
	Elem  ir.DataType
	Shape []int
	Data  []float64
}

// NewValue returns zeros.
func NewValue(elem ir.DataType, shape ...int) (*Value, error) {
	n := 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > maxLive/d {
			return nil, fault.TooLargef("a tensor of shape %v is larger than what is run", shape)
		}
		n *= d
	}
	return &Value{elem, shape, make([]float64, n)}, nil
}

func (v *Value) rank() int { return len(v.Shape) }

// round brings every element to what its type can hold.
func (v *Value) round() {
	switch v.Elem {
	case pb.TensorProto_FLOAT:
		for i, x := range v.Data {
			v.Data[i] = float64(float32(x))
		}
	case pb.TensorProto_FLOAT16:
		for i, x := range v.Data {
			v.Data[i] = float64(half.ToFloat32(half.FromFloat32(float32(x))))
		}
	case pb.TensorProto_DOUBLE, pb.TensorProto_BFLOAT16:
	default: // integers are divided towards zero
		for i, x := range v.Data {
			v.Data[i] = math.Trunc(x)
		}
	}
}

// ValueOf reads a tensor.
func ValueOf(t *ir.Tensor) (*Value, error) {
	v := &Value{Elem: ir.DataType(t.DataType)}
	for _, d := range t.Dims {
		v.Shape = append(v.Shape, int(d))
	}
	if floats, err := ir.Floats(t); err == nil {
		v.Data = make([]float64, len(floats))
		for i, x := range floats {
			v.Data[i] = float64(x)
		}
		return v, nil
	}
	ints, err := ir.Ints(t)
	v.Data = make([]float64, len(ints))
	for i, x := range ints {
		v.Data[i] = float64(x)
	}
	return v, err
}
