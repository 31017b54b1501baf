package vision

import (
	"math"
	"math/rand/v2"

	"github.com/mobilenet-go/mobilenet/model"
)

// An Augment says how a photo is changed at random before it is trained with.
// The zero value changes nothing: the evaluation's resize and centre crop.
type Augment struct {
	MinScale float64     // smallest share of the area that a random crop keeps (torchvision's RandomResizedCrop); 0 for none
	Pad      int         // without random crops: shift by up to so many pixels, black coming in (RandomCrop with padding)
	Flip     float64     // probability of a mirror image (RandomHorizontalFlip)
	Trivial  bool        // one of TrivialAugmentWide's operations
	Rand     RandAugment // some of RandAugment's
	Jitter   Jitter      // of colours
	Erase    float64     // probability of an erased rectangle (RandomErasing, arXiv 1708.04896)
	Fill     [3]uint8    // what an erased rectangle becomes
}

// Changes reports whether a photo is changed at all.
func (a Augment) Changes() bool {
	a.Fill = [3]uint8{}
	return a != Augment{}
}

// Apply returns a square image of resolution pixels made from src.
func (a Augment) Apply(src *Image, p model.Preprocess, resolution int, rng *rand.Rand) *Image {
	var dst *Image
	if a.MinScale > 0 {
		x, y, w, h := randomCrop(src.W, src.H, a.MinScale, rng)
		dst = Resize(cut(src, x, y, w, h), resolution, resolution, p.Interpolation)
	} else {
		dst = Crop(src, p, resolution)
		if a.Pad > 0 {
			dst = shift(dst, rng.IntN(2*a.Pad+1)-a.Pad, rng.IntN(2*a.Pad+1)-a.Pad)
		}
	}
	if rng.Float64() < a.Flip {
		flip(dst)
	}
	if a.Trivial {
		dst = trivial(dst, rng)
	}
	dst = a.Rand.apply(dst, rng)
	if (a.Jitter != Jitter{}) {
		dst = a.Jitter.apply(dst, rng)
	}
	if rng.Float64() < a.Erase {
		a.erase(dst, rng)
	}
	return dst
}

// tries is how often torchvision draws a rectangle that may not fit.
const tries = 10

// randomCrop is torchvision's RandomResizedCrop.get_params with ratio 3/4 to
// 4/3: where no rectangle fits, the largest in the centre with a ratio in that
// range.
func randomCrop(width, height int, minScale float64, rng *rand.Rand) (x, y, w, h int) {
	const least, most = 3.0 / 4, 4.0 / 3
	for range tries {
		area := float64(width*height) * (minScale + rng.Float64()*(1-minScale))
		ratio := math.Exp(math.Log(least) + rng.Float64()*(math.Log(most)-math.Log(least)))
		w := int(math.RoundToEven(math.Sqrt(area * ratio)))
		h := int(math.RoundToEven(math.Sqrt(area / ratio)))
		if w > 0 && w <= width && h > 0 && h <= height {
			return rng.IntN(width - w + 1), rng.IntN(height - h + 1), w, h
		}
	}
	w, h = width, height
	switch in := float64(width) / float64(height); {
	case in < least:
		h = min(height, int(math.RoundToEven(float64(w)/least)))
	case in > most:
		w = min(width, int(math.RoundToEven(float64(h)*most)))
	}
	return (width - w) / 2, (height - h) / 2, w, h
}

// cut copies a rectangle.
func cut(src *Image, x, y, w, h int) *Image {
	dst := NewImage(w, h)
	for i := range h {
		copy(dst.Pix[i*w*3:][:w*3], src.Pix[((y+i)*src.W+x)*3:])
	}
	return dst
}

// shift moves the image by dx and dy pixels; what comes in is black.
func shift(src *Image, dx, dy int) *Image {
	dst := NewImage(src.W, src.H)
	from, to := max(0, -dx), min(src.W, src.W-dx)
	for y := max(0, -dy); y < min(src.H, src.H-dy) && from < to; y++ {
		copy(dst.Pix[((y+dy)*dst.W+from+dx)*3:], src.Pix[(y*src.W+from)*3:(y*src.W+to)*3])
	}
	return dst
}

// flip mirrors left and right in place.
func flip(m *Image) {
	for y := range m.H {
		row := m.Pix[y*m.W*3:][:m.W*3]
		for i, j := 0, len(row)-3; i < j; i, j = i+3, j-3 {
			row[i], row[j] = row[j], row[i]
			row[i+1], row[j+1] = row[j+1], row[i+1]
			row[i+2], row[j+2] = row[j+2], row[i+2]
		}
	}
}

// erase is torchvision's RandomErasing with its default scale and ratio, and the
// fill colour for value.
func (a Augment) erase(m *Image, rng *rand.Rand) {
	for range tries {
		area := float64(m.W*m.H) * (0.02 + rng.Float64()*(0.33-0.02))
		ratio := math.Exp(math.Log(0.3) + rng.Float64()*(math.Log(3.3)-math.Log(0.3)))
		h := int(math.RoundToEven(math.Sqrt(area * ratio)))
		w := int(math.RoundToEven(math.Sqrt(area / ratio)))
		if h >= m.H || w >= m.W {
			continue
		}
		y0, x0 := rng.IntN(m.H-h+1), rng.IntN(m.W-w+1)
		for y := y0; y < y0+h; y++ {
			for x := x0; x < x0+w; x++ {
				copy(m.Pix[(y*m.W+x)*3:][:3], a.Fill[:])
			}
		}
		return
	}
}
