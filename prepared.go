package mobilenet

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/color"
	"reflect"

	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A Prepared photo is what a network sees of a photo: resized and cropped, RGB of 8
// bits, not normalised. It is an image.Image of the network's resolution.
//
// It remembers what it was prepared for. A classifier takes it as it is if that
// would have made the same pixels of the photo, whatever its weights, and otherwise
// refuses it: the pixels around the crop are gone.
type Prepared struct {
	pixels *vision.Image
	recipe recipe
	err    error // why there are no pixels
}

// A recipe is all that the pixels of a Prepared depend on besides the photo.
type recipe struct {
	model.Preprocess // without the normalisation, which the engine does
	h, w             int
}

func (r recipe) String() string {
	how := fmt.Sprintf("resized to %d", r.Resize)
	if r.Squash {
		how = "squashed"
	}
	return fmt.Sprintf("%dx%d pixels of a photo %s (%s)", r.w, r.h, how, r.Interpolation)
}

func (c *Classifier) recipe() recipe {
	h, w := c.config.InputSize()
	r := recipe{c.config.Preprocess, h, w}
	r.Mean, r.Std = [3]float32{}, [3]float32{}
	return r
}

// Prepare returns what the network sees of a photo. Many photos can be prepared at
// the same time, and each run later, alone or in a batch, with the results that the
// photo itself gives. What can't be prepared comes back without pixels; a classifier
// then says why.
func (c *Classifier) Prepare(img image.Image) *Prepared {
	p, err := c.prepare(img)
	if err != nil {
		return &Prepared{err: err}
	}
	return p
}

func (c *Classifier) prepare(img image.Image) (*Prepared, error) {
	if c == nil || c.engine == nil {
		return nil, errNoClassifier
	}
	want := c.recipe()
	if p, ok := img.(*Prepared); ok && p != nil {
		switch {
		case p.pixels == nil:
			return nil, cmp.Or(p.err, errNoPixels)
		case p.recipe != want:
			return nil, fmt.Errorf("a photo prepared for another model: %v, and this one wants %v", p.recipe, want)
		}
		return p, nil
	}
	if err := checkImage(img); err != nil {
		return nil, err
	}
	return &Prepared{pixels: vision.CropTo(vision.FromImage(img), want.Preprocess, want.h, want.w), recipe: want}, nil
}

var errNoPixels = errors.New("an image without pixels")

// checkImage refuses what has no pixels, or claims to have more than fit into
// memory: an image.Image need not store them.
func checkImage(img image.Image) error {
	if v := reflect.ValueOf(img); img == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return errNoPixels
	}
	if m, ok := img.(*vision.Image); ok {
		return checkPixels(m)
	}
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	if w < 1 || h < 1 { // also where the difference overflows
		return errNoPixels
	}
	if w > vision.DefaultMaxPixels/h {
		return fmt.Errorf("an image of %dx%d pixels, more than the limit of %d", w, h, vision.DefaultMaxPixels)
	}
	return nil
}

// checkPixels wants the pixels that m says it has. Those are in memory, so there is
// no limit to them.
func checkPixels(m *vision.Image) error {
	if m.W < 1 || m.H < 1 {
		return errNoPixels
	}
	// By division, because 3*W*H may overflow.
	if n := len(m.Pix); n%3 != 0 || n/3%m.W != 0 || n/3/m.W != m.H {
		return fmt.Errorf("an image of %dx%d pixels with %d bytes, want 3 for each", m.W, m.H, n)
	}
	return nil
}

// ColorModel, Bounds and At make a Prepared an image.Image.
func (p *Prepared) ColorModel() color.Model { return color.NRGBAModel }

// Bounds is (0, 0) to the input's width and height, or empty.
func (p *Prepared) Bounds() image.Rectangle {
	if p == nil || p.pixels == nil {
		return image.Rectangle{}
	}
	return p.pixels.Bounds()
}

// At returns the colour of a pixel, black outside of the image.
func (p *Prepared) At(x, y int) color.Color {
	if p == nil || p.pixels == nil {
		return color.NRGBA{A: 255}
	}
	return p.pixels.At(x, y)
}
