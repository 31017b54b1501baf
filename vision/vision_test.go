package vision

import (
	"bytes"
	"compress/zlib"
	"image"
	"image/color"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
)

// TestCropIsCenterOfResized: Crop computes only what it keeps, and the same.
func TestCropIsCenterOfResized(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := formula([2]int{rapid.IntRange(1, 200).Draw(t, "w"), rapid.IntRange(1, 200).Draw(t, "h")})
		p := model.Preprocess{
			Resize:        rapid.IntRange(1, 120).Draw(t, "resize"),
			Interpolation: rapid.SampledFrom([]model.Interpolation{model.Bilinear, model.Bicubic}).Draw(t, "filter"),
		}
		n := rapid.IntRange(1, 130).Draw(t, "crop")
		got := Crop(src, p, n)
		want := CenterCrop(ResizeShorter(src, p.Resize, p.Interpolation), n, n)
		if got.W != n || got.H != n || !bytes.Equal(got.Pix, want.Pix) {
			t.Fatalf("%dx%d resized to %d and cropped to %d differs", src.W, src.H, p.Resize, n)
		}
	})
}

// TestGray16 clips at 255, as Pillow does.
func TestGray16(t *testing.T) {
	src := image.NewGray16(image.Rect(3, 2, 5, 3))
	src.SetGray16(3, 2, color.Gray16{Y: 0x0012})
	src.SetGray16(4, 2, color.Gray16{Y: 0xfe00})
	m, err := FromImage(src)
	if err != nil || m.W != 2 || m.H != 1 || !bytes.Equal(m.Pix, []byte{0x12, 0x12, 0x12, 255, 255, 255}) {
		t.Errorf("%+v: %v", m, err)
	}
}

// TestIsImage: an Image seen through image.Image has its own pixels.
func TestIsImage(t *testing.T) {
	m := formula([2]int{5, 4})
	seen, err := FromImage(struct{ image.Image }{m})
	if err != nil || seen.W != m.W || seen.H != m.H || !bytes.Equal(seen.Pix, m.Pix) {
		t.Error("pixels differ")
	}
	if c := m.At(5, 0); c != (color.NRGBA{A: 255}) {
		t.Errorf("outside: %v", c)
	}
}

// TestPhotos compares whole preprocessing with torchvision's, to the byte.
func TestPhotos(t *testing.T) {
	npy, err := os.ReadFile(testenv.Shared(t, "golden/nips17_first8_resize256_crop224_u8.npy"))
	if err != nil {
		t.Fatal(err)
	}
	files, _ := testenv.NIPS17(t)
	const photos, size = 8, 224 * 224 * 3
	want := npy[len(npy)-photos*size:] // behind NumPy's header
	for i, file := range files[:photos] {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		img, err := Decode(t.Context(), data, DecodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := Crop(img, model.ImageNetPreprocess(256), 224)
		if !bytes.Equal(got.Pix, want[i*size:][:size]) {
			t.Errorf("%s differs", file)
		}
	}
}

// TestFromRGBA compares the short way for *image.RGBA with the one over colours,
// with every alpha.
func TestFromRGBA(t *testing.T) {
	m := image.NewRGBA(image.Rect(-3, 5, 253, 9))
	for i := range m.Pix {
		alpha := i / 4 % 256
		m.Pix[i] = byte(alpha)
		if i%4 < 3 {
			m.Pix[i] = byte(i * 7919 % (alpha + 1))
		}
	}
	got, err := FromImage(m)
	if err != nil {
		t.Fatal(err)
	}
	want, err := FromImage(struct{ image.Image }{m})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Pix, want.Pix) {
		t.Error("pixels differ")
	}
}

// TestClipped: of grey with more than 8 bits an image says whether levels were lost, and
// so does its crop; one that comes after it, in the same memory, doesn't.
func TestClipped(t *testing.T) {
	compressed := func(row []byte) []byte {
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		z.Write(row)
		z.Close()
		return b.Bytes()
	}
	grey16 := func(level byte) []byte { // a pixel of 1 and one of 256*level
		return pngOf(2, 1, 16, pngGrey, 0, chunkPNG("IDAT", compressed([]byte{0, 0, 1, level, 0})))
	}
	tiff16 := func(level byte) []byte {
		return plainTIFF(2, 1, 1, []byte{1, 0, 0, level}, tag{tagBits, []uint32{16}}, tag{tagSamples, []uint32{1}}, tag{tagPhotometric, []uint32{blackIsZero}})
	}
	for _, test := range []struct {
		name string
		data []byte
		want bool
	}{
		{"PNG", grey16(3), true}, {"PNG of low levels", grey16(0), false},
		{"TIFF", tiff16(3), true}, {"TIFF of low levels", tiff16(0), false},
		{"PGM", []byte("P2\n2 1\n4095\n1 4000\n"), true}, {"PGM of low levels", []byte("P2\n2 1\n65535\n1 255\n"), false},
		{"PPM", []byte("P3\n1 1\n65535\n1 4000 65535\n"), false}, {"PGM of 8 bits", []byte("P2\n2 1\n255\n1 255\n"), false},
	} {
		whole, err := Decode(t.Context(), test.data, DecodeOptions{})
		if err != nil {
			t.Fatal(test.name, err)
		}
		crop, err := DecodeCrop(t.Context(), test.data, DecodeOptions{}, model.ImageNetPreprocess(8), 8, 8)
		if err != nil {
			t.Fatal(test.name, err)
		}
		if whole.Clipped != test.want || crop.Clipped != test.want {
			t.Errorf("%s: clipped %v, its crop %v, want %v", test.name, whole.Clipped, crop.Clipped, test.want)
		}
	}
}
