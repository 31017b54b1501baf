package ir

import (
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/mobilenet-go/mobilenet/internal/half"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// FloatTensor returns a float32 tensor that shares data where the machine's byte
// order allows it: exporting is bound by the memory that it touches.
func FloatTensor(name string, data []float32, shape ...int) *Tensor {
	var raw []byte
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		raw = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), 4*len(data))
	} else {
		raw = make([]byte, 4*len(data))
		for i, v := range data {
			binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
		}
	}
	return &Tensor{Name: name, DataType: int32(pb.TensorProto_FLOAT), Dims: dims(shape), RawData: raw}
}

// HalfTensor is FloatTensor in float16, rounded to nearest even.
func HalfTensor(name string, data []float32, shape ...int) *Tensor {
	raw := make([]byte, 2*len(data))
	for i, v := range data {
		binary.LittleEndian.PutUint16(raw[2*i:], half.FromFloat32(v))
	}
	return &Tensor{Name: name, DataType: int32(pb.TensorProto_FLOAT16), Dims: dims(shape), RawData: raw}
}

// IntTensor returns an int64 tensor with a copy of data.
func IntTensor(name string, data []int64, shape ...int) *Tensor {
	raw := make([]byte, 8*len(data))
	for i, v := range data {
		binary.LittleEndian.PutUint64(raw[8*i:], uint64(v))
	}
	return &Tensor{Name: name, DataType: int32(pb.TensorProto_INT64), Dims: dims(shape), RawData: raw}
}

func dims(shape []int) []int64 {
	d := make([]int64, len(shape))
	for i, n := range shape {
		d[i] = int64(n)
	}
	return d
}

func IntOf(name string, v int64) *Attribute {
	return &Attribute{Name: name, Type: pb.AttributeProto_INT, I: &v}
}

func FloatOf(name string, v float32) *Attribute {
	return &Attribute{Name: name, Type: pb.AttributeProto_FLOAT, F: &v}
}

func IntsOf(name string, v ...int64) *Attribute {
	return &Attribute{Name: name, Type: pb.AttributeProto_INTS, Ints: v}
}

func StringOf(name, v string) *Attribute {
	return &Attribute{Name: name, Type: pb.AttributeProto_STRING, S: []byte(v)}
}

func Fixed(n int) *pb.TensorShapeProto_Dimension {
	return &pb.TensorShapeProto_Dimension{Value: &pb.TensorShapeProto_Dimension_DimValue{DimValue: int64(n)}}
}

func Free(name string) *pb.TensorShapeProto_Dimension {
	return &pb.TensorShapeProto_Dimension{Value: &pb.TensorShapeProto_Dimension_DimParam{DimParam: name}}
}

func NewValueInfo(name string, typ DataType, shape ...*pb.TensorShapeProto_Dimension) *ValueInfo {
	tensor := &pb.TypeProto_Tensor{ElemType: int32(typ), Shape: &pb.TensorShapeProto{Dim: shape}}
	return &ValueInfo{Name: name, Type: &pb.TypeProto{Value: &pb.TypeProto_TensorType{TensorType: tensor}}}
}
