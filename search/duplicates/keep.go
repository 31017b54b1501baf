package duplicates

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A Keep says which photo of a group to keep. Of equals it is the first, in the order
// in which they were named.
type Keep string

const (
	Largest  Keep = "largest"  // most pixels, and of those most bytes
	Oldest   Keep = "oldest"   // changed the longest ago
	Sharpest Keep = "sharpest" // most detail at a size that all are brought to; then as Largest
	First    Keep = "first"
)

// Keeps are all of them.
func Keeps() []Keep { return []Keep{Largest, Oldest, Sharpest, First} }

// A reason is one way to tell which of two photos is to be kept.
type reason struct {
	compare func(p, q *Photo) int // more than 0: p
	why     func(p, next *Photo) string
}

var (
	pixels = reason{
		func(p, q *Photo) int { return cmp.Compare(p.Width*p.Height, q.Width*q.Height) },
		func(p, next *Photo) string {
			return fmt.Sprintf("largest: %dx%d, the next %dx%d", p.Width, p.Height, next.Width, next.Height)
		},
	}
	size = reason{
		func(p, q *Photo) int { return cmp.Compare(p.Bytes, q.Bytes) },
		func(p, next *Photo) string {
			return fmt.Sprintf("of the same size in pixels, and most bytes: %d, the next %d", p.Bytes, next.Bytes)
		},
	}
	age = reason{
		func(p, q *Photo) int { return q.Modified.Compare(p.Modified) },
		func(p, next *Photo) string {
			layout := time.DateTime
			if p.Modified.Format(layout) == next.Modified.Format(layout) { // both of one second
				layout += ".000000000"
			}
			return fmt.Sprintf("oldest: %s, the next %s", p.Modified.Format(layout), next.Modified.Format(layout))
		},
	}
	detail = reason{
		// Half a percent is what another encoder makes of the same photo.
		func(p, q *Photo) int {
			if math.Abs(p.Sharpness-q.Sharpness) <= 0.005*max(p.Sharpness, q.Sharpness) {
				return 0
			}
			return cmp.Compare(p.Sharpness, q.Sharpness)
		},
		func(p, next *Photo) string {
			return fmt.Sprintf("sharpest: %.4g, the next %.4g", p.Sharpness, next.Sharpness)
		},
	}
)

var reasons = map[Keep][]reason{Largest: {pixels, size}, Oldest: {age}, Sharpest: {detail, pixels, size}}

// choose returns which of some photos to keep, and why: what tells it from the best of
// the others.
func choose(photos []Photo, k Keep) (keep int, why string) {
	left := make([]int, len(photos))
	for i := range left {
		left[i] = i
	}
	for _, r := range reasons[k] {
		best := left[0]
		for _, i := range left[1:] {
			if r.compare(&photos[i], &photos[best]) > 0 {
				best = i
			}
		}
		var equal []int
		next := -1
		for _, i := range left {
			switch {
			case r.compare(&photos[best], &photos[i]) == 0:
				equal = append(equal, i)
			case next < 0 || r.compare(&photos[i], &photos[next]) > 0:
				next = i
			}
		}
		if len(equal) == 1 && next >= 0 {
			return best, r.why(&photos[best], &photos[next])
		}
		left = equal
	}
	if k == First {
		return left[0], "first"
	}
	return left[0], "first of equals"
}

// sharpnessSide is what the shorter side of photos is brought to before their detail is
// compared: a small copy is not sharp for being small.
const sharpnessSide = 512

// sharpness is the variance of the Laplacian of a photo's brightness (Pech-Pacheco et
// al., Diatom autofocusing in brightfield microscopy, 2000), over that of the
// brightness: more contrast alone is not more detail.
func sharpness(img *vision.Image) float64 {
	img = vision.ResizeShorter(img, sharpnessSide, model.Bilinear)
	at := func(x, y int) float64 {
		p := img.Pix[3*(y*img.W+x):][:3]
		return float64(299*int(p[0])+587*int(p[1])+114*int(p[2])) / 1000
	}
	var n, sum, square, laplacian float64 // the Laplacian's mean is all but 0
	for y := 1; y < img.H-1; y++ {
		for x := 1; x < img.W-1; x++ {
			v := at(x, y)
			l := at(x-1, y) + at(x+1, y) + at(x, y-1) + at(x, y+1) - 4*v
			n++
			sum, square, laplacian = sum+v, square+v*v, laplacian+l*l
		}
	}
	variance := square/n - sum/n*sum/n
	if !(variance > 0) {
		return 0
	}
	return laplacian / n / variance
}
