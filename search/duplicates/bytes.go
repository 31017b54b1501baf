package duplicates

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// A Matrix is the features of photos, a row each, which may lie on a disk. Rows are
// asked for by several goroutines.
type Matrix interface {
	Len() int
	Dim() int
	// Row writes row i to dst, [Dim].
	Row(dst []float32, i int) error
}

// Rows is a Matrix in memory.
type Rows [][]float32

// Len is the number of rows.
func (r Rows) Len() int { return len(r) }

// Dim is the number of values of the first row, and so of all.
func (r Rows) Dim() int {
	if len(r) == 0 {
		return 0
	}
	return len(r[0])
}

// Row copies row i.
func (r Rows) Row(dst []float32, i int) error {
	if len(r[i]) != len(dst) {
		return fmt.Errorf("row %d has %d values: want %d", i, len(r[i]), len(dst))
	}
	copy(dst, r[i])
	return nil
}

// unit writes to dst what rows are compared by, the square roots of their values over
// the root of their sum: a vector of length 1. It reports whether x has one: values
// that are finite, none of them negative, and not all 0.
func unit(dst []float64, x []float32) bool {
	sum := 0.0
	for _, v := range x {
		if !(v >= 0) {
			return false
		}
		sum += float64(v)
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return false
	}
	for k, v := range x {
		dst[k] = math.Sqrt(float64(v) / sum)
	}
	return true
}

// cosine is that of vectors of length 1, in an order of its own: the same bits
// wherever it is computed.
func cosine(x, y []float64) float64 {
	var s [4]float64
	y = y[:len(x)]
	k := 0
	for ; k+4 <= len(x); k += 4 {
		s[0] += float64(x[k] * y[k])
		s[1] += float64(x[k+1] * y[k+1])
		s[2] += float64(x[k+2] * y[k+2])
		s[3] += float64(x[k+3] * y[k+3])
	}
	for ; k < len(x); k++ {
		s[0] += float64(x[k] * y[k])
	}
	return s[0] + s[1] + (s[2] + s[3])
}

// rounded are vectors of length 1 as bytes: vector i is close to scale[i]*q[i]. Their
// products take a tenth of the time, and they a quarter of the memory. What they leave
// open is bounded, by Cauchy and Schwarz with |x| = |y| = 1:
//
//	|<x, y> - scale[x]*scale[y]*<q[x], q[y]>| <= away[x] + away[y] + away[x]*away[y]
//
// where away is the length of what rounding took away.
type rounded struct {
	n, stride int
	q         []uint8 // [n, rounded up to kernel.DotRows][stride], each 0 to 127
	scale     []float32
	away      []float32
}

func newRounded(n, dim int) *rounded {
	stride := up(dim, kernel.DotStride)
	return &rounded{n: n, stride: stride, q: make([]uint8, up(n, kernel.DotRows)*stride), scale: make([]float32, n), away: make([]float32, n)}
}

func up(n, to int) int { return (n + to - 1) / to * to }

// set rounds vector i.
func (r *rounded) set(i int, x []float64) {
	top := 0.0
	for _, v := range x {
		top = max(top, v)
	}
	scale := float32(top / 127)
	q := r.q[i*r.stride:][:len(x)]
	square := 0.0
	for k, v := range x {
		q[k] = uint8(min(127, math.RoundToEven(v/float64(scale))))
		e := v - float64(float64(scale)*float64(q[k]))
		square += float64(e * e)
	}
	r.scale[i] = scale
	r.away[i] = float32(math.Sqrt(square)) + slack
}

// slack is more than float32 loses of a bound.
const slack = 1e-6

// none marks vector i as one that is like nothing.
func (r *rounded) none(i int) { r.scale[i], r.away[i] = 0, -1 }

func (r *rounded) isNone(i int) bool { return r.away[i] < 0 }

// copyOf copies vector i of s to place j.
func (r *rounded) copyOf(j int, s *rounded, i int) {
	copy(r.q[j*r.stride:][:r.stride], s.q[i*s.stride:])
	r.scale[j], r.away[j] = s.scale[i], s.away[i]
}

// between is the bounds of the cosine of vector i and vector j of s, of whose bytes
// product is the product.
func (r *rounded) between(i int, s *rounded, j int, product int32) (low, high float64) {
	about := float64(r.scale[i]) * float64(s.scale[j]) * float64(product)
	a, b := float64(r.away[i]), float64(s.away[j])
	margin := a + b + a*b
	return about - margin, about + margin
}

// signed is the same bytes as int8: none of them is more than 127.
func signed(q []uint8) []int8 {
	if len(q) == 0 {
		return nil
	}
	return unsafe.Slice((*int8)(unsafe.Pointer(&q[0])), len(q))
}
