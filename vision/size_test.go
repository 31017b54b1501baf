package vision

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSize compares with the size of what Decode returns, of every image in testdata.
func TestSize(t *testing.T) {
	files, err := filepath.Glob("testdata/images/*")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d images: %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, stored := range []bool{false, true} {
			o := DecodeOptions{IgnoreOrientation: stored}
			img, err := Decode(t.Context(), data, o)
			if err != nil {
				continue
			}
			if w, h, err := Size(data, o); err != nil || w != img.W || h != img.H {
				t.Errorf("%s: %dx%d (%v), want %dx%d", file, w, h, err, img.W, img.H)
			}
		}
	}
	if _, _, err := Size([]byte("no image"), DecodeOptions{}); err == nil {
		t.Error("no error")
	}
}
