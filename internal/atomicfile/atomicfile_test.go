package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	put := func(text string, fail error) error {
		return Write(path, func(w io.Writer) error {
			fmt.Fprint(w, text)
			return fail
		})
	}
	want := func(text string) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Errorf("%q, %v; want %q", got, err, text)
		}
		if files, _ := os.ReadDir(dir); len(files) != 1 {
			t.Errorf("%d files left, want 1", len(files))
		}
	}
	if err := put("one", nil); err != nil {
		t.Fatal(err)
	}
	want("one")
	full := errors.New("disk full")
	if err := put("two", full); !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
	want("one")
	absent := filepath.Join(dir, "absent", "out")
	if err := Write(absent, func(io.Writer) error { return nil }); err == nil || !strings.Contains(err.Error(), "write "+absent+": ") {
		t.Errorf("error %v for a folder that does not exist", err)
	}
}

func TestClean(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"out", ".out.123", ".out.txt", ".other.123"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Clean(filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	var left []string
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		left = append(left, f.Name())
	}
	if want := []string{".other.123", ".out.txt", "out"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
}
