//go:build unix

package dataset

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPipeIsSkipped: a pipe with the name of a photo is told of, another is nobody's business.
func TestPipeIsSkipped(t *testing.T) {
	dir := tree(t, map[string]string{"1.png": ""})
	pipe := filepath.Join(dir, "pipe.png")
	for _, path := range []string{pipe, filepath.Join(dir, "control")} {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Skip("no pipes here: ", err)
		}
	}
	paths, skipped, err := Images(dir)
	if d := cmp.Diff([]Skipped{{"a pipe", 1, pipe}}, skipped); d != "" || len(paths) != 1 || err != nil {
		t.Errorf("%q, %v\n%s", paths, err, d)
	}
}
