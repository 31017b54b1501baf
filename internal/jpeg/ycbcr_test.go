package jpeg

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"testing"
)

// TestFromYCbCr: from image/jpeg's planes come our pixels, but for its inverse
// DCT, which rounds differently.
func TestFromYCbCr(t *testing.T) {
	converted := 0
	for _, g := range readGolden(t) {
		m, err := jpeg.Decode(bytes.NewReader(g.data))
		planes, ok := m.(*image.YCbCr)
		if err != nil || !ok {
			continue
		}
		converted++
		want, w, h, err := decodeAll(t.Context(), g.data)
		if err != nil {
			t.Fatal(err)
		}
		got, err := FromYCbCr(planes)
		if err != nil || len(got) != 3*w*h {
			t.Fatalf("%s: %d bytes for %dx%d: %v", g.File, len(got), w, h, err)
		}
		for i, v := range got {
			if d := int(v) - int(want[i]); d < -6 || d > 6 {
				t.Errorf("%s: byte %d is %d, want about %d", g.File, i, v, want[i])
				break
			}
		}
	}
	if converted < 100 {
		t.Errorf("only %d files have planes", converted)
	}
}

var ratios = []image.YCbCrSubsampleRatio{
	image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420,
	image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
}

// noisy returns an image of random planes.
func noisy(r image.Rectangle, ratio image.YCbCrSubsampleRatio) *image.YCbCr {
	m := image.NewYCbCr(r, ratio)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, plane := range [][]byte{m.Y, m.Cb, m.Cr} {
		copy(plane, noise(rng, len(plane)))
	}
	return m
}

// TestShifted: pixel by pixel is as row by row, and a part of an image as the
// image, but at the part's edges, where neighbours are missing.
func TestShifted(t *testing.T) {
	for _, ratio := range ratios {
		for _, size := range []image.Point{{1, 1}, {2, 3}, {4, 4}, {5, 2}, {37, 29}, {64, 33}} {
			m := noisy(image.Rectangle{Max: size}, ratio)
			whole, err := FromYCbCr(m)
			if err != nil {
				t.Fatal(err)
			}
			if g := gridOf(t, m); !bytes.Equal(g.shifted(), whole) {
				t.Errorf("%v %v: pixel by pixel differs", ratio, size)
			}
			if size.X < 10 {
				continue
			}
			for _, at := range []image.Point{{0, 0}, {1, 0}, {0, 1}, {3, 5}, {4, 6}, {7, 2}} {
				part := m.SubImage(image.Rectangle{at, size.Sub(image.Pt(1, 2))}).(*image.YCbCr)
				pix, err := FromYCbCr(part)
				if err != nil {
					t.Fatal(err)
				}
				dx, dy := part.Rect.Dx(), part.Rect.Dy()
				for y := 4; y < dy-4; y++ {
					got := pix[3*(y*dx+4) : 3*(y*dx+dx-4)]
					want := whole[3*((y+at.Y)*size.X+at.X+4):][:len(got)]
					if !bytes.Equal(got, want) {
						t.Fatalf("%v from %v on: row %d differs", ratio, at, y)
					}
				}
			}
		}
	}
}

func gridOf(t *testing.T, m *image.YCbCr) grid {
	t.Helper()
	g, err := newGrid(m)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestNegative: wherever an image begins, the sample that counts most for a pixel
// is the one that COffset says.
func TestNegative(t *testing.T) {
	for _, ratio := range ratios {
		for x0 := -9; x0 <= 3; x0++ {
			for y0 := -9; y0 <= 3; y0++ {
				m := image.NewYCbCr(image.Rect(x0, y0, x0+12, y0+11), ratio)
				if pix, err := FromYCbCr(m); err != nil || len(pix) != 3*12*11 {
					t.Fatalf("%v: %d bytes: %v", m.Rect, len(pix), err)
				}
				g := gridOf(t, m)
				row := make([]byte, 12)
				for i := range m.Cb {
					m.Cb[i] = 255
					for y := y0; y < y0+11; y++ {
						g.chroma(row, m.Cb, y)
						for x, v := range row {
							if most := v > 140; most != (m.COffset(x0+x, y) == i) {
								t.Fatalf("%v %v: sample %d counts %d for pixel (%d, %d)", ratio, m.Rect, i, v, x0+x, y)
							}
						}
					}
					m.Cb[i] = 0
				}
			}
		}
	}
}

// TestPlanes: planes that don't hold the pixels are an error, whatever the sizes
// say.
func TestPlanes(t *testing.T) {
	whole := image.Rect(0, 0, 8, 8)
	for name, m := range map[string]*image.YCbCr{
		"empty":           {},
		"no chroma":       {Rect: whole, Y: make([]byte, 64), YStride: 8, CStride: 4, SubsampleRatio: image.YCbCrSubsampleRatio420},
		"no strides":      {Rect: whole, Y: make([]byte, 64), Cb: make([]byte, 64), Cr: make([]byte, 64)},
		"negative stride": {Rect: whole, Y: make([]byte, 64), Cb: make([]byte, 64), Cr: make([]byte, 64), YStride: -8, CStride: 8},
		"huge":            {Rect: image.Rect(0, 0, math.MaxInt32, math.MaxInt32), Y: make([]byte, 64), Cb: make([]byte, 64), Cr: make([]byte, 64), YStride: 8, CStride: 8},
		"whole range":     {Rect: image.Rectangle{image.Pt(math.MinInt, math.MinInt), image.Pt(math.MaxInt, math.MaxInt)}, Y: make([]byte, 64), Cb: make([]byte, 64), Cr: make([]byte, 64), YStride: 8, CStride: 8},
	} {
		if pix, err := FromYCbCr(m); err == nil {
			t.Errorf("%s: %d bytes", name, len(pix))
		}
	}
}
