package testenv

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// CheckGenerated runs the assembly generator in the package's folder _asm with
// args and requires that it writes the files NAME.s and NAME.go as they are in the
// package, but for the first line, which has the command.
//
// Only a generator whose modules can't be had is skipped ("avo"). One that doesn't
// compile is a failure.
func CheckGenerated(t *testing.T, name string, args ...string) {
	t.Helper()
	dir := t.TempDir()
	generator := filepath.Join(dir, "generator")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // of a proxy that says nothing
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "-C", "_asm", "mod", "download").CombinedOutput(); err != nil {
		Skip(t, "avo", "the generator's modules can't be downloaded: "+string(out))
	}
	if out, err := exec.Command("go", "build", "-C", "_asm", "-o", generator, ".").CombinedOutput(); err != nil {
		t.Fatalf("the generator doesn't build: %v\n%s", err, out)
	}
	files := []string{name + ".s", name + ".go"}
	run := exec.Command(generator, append(args, "-out", filepath.Join(dir, files[0]), "-stubs", filepath.Join(dir, files[1]))...)
	run.Dir = "_asm"
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, file := range files {
		if !bytes.Equal(body(t, filepath.Join(dir, file)), body(t, file)) {
			t.Errorf("%s is not what the generator writes: run go generate in this package", file)
		}
	}
}

// body returns a generated file but for its first line.
func body(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := bytes.Cut(data, []byte("\n"))
	return body
}
