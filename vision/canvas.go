package vision

import "image"

// A canvas takes the pixels of a file as they come, row by row or in runs, and
// puts them where the photo's EXIF orientation wants them. Turning a whole photo
// afterwards would take its memory twice.
type canvas struct {
	w, h        int             // of the file
	orientation int             // 1 to 8
	part        image.Rectangle // what is wanted of the file; empty for all
	img         *Image
	clipped     bool   // see Image.Clipped
	band        []byte // rows that wait to be turned together
}

// bandRows is how many rows are turned at once: a column of 16 pixels is as long as
// most of a cache line.
const bandRows = 16

func newCanvas(w, h, orientation int) *canvas {
	return &canvas{w: w, h: h, orientation: orientation}
}

// image returns the image, which is allocated when the first pixels come.
func (c *canvas) image() *Image {
	switch {
	case c.img != nil:
	case c.orientation >= 5:
		c.img = NewImage(c.h, c.w)
	default:
		c.img = NewImage(c.w, c.h)
	}
	return c.img
}

// row returns where row y is to be written, [w][3]. Rows come from the top down,
// and done is called after each.
func (c *canvas) row(y int) []byte {
	if c.orientation == 1 {
		return c.image().row(y)
	}
	if c.band == nil {
		c.band = make([]byte, 3*c.w*min(bandRows, c.h))
	}
	return c.band[3*c.w*(y%bandRows):][:3*c.w]
}

// done says that row y has been written.
func (c *canvas) done(y int) {
	if c.orientation == 1 || y%bandRows != bandRows-1 && y != c.h-1 {
		return
	}
	n := y%bandRows + 1
	y -= n - 1
	if c.orientation < 5 {
		for i := range n {
			c.set(0, y+i, c.band[3*c.w*i:][:3*c.w])
		}
		return
	}
	// A column of the band is a part of a row of the image, in one direction or the
	// other.
	u, v := c.place(0, y)
	up, step := 1, 3
	if c.orientation >= 7 {
		up = -1
	}
	if c.orientation == 6 || c.orientation == 7 {
		step = -3
	}
	img := c.image()
	for x := range c.w {
		at := 3 * (u*img.W + v)
		for i := 3 * x; i < 3*c.w*n; i += 3 * c.w {
			d, s := img.Pix[at:at+3:at+3], c.band[i:i+3:i+3]
			d[0], d[1], d[2] = s[0], s[1], s[2]
			at += step
		}
		u += up
	}
}

// place returns where pixel (x, y) of the file goes, as row and column where
// orientation transposes, as column and row where it does not. It is what Pillow's
// ImageOps.exif_transpose does.
func (c *canvas) place(x, y int) (u, v int) {
	switch c.orientation {
	case 2, 3, 7, 8:
		x = c.w - 1 - x
	}
	switch c.orientation {
	case 3, 4, 6, 7:
		y = c.h - 1 - y
	}
	return x, y
}

// set writes a run of pixels of row y from x on.
func (c *canvas) set(x, y int, rgb []byte) {
	img := c.image()
	u, v := c.place(x, y)
	if c.orientation == 1 || c.orientation == 4 {
		copy(img.row(v)[3*u:], rgb)
		return
	}
	at, step := 3*(v*img.W+u), -3 // mirrored
	if c.orientation >= 5 {
		at, step = 3*(u*img.W+v), 3*img.W
		if c.orientation >= 7 {
			step = -step
		}
	}
	for ; len(rgb) >= 3; rgb = rgb[3:] {
		copy(img.Pix[at:at+3], rgb)
		at += step
	}
}
