//go:build unix

package boundedfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadPipe: a pipe that nobody writes to is an error at once, also through a link; one
// that a shell has opened for the program is read.
func TestReadPipe(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no pipes here: ", err)
	}
	if err := os.Symlink("pipe", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, link} {
		result := make(chan error, 1)
		go func() {
			_, err := Read(path, 100)
			result <- err
		}()
		select {
		case err := <-result:
			if err == nil || !strings.Contains(err.Error(), path+": a pipe, not a file") {
				t.Error(err)
			}
		case <-time.After(3 * time.Minute):
			t.Fatal(path, ": no end")
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.WriteString("text")
	w.Close()
	open := fmt.Sprint("/dev/fd/", r.Fd())
	if _, err := os.Stat(open); err != nil {
		t.Skip(err)
	}
	if text, err := Read(open, 100); string(text) != "text" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}
