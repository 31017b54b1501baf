package checkpoint

import (
	"encoding/binary"
	"math"
	"unsafe"
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
	"F16":  {2, func(b []byte) float32 { return halfToFloat(binary.LittleEndian.Uint16(b)) }, false},
	"BF16": {2, func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) }, false},
	"I64":  int64Type,
	"I32":  {4, func(b []byte) float32 { return float32(int32(binary.LittleEndian.Uint32(b))) }, false},
	"I16":  {2, func(b []byte) float32 { return float32(int16(binary.LittleEndian.Uint16(b))) }, false},
	"I8":   {1, func(b []byte) float32 { return float32(int8(b[0])) }, false},
	"U8":   {1, func(b []byte) float32 { return float32(b[0]) }, false},
	"BOOL": {1, func(b []byte) float32 { return float32(b[0]) }, false},
}

// halfToFloat decodes IEEE 754 binary16.
func halfToFloat(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&0x3ff
	switch exp {
	case 0: // zero and subnormals: frac * 2^-24
		v := float32(frac) / (1 << 24)
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
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
