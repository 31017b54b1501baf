//go:build unix

package mobilenet_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mobilenet-go/mobilenet"
)

// TestPipesAreNotRead has a pipe, which nobody writes to, in the place of a model, of a
// model's other file, and a device: each is an error at once.
func TestPipesAreNotRead(t *testing.T) {
	dir := t.TempDir()
	graph, err := os.ReadFile("onnx/testdata/import/external13.onnx")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "external13.onnx"), graph)
	for _, name := range []string{"external13.bin", "pipe.pth"} {
		if err := unix.Mkfifo(filepath.Join(dir, name), 0o644); err != nil {
			t.Skip(err)
		}
	}
	for name, want := range map[string]string{
		"pipe.pth":        "a pipe, not a file",
		"external13.onnx": "a pipe, not a file",
		"/dev/zero":       "a device or socket, not a file",
	} {
		if name != "/dev/zero" {
			name = filepath.Join(dir, name)
		}
		for _, fsys := range []mobilenet.Option{nil, mobilenet.WithFS(os.DirFS("/"))} {
			result := make(chan error, 1)
			go func() {
				path := name
				if fsys != nil {
					path = name[1:]
				}
				_, err := mobilenet.Open(context.Background(), path, fsys, mobilenet.WithCache(filepath.Join(dir, "cache")))
				result <- err
			}()
			select {
			case err := <-result:
				if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, errors.ErrUnsupported) {
					t.Errorf("%s: error %v, want %q", name, err, want)
				}
			case <-time.After(3 * time.Minute):
				t.Fatalf("%s: no end", name)
			}
		}
	}
}
