package kernel

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
	generator := filepath.Join(t.TempDir(), "generator")
	build := exec.Command("go", "build", "-C", "_asm", "-o", generator, ".")
	if out, err := build.CombinedOutput(); err != nil {
		testenv.Skip(t, "avo", "the generator doesn't build: "+string(out))
	}
	for _, isa := range []string{"avx2", "avx512"} {
		t.Run(isa, func(t *testing.T) {
			dir := t.TempDir()
			files := []string{isa + "_amd64.s", isa + "_amd64.go"}
			run := exec.Command(generator, "-isa", isa, "-pkg", "kernel",
				"-out", filepath.Join(dir, files[0]), "-stubs", filepath.Join(dir, files[1]))
			run.Dir = "_asm"
			if out, err := run.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, name := range files {
				if got, want := body(t, filepath.Join(dir, name)), body(t, name); !bytes.Equal(got, want) {
					t.Errorf("%s is not what the generator writes: run go generate ./internal/kernel", name)
				}
			}
		})
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
