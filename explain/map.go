package explain

import (
	"slices"

	"github.com/mobilenet-go/mobilenet"
)

// Heat returns map i of e between 0 and 1, the least and the largest value of it, for
// an input of h by w pixels: [h][w]. Values between those of the network are linear, as
// OpenCV's resize has them. With relu what speaks against the class is 0. That is what
// pytorch-grad-cam returns, which always has relu.
func Heat(e *mobilenet.Explanation, i, h, w int, relu bool) []float32 {
	v := smooth(e, i, h, w, relu)
	scaleOf(v).apply(v)
	return v
}

// smooth returns map i of e for h by w pixels.
func smooth(e *mobilenet.Explanation, i, h, w int, relu bool) []float32 {
	values := e.Maps[i].Values
	if relu {
		values = slices.Clone(values)
		for i, v := range values {
			values[i] = max(v, 0)
		}
	}
	rows, columns := between(e.Height, h), between(e.Width, w)
	out := make([]float32, h*w)
	line := make([]float32, e.Width) // between two rows of the map
	for y, r := range rows {
		above, below := values[r.at*e.Width:][:e.Width], values[r.next*e.Width:][:e.Width]
		for x, v := range above {
			line[x] = v + r.part*(below[x]-v)
		}
		to := out[y*w:][:w]
		for x, c := range columns {
			v := line[c.at]
			to[x] = v + c.part*(line[c.next]-v)
		}
	}
	return out
}

// A place is between two values: part of the way from one to the next.
type place struct {
	at, next int
	part     float32
}

// between returns where the middles of size pixels lie among those of n values. Beyond
// the first and the last middle nothing changes.
func between(n, size int) []place {
	places := make([]place, size)
	for i := range places {
		v := (float64(i)+0.5)*float64(n)/float64(size) - 0.5
		v = max(0, min(float64(n-1), v))
		at := int(v)
		places[i] = place{at, min(at+1, n-1), float32(v - float64(at))}
	}
	return places
}

// A scale is the values that the colours go from and to.
type scale struct{ low, high float32 }

// scaleOf is from the least to the largest of all values of some maps.
func scaleOf(maps ...[]float32) scale {
	s := scale{maps[0][0], maps[0][0]}
	for _, m := range maps {
		for _, v := range m { // finite, and without what slices.Min does for those that are not
			if v < s.low {
				s.low = v
			}
			if v > s.high {
				s.high = v
			}
		}
	}
	return s
}

// step is which of 256 colours a value has.
func (s scale) step(v float32) uint8 {
	if s.high <= s.low {
		return 0
	}
	return uint8(max(0, min(255, int(255*((v-s.low)/(s.high-s.low))+0.5))))
}

// apply puts 0 in place of the least value, 1 in place of the largest, and 0 where there
// is but one.
func (s scale) apply(v []float32) {
	by := s.high - s.low
	if by == 0 {
		by = 1
	}
	for i := range v {
		v[i] = (v[i] - s.low) / by
	}
}
