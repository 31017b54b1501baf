package vision

import (
	"bytes"
	"compress/gzip"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/mobilenet-go/mobilenet/model"
)

// TestTrivial compares the operations of TrivialAugmentWide with torchvision's,
// whose results testdata/trivial.py has written.
func TestTrivial(t *testing.T) {
	f, err := os.Open("testdata/trivial.bin.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	next := func() *Image {
		m := NewImage(25, 21)
		data = data[copy(m.Pix, data):]
		return m
	}
	photo := next()
	for _, op := range operations {
		for _, s := range []float64{-30, -17, -3, 1, 12, 30} {
			got, want := op.apply(photo, op.trivial(math.Abs(s)/30, s < 0)), next()
			different := 0
			for p := range want.Pix {
				if got.Pix[p] != want.Pix[p] {
					different++
				}
			}
			if different > 0 {
				t.Errorf("%s at %v: %d of %d values differ", op.name, s, different, len(want.Pix))
			}
		}
	}
}

// TestAugment checks sizes, that nothing is done where nothing is asked for, and
// that the same numbers give the same image.
func TestAugment(t *testing.T) {
	p := model.ImageNetPreprocess(40)
	rapid.Check(t, func(t *rapid.T) {
		src := NewImage(rapid.IntRange(1, 90).Draw(t, "W"), rapid.IntRange(1, 90).Draw(t, "H"))
		for i := range src.Pix {
			src.Pix[i] = byte(i * 7)
		}
		a := Augment{
			MinScale: rapid.SampledFrom([]float64{0, 0.08, 1}).Draw(t, "scale"), Pad: rapid.IntRange(0, 5).Draw(t, "pad"),
			Flip: 0.5, Trivial: rapid.Bool().Draw(t, "trivial"), Erase: 0.5, Fill: [3]uint8{1, 2, 3},
		}
		seed := rapid.Uint64().Draw(t, "seed")
		before := bytes.Clone(src.Pix)
		one := a.Apply(src, p, 32, rand.New(rand.NewPCG(seed, 0)))
		two := a.Apply(src, p, 32, rand.New(rand.NewPCG(seed, 0)))
		if one.W != 32 || one.H != 32 || !bytes.Equal(one.Pix, two.Pix) || !bytes.Equal(before, src.Pix) {
			t.Fatalf("%d x %d, or not the same twice, or the photo has changed", one.W, one.H)
		}
		none := Augment{}.Apply(src, p, 32, rand.New(rand.NewPCG(seed, 0)))
		if !bytes.Equal(none.Pix, Crop(src, p, 32).Pix) {
			t.Fatal("without augmentation it is not the evaluation's crop")
		}
	})
}

// TestRandomCrop checks torchvision's ranges of area and ratio, up to rounding to
// whole pixels, and the rectangle in the centre where none of them fits.
func TestRandomCrop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width, height := rapid.IntRange(1, 500).Draw(t, "width"), rapid.IntRange(1, 500).Draw(t, "height")
		scale := rapid.Float64Range(0.08, 1).Draw(t, "scale")
		x, y, w, h := randomCrop(width, height, scale, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		if w < 1 || h < 1 || x < 0 || y < 0 || x+w > width || y+h > height {
			t.Fatalf("%dx%d at %d,%d of %dx%d", w, h, x, y, width, height)
		}
		centred := x == (width-w)/2 && y == (height-h)/2
		fallback := centred && (w == width || h == height)
		least := scale * float64(width*height)
		if most := (float64(w) + 0.5) * (float64(h) + 0.5); most < least && !fallback {
			t.Errorf("%dx%d of %dx%d is less than %v of it", w, h, width, height, scale)
		}
		if high, low := (float64(w)+0.5)/(float64(h)-0.5), (float64(w)-0.5)/(float64(h)+0.5); high < 3.0/4 || low > 4.0/3 {
			t.Errorf("%dx%d: ratio outside 3/4 to 4/3", w, h)
		}
	})
	// By torchvision's get_params: int(round(100 * 4/3)) of 1000 columns, in the middle.
	for _, c := range [][6]int{{1000, 100, 433, 0, 133, 100}, {100, 1000, 0, 433, 100, 133}} {
		x, y, w, h := randomCrop(c[0], c[1], 1, rand.New(rand.NewPCG(1, 1)))
		if got := [6]int{c[0], c[1], x, y, w, h}; got != c {
			t.Errorf("%v, want %v", got, c)
		}
	}
}

// TestShift checks that every pixel goes where it should and the rest is black.
func TestShift(t *testing.T) {
	src := NewImage(7, 5)
	for i := range src.Pix {
		src.Pix[i] = byte(i + 1)
	}
	for _, d := range [][2]int{{0, 0}, {2, -1}, {-3, 4}, {7, 0}, {-8, 1}, {9, -2}, {0, -9}, {0, 6}} {
		dst := shift(src, d[0], d[1])
		for y := range 5 {
			for x := range 7 {
				want := []byte{0, 0, 0}
				if sx, sy := x-d[0], y-d[1]; sx >= 0 && sx < 7 && sy >= 0 && sy < 5 {
					want = src.Pix[(sy*7+sx)*3:][:3]
				}
				if got := dst.Pix[(y*7+x)*3:][:3]; !bytes.Equal(got, want) {
					t.Errorf("shift %v: %v at %d,%d, want %v", d, got, x, y, want)
				}
			}
		}
	}
}

// TestErase checks that one rectangle is filled, of 2 to 33 % of the area and a
// ratio of 0.3 to 3.3 as in torchvision, and nothing else.
func TestErase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewImage(rapid.IntRange(20, 99).Draw(t, "W"), rapid.IntRange(20, 99).Draw(t, "H"))
		Augment{Fill: [3]uint8{9, 8, 7}}.erase(m, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		x0, y0, x1, y1, n := m.W, m.H, -1, -1, 0
		for y := range m.H {
			for x := range m.W {
				switch p := m.Pix[(y*m.W+x)*3:]; [3]uint8(p[:3]) {
				case [3]uint8{9, 8, 7}:
					x0, y0, x1, y1, n = min(x0, x), min(y0, y), max(x1, x), max(y1, y), n+1
				case [3]uint8{}:
				default:
					t.Fatalf("%v at %d,%d", p[:3], x, y)
				}
			}
		}
		if n == 0 {
			return // ten rectangles that don't fit
		}
		w, h := float64(x1-x0+1), float64(y1-y0+1)
		area := float64(m.W * m.H)
		if float64(n) != w*h || (w+0.5)*(h+0.5) < 0.02*area || (w-0.5)*(h-0.5) > 0.33*area || (h+0.5)/(w-0.5) < 0.3 || (h-0.5)/(w+0.5) > 3.3 {
			t.Errorf("%vx%v with %d pixels of %dx%d", w, h, n, m.W, m.H)
		}
	})
}

func TestFlip(t *testing.T) {
	m := NewImage(3, 2)
	copy(m.Pix, "abcdefghiABCDEFGHI")
	flip(m)
	if string(m.Pix) != "ghidefabcGHIDEFABC" {
		t.Errorf("%s", m.Pix)
	}
}
