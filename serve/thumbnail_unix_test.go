//go:build unix

package serve_test

import (
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/mobilenet-go/mobilenet/serve"
)

// TestThumbnailOfPipe: a pipe in the place of a photo, which would wait for a writer, is no
// photo.
func TestThumbnailOfPipe(t *testing.T) {
	dir := t.TempDir()
	name, file := filepath.Join(dir, "a.png"), filepath.Join(dir, "a.mnidx")
	copyFile(t, name, boot)
	writeIndex(t, file, name)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(name, 0o644); err != nil {
		t.Skip(err)
	}
	_, address := start(t, serve.Options{Models: withIndex(file), Thumbnails: []string{dir}})
	query := url.Values{"model": {"fashion"}, "file": {name}}
	if code, _, body := ask(t, "GET", address+"/v1/thumbnail?"+query.Encode(), nil); code != 404 {
		t.Errorf("%d %s", code, body)
	}
}
