package kernel

import "math"

// An AddTable is a residual sum of bytes a and b, at 256*a + b.
type AddTable [1 << 16]uint8

// NewAddQNNPACK returns the residual sum of torch's QNNPACK (pytorch_q8vadd), given the
// scale and zero point of each of its terms, none of which is 2^8 times the sum's or
// more, and of the sum:
//
//	clamp(round(((a-za)*ma + (b-zb)*mb) / 2^shift) + zy, 0, 255)
//
// Halves are rounded away from 0, where [AddFixedInt8] rounds them up. It is returned as
// fixed where that makes no difference to any two bytes, which is nearly always: with
// factors of 22 bits halves are rare. It is a table otherwise, which is slower.
func NewAddQNNPACK(a, b, sum Scale) (fixed *AddFixedInt8, table *AddTable) {
	ra, rb := a.Scale/sum.Scale, b.Scale/sum.Scale
	_, exponent := math.Frexp(float64(max(ra, rb))) // of 0.5 to 1 times 2^exponent
	shift := 22 - exponent
	factor := func(r float32) int64 { return int64(math.RoundToEven(math.Ldexp(float64(r), shift))) }
	ma, mb, half := factor(ra), factor(rb), int64(1)<<(shift-1)
	same := shift <= 30 // what AddFixedInt8 takes
	byteOf := func(v int64) uint8 { return uint8(min(max(v+int64(sum.Zero), 0), 255)) }
	table = new(AddTable)
	for i := range table {
		acc := int64(i>>8-int(a.Zero))*ma + int64(i&255-int(b.Zero))*mb
		up := acc + half
		away := up >> shift
		if acc < 0 {
			away = -((half - acc) >> shift)
		}
		table[i] = byteOf(away)
		same = same && up == int64(int32(up)) && byteOf(up>>shift) == table[i]
	}
	if !same {
		return nil, table
	}
	return &AddFixedInt8{
		FactorA: int32(ma), FactorB: int32(mb), Shift: int32(shift), Range: Range{Zero: int32(sum.Zero), Max: 255},
		Offset: int32(half - ma*int64(a.Zero) - mb*int64(b.Zero)), // modulo 2^32, as the kernels' sums are
	}, nil
}

// Add makes dst the sum of a and b, which are as long.
func (t *AddTable) Add(dst, a, b []uint8) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = t[int(a[i])<<8|int(b[i])]
	}
}
