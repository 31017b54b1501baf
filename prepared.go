package mobilenet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/boundedfile"
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
	pixels  *vision.Image
	recipe  recipe
	clipped bool
	err     error // why there are no pixels
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
	pixels, err := vision.FromImage(img)
	if err != nil {
		return nil, err
	}
	return &Prepared{pixels: vision.CropTo(pixels, want.Preprocess, want.h, want.w), recipe: want, clipped: pixels.Clipped}, nil
}

// PrepareData decodes a photo's file and prepares it: what [Decode] and then
// [Classifier.Prepare] give, and their errors, in less time. Of a JPEG file only what
// the network sees becomes pixels.
func (c *Classifier) PrepareData(ctx context.Context, data []byte, o vision.DecodeOptions) (*Prepared, error) {
	if c == nil || c.engine == nil {
		return nil, errNoClassifier
	}
	want := c.recipe()
	pixels, err := vision.DecodeCrop(ctx, data, o, want.Preprocess, want.h, want.w)
	if err != nil {
		return nil, err
	}
	return &Prepared{pixels: pixels, recipe: want, clipped: pixels.Clipped}, nil
}

// PrepareFile is PrepareData for the file at path. Errors name it.
func (c *Classifier) PrepareFile(ctx context.Context, path string, o vision.DecodeOptions) (*Prepared, error) {
	data, err := boundedfile.Read(path, vision.MaxFile)
	if err != nil {
		return nil, err
	}
	p, err := c.PrepareData(ctx, data, o)
	return p, fault.In(path, err)
}

// Clipped reports whether levels of the photo are clipped, as [vision.Image] says of those
// of a file of grey with more than 8 bits: most of it is white.
func (p *Prepared) Clipped() bool { return p != nil && p.clipped }

var errNoPixels = errors.New("an image without pixels")

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
