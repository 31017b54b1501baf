package vision

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/mobilenet-go/mobilenet/model"
)

// TestCropToRectangle: an input that is no square gets the centre of a photo that
// covers it. The sizes after the resize are those of timm 1.0's
// ResizeKeepRatio((h, w), longest=0), which were worked out by hand.
func TestCropToRectangle(t *testing.T) {
	for _, c := range []struct{ w, h, resize, inW, inH, wantW, wantH int }{
		{640, 480, 219, 256, 192, 292, 219}, // the shape of the input
		{480, 640, 219, 256, 192, 292, 389}, // upright: as wide as the box
		{1000, 100, 219, 256, 192, 2190, 219},
		{299, 299, 219, 256, 192, 292, 292},
		{299, 299, 219, 192, 256, 292, 292},
	} {
		if w, h := cover(c.w, c.h, c.resize, c.inW, c.inH); w != c.wantW || h != c.wantH {
			t.Errorf("%dx%d for an input of %dx%d and resize %d: %dx%d, want %dx%d", c.w, c.h, c.inW, c.inH, c.resize, w, h, c.wantW, c.wantH)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		size := func(name string) int { return rapid.IntRange(1, 130).Draw(t, name) }
		src := formula([2]int{size("w"), size("h")})
		p := model.Preprocess{Resize: size("resize"), Interpolation: model.Bilinear}
		h, w := size("input height"), size("input width")
		rw, rh := cover(src.W, src.H, p.Resize, w, h)
		if w == h {
			rw, rh = shorterTo(src.W, src.H, p.Resize)
		}
		want := CenterCrop(Resize(src, rw, rh, p.Interpolation), w, h)
		if got := CropTo(src, p, h, w); got.W != w || got.H != h || !bytes.Equal(got.Pix, want.Pix) {
			t.Fatalf("%dx%d resized to %d, an input of %dx%d differs", src.W, src.H, p.Resize, w, h)
		}
	})
}

// TestCropToSquashed: nothing is cut off.
func TestCropToSquashed(t *testing.T) {
	src := formula([2]int{50, 20})
	p := model.Preprocess{Resize: 256, Squash: true, Interpolation: model.Bicubic}
	if got := CropTo(src, p, 33, 44); !bytes.Equal(got.Pix, Resize(src, 44, 33, model.Bicubic).Pix) {
		t.Error("differs from the resize alone")
	}
}
