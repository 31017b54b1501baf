//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The functions of docs/spark.md give a row for every row, with columns of any types as they
// were, and end with the error of whoever feeds them, of the worker, or when nobody wants more.
func TestPageFunctions(t *testing.T) {
	python := ""
	for _, name := range []string{os.Getenv("MOBILENET_PYSPARK"), "python3"} {
		if exec.Command(name, "-c", "import pyarrow").Run() == nil {
			python = name
			break
		}
	}
	if python == "" {
		t.Skip("no Python with pyarrow")
	}
	dir, model := t.TempDir(), fashion(t)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(dir, "mobilenet-spark")); err != nil {
		t.Fatal(err)
	}
	paths := []string{filepath.Join(dir, "a.png"), filepath.Join(dir, "b.png")}
	for i, path := range paths {
		photo(t, path, uint64(i))
	}
	if _, _, err := command("predict", "--local", "-i", write(t, paths), "-o", filepath.Join(dir, "out"), "-m", model); err != nil {
		t.Fatal(err)
	}
	want := results(t, filepath.Join(dir, "out"))
	cmd := exec.CommandContext(t.Context(), python, append([]string{"testdata/page.py", "../../../docs/spark.md", model}, paths...)...)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Rows []struct {
			Path         string
			Shop         *int64
			Label, Error *string
		}
		Batch                      int
		Broken, Unwritable, Worker string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	shops := map[int64]bool{}
	for _, r := range got.Rows {
		label, isPhoto := "", false
		if w, ok := want[r.Path]; ok {
			label, isPhoto = w.Predictions[0].Label, true
		}
		if isPhoto && (r.Label == nil || *r.Label != label || r.Error != nil) || !isPhoto && (r.Error == nil || *r.Error != "no such file or directory") || (r.Shop == nil) != (r.Path == paths[0]) {
			t.Errorf("%+v, want %s", r, label)
		}
		if r.Shop != nil {
			shops[*r.Shop-9007199254740993] = true
		}
	}
	if len(got.Rows) != 1003 || len(shops) != 1002 || !shops[1] || !shops[1002] {
		t.Errorf("%d rows, %d shops", len(got.Rows), len(shops))
	}
	if text := fmt.Sprint(got.Batch, got.Broken, got.Unwritable, got.Worker); text != "500ValueError: no more of themTypeError: Object of type date is not JSON serializableRuntimeError: the worker failed" {
		t.Error(text)
	}
}
