//go:build unix

package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestModes runs with the umask of a careful user.
func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027))
	path := filepath.Join(t.TempDir(), "out")
	for _, test := range []struct{ before, want fs.FileMode }{
		{0, 0o640}, {0o600, 0o600}, {0o666, 0o666}, {0o444, 0o444}, {0o755, 0o755},
	} {
		if test.before != 0 {
			if err := os.Chmod(path, test.before); err != nil {
				t.Fatal(err)
			}
		}
		err := Write(path, func(w io.Writer) error {
			files, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".out.*"))
			if err != nil || len(files) != 1 {
				return fmt.Errorf("temporary files %v, %v", files, err)
			}
			info, err := os.Stat(files[0])
			if err == nil && info.Mode().Perm() != test.want {
				t.Errorf("while it is written the mode is %v, want %v", info.Mode(), test.want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != test.want {
			t.Errorf("mode %v (%v), want %v of %v", info.Mode(), err, test.want, test.before)
		}
	}
}

// TestWrittenThrough is about what must not be replaced by a file.
func TestWrittenThrough(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no pipes here: ", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("pipe", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, link} {
		got := make(chan string)
		go func() {
			data, err := os.ReadFile(pipe)
			got <- fmt.Sprint(string(data), err)
		}()
		if err := Write(path, fill("through")); err != nil {
			t.Fatal(err)
		}
		if got := <-got; got != "through<nil>" {
			t.Errorf("%s: read %s", path, got)
		}
	}
	if err := Clean(pipe); err != nil {
		t.Error(err)
	}
	full := errors.New("full")
	if err := Write(os.DevNull, func(io.Writer) error { return full }); !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
	if err := Write(os.DevNull, fill("")); err != nil {
		t.Error(err)
	}
	for _, path := range []string{pipe, link, os.DevNull} {
		if info, err := os.Stat(path); err != nil || info.Mode().IsRegular() {
			t.Errorf("%s is a file now (%v)", path, err)
		}
	}
	// An open file of the process: the shell's > and >>.
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprint(f, "before ")
	fd := fmt.Sprintf("/dev/fd/%d", f.Fd())
	if _, err := os.Stat(fd); err != nil {
		t.Skip("no /dev/fd here")
	}
	if err := Write(fd, fill("after")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(f.Name()); string(got) != "before after" {
		t.Errorf("the file holds %q, %v", got, err)
	}
}
