package boundedfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []int{0, 1, 99, 100} {
		path := filepath.Join(dir, "file")
		want := bytes.Repeat([]byte{7}, n)
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(path, 100); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d, %v", n, len(got), err)
		}
	}
}

// TestReadFails checks the causes, and that each names the file.
func TestReadFails(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 3<<20+1); err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{
		dir:                          "a folder, not a file",
		large:                        "more than the limit of 3 MiB",
		filepath.Join(dir, "absent"): "",
	}
	if _, err := os.Stat("/dev/zero"); err == nil {
		cases["/dev/zero"] = "not a file"
	}
	// A file of the kernel's says that it is empty and isn't.
	if _, err := os.Stat("/proc/self/maps"); err == nil {
		if _, err := Read("/proc/self/maps", 10); err == nil || !strings.Contains(err.Error(), "more than the limit of 10 bytes") {
			t.Errorf("/proc/self/maps: %v", err)
		}
	}
	for path, cause := range cases {
		_, err := Read(path, 3<<20)
		var e *fs.PathError
		if !errors.As(err, &e) || e.Path != path || !strings.Contains(err.Error(), cause) {
			t.Errorf("%s: %v, want %q", path, err, cause)
		}
	}
}
