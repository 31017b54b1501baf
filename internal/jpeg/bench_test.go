package jpeg

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"testing"
)

// picture is of the size of many a photo, with slopes and as much noise as makes
// its file as large as a photo's.
func picture() image.Image {
	m := image.NewRGBA(image.Rect(0, 0, 500, 375))
	rng := rand.New(rand.NewPCG(1, 2))
	for y := range 375 {
		for x := range 500 {
			n := rng.NormFloat64() * 6
			at := func(v float64) uint8 { return uint8(min(max(v+n, 0), 255)) }
			m.SetRGBA(x, y, color.RGBA{at(float64(x) / 2), at(float64(y) / 2), at(128 + 100*math.Sin(float64(x*y)/3000)), 255})
		}
	}
	return m
}

// BenchmarkDecode compares with image/jpeg, whose result is planes.
func BenchmarkDecode(b *testing.B) {
	var file bytes.Buffer
	if err := jpeg.Encode(&file, picture(), &jpeg.Options{Quality: 90}); err != nil {
		b.Fatal(err)
	}
	b.Run("decoder=image-jpeg", func(b *testing.B) {
		b.SetBytes(int64(file.Len()))
		b.ReportAllocs()
		for b.Loop() {
			m, err := jpeg.Decode(bytes.NewReader(file.Bytes()))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := FromYCbCr(m.(*image.YCbCr)); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, k := range sets() {
		b.Run("decoder="+k.name, func(b *testing.B) {
			b.SetBytes(int64(file.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, err := decodeWith(b.Context(), file.Bytes(), k); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
