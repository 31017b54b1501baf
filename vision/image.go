package vision

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
