package vision

import (
	"errors"
	"fmt"
	"image"
	"image/color"
)

// An Image is 8-bit RGB: Pix is [H][W][3], row by row with no gaps. What changes
// an Image here wants one with pixels, all of them: as [Decode], [NewImage] and
// [FromImage] return it.
type Image struct {
	W, H int
	Pix  []byte

	// Clipped is set by [Decode] and [DecodeCrop] where the file is of grey with more than
	// 8 bits and has levels above 255: they are 255 here, as in Pillow's convert("RGB"),
	// so that most of a 16-bit photo is white.
	Clipped bool
}

// NewImage returns a black image of w by h pixels, neither negative.
func NewImage(w, h int) *Image {
	return &Image{W: w, H: h, Pix: make([]byte, 3*w*h)}
}

// row returns row y.
func (m *Image) row(y int) []byte { return m.Pix[3*m.W*y : 3*m.W*(y+1)] }

// ColorModel, Bounds and At make an Image an image.Image.
func (m *Image) ColorModel() color.Model { return color.NRGBAModel }

// check returns an error unless the image has pixels, and as many as it says.
func (m *Image) check() error {
	if m.W < 1 || m.H < 1 {
		return errNoPixels
	}
	// By division, because 3*W*H may overflow.
	if n := len(m.Pix); n%3 != 0 || n/3%m.W != 0 || n/3/m.W != m.H {
		return fmt.Errorf("an image of %dx%d pixels with %d bytes, want 3 for each", m.W, m.H, n)
	}
	return nil
}

var errNoPixels = errors.New("an image without pixels")

// Bounds is (0, 0) to (W, H), empty where one of them is negative.
func (m *Image) Bounds() image.Rectangle {
	if m.W < 0 || m.H < 0 {
		return image.Rectangle{}
	}
	return image.Rect(0, 0, m.W, m.H)
}

// At returns the colour of a pixel, black where the image has none.
func (m *Image) At(x, y int) color.Color {
	if !(image.Point{X: x, Y: y}).In(m.Bounds()) || m.check() != nil {
		return color.NRGBA{A: 255}
	}
	p := m.Pix[3*(y*m.W+x):]
	return color.NRGBA{p[0], p[1], p[2], 255}
}
