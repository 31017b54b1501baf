package checkpoint

import (
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/mobilenet-go/mobilenet/internal/half"
)

// A dtype is an element type: its size in bytes and how an element, in
// little-endian order, becomes a float32.
type dtype struct {
	size    int
	decode  func(b []byte) float32
	float32 bool // elements need no decoding
}

var (
	float32Type = dtype{4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }, true}
	int64Type   = dtype{8, func(b []byte) float32 { return float32(int64(binary.LittleEndian.Uint64(b))) }, false}
)

// dtypes are the element types by their name in safetensors.
var dtypes = map[string]dtype{
	"F32":  float32Type,
	"F64":  {8, func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) }, false},
	"F16":  {2, func(b []byte) float32 { return half.ToFloat32(binary.LittleEndian.Uint16(b)) }, false},
	"BF16": {2, func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) }, false},
	"I64":  int64Type,
	"I32":  {4, func(b []byte) float32 { return float32(int32(binary.LittleEndian.Uint32(b))) }, false},
	"I16":  {2, func(b []byte) float32 { return float32(int16(binary.LittleEndian.Uint16(b))) }, false},
	"I8":   {1, func(b []byte) float32 { return float32(int8(b[0])) }, false},
	"U8":   {1, func(b []byte) float32 { return float32(b[0]) }, false},
	"BOOL": {1, func(b []byte) float32 { return float32(b[0]) }, false},
}

// littleEndian reports whether this machine stores float32 as files do.
var littleEndian = func() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 1
}()

// floats decodes all elements of raw. Aligned float32 is not copied but viewed:
// the result then shares raw's memory.
func floats(raw []byte, t dtype) []float32 {
	n := len(raw) / t.size
	if n == 0 {
		return []float32{}
	}
	p := unsafe.Pointer(&raw[0])
	if t.float32 && littleEndian && uintptr(p)%4 == 0 {
		return unsafe.Slice((*float32)(p), n)
	}
	out := make([]float32, n)
	if t.float32 && littleEndian {
		copy(bytesOf(out), raw)
		return out
	}
	for i := range out {
		out[i] = t.decode(raw[i*t.size:])
	}
	return out
}

// bytesOf views the memory of f, which must not be empty.
func bytesOf(f []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&f[0])), 4*len(f))
}
