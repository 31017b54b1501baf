package quant_test

import (
	"image"
	"iter"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/quant"
	"github.com/mobilenet-go/mobilenet/vision"
)

// files yields the photos in some files.
func files(t testing.TB, paths []string) iter.Seq2[image.Image, error] {
	return func(yield func(image.Image, error) bool) {
		for _, path := range paths {
			m, err := vision.DecodeFile(t.Context(), path, vision.DecodeOptions{})
			if !yield(m, err) {
				return
			}
		}
	}
}

// TestNIPS17 calibrates with every other of the shared photos and measures on the
// others, both ways. The targets were set before this recipe was written down here,
// with 1000 other photos: 19 dB, and 20 with wide sums.
func TestNIPS17(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	m, err := checkpoint.Open(testenv.Shared(t, "weights/mobilenet_v2_imagenet.pth"))
	if err != nil {
		t.Fatal(err)
	}
	paths, _ := testenv.NIPS17(t)
	var halves [2][]string
	for i, path := range paths {
		halves[i%2] = append(halves[i%2], path)
	}
	for _, wide := range []bool{false, true} {
		for half := range halves {
			q, err := quant.Calibrate(t.Context(), m, files(t, halves[half]), quant.Options{Wide: wide})
			if err != nil {
				t.Fatal(err)
			}
			c, err := quant.Compare(t.Context(), m, q, files(t, halves[1-half]), quant.CompareOptions{})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("wide %v, calibrated with half %d: %+v", wide, half, c)
			target := quant.Decibels(19)
			if wide {
				target = 20
			}
			if !(c.SQNR >= target && c.Agreement >= 0.96) {
				t.Errorf("wide %v, calibrated with half %d: %+v, want %v dB and an agreement of 0.96", wide, half, c, target)
			}
		}
	}
}
