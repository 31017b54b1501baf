package jpeg

import (
	"encoding/json"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// TestPhotos compares with the system's Pillow on photos that it writes in the
// ways there are.
func TestPhotos(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	python := testenv.SystemPython(t, "PIL")
	dir := t.TempDir()
	run := exec.Command(python, "testdata/photos.py", testenv.Shared(t, "images/nips17"), dir)
	out, err := run.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var files []golden
	if err := json.Unmarshal(out, &files); err != nil {
		t.Fatal(err)
	}
	equal := 0
	for _, g := range files {
		data, err := os.ReadFile(filepath.Join(dir, g.File))
		if err != nil {
			t.Fatal(err)
		}
		pix, w, h, err := decodeAll(t.Context(), data)
		if err != nil || [2]int{w, h} != g.Size || crc32.ChecksumIEEE(pix) != g.CRC {
			t.Errorf("%s: %dx%d differs from Pillow's: %v", g.File, w, h, err)
			continue
		}
		equal++
	}
	t.Logf("%d of %d files equal to Pillow's", equal, len(files))
}
