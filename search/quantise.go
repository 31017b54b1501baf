package search

import (
	"math"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// levels is how many steps a byte has.
const levels = 255

// quantise writes the bytes of a row to u and returns what they stand for. Pooled
// features are all >= 0, with a few far above the others: the range is the row's own.
func quantise(u []byte, v []float32) (Code, error) {
	low, high := v[0], v[0]
	for _, x := range v {
		low, high = min(low, x), max(high, x)
	}
	scale := (float64(high) - float64(low)) / levels
	c := Code{Scale: float32(scale), Offset: low}
	if !finite([]float32{c.Scale}) {
		return c, ErrNotFinite // the range of values that are
	}
	var square, wrong float64
	for k, x := range v {
		x := float64(x)
		if c.Scale > 0 {
			u[k] = uint8(min(math.RoundToEven((x-float64(low))/float64(c.Scale)), levels))
		}
		e := x - float64(float64(c.Scale)*float64(u[k])) - float64(c.Offset)
		square += float64(x * x)
		wrong += float64(e * e)
	}
	c.Norm = float32(math.Sqrt(square))
	if !finite([]float32{c.Norm}) {
		return c, ErrNotFinite
	}
	if c.Norm > 0 {
		c.Err = float32(math.Sqrt(wrong/square)*(1+slack) + slack)
	}
	return c, nil
}

// slack is more than the rounding of what bounds are computed from: norms are float32,
// with an error of 2^-24.
const slack = 1e-6

// A query is a vector of length 1 as integers of 15 bits,
//
//	q[k] = scale*(128*high[k] + low[k]) + e
//
// where high and low are bytes.
type query struct {
	vector []float64 // [Dim], of length 1
	scale  float64
	sum    float64 // Σk scale*(128*high[k] + low[k])
	err    float64 // at least the length of e
}

// most is the largest integer of a query: 128*126 + 127.
const most = 126<<7 + 127

// prepare makes a query of a vector and writes its two rows of bytes to planes,
// [2][stride].
func prepare(v []float32, planes []int8, stride int) query {
	q := query{vector: make([]float64, len(v))}
	var square, top float64
	for _, x := range v {
		square += float64(float64(x) * float64(x))
	}
	norm := math.Sqrt(square)
	if norm == 0 {
		return q // is like nothing
	}
	for k, x := range v {
		q.vector[k] = float64(x) / norm
		top = max(top, math.Abs(q.vector[k]))
	}
	q.scale = top / most
	var sum int64
	var wrong float64
	high, low := planes[:stride], planes[stride:][:stride]
	for k, x := range q.vector {
		n := int64(math.RoundToEven(x / q.scale))
		h := (n + 64) >> 7 // what is left is -64 to 63
		high[k], low[k] = int8(h), int8(n-h<<7)
		sum += n
		e := x - float64(q.scale*float64(n))
		wrong += float64(e * e)
	}
	q.sum = q.scale * float64(sum)
	q.err = math.Sqrt(wrong) + slack
	return q
}

// A rowScore is what of a score depends on the row alone.
type rowScore struct {
	scale, offset float64 // over the row's length
	err           float64
}

func newRowScore(c *Code) rowScore {
	if c.Norm == 0 {
		return rowScore{} // is like nothing
	}
	return rowScore{float64(c.Scale) / float64(c.Norm), float64(c.Offset) / float64(c.Norm), float64(c.Err)}
}

// of is what the bytes say of the cosine of q and the row, given their products with the
// query's two planes; the truth is within margin of it.
func (r *rowScore) of(q *query, high, low int32) (score, margin float64) {
	product := q.scale * float64(int64(high)<<7+int64(low))
	return r.scale*product + r.offset*q.sum, r.err + q.err*(1+r.err) + slack
}

// exact is the cosine of q and the float32 values of a row, computed in float64. The
// order of its sum is fixed, and nothing is fused: every machine has the same bits.
func (q *query) exact(row []byte) float64 {
	var product, square [4]float64
	k := 0
	for ; k+4 <= len(q.vector); k += 4 {
		for j := range 4 {
			x := float64(float32At(row, k+j))
			product[j] += float64(q.vector[k+j] * x)
			square[j] += float64(x * x)
		}
	}
	for ; k < len(q.vector); k++ {
		x := float64(float32At(row, k))
		product[0] += float64(q.vector[k] * x)
		square[0] += float64(x * x)
	}
	p := product[0] + product[1] + (product[2] + product[3])
	s := square[0] + square[1] + (square[2] + square[3])
	if s == 0 {
		return 0
	}
	return min(1, max(-1, p/math.Sqrt(s)))
}

// kernelSet is the kernels that scans use: those that MOBILENET_CPU names, or the
// fastest.
func kernelSet() (*kernel.Int8, error) { return kernel.ChooseInt8("") }
