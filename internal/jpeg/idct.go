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

// put turns the block in next into samples, now or with the block after it. They
// go to dst, which has stride bytes from row to row. flat is whether there is but
// the DC coefficient.
func (q *queue) put(k *kernels, dst []byte, stride int, flat bool) {
	if flat {
		dc := &q.coefs[q.n][0]
		fillBlock(dst, stride, *dc)
		*dc = 0
		return
	}
	q.dst[q.n], q.stride[q.n] = dst, stride
	if q.n++; q.n == len(q.coefs) {
		k.idct(q)
		q.n = 0
	}
}

// drop leaves the block in next out.
func (q *queue) drop() { q.coefs[q.n] = [64]int16{} }

// flush transforms what is left.
func (q *queue) flush(k *kernels) {
	if q.n > 0 {
		q.put(k, q.spare[:], 8, false)
	}
}

// fillBlock writes the samples of a block that has but a DC coefficient.
func fillBlock(dst []byte, stride int, dc int16) {
	const shift = pass1Bits + 3
	v := uint64(sample((int32(sat16(int32(dc)<<pass1Bits)) + 1<<(shift-1)) >> shift))
	v *= 0x0101010101010101 // in each byte
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
		c := (*[57]int16)(b[x:]) // a column, with rows 8 apart
		if c[8]|c[16]|c[24]|c[32]|c[40]|c[48]|c[56] == 0 {
			dc := sat16(int32(c[0]) << pass1Bits)
			c[0], c[8], c[16], c[24], c[32], c[40], c[48], c[56] = dc, dc, dc, dc, dc, dc, dc, dc
			continue
		}
		const shift = constBits - pass1Bits
		e0, e1, e2, e3, o0, o1, o2, o3 := butterfly(c[0], c[8], c[16], c[24], c[32], c[40], c[48], c[56], 1<<(shift-1))
		c[0], c[56] = sat16((e0+o0)>>shift), sat16((e0-o0)>>shift)
		c[8], c[48] = sat16((e1+o1)>>shift), sat16((e1-o1)>>shift)
		c[16], c[40] = sat16((e2+o2)>>shift), sat16((e2-o2)>>shift)
		c[24], c[32] = sat16((e3+o3)>>shift), sat16((e3-o3)>>shift)
	}
	for y := range 8 {
		r, out := (*[8]int16)(b[8*y:]), (*[8]byte)(dst[y*stride:])
		const shift = constBits + pass1Bits + 3
		e0, e1, e2, e3, o0, o1, o2, o3 := butterfly(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], 1<<(shift-1))
		out[0], out[7] = sample((e0+o0)>>shift), sample((e0-o0)>>shift)
		out[1], out[6] = sample((e1+o1)>>shift), sample((e1-o1)>>shift)
		out[2], out[5] = sample((e2+o2)>>shift), sample((e2-o2)>>shift)
		out[3], out[4] = sample((e3+o3)>>shift), sample((e3-o3)>>shift)
	}
}

// butterfly is the inverse DCT of 8 values, times the root of 8 and 1<<constBits:
// value i is e(i) + o(i) + round, value 7-i e(i) - o(i) + round.
func butterfly(s0, s1, s2, s3, s4, s5, s6, s7 int16, round int32) (e0, e1, e2, e3, o0, o1, o2, o3 int32) {
	z2, z3 := int32(s2), int32(s6)
	a2 := z2*fix0541 + z3*(fix0541-fix1847)
	a3 := z2*(fix0541+fix0765) + z3*fix0541
	a0 := int32(s0+s4)<<constBits + round
	a1 := int32(s0-s4)<<constBits + round

	i1, i3, i5, i7 := int32(s1), int32(s3), int32(s5), int32(s7)
	a, b := int32(s7+s3), int32(s5+s1)
	z5 := a*(fix1175-fix1961) + b*fix1175
	z4 := a*fix1175 + b*(fix1175-fix0390)
	return a0 + a3, a1 + a2, a1 - a2, a0 - a3,
		i1*(fix1501-fix0899) - i7*fix0899 + z4,
		i3*(fix3072-fix2562) - i5*fix2562 + z5,
		i5*(fix2053-fix2562) - i3*fix2562 + z4,
		i7*(fix0298-fix0899) - i1*fix0899 + z5
}

// sample adds half of the range and clips.
func sample(v int32) byte {
	if v += 128; uint32(v) > 255 {
		v = min(max(v, 0), 255)
	}
	return byte(v)
}

func sat16(v int32) int16 {
	if int32(int16(v)) != v {
		v = min(max(v, -1<<15), 1<<15-1)
	}
	return int16(v)
}
