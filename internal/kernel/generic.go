package kernel

import (
	"math"
	"sync/atomic"
)

// Generic is the set in plain Go: the reference for the others, and what runs
// where there is no assembly.
var Generic = Set{
	Name:      "generic",
	Pointwise: pointwiseGeneric,
	Depthwise: depthwiseGeneric,
	First:     firstGeneric,
	Pool:      poolGeneric,
	Peak:      peakGeneric,
	Training:  trainingGeneric,
}

// lanes is the number of sums that are computed together: as many as Go keeps in
// registers with what feeds them.
const lanes = 8

// mulAdd is the inner loop of what isn't depthwise, the products of inputs x and
// weights in rows of nr:
//
//	s[c] += Σi x[i]*w[i*nr+c]
func mulAdd(s *[lanes]float32, x, w []float32, nr int) {
	s0, s1, s2, s3, s4, s5, s6, s7 := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
	at := 0
	for _, v := range x {
		// In two halves: with a slice of all, the compiler holds 8 products at once
		// and two of the sums in memory, which takes twice as long.
		r := w[at : at+4 : at+4]
		s0 += v * r[0]
		s1 += v * r[1]
		s2 += v * r[2]
		s3 += v * r[3]
		r = w[at+4 : at+8 : at+8]
		s4 += v * r[0]
		s5 += v * r[1]
		s6 += v * r[2]
		s7 += v * r[3]
		at += nr
	}
	*s = [lanes]float32{s0, s1, s2, s3, s4, s5, s6, s7}
}

// relu6 clamps sums to 0 and 6. NaN stays NaN.
func relu6(s []float32) {
	for c, v := range s {
		s[c] = min(max(v, 0), 6)
	}
}

func pointwiseGeneric(a Pointwise) {
	a.check()
	for p := range a.Pixels {
		for n := 0; n < a.NR; n += lanes {
			at := p*Block + n
			s := [lanes]float32(a.Bias[n:])
			if a.Add != nil {
				for c, v := range (*[lanes]float32)(a.Add[at:]) {
					s[c] += v
				}
			}
			src, w := a.Src[p*Block:], a.W[n:]
			for k := 0; k < a.K; k += Block {
				x := src[k/Block*a.SrcStride:][:min(Block, a.K-k)]
				mulAdd(&s, x, w[k*a.NR:], a.NR)
			}
			if a.ReLU6 {
				relu6(s[:])
			}
			*(*[lanes]float32)(a.Dst[at:]) = s
		}
	}
}

func firstGeneric(a First) {
	a.check()
	for p := range a.Width {
		for n := 0; n < a.NR; n += lanes {
			s := [lanes]float32(a.Bias[n:])
			for j, row := range a.Rows {
				mulAdd(&s, row[6*p:][:9], a.W[9*j*a.NR+n:], a.NR)
			}
			relu6(s[:])
			*(*[lanes]float32)(a.Dst[p*Block+n:]) = s
		}
	}
}

func depthwiseGeneric(a Depthwise) {
	a.check()
	for y := range a.OutHeight() {
		a.rowGeneric(a.Dst[y*a.OutWidth()*Block:], a.Rows[y*a.Stride:])
	}
}

// rowGeneric is an output row of the first three rows.
func (a *Depthwise) rowGeneric(out []float32, rows [][]float32) {
	for p := range a.OutWidth() {
		dst := out[p*Block:][:a.NR]
		copy(dst, a.Bias)
		for i := range 3 {
			col := p*a.Stride - a.Left + i
			if col < 0 || col >= a.Width {
				continue
			}
			n := len(dst) // so that the compiler sees that all are as long
			x0, w0 := rows[0][col*Block:][:n], a.W[i*n:][:n]
			x1, w1 := rows[1][col*Block:][:n], a.W[(3+i)*n:][:n]
			x2, w2 := rows[2][col*Block:][:n], a.W[(6+i)*n:][:n]
			for c, s := range dst {
				s += x0[c] * w0[c]
				s += x1[c] * w1[c]
				s += x2[c] * w2[c]
				dst[c] = s
			}
		}
		if a.ReLU6 {
			relu6(dst)
		}
	}
}

func poolGeneric(a Pool) {
	a.check()
	dst := a.Dst[:Block]
	clear(dst)
	for p := range a.Pixels {
		for c, v := range a.Src[p*Block:][:Block] {
			dst[c] += v
		}
	}
	for c := range dst {
		dst[c] /= float32(a.Pixels)
	}
}

// peakGeneric has as many sums as cover the latency of a multiply and an add.
func peakGeneric(iterations int) (flops int) {
	a := float32(iterations) // not a constant, which the compiler would compute with
	b, c, d, e, f, g, h, i, j, k, l := a, a, a, a, a, a, a, a, a, a, a
	for range iterations {
		a, b, c, d = a+a*a, b+b*b, c+c*c, d+d*d
		e, f, g, h = e+e*e, f+f*f, g+g*g, h+h*h
		i, j, k, l = i+i*i, j+j*j, k+k*k, l+l*l
	}
	peakSum.Store(math.Float32bits(a + b + c + d + e + f + g + h + i + j + k + l))
	return 12 * 2 * iterations
}

// peakSum keeps the compiler from leaving peakGeneric's work out.
var peakSum atomic.Uint32
