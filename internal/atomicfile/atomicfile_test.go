package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
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

func TestLinksAreFollowed(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.Mkdir(at("real"), 0o755), os.Mkdir(at("real/sub"), 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, link := range [][2]string{
		{"real/sub", "folder"}, {"../file", "real/sub/link"}, {"one", "two"}, {"other", "one"}, {"loop", "loop"},
	} {
		if err := os.Symlink(link[0], at(link[1])); err != nil {
			t.Skip("no links here: ", err)
		}
	}
	for path, target := range map[string]string{
		"folder/link": "real/file", // not file: .. is that of the folder that the link leads to
		"two":         "other",
	} {
		for range 2 { // absent, then there
			if err := Write(at(path), fill(path)); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(at(target)); err != nil || string(got) != path {
				t.Errorf("%s: %s holds %q, %v", path, target, got, err)
			}
			if info, err := os.Lstat(at(path)); err != nil || info.Mode()&fs.ModeSymlink == 0 {
				t.Errorf("%s is no link any more: %v, %v", path, info, err)
			}
		}
	}
	if err := Write(at("loop"), fill("")); err == nil {
		t.Error("a link to itself was written")
	}
	if err := Write(at("real"), fill("")); err == nil || !strings.Contains(err.Error(), "real") {
		t.Errorf("error %v for a folder", err)
	}
	// What a killed process left lies beside the file and not beside the link.
	if err := os.WriteFile(at("real/.file.12"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Clean(at("folder/link")); err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(at("real")); len(files) != 2 {
		t.Errorf("%v left, want file and sub", files)
	}
}

func fill(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
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
