package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// TestWalkMemory has a folder of many files take little memory for each.
func TestWalkMemory(t *testing.T) {
	files := 20_000
	dir := t.TempDir()
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("a name as cameras have them %d.jpg", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	used := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before, n := used(), 0
	var w Walk
	for range w.Images(dir) {
		if n++; n == files/2 {
			if took := used() - before; took > 100*files {
				t.Errorf("%d bytes for a file", took/files)
			}
		}
	}
	if n != files {
		t.Errorf("%d files of %d", n, files)
	}
}

// TestWalkOrder has the order be that of sorted folders, which is not that of a walk.
func TestWalkOrder(t *testing.T) {
	dir := tree(t, map[string]string{"a/c/1.jpg": "", "a b/1.jpg": "", "a/2.jpg": "", "a/1.jpg": "", "0.jpg": ""})
	t.Chdir(dir)
	var w Walk
	want := []string{"0.jpg", "a/1.jpg", "a/2.jpg", "a b/1.jpg", "a/c/1.jpg"}
	slices.SortFunc(want, func(a, b string) int {
		if x, y := filepath.Dir(a), filepath.Dir(b); x != y {
			return map[bool]int{true: -1, false: 1}[x < y]
		}
		return map[bool]int{true: -1, false: 1}[a < b]
	})
	if got := slices.Collect(w.Images(".")); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for path := range w.Images(".") { // a loop that ends early
		if path != "0.jpg" {
			t.Error(path)
		}
		break
	}
}
