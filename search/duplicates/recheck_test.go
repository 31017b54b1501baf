package duplicates

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRecheck: a photo that was overwritten since its features were computed, at the
// same time by the file system's clock, is not moved as one that is alike. One that is
// still alike is, and so is one of equal bytes.
func TestRecheck(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i, seed := range []int{1, 1, 1, 2, 2, 3} {
		paths = append(paths, filepath.Join(dir, string(rune('a'+i))+".jpg"))
		save(t, paths[i], picture(seed, 120-10*i, 80-5*i), 90)
	}
	var known Rows
	for v, err := range colours(t.Context(), slices.Values(paths)) {
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, slices.Clone(v))
	}
	overwrite := func(path string, data []byte) {
		info, err := os.Stat(path)
		if err == nil {
			err = os.WriteFile(path, data, 0o666)
		}
		if err == nil {
			err = os.Chtimes(path, info.ModTime(), info.ModTime())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	other, err := os.ReadFile(paths[5])
	if err != nil {
		t.Fatal(err)
	}
	overwrite(paths[1], other)                 // b.jpg is no a.jpg any more
	overwrite(paths[3], []byte("not a photo")) // nor can d.jpg, to be kept or not, be read
	f := finder()
	f.Known, f.Features = known, colours
	r, err := f.Find(t.Context(), paths)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Recheck(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	moves, _ := r.Moves(t.TempDir(), nil)
	if failed := do(t, moves, &bytes.Buffer{}); failed != nil {
		t.Errorf("%q", failed)
	}
	left := names(tree(t, dir))
	for _, name := range []string{"a.jpg", "b.jpg", "d.jpg", "e.jpg"} {
		if !slices.Contains(left, name) {
			t.Errorf("%s is gone: %q, %q", name, left, lines(r, dir))
		}
	}
	if slices.Contains(left, "c.jpg") {
		t.Errorf("c.jpg, which is alike still, is there: %q", left)
	}
	if i := slices.IndexFunc(r.Failed, func(x Failure) bool { return x.Path == paths[1] }); i < 0 || !strings.Contains(r.Failed[i].Err.Error(), "changed") {
		t.Errorf("%+v", r.Failed)
	}
}
