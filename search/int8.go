package search

import "math"

// Int8 returns v as bytes of -127 to 127 and what they are multiplied by: v[k] is about
// scale*bytes[k], up to half of scale. That is what programs that take embeddings of
// bytes understand; the bytes of an index are others (see [Code]).
func Int8(v []float32) (bytes []int8, scale float32) {
	top := float32(0)
	for _, x := range v {
		top = max(top, float32(math.Abs(float64(x))))
	}
	bytes = make([]int8, len(v))
	if scale = top / 127; scale == 0 {
		return bytes, 0
	}
	for k, x := range v {
		bytes[k] = int8(max(-127, min(127, math.RoundToEven(float64(x)/float64(scale)))))
	}
	return bytes, scale
}
