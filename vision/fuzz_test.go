package vision

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/mobilenet-go/mobilenet/fault"
)

// seed adds the golden files.
func seed(f *testing.F) {
	names, err := filepath.Glob("testdata/images/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for i, form := range readForms(f) {
		if i%3 == 0 {
			f.Add(form.data)
		}
	}
}

// FuzzFromImage: whatever the sizes, strides and planes of an image say, its
// pixels or an error, and the same pixels as one by one where these can be asked
// for.
func FuzzFromImage(f *testing.F) {
	f.Add(byte(0), 0, 0, 3, 2, 12, 2, 24, 6)
	f.Add(byte(7), -7, 3, 34, 38, 41, 21, 41*35, 21*18)
	f.Add(byte(7), -8, -8, 8, 8, 16, 8, 256, 64)
	f.Add(byte(9), 1, 1, 4, 4, 3, 2, 9, 4)
	f.Add(byte(1), 0, 0, math.MaxInt32, math.MaxInt32, 4, 0, 100, 0)
	f.Add(byte(3), math.MinInt, 0, math.MaxInt, 1, 4, 0, 100, 0)
	f.Fuzz(func(t *testing.T, kind byte, x0, y0, x1, y1, stride, chroma, n, m int) {
		if n < 0 || n > 1<<16 || m < 0 || m > 1<<16 {
			return
		}
		r := image.Rectangle{image.Pt(x0, y0), image.Pt(x1, y1)}
		pix, more := make([]byte, n), make([]byte, m)
		for i := range pix {
			pix[i] = byte(i * 7)
		}
		for i := range more {
			more[i] = byte(i * 11)
		}
		var src image.Image
		switch kind % 16 {
		case 0:
			src = &image.RGBA{Pix: pix, Stride: stride, Rect: r}
		case 1:
			src = &image.NRGBA{Pix: pix, Stride: stride, Rect: r}
		case 2:
			src = &image.NRGBA64{Pix: pix, Stride: stride, Rect: r}
		case 3:
			src = &image.Gray{Pix: pix, Stride: stride, Rect: r}
		case 4:
			src = &image.Gray16{Pix: pix, Stride: stride, Rect: r}
		case 5:
			src = &image.CMYK{Pix: pix, Stride: stride, Rect: r}
		case 6:
			for i := range pix {
				pix[i] &= 1
			}
			src = &image.Paletted{Pix: pix, Stride: stride, Rect: r, Palette: color.Palette{color.Black, color.White}}
		case 13:
			src = &Image{W: x1, H: y1, Pix: pix}
		case 14:
			src = image.NewUniform(color.White)
		case 15: // its pixels are asked for one at a time
			src = struct{ image.Image }{&image.Alpha{Pix: pix, Stride: stride, Rect: r}}
			if holds := &(image.Gray{Pix: pix, Stride: stride, Rect: r}); checkPlain(holds, r) != nil && checkPlain(src, r) == nil {
				return // and panic
			}
		default:
			src = &image.YCbCr{Y: pix, Cb: more, Cr: more, YStride: stride, CStride: chroma, Rect: r, SubsampleRatio: image.YCbCrSubsampleRatio(kind%16 - 7)}
		}
		got, err := FromImage(src)
		if err != nil {
			if got != nil {
				t.Error("pixels and an error")
			}
			return
		}
		b := src.Bounds()
		if got.W != b.Dx() || got.H != b.Dy() || len(got.Pix) != 3*got.W*got.H || got.W < 1 || got.H < 1 {
			t.Fatalf("%v: %dx%d with %d bytes", b, got.W, got.H, len(got.Pix))
		}
		switch src.(type) {
		case *image.YCbCr, *image.CMYK, *image.Gray16: // converted by others' rules
			return
		}
		want, err := FromImage(struct{ image.Image }{src})
		if err != nil || !bytes.Equal(got.Pix, want.Pix) {
			t.Errorf("%v: pixels differ: %v", b, err)
		}
	})
}

// FuzzDecode: an image within the limit or one of our errors, in memory that the
// limit and the file's size bound.
func FuzzDecode(f *testing.F) {
	seed(f)
	f.Add(bombPNG())
	f.Add(bombBMP())
	f.Add(bombTIFF(10))
	f.Add(bombWebP(true))
	f.Add(bombWebP(false))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 14
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Decode(t.Context(), data, DecodeOptions{MaxPixels: limit})
		runtime.ReadMemStats(&after)
		// Decoders keep tables, and whole blocks of narrow images.
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20+uint64(64*len(data)) {
			t.Errorf("%d bytes allocated for %d of file", n, len(data))
		}
		switch {
		case err == nil:
			if m.W < 1 || m.H < 1 || m.W*m.H > limit || len(m.Pix) != 3*m.W*m.H {
				t.Errorf("%dx%d with %d bytes", m.W, m.H, len(m.Pix))
			}
		case !isFault(err):
			t.Errorf("error of type %T: %v", err, err)
		}
	})
}

func isFault(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

// FuzzOrientation: whatever the bytes, 1 to 8.
func FuzzOrientation(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range []string{"JPEG", "PNG", "WebP", "TIFF", "GIF"} {
			if o := orientation(format, data); o < 1 || o > 8 {
				t.Errorf("%s: orientation %d", format, o)
			}
		}
	})
}
