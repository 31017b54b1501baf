package vision

import (
	"image"
	"image/color"
)

// An Image is 8-bit RGB: Pix is [H][W][3], row by row with no gaps.
type Image struct {
	W, H int
	Pix  []byte
}

// NewImage returns a black image of w by h pixels.
func NewImage(w, h int) *Image {
	return &Image{W: w, H: h, Pix: make([]byte, 3*w*h)}
}

// row returns row y.
func (m *Image) row(y int) []byte { return m.Pix[3*m.W*y : 3*m.W*(y+1)] }

// ColorModel, Bounds and At make an Image an image.Image.
func (m *Image) ColorModel() color.Model { return color.NRGBAModel }

// Bounds is (0, 0) to (W, H).
func (m *Image) Bounds() image.Rectangle { return image.Rect(0, 0, m.W, m.H) }

// At returns the colour of a pixel, black outside of the image.
func (m *Image) At(x, y int) color.Color {
	if !(image.Point{X: x, Y: y}).In(m.Bounds()) {
		return color.NRGBA{A: 255}
	}
	p := m.Pix[3*(y*m.W+x):]
	return color.NRGBA{p[0], p[1], p[2], 255}
}
