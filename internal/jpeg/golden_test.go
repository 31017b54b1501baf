package jpeg

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"hash/crc32"
	"image"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

// A golden file is what testdata/golden.py writes about a picture.
type golden struct {
	File string
	Size [2]int
	CRC  uint32
	data []byte
}

// readGolden returns what testdata/golden.py has written.
func readGolden(t testing.TB) []golden { return readGoldenSet(t, "golden") }

func readGoldenSet(t testing.TB, set string) []golden {
	t.Helper()
	index, err := os.ReadFile("testdata/" + set + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct{ Files []golden }
	if err := json.Unmarshal(index, &g); err != nil {
		t.Fatal(err)
	}
	packed, err := os.Open("testdata/" + set + ".tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	for i := range g.Files {
		h, err := r.Next()
		if err != nil || h.Name != g.Files[i].File {
			t.Fatalf("%v, want file %s: %v", h, g.Files[i].File, err)
		}
		if g.Files[i].data, err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return g.Files
}

// decodeAll returns the pixels of a file.
func decodeAll(ctx context.Context, data []byte) (pix []byte, w, h int, err error) {
	return decodeWith(ctx, data, fastest())
}

func decodeWith(ctx context.Context, data []byte, k *kernels) (pix []byte, w, h int, err error) {
	c, err := Config(data)
	if err != nil {
		return nil, 0, 0, err
	}
	row := func(y int) []byte {
		if pix == nil {
			pix = make([]byte, 3*c.Width*c.Height)
		}
		return pix[3*c.Width*y:]
	}
	if err := decode(ctx, data, Auto, Rows{Row: row, Done: func(int) {}}, k); err != nil {
		return nil, 0, 0, err
	}
	return pix, c.Width, c.Height, nil
}

// TestGolden compares with Pillow, to the byte, on every set of kernels.
func TestGolden(t *testing.T) {
	for _, g := range append(readGolden(t), readGoldenSet(t, "arithmetic")...) {
		for _, k := range sets() {
			pix, w, h, err := decodeWith(t.Context(), g.data, k)
			if err != nil {
				t.Errorf("%s: %v", g.File, err)
				continue
			}
			if [2]int{w, h} != g.Size || crc32.ChecksumIEEE(pix) != g.CRC {
				t.Errorf("%s with %s kernels: %dx%d differs from Pillow's %v", g.File, k.name, w, h, g.Size)
			}
		}
	}
}

// TestConfig: the size is known without the pixels.
func TestConfig(t *testing.T) {
	for _, g := range readGolden(t) {
		head, _, _ := bytes.Cut(g.data, []byte("\xff\xda"))
		c, err := Config(head)
		if err != nil || [2]int{c.Width, c.Height} != g.Size {
			t.Errorf("%s: %+v: %v", g.File, c, err)
		}
	}
}

// TestPart: the pixels of a part are those of the whole, whatever was in memory
// before.
func TestPart(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, g := range append(readGolden(t), readGoldenSet(t, "arithmetic")...) {
		whole, w, h, err := decodeWith(t.Context(), g.data, &generic)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range sets() {
			for range 20 {
				x, y := rng.IntN(w), rng.IntN(h)
				part := image.Rect(x, y, x+1+rng.IntN(w-x), y+1+rng.IntN(h-y))
				pix := bytes.Repeat([]byte{guard}, 3*w*h)
				given := 0
				rows := Rows{Part: part, Done: func(int) { given++ }, Row: func(y int) []byte { return pix[3*w*y:] }}
				if err := decode(t.Context(), g.data, Auto, rows, k); err != nil {
					t.Fatal(err)
				}
				if given != part.Dy() {
					t.Fatalf("%s, %v: %d rows", g.File, part, given)
				}
				for y := part.Min.Y; y < part.Max.Y; y++ {
					from, to := 3*(w*y+part.Min.X), 3*(w*y+part.Max.X)
					if !bytes.Equal(pix[from:to], whole[from:to]) {
						t.Fatalf("%s of %dx%d, %s: row %d of %v differs", g.File, w, h, k.name, y, part)
					}
				}
			}
		}
	}
}
