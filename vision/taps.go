package vision

import (
	"math"

	"github.com/mobilenet-go/mobilenet/model"
)

// precision is the number of fraction bits of a coefficient: with 8 bits of
// pixel and 2 of headroom for bicubic's overshoot they fill an int32 (Pillow's
// PRECISION_BITS).
const precision = 32 - 8 - 2

// half rounds a sum to the nearest level.
const half = 1 << (precision - 1)

// taps are the coefficients of one pass for some consecutive output pixels:
// output i sums count[i] inputs from start[i] on, weighted by coef[i*most:].
type taps struct {
	start, count []int
	coef         []int32
	most         int
}

// newTaps returns the coefficients for outputs first to first+n when in pixels
// are resized to out (Pillow's precompute_coeffs and normalize_coeffs_8bpc).
func newTaps(in, out, first, n int, f model.Interpolation) taps {
	filter, support := bilinear, 1.0
	if f == model.Bicubic {
		filter, support = bicubic, 2.0
	}
	scale := float64(in) / float64(out)
	stretch := max(scale, 1) // a filter never gets narrower than a pixel
	support *= stretch
	t := taps{
		start: make([]int, n), count: make([]int, n),
		most: 2*int(math.Ceil(support)) + 1,
	}
	t.coef = make([]int32, n*t.most)
	weights := make([]float64, t.most)
	for i := range n {
		center := (float64(first+i) + 0.5) * scale
		begin := max(0, int(center-support+0.5))
		end := min(in, int(center+support+0.5))
		sum := 0.0
		for j := range weights[:end-begin] {
			weights[j] = filter((float64(begin+j) - center + 0.5) * (1 / stretch))
			sum += weights[j]
		}
		for j, w := range weights[:end-begin] {
			if sum != 0 {
				w /= sum
			}
			t.coef[i*t.most+j] = int32(math.Trunc(w*(1<<precision) + math.Copysign(0.5, w)))
		}
		t.start[i], t.count[i] = begin, end-begin
	}
	return t
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

// level rounds a sum of weighted levels to a level.
func level(sum int32) byte {
	v := sum >> precision
	if uint32(v) > 255 {
		if v < 0 {
			return 0
		}
		return 255
	}
	return byte(v)
}

// horizontal is one row of the first pass: dst [n][3] from src [in][3].
func (t taps) horizontal(dst, src []byte) {
	for i, begin := range t.start {
		n := t.count[i]
		k := t.coef[i*t.most:][:n]
		s := src[3*begin:][:3*n]
		r, g, b := int32(half), int32(half), int32(half)
		for _, w := range k {
			r += int32(s[0]) * w
			g += int32(s[1]) * w
			b += int32(s[2]) * w
			s = s[3:]
		}
		d := dst[3*i:][:3]
		d[0], d[1], d[2] = level(r), level(g), level(b)
	}
}

// vertical is output row y of the second pass, all columns of it, from the rows
// of mid, whose first is row first of the source.
func (t taps) vertical(dst []byte, mid *Image, y, first int) {
	k := t.coef[y*t.most:][:t.count[y]]
	top := t.start[y] - first
	for x := range dst {
		sum := int32(half)
		for j, w := range k {
			sum += int32(mid.Pix[(top+j)*3*mid.W+x]) * w
		}
		dst[x] = level(sum)
	}
}
