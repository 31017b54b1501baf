package vision

import (
	"bytes"
	"image/jpeg"
	"math/rand/v2"
	"testing"
)

// TestUniform checks images of one colour, clean, compressed and with a sensor's
// noise, beside images that are not: a page with a line of text, a pale gradient, a
// photo.
func TestUniform(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	make := func(w, h int, at func(x, y, c int) float64) *Image {
		m := NewImage(w, h)
		for i := range m.Pix {
			m.Pix[i] = uint8(at(i/3%w, i/3/w, i%3))
		}
		return m
	}
	compressed := func(m *Image) *Image {
		var file bytes.Buffer
		if err := jpeg.Encode(&file, m, &jpeg.Options{Quality: 40}); err != nil {
			t.Fatal(err)
		}
		m, err := Decode(t.Context(), file.Bytes(), DecodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	blue := func(x, y, c int) float64 { return float64(40 + 60*c) }
	noisy := func(x, y, c int) float64 { return 20 + 2*rng.NormFloat64() }
	for name, m := range map[string]*Image{
		"blue": make(50, 31, blue), "compressed": compressed(make(50, 31, blue)), "one pixel": make(1, 1, blue),
		"lens cap": make(700, 400, noisy), "compressed lens cap": compressed(make(700, 400, noisy)),
	} {
		if !m.Uniform() {
			t.Errorf("%s: not of one colour", name)
		}
	}
	for name, m := range map[string]*Image{
		"text": make(800, 600, func(x, y, c int) float64 {
			if y/12 == 20 && x%3 == 0 {
				return 0
			}
			return 255
		}),
		"fog":          make(600, 400, func(x, y, c int) float64 { return 180 + 20*float64(y)/400 }),
		"one channel":  make(60, 40, func(x, y, c int) float64 { return float64(100 + 5*c*(x%2)) }),
		"photo":        photo(),
		"small photo":  checkered(25, 21),
		"dark picture": make(64, 64, func(x, y, c int) float64 { return float64(8 * ((x/8 + y/8) % 2)) }),
	} {
		if m.Uniform() {
			t.Errorf("%s: of one colour", name)
		}
	}
}
