package vision

import (
	"image"
	"math"

	"github.com/mobilenet-go/mobilenet/model"
)

// CenterCrop cuts w by h pixels out of the middle of src as torchvision's
// CenterCrop does. Where src is smaller it is padded with black first, one pixel
// more at the right and bottom if the difference is odd.
func CenterCrop(src *Image, w, h int) *Image {
	dst := NewImage(w, h)
	sx, dx := cropFrom(src.W, w)
	sy, dy := cropFrom(src.H, h)
	n := 3 * min(w, src.W)
	for y := range min(h, src.H) {
		copy(dst.row(dy + y)[3*dx:], src.row(sy + y)[3*sx:][:n])
	}
	return dst
}

// cropFrom returns where a crop of size pixels begins in n pixels, and where in
// the crop they go. Halves are rounded to even, as Python's round does.
func cropFrom(n, size int) (src, dst int) {
	if n < size {
		return 0, (size - n) / 2
	}
	return int(math.RoundToEven(float64(n-size) / 2)), 0
}

// Crop is [CropTo] for a square input of resolution pixels.
func Crop(src *Image, p model.Preprocess, resolution int) *Image {
	return CropTo(src, p, resolution, resolution)
}

// CropTo prepares a photo for an input of h by w pixels, up to the normalisation:
// ResizeShorter to p.Resize and CenterCrop, of which only the part that the crop
// keeps is computed. Where p.Squash is set it is the resize alone, to that size.
func CropTo(src *Image, p model.Preprocess, h, w int) *Image {
	if p.Squash {
		return Resize(src, w, h, p.Interpolation)
	}
	rw, rh, win := cropOf(src.W, src.H, p, h, w)
	m := resizeWindow(src, rw, rh, win, p.Interpolation)
	if win.w < w || win.h < h {
		return CenterCrop(m, w, h)
	}
	return m
}

// cropOf returns to what size [CropTo] scales a photo of sw by sh pixels, and which
// part of that it keeps.
func cropOf(sw, sh int, p model.Preprocess, h, w int) (rw, rh int, win window) {
	rw, rh = shorterTo(sw, sh, p.Resize)
	x, _ := cropFrom(rw, w)
	y, _ := cropFrom(rh, h)
	return rw, rh, window{x, y, min(rw, w), min(rh, h)}
}

// readBy returns the pixels that [CropTo] makes something of: of all it reads, those
// that count more than nothing.
func readBy(sw, sh int, p model.Preprocess, h, w int) image.Rectangle {
	if p.Squash {
		return image.Rect(0, 0, sw, sh)
	}
	rw, rh, win := cropOf(sw, sh, p, h, w)
	left, right := inputs(sw, rw, win.x, win.w, p.Interpolation)
	top, bottom := inputs(sh, rh, win.y, win.h, p.Interpolation)
	return image.Rect(left, top, right, bottom)
}

// Normalize writes src to dst, [H][W][3], as torchvision's ToTensor and
// Normalize give it (there as [3][H][W]).
func Normalize(dst []float32, src *Image, mean, std [3]float32) {
	model.Preprocess{Mean: mean, Std: std}.Levels().Apply(dst[:3*src.W*src.H], src.Pix)
}

// Preprocess turns a photo into the input of a network: [Crop], then
// [Normalize] to dst, [resolution][resolution][3].
func Preprocess(dst []float32, src *Image, p model.Preprocess, resolution int) {
	Normalize(dst, Crop(src, p, resolution), p.Mean, p.Std)
}

// A Region is a part of a photo in its pixels, from Left and Top to Right and Bottom,
// with fractions of pixels.
type Region struct {
	Left, Top, Right, Bottom float64
}

// Seen returns the part of a photo of sw by sh pixels that [CropTo] makes an input of h
// by w pixels from: what a network sees of it. It goes beyond the photo where that is
// padded.
func Seen(sw, sh int, p model.Preprocess, h, w int) Region {
	if p.Squash || sw < 1 || sh < 1 {
		return Region{0, 0, float64(sw), float64(sh)}
	}
	rw, rh := shorterTo(sw, sh, p.Resize)
	left, right := seen(sw, rw, w)
	top, bottom := seen(sh, rh, h)
	return Region{left, top, right, bottom}
}

// seen is Seen of a side of n pixels that is resized to as many, of which size are kept.
func seen(n, resized, size int) (from, to float64) {
	src, dst := cropFrom(resized, size)
	scale := float64(n) / float64(resized)
	return scale * float64(src-dst), scale * float64(src-dst+size)
}
