package png_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	stdpng "image/png"
	"math/rand/v2"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/png"
)

// noise is a picture with every level in it, and rows that are alike.
func noise(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	r := rand.New(rand.NewPCG(1, 2))
	for y := range h {
		for x := range w {
			v := [3]byte{byte(x), byte(y), byte(r.Uint32())}
			if y%3 == 0 {
				v = [3]byte{255, 0, 255}
			}
			m.SetRGBA(x, y, color.RGBA{v[0], v[1], v[2], 255})
		}
	}
	return m
}

// TestEncode: image/png reads every pixel, of pictures of any size and parts of others.
func TestEncode(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {2, 1}, {1, 5}, {3, 7}, {5, 3}, {8, 8}, {333, 100}, {640, 480}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			m := noise(size[0]+4, size[1]+4).SubImage(image.Rect(2, 3, 2+size[0], 3+size[1])).(*image.RGBA)
			var out bytes.Buffer
			if err := png.Encode(&out, m); err != nil {
				t.Fatal(err)
			}
			got, err := stdpng.Decode(&out)
			if err != nil {
				t.Fatal(err)
			}
			if got.Bounds().Size() != m.Rect.Size() {
				t.Fatalf("%v pixels", got.Bounds())
			}
			for y := range size[1] {
				for x := range size[0] {
					if g, w := color.RGBAModel.Convert(got.At(x, y)), m.RGBAAt(x+2, y+3); g != w {
						t.Fatalf("%d, %d: %v, want %v", x, y, g, w)
					}
				}
			}
		})
	}
}

// failing takes some bytes, and then there is no room.
type failing int

var errFull = errors.New("no room")

func (f *failing) Write(b []byte) (int, error) {
	if *f -= failing(len(b)); *f < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// TestEncodeFails: an error of the writer is returned, wherever it comes.
func TestEncodeFails(t *testing.T) {
	m := noise(200, 200)
	var whole bytes.Buffer
	if err := png.Encode(&whole, m); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < whole.Len(); n += 1 + whole.Len()/50 {
		room := failing(n)
		if err := png.Encode(&room, m); !errors.Is(err, errFull) {
			t.Errorf("with room for %d of %d bytes: %v", n, whole.Len(), err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	m := image.NewRGBA(image.Rect(0, 0, 1048, 505))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range m.Pix { // as a photo with a margin: slopes, and some noise
		m.Pix[i] = byte(i/4%m.Rect.Dx()/8+i/m.Stride/4) + byte(r.Uint32()%16)
		if i%4 == 3 || i/4%m.Rect.Dx() < 16 {
			m.Pix[i] = 255
		}
	}
	var out bytes.Buffer
	for name, encode := range map[string]func() error{
		"ours":  func() error { return png.Encode(&out, m) },
		"image": func() error { return (&stdpng.Encoder{CompressionLevel: stdpng.BestSpeed}).Encode(&out, m) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				out.Reset()
				if err := encode(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(out.Len()), "bytes")
		})
	}
}
