// Package half converts IEEE 754 binary16 numbers, "float16" to torch and ONNX.
package half

import "math"

// ToFloat32 widens an IEEE 754 binary16 number, exactly.
func ToFloat32(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exp {
	case 0: // zero, or frac * 2^-24
		v := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(sign | math.Float32bits(v))
	case 31: // infinity, not a number
		return math.Float32frombits(sign | 255<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// FromFloat32 rounds to IEEE 754 binary16, ties to even; what is above its range
// becomes infinity.
func FromFloat32(f float32) uint16 {
	b := math.Float32bits(f)
	sign, exp, frac := uint16(b>>31)<<15, int(b>>23&255)-112, b&(1<<23-1)
	switch {
	case exp == 143 && frac != 0: // not a number, kept quiet
		return sign | 31<<10 | 1<<9 | uint16(frac>>13)
	case exp >= 31:
		return sign | 31<<10
	case exp < -10:
		return sign
	case exp <= 0: // subnormal: the leading 1 becomes visible, and shifts down
		frac |= 1 << 23
		return sign | roundShift(frac, uint(14-exp))
	}
	return sign + roundShift(uint32(exp)<<23|frac, 13) // a carry rounds up into the exponent
}

// roundShift is v / 2^n, rounded to nearest, ties to even.
func roundShift(v uint32, n uint) uint16 {
	half := uint32(1)<<(n-1) - 1 + v>>n&1
	return uint16((v + half) >> n)
}
