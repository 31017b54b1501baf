package vision

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/mobilenet-go/mobilenet/fault"
)

// seed adds the golden files.
func seed(f *testing.F) {
	names, err := filepath.Glob("testdata/images/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// FuzzDecode: an image within the limit or one of our errors, in memory that the
// limit and the file's size bound.
func FuzzDecode(f *testing.F) {
	seed(f)
	f.Add(bombPNG())
	f.Add(bombBMP())
	f.Add(bombTIFF(10))
	f.Add(bombWebP(true))
	f.Add(bombWebP(false))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 14
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Decode(t.Context(), data, DecodeOptions{MaxPixels: limit})
		runtime.ReadMemStats(&after)
		// Decoders keep tables, and whole blocks of narrow images.
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20+uint64(64*len(data)) {
			t.Errorf("%d bytes allocated for %d of file", n, len(data))
		}
		switch {
		case err == nil:
			if m.W < 1 || m.H < 1 || m.W*m.H > limit || len(m.Pix) != 3*m.W*m.H {
				t.Errorf("%dx%d with %d bytes", m.W, m.H, len(m.Pix))
			}
		case !isFault(err):
			t.Errorf("error of type %T: %v", err, err)
		}
	})
}

func isFault(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

// FuzzOrientation: whatever the bytes, 1 to 8.
func FuzzOrientation(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range []string{"JPEG", "PNG", "WebP", "TIFF", "GIF"} {
			if o := orientation(format, data); o < 1 || o > 8 {
				t.Errorf("%s: orientation %d", format, o)
			}
		}
	})
}
