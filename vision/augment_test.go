package vision

import (
	"bytes"
	"compress/gzip"
	"io"
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
	for i, op := range operations {
		for _, s := range []float64{-30, -17, -3, 1, 12, 30} {
			got, want := op(photo, s/30), next()
			different := 0
			for p := range want.Pix {
				if got.Pix[p] != want.Pix[p] {
					different++
				}
			}
			if different > 0 {
				t.Errorf("operation %d at %v: %d of %d values differ", i, s, different, len(want.Pix))
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
