package mobilenet

import (
	"context"
	"image"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPackedWeights opens a model without a cache of packed weights, with it,
// and with damaged ones, and then another model at the same path.
func TestPackedWeights(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MOBILENET_CACHE", filepath.Join(dir, "cache"))
	path := filepath.Join(dir, "model")
	use := func(file string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join("checkpoint", "testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	classify := func(opts ...Option) []Prediction {
		t.Helper()
		c, err := Open(context.Background(), path, opts...)
		if err != nil {
			t.Fatal(err)
		}
		p, err := c.Classify(context.Background(), image.NewGray(image.Rect(0, 0, 300, 300)), 5)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	packed := func(n int) string {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "cache", "packed", "*.packed"))
		if err != nil || len(files) != n {
			t.Fatalf("packed files %q, %v; want %d", files, err, n)
		}
		return files[0]
	}
	use("zip.pth")
	want := classify()
	file := packed(1)
	if diff := cmp.Diff(want, classify()); diff != "" {
		t.Errorf("with packed weights: %s", diff)
	}
	if p := classify(WithLabels([]string{"a", "b", "c", "d", "e"})); p[0].Label == want[0].Label {
		t.Errorf("labels of the cache instead of the option's: %v", p[0])
	}
	if err := os.WriteFile(file, []byte("mobilenet packed weights\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, classify()); diff != "" {
		t.Errorf("with damaged packed weights: %s", diff)
	}
	use("huggingface.safetensors")
	classify(WithLabels([]string{"a", "b", "c", "d", "e"}))
	if p := classify(); p[0].Label != strconv.Itoa(p[0].Index) {
		t.Errorf("an earlier option's labels: %v", p[0])
	}
	if p := classify(); p[0].Probability == want[0].Probability {
		t.Error("another model gives the same probability: the cache is stale")
	}
	packed(2)
}
