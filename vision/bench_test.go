package vision

import (
	"bytes"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/mobilenet-go/mobilenet/model"
)

// photo is a smooth picture with some texture, of the size of many a photo.
func photo() *Image {
	m := NewImage(500, 375)
	for y := range m.H {
		for x := range m.W {
			put(m.row(y), x, byte(x/2+x*y%7), byte(y/2+x*y%11), byte((x+y)/4))
		}
	}
	return m
}

func BenchmarkPreprocess(b *testing.B) {
	src := photo()
	dst := make([]float32, 224*224*3)
	for _, f := range []model.Interpolation{model.Bilinear, model.Bicubic} {
		p := model.ImageNetPreprocess(256)
		p.Interpolation = f
		b.Run("filter="+string(f), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Preprocess(dst, src, p, 224)
			}
		})
	}
}

func BenchmarkDecodeJPEG(b *testing.B) {
	var file bytes.Buffer
	if err := jpeg.Encode(&file, photo(), nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(b.Context(), file.Bytes(), DecodeOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodePNG(b *testing.B) {
	var file bytes.Buffer
	if err := png.Encode(&file, photo()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(b.Context(), file.Bytes(), DecodeOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
