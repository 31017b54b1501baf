package vision

import (
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/model"
)

// precision is the number of fraction bits of a coefficient: with 8 bits of
// pixel and 2 of headroom for bicubic's overshoot they fill an int32 (Pillow's
// PRECISION_BITS).
const precision = 32 - 8 - 2

// half rounds a sum to the nearest level.
const half = 1 << (precision - 1)

// taps are the coefficients of one pass for some consecutive output pixels:
// output i sums n inputs from start[i] on, weighted by coef[i*n:].
//
// A coefficient is signed and extended to 64 bits, to be multiplied with two
// levels at once, one in each half of a word.
type taps struct {
	start []int
	n     int
	coef  []uint64
	clips bool     // sums may leave the range of a level
	sums  []uint64 // scratch of combine
}

// end returns where the inputs of the last output end.
func (t *taps) end() int { return t.start[len(t.start)-1] + t.n }

// before returns how many outputs, from the first on, read nothing from input in on.
func (t *taps) before(in int) int {
	n, _ := slices.BinarySearch(t.start, in-t.n+1)
	return n
}

// pixel writes output i of a row of pixels.
func (t *taps) pixel(dst, src []byte, i int) {
	r, g, b := uint64(half), uint64(half), uint64(half)
	src = src[3*t.start[i]:]
	for j, w := range t.coef[i*t.n:][:t.n] {
		r += uint64(src[3*j]) * w
		g += uint64(src[3*j+1]) * w
		b += uint64(src[3*j+2]) * w
	}
	put(dst, 0, clip(int32(r)>>precision), clip(int32(g)>>precision), clip(int32(b)>>precision))
}

// newTaps returns the coefficients for outputs first to first+n when in pixels
// are resized to out (Pillow's precompute_coeffs and normalize_coeffs_8bpc).
// Where Pillow sums fewer inputs than elsewhere, zeros fill up.
func newTaps(in, out, first, n int, f model.Interpolation) taps {
	filter := bilinear
	if f == model.Bicubic {
		filter = bicubic
	}
	scale := float64(in) / float64(out)
	stretch := max(scale, 1) // a filter never gets narrower than a pixel
	bounds := func(i int) (center float64, begin, end int) {
		begin, end = inputs(in, out, first+i, 1, f)
		return (float64(first+i) + 0.5) * scale, begin, end
	}
	t := taps{start: make([]int, n)}
	for i := range n {
		_, begin, end := bounds(i)
		t.n = max(t.n, end-begin)
	}
	t.coef = make([]uint64, n*t.n)
	t.clips = f == model.Bicubic || t.n > 4096 // rounding adds up to half a level
	weights := make([]float64, t.n)
	for i := range n {
		center, begin, end := bounds(i)
		sum := 0.0
		for j := range weights[:end-begin] {
			weights[j] = filter((float64(begin+j) - center + 0.5) * (1 / stretch))
			sum += weights[j]
		}
		t.start[i] = min(begin, in-t.n)
		coef := t.coef[i*t.n+begin-t.start[i]:]
		for j, w := range weights[:end-begin] {
			if sum != 0 {
				w /= sum
			}
			coef[j] = uint64(int64(math.Trunc(w*(1<<precision) + math.Copysign(0.5, w))))
		}
	}
	return t
}

// inputs returns which of in pixels count in outputs first to first+n of out.
func inputs(in, out, first, n int, f model.Interpolation) (begin, end int) {
	scale := float64(in) / float64(out)
	support := max(scale, 1)
	if f == model.Bicubic {
		support *= 2
	}
	center := func(i int) float64 { return (float64(i) + 0.5) * scale }
	return max(0, int(center(first)-support+0.5)), min(in, int(center(first+n-1)+support+0.5))
}

func bilinear(x float64) float64 { return max(0, 1-math.Abs(x)) }

// bicubic is Keys' cubic convolution with a = -0.5, as Pillow has it.
func bicubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return (((x-5)*x+8)*x - 4) * a
	}
	return 0
}
