package vision

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/mobilenet-go/mobilenet/model"
)

// TestCropToRectangle: an input that is no square gets what torchvision's Resize and
// CenterCrop((h, w)) leave.
func TestCropToRectangle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := func(name string) int { return rapid.IntRange(1, 130).Draw(t, name) }
		src := formula([2]int{size("w"), size("h")})
		p := model.Preprocess{Resize: size("resize"), Interpolation: model.Bilinear}
		h, w := size("input height"), size("input width")
		want := CenterCrop(ResizeShorter(src, p.Resize, p.Interpolation), w, h)
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
