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
}

// clamp is ReLU6, written so that NaN stays NaN.
func clamp(v float32) float32 {
	if v < 0 {
		return 0
	}
	if v > 6 {
		return 6
	}
	return v
}

// pointwiseGeneric goes over tiles of 2 pixels by 4 channels: 8 sums and what
// feeds them are as many values as Go keeps in registers.
func pointwiseGeneric(a Pointwise) {
	for n := 0; n < a.NR; n += 4 {
		for p := 0; p < a.Pixels; p += 2 {
			q := min(p+1, a.Pixels-1) // an odd last pixel is computed twice
			tile2x4(&a, p*Block, q*Block, n)
		}
	}
}

// tile2x4 computes channels n to n+3 of the pixels at p and q, which are
// offsets in floats.
func tile2x4(a *Pointwise, p, q, n int) {
	b := (*[4]float32)(a.Bias[n:])
	p0, p1, p2, p3 := b[0], b[1], b[2], b[3]
	q0, q1, q2, q3 := p0, p1, p2, p3
	if a.Add != nil {
		r, s := (*[4]float32)(a.Add[p+n:]), (*[4]float32)(a.Add[q+n:])
		p0, p1, p2, p3 = p0+r[0], p1+r[1], p2+r[2], p3+r[3]
		q0, q1, q2, q3 = q0+s[0], q1+s[1], q2+s[2], q3+s[3]
	}
	w, nr := a.W[n:], a.NR
	for k, at := 0, 0; k < a.K; k, at = k+Block, at+a.SrcStride {
		m := min(Block, a.K-k)
		xp := a.Src[at+p:][:m]
		xq := a.Src[at+q:][:m]
		for i, x := range xp {
			y := xq[i]
			v := (*[4]float32)(w[(k+i)*nr:])
			p0 += x * v[0]
			p1 += x * v[1]
			p2 += x * v[2]
			p3 += x * v[3]
			q0 += y * v[0]
			q1 += y * v[1]
			q2 += y * v[2]
			q3 += y * v[3]
		}
	}
	if a.ReLU6 {
		p0, p1, p2, p3 = clamp(p0), clamp(p1), clamp(p2), clamp(p3)
		q0, q1, q2, q3 = clamp(q0), clamp(q1), clamp(q2), clamp(q3)
	}
	*(*[4]float32)(a.Dst[q+n:]) = [4]float32{q0, q1, q2, q3}
	*(*[4]float32)(a.Dst[p+n:]) = [4]float32{p0, p1, p2, p3}
}

func depthwiseGeneric(a Depthwise) {
	for x := range a.OutWidth() {
		dst := a.Dst[x*Block:][:a.NR]
		copy(dst, a.Bias[:a.NR])
		for i := range 3 {
			col := x*a.Stride - a.Left + i
			if col < 0 || col >= a.Width {
				continue
			}
			top := a.Rows[0][col*Block:][:a.NR]
			mid := a.Rows[1][col*Block:][:a.NR]
			low := a.Rows[2][col*Block:][:a.NR]
			wt, wm, wl := a.W[i*a.NR:][:a.NR], a.W[(3+i)*a.NR:][:a.NR], a.W[(6+i)*a.NR:][:a.NR]
			for c := range dst {
				dst[c] += top[c] * wt[c]
				dst[c] += mid[c] * wm[c]
				dst[c] += low[c] * wl[c]
			}
		}
		for c, v := range dst {
			dst[c] = clamp(v)
		}
	}
}

func firstGeneric(a First) {
	for x := range a.Width {
		dst := a.Dst[x*Block:][:a.NR]
		copy(dst, a.Bias[:a.NR])
		for j, row := range a.Rows {
			for i, v := range row[6*x:][:9] {
				w := a.W[(9*j+i)*a.NR:][:a.NR]
				for c := range dst {
					dst[c] += v * w[c]
				}
			}
		}
		for c, v := range dst {
			dst[c] = clamp(v)
		}
	}
}

func poolGeneric(a Pool) {
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
