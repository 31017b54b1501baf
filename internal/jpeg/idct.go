package jpeg

import "encoding/binary"

// A queue collects blocks until there are as many as the inverse DCT takes at
// once.
type queue struct {
	coefs  [2][64]int16 // all 0 from n on
	dst    [2][]byte
	stride [2]int
	n      int
	spare  [64]byte // where the second block goes if there is none
}

// next returns where the next block's coefficients go.
func (q *queue) next() *[64]int16 { return &q.coefs[q.n] }

// add queues the block in next. Its samples go to dst, which has stride bytes
// from row to row.
func (q *queue) add(k kernels, dst []byte, stride int) {
	q.dst[q.n], q.stride[q.n] = dst, stride
	if q.n++; q.n == len(q.coefs) {
		k.idct(q)
		q.n = 0
	}
}

// flush transforms what is left.
func (q *queue) flush(k kernels) {
	if q.n > 0 {
		q.add(k, q.spare[:], 8)
	}
}

// fillBlock writes the samples of a block that has but a DC coefficient.
func fillBlock(dst []byte, stride int, dc int16) {
	v := uint64(sample(int32(sat16(int32(dc)<<pass1Bits))<<constBits, constBits+pass1Bits+3))
	v *= 0x0101010101010101
	for y := range 8 {
		binary.LittleEndian.PutUint64(dst[y*stride:], v)
	}
}

// The inverse DCT of libjpeg's jidctint.c, the algorithm of Loeffler, Ligtenberg
// and Moschytz (ICASSP 1989) with 12 multiplications: constants have 13 bits of
// fraction, what is between the passes 2. Where values of broken files don't fit,
// it wraps and saturates as 16-bit vectors do.
const (
	constBits = 13
	pass1Bits = 2

	fix0298 = 2446
	fix0390 = 3196
	fix0541 = 4433
	fix0765 = 6270
	fix0899 = 7373
	fix1175 = 9633
	fix1501 = 12299
	fix1847 = 15137
	fix1961 = 16069
	fix2053 = 16819
	fix2562 = 20995
	fix3072 = 25172
)

// idctGeneric transforms the queue's blocks and clears their coefficients.
func idctGeneric(q *queue) {
	for i := range q.coefs {
		idctBlock(&q.coefs[i], q.dst[i], q.stride[i])
		q.coefs[i] = [64]int16{}
	}
}

func idctBlock(b *[64]int16, dst []byte, stride int) {
	for x := range 8 {
		if b[8+x]|b[16+x]|b[24+x]|b[32+x]|b[40+x]|b[48+x]|b[56+x] == 0 {
			dc := sat16(int32(b[x]) << pass1Bits)
			for y := range 8 {
				b[8*y+x] = dc
			}
			continue
		}
		v := butterfly(b[x], b[8+x], b[16+x], b[24+x], b[32+x], b[40+x], b[48+x], b[56+x])
		for y := range 8 {
			const shift = constBits - pass1Bits
			b[8*y+x] = sat16((v[y] + 1<<(shift-1)) >> shift)
		}
	}
	for y := range 8 {
		r := (*[8]int16)(b[8*y:])
		v := butterfly(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
		out := (*[8]byte)(dst[y*stride:])
		for x := range 8 {
			out[x] = sample(v[x], constBits+pass1Bits+3)
		}
	}
}

// butterfly is the inverse DCT of 8 values, times the root of 8 and 1<<constBits.
func butterfly(s0, s1, s2, s3, s4, s5, s6, s7 int16) [8]int32 {
	// Even part.
	z2, z3 := int32(s2), int32(s6)
	e2 := z2*fix0541 + z3*(fix0541-fix1847)
	e3 := z2*(fix0541+fix0765) + z3*fix0541
	e0 := int32(s0+s4) << constBits
	e1 := int32(s0-s4) << constBits
	t0, t1, t2, t3 := e0+e3, e1+e2, e1-e2, e0-e3
	// Odd part.
	i1, i3, i5, i7 := int32(s1), int32(s3), int32(s5), int32(s7)
	a, b := int32(s7+s3), int32(s5+s1)
	z5 := a*(fix1175-fix1961) + b*fix1175
	z4 := a*fix1175 + b*(fix1175-fix0390)
	o0 := i7*(fix0298-fix0899) - i1*fix0899 + z5
	o1 := i5*(fix2053-fix2562) - i3*fix2562 + z4
	o2 := i3*(fix3072-fix2562) - i5*fix2562 + z5
	o3 := i1*(fix1501-fix0899) - i7*fix0899 + z4
	return [8]int32{t0 + o3, t1 + o2, t2 + o1, t3 + o0, t3 - o0, t2 - o1, t1 - o2, t0 - o3}
}

// sample rounds v with so many bits of fraction, and adds half of the range.
func sample(v int32, shift uint) byte {
	v = (v + 1<<(shift-1)) >> shift
	return byte(min(max(v, -128), 127) + 128)
}

func sat16(v int32) int16 { return int16(min(max(v, -1<<15), 1<<15-1)) }
