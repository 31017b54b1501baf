package ir

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/half"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
)

// A DataType is the type of a tensor's elements.
type DataType = pb.TensorProto_DataType

// ElementBytes is the size of one element in raw_data.
var ElementBytes = map[DataType]uint64{
	pb.TensorProto_FLOAT: 4, pb.TensorProto_DOUBLE: 8, pb.TensorProto_FLOAT16: 2, pb.TensorProto_BFLOAT16: 2,
	pb.TensorProto_INT8: 1, pb.TensorProto_UINT8: 1, pb.TensorProto_BOOL: 1,
	pb.TensorProto_INT16: 2, pb.TensorProto_UINT16: 2,
	pb.TensorProto_INT32: 4, pb.TensorProto_UINT32: 4, pb.TensorProto_INT64: 8, pb.TensorProto_UINT64: 8,
}

// Elements returns the number of elements that t's shape and data agree on.
// Afterwards they are as many as the data in memory, so that buffers for them
// may be made.
func Elements(t *Tensor) (int, error) {
	want := uint64(1)
	for _, d := range t.Dims {
		if d < 0 {
			return 0, tensorFault(t, "negative dimension in shape %v", t.Dims)
		}
		hi, lo := bits.Mul64(want, uint64(d))
		if hi != 0 {
			return 0, tensorFault(t, "shape %v overflows", t.Dims)
		}
		want = lo
	}
	typ := DataType(t.DataType)
	size, ok := ElementBytes[typ]
	switch {
	case !ok:
		return 0, About(tensorPlace(t), fault.Unsupportedf("elements of type %v are not supported", typ))
	case t.DataLocation == pb.TensorProto_EXTERNAL:
		return 0, tensorFault(t, "its data lies in another file")
	}
	if t.RawData == nil {
		if have := uint64(typedLen(t, typ)); have != want {
			return 0, tensorFault(t, "%d values for shape %v of %v", have, t.Dims, typ)
		}
	} else if have := uint64(len(t.RawData)); have%size != 0 || have/size != want {
		return 0, tensorFault(t, "%d bytes of raw data for shape %v of %v", have, t.Dims, typ)
	}
	return int(want), nil
}

func tensorPlace(t *Tensor) string { return "tensor " + Quote(t.Name) }

func tensorFault(t *Tensor, format string, args ...any) error {
	return About(tensorPlace(t), fault.Brokenf(format, args...))
}

// typedLen is the number of elements in the field that holds typ when there is
// no raw_data.
func typedLen(t *Tensor, typ DataType) int {
	switch typ {
	case pb.TensorProto_FLOAT:
		return len(t.FloatData)
	case pb.TensorProto_DOUBLE:
		return len(t.DoubleData)
	case pb.TensorProto_INT64:
		return len(t.Int64Data)
	case pb.TensorProto_UINT32, pb.TensorProto_UINT64:
		return len(t.Uint64Data)
	}
	return len(t.Int32Data)
}

// Floats returns t's elements as float32: float and double (rounded), float16
// and bfloat16 (exact). Integers have [Ints].
func Floats(t *Tensor) ([]float32, error) {
	n, err := Elements(t)
	if err != nil {
		return nil, err
	}
	dst := make([]float32, n)
	le, raw := binary.LittleEndian, t.RawData
	if DataType(t.DataType) == pb.TensorProto_FLOAT && raw != nil { // nearly all weights: without the switch
		for i := range dst {
			dst[i] = math.Float32frombits(le.Uint32(raw[4*i:]))
		}
		return dst, nil
	}
	for i := range dst {
		switch typ := DataType(t.DataType); {
		case typ == pb.TensorProto_FLOAT:
			dst[i] = t.FloatData[i]
		case typ == pb.TensorProto_DOUBLE && raw != nil:
			dst[i] = float32(math.Float64frombits(le.Uint64(raw[8*i:])))
		case typ == pb.TensorProto_DOUBLE:
			dst[i] = float32(t.DoubleData[i])
		case typ == pb.TensorProto_FLOAT16 && raw != nil:
			dst[i] = half.ToFloat32(le.Uint16(raw[2*i:]))
		case typ == pb.TensorProto_FLOAT16:
			dst[i] = half.ToFloat32(uint16(t.Int32Data[i]))
		case typ == pb.TensorProto_BFLOAT16 && raw != nil:
			dst[i] = math.Float32frombits(uint32(le.Uint16(raw[2*i:])) << 16)
		case typ == pb.TensorProto_BFLOAT16:
			dst[i] = math.Float32frombits(uint32(t.Int32Data[i]) << 16)
		default:
			return nil, tensorFault(t, "elements are %v, want floating point", typ)
		}
	}
	return dst, nil
}

// Ints returns t's elements as int64, if they are integers or booleans.
func Ints(t *Tensor) ([]int64, error) {
	n, err := Elements(t)
	if err != nil {
		return nil, err
	}
	typ := DataType(t.DataType)
	dst := make([]int64, n)
	for i := range dst {
		v, ok := intAt(t, typ, i)
		if !ok {
			return nil, tensorFault(t, "elements are %v, want integers", typ)
		}
		dst[i] = v
	}
	return dst, nil
}

func intAt(t *Tensor, typ DataType, i int) (v int64, ok bool) {
	le, raw := binary.LittleEndian, t.RawData
	switch typ {
	case pb.TensorProto_FLOAT, pb.TensorProto_DOUBLE, pb.TensorProto_FLOAT16, pb.TensorProto_BFLOAT16:
		return 0, false
	}
	if raw == nil {
		switch typ {
		case pb.TensorProto_INT64:
			return t.Int64Data[i], true
		case pb.TensorProto_UINT32, pb.TensorProto_UINT64:
			return int64(t.Uint64Data[i]), true
		}
		return int64(t.Int32Data[i]), true
	}
	switch typ {
	case pb.TensorProto_INT8:
		return int64(int8(raw[i])), true
	case pb.TensorProto_UINT8, pb.TensorProto_BOOL:
		return int64(raw[i]), true
	case pb.TensorProto_INT16:
		return int64(int16(le.Uint16(raw[2*i:]))), true
	case pb.TensorProto_UINT16:
		return int64(le.Uint16(raw[2*i:])), true
	case pb.TensorProto_INT32:
		return int64(int32(le.Uint32(raw[4*i:]))), true
	case pb.TensorProto_UINT32:
		return int64(le.Uint32(raw[4*i:])), true
	}
	return int64(le.Uint64(raw[8*i:])), true
}
