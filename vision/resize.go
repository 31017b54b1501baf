package vision

import (
	"slices"
	"sync"

	"github.com/mobilenet-go/mobilenet/model"
)

// Resize scales src to w by h pixels as Pillow's Image.resize does on 8-bit
// images, bit for bit: an antialiased filter in two passes, horizontal then
// vertical, with 22-bit fixed-point coefficients and the result of each pass
// rounded to 8 bits (Pillow, Resample.c). A pass that changes no size is
// skipped. w and h must be positive and src not empty.
func Resize(src *Image, w, h int, f model.Interpolation) *Image {
	return resizeWindow(src, w, h, window{w: w, h: h}, f)
}

// ResizeShorter scales src so that its shorter side has size pixels, as
// torchvision's Resize(size) does: the longer side is rounded down.
func ResizeShorter(src *Image, size int, f model.Interpolation) *Image {
	w, h := shorterTo(src.W, src.H, size)
	return Resize(src, w, h, f)
}

// shorterTo returns the size of an image of w by h pixels after torchvision's
// Resize(size). The longer side is computed in floating point, as there.
func shorterTo(w, h, size int) (int, int) {
	if w <= h {
		return size, max(1, int(float64(size*h)/float64(w)))
	}
	return max(1, int(float64(size*w)/float64(h))), size
}

// A window is a part of an image: columns x to x+w, rows y to y+h.
type window struct{ x, y, w, h int }

// resizeWindow returns a window of src resized to w by h, computing nothing
// outside of it. The window must lie inside.
func resizeWindow(src *Image, w, h int, win window, f model.Interpolation) *Image {
	if h == src.H {
		return resizeColumns(NewImage(win.w, win.h), src, w, win, f)
	}
	rows := newTaps(src.H, h, win.y, win.h, f)
	// What the second pass reads: the columns of the window, rows of src.
	read := window{x: win.x, y: rows.start[0], w: win.w, h: rows.end() - rows.start[0]}
	mid := scratchImage(read.w, read.h)
	defer scratch.Put(mid)
	resizeColumns(mid, src, w, read, f)
	dst := NewImage(win.w, win.h)
	k := fastest()
	for y := range dst.H {
		k.rows(&rows, dst.row(y), mid.Pix, y)
	}
	return dst
}

// scratch holds images that a resize needs meanwhile.
var scratch = sync.Pool{New: func() any { return new(Image) }}

// scratchImage returns an image of any content, for scratch.Put.
func scratchImage(w, h int) *Image {
	m := scratch.Get().(*Image)
	m.W, m.H = w, h
	m.Pix = slices.Grow(m.Pix[:0], 3*w*h)[:3*w*h]
	return m
}

// resizeColumns is the first pass: dst becomes the window of src resized to
// width w.
func resizeColumns(dst, src *Image, w int, win window, f model.Interpolation) *Image {
	if w == src.W {
		return crop(dst, src, win)
	}
	columns := newTaps(src.W, w, win.x, win.w, f)
	both := scratchImage(columns.end()-columns.start[0]+win.w, strip)
	defer scratch.Put(both)
	k := fastest()
	for y := 0; y < dst.H; y += strip {
		k.columns(&columns, dst, src, y, win.y, both.Pix)
	}
	return dst
}

// crop copies a window of src to dst.
func crop(dst, src *Image, win window) *Image {
	for y := range dst.H {
		copy(dst.row(y), src.row(win.y + y)[3*win.x:])
	}
	return dst
}
