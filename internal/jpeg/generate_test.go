package jpeg

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// TestGenerated writes the generated assembly anew and compares.
func TestGenerated(t *testing.T) {
	dir := t.TempDir()
	generator := filepath.Join(dir, "generator")
	build := exec.Command("go", "build", "-C", "_asm", "-o", generator, ".")
	if out, err := build.CombinedOutput(); err != nil {
		testenv.Skip(t, "avo", "the generator doesn't build: "+string(out))
	}
	files := []string{"avx2_amd64.s", "avx2_amd64.go"}
	run := exec.Command(generator, "-pkg", "jpeg", "-out", filepath.Join(dir, files[0]), "-stubs", filepath.Join(dir, files[1]))
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range files {
		if !bytes.Equal(body(t, filepath.Join(dir, name)), body(t, name)) {
			t.Errorf("%s is not what the generator writes: run go generate ./internal/jpeg", name)
		}
	}
}

// body returns a generated file but for its first line, which has the command.
func body(t *testing.T, path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := bytes.Cut(data, []byte("\n"))
	return body
}
