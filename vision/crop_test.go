package vision

import (
	"bytes"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
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

// TestDecodeCrop: the pixels are those of Decode and CropTo, whatever an earlier call
// has left in memory, turned or not, for photos of all shapes and JPEG files of all
// samplings.
func TestDecodeCrop(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	var photos [][]byte
	files, err := filepath.Glob("testdata/images/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // a folder
		}
		if _, err := Decode(t.Context(), data, DecodeOptions{}); err == nil {
			photos = append(photos, data)
		}
	}
	for range 40 {
		m := image.NewRGBA(image.Rect(0, 0, 1+rng.IntN(400), 1+rng.IntN(300)))
		for i := range m.Pix {
			m.Pix[i] = byte(i/7) + byte(rng.IntN(30))
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, nil); err != nil {
			t.Fatal(err)
		}
		photos = append(photos, b.Bytes())
	}
	for _, data := range photos {
		for _, p := range []model.Preprocess{
			{Resize: 64, Interpolation: model.Bilinear}, {Resize: 70, Interpolation: model.Bicubic},
			{Resize: 40, Interpolation: model.Bilinear}, {Squash: true, Interpolation: model.Bilinear},
		} {
			h, w := 56, 48+rng.IntN(16)
			whole, err := Decode(t.Context(), data, DecodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeCrop(t.Context(), data, DecodeOptions{}, p, h, w)
			if err != nil {
				t.Fatal(err)
			}
			if want := CropTo(whole, p, h, w); got.W != w || got.H != h || !bytes.Equal(got.Pix, want.Pix) {
				t.Fatalf("%dx%d, %+v to %dx%d: other pixels", whole.W, whole.H, p, w, h)
			}
		}
	}
	if _, err := DecodeCrop(t.Context(), photos[0][:len(photos[0])/2], DecodeOptions{}, model.ImageNetPreprocess(256), 224, 224); err == nil {
		t.Error("half a file is not an error")
	}
}
