package vision

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/mobilenet-go/mobilenet/model"
)

// A goldenImage is what testdata/golden.py writes about a picture: how it was
// made, its size and the CRC-32 of its pixels.
type goldenImage struct {
	From    [2]int
	Filter  model.Interpolation
	Resize  int
	Shorter [2]int // size after Resize
	Crop    int
	Size    [2]int
	CRC     uint32
}

type golden struct {
	Resize, Crop []goldenImage
	CenterCrop   []goldenImage `json:"center_crop"`
	Normalize    []struct {
		From      [2]int
		Mean, Std [3]float32
		Values    []float32
	}
	Decode []struct {
		File string
		Size [2]int
	}
}

func readGolden(t testing.TB) golden {
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// formula is golden.py's picture of a size.
func formula(size [2]int) *Image {
	m := NewImage(size[0], size[1])
	for i := range m.Pix {
		m.Pix[i] = byte(uint32(i) * 2654435761 >> 13)
	}
	return m
}

func (g goldenImage) check(t *testing.T, m *Image) {
	t.Helper()
	if [2]int{m.W, m.H} != g.Size || crc32.ChecksumIEEE(m.Pix) != g.CRC {
		t.Errorf("%dx%d differs from Pillow: %+v", m.W, m.H, g)
	}
}

func TestResizeGolden(t *testing.T) {
	for _, g := range readGolden(t).Resize {
		g.check(t, Resize(formula(g.From), g.Size[0], g.Size[1], g.Filter))
	}
}

func TestCropGolden(t *testing.T) {
	for _, g := range readGolden(t).Crop {
		src := formula(g.From)
		if m := ResizeShorter(src, g.Resize, g.Filter); [2]int{m.W, m.H} != g.Shorter {
			t.Errorf("resized to %dx%d: %+v", m.W, m.H, g)
		}
		g.check(t, Crop(src, model.Preprocess{Resize: g.Resize, Interpolation: g.Filter}, g.Crop))
	}
}

func TestCenterCropGolden(t *testing.T) {
	for _, g := range readGolden(t).CenterCrop {
		g.check(t, CenterCrop(formula(g.From), g.Size[0], g.Size[1]))
	}
}

func TestNormalizeGolden(t *testing.T) {
	for _, g := range readGolden(t).Normalize {
		src := formula(g.From)
		got := make([]float32, len(src.Pix))
		Normalize(got, src, g.Mean, g.Std)
		for i, want := range g.Values {
			if !(math.Abs(float64(got[i]-want)) <= 1e-6) {
				t.Fatalf("mean %v: value %d is %v, want %v", g.Mean, i, got[i], want)
			}
		}
	}
}

// TestDecodeGolden compares with Pillow, to the byte.
func TestDecodeGolden(t *testing.T) {
	packed, err := os.Open("testdata/decoded.z")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	pixels, err := zlib.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range readGolden(t).Decode {
		want := NewImage(g.Size[0], g.Size[1])
		if _, err := io.ReadFull(pixels, want.Pix); err != nil {
			t.Fatal(err)
		}
		t.Run(g.File, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata/images", g.File))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(t.Context(), data, DecodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got.W != want.W || got.H != want.H {
				t.Fatalf("%dx%d, want %dx%d", got.W, got.H, want.W, want.H)
			}
			if !bytes.Equal(got.Pix, want.Pix) {
				worst, mean := distance(got, want)
				t.Errorf("differs by up to %d, %.3f on average", worst, mean)
			}
		})
	}
}

// distance returns the largest and the mean absolute difference in levels.
func distance(a, b *Image) (worst int, mean float64) {
	for i, v := range a.Pix {
		d := max(int(v)-int(b.Pix[i]), int(b.Pix[i])-int(v))
		worst, mean = max(worst, d), mean+float64(d)
	}
	return worst, mean / float64(len(a.Pix))
}
