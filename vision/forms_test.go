package vision

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"hash/crc32"
	"io"
	"os"
	"testing"
)

// A form is an image in a rarer form of its format, with what Pillow makes of it:
// see testdata/forms.py.
type form struct {
	File string // format and name
	Size [2]int
	CRC  uint32
	data []byte
}

func readForms(t testing.TB) []form {
	t.Helper()
	index, err := os.ReadFile("testdata/forms.json")
	if err != nil {
		t.Fatal(err)
	}
	var forms struct{ Files []form }
	if err := json.Unmarshal(index, &forms); err != nil {
		t.Fatal(err)
	}
	packed, err := os.Open("testdata/forms.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	for i := range forms.Files {
		h, err := r.Next()
		if err != nil || h.Name != forms.Files[i].File {
			t.Fatalf("%v, want file %s: %v", h, forms.Files[i].File, err)
		}
		if forms.Files[i].data, err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return forms.Files
}

// TestForms compares with Pillow, to the byte.
func TestForms(t *testing.T) {
	for _, f := range readForms(t) {
		img, err := Decode(t.Context(), f.data, DecodeOptions{})
		if err != nil {
			t.Errorf("%s: %v", f.File, err)
			continue
		}
		if [2]int{img.W, img.H} != f.Size || crc32.ChecksumIEEE(img.Pix) != f.CRC {
			t.Errorf("%s: %dx%d differs from Pillow's %v", f.File, img.W, img.H, f.Size)
		}
	}
}
