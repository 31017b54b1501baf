package mobilenet_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet"
)

// TestTensorFlow: what is not read is named, with the one command that helps.
func TestTensorFlow(t *testing.T) {
	dir := t.TempDir()
	for name, head := range map[string]string{
		"saved/saved_model.pb": "\x08\x01\x12\x05", "frozen.pb": "\x0a\x40\x0a\x05input",
		"model.ckpt.data-00000-of-00001": "\x00\x01", "model.ckpt.index": "\x00\x00", "model.ckpt.meta": "\x0a\x00",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(head), 0o644); err != nil {
			t.Fatal(err)
		}
		want, paths := "--graphdef frozen.pb ", []string{path}
		switch {
		case strings.HasPrefix(name, "saved"):
			want = "--saved-model " + filepath.ToSlash(filepath.Dir(path)) + " "
			paths = append(paths, filepath.Dir(path)) // the folder is what people have
		case strings.HasPrefix(name, "model"):
			want = "--checkpoint model.ckpt.meta "
		}
		for _, path := range paths {
			_, err := mobilenet.LoadModel(t.Context(), path)
			if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "python -m tf2onnx.convert "+want) {
				t.Errorf("%s: error %v, want the command with %s", name, err, want)
			}
		}
	}
}
