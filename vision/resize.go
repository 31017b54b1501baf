package vision

import (
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
	columns, rows := newTaps(src.W, w, win.x, win.w, f), newTaps(src.H, h, win.y, win.h, f)
	// The rows of src that the vertical pass reads.
	first := rows.start[0]
	last := rows.start[win.h-1] + rows.count[win.h-1]
	if h == src.H {
		first, last = win.y, win.y+win.h
	}
	mid := src
	if w != src.W || win.w != w {
		mid = NewImage(win.w, last-first)
		for y := range mid.H {
			if w == src.W {
				copy(mid.row(y), src.row(first + y)[3*win.x:])
			} else {
				columns.horizontal(mid.row(y), src.row(first+y))
			}
		}
	} else if first > 0 || last < src.H {
		mid = &Image{W: src.W, H: last - first, Pix: src.Pix[3*src.W*first : 3*src.W*last]}
	}
	if h == src.H {
		return mid
	}
	dst := NewImage(win.w, win.h)
	for y := range dst.H {
		rows.vertical(dst.row(y), mid, y, first)
	}
	return dst
}
