package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// readParts returns the rows of a folder of results by their paths, and the files.
func readParts(t *testing.T, dir string) (rows map[string][]map[string]any, files map[string]string) {
	t.Helper()
	rows, files = map[string][]map[string]any{}, map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
		for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
			var row map[string]any
			if err := json.Unmarshal(s.Bytes(), &row); err != nil {
				t.Fatalf("%s: %v", e.Name(), err)
			}
			path, _ := row["path"].(string)
			rows[path] = append(rows[path], row)
		}
	}
	return rows, files
}

// writeList writes JSON lines with the paths, numbered.
func writeList(t *testing.T, paths []string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "list.jsonl")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, path := range paths {
		if err := json.NewEncoder(f).Encode(map[string]any{"path": path, "n": i}); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// TestListHostileNames: photos of any name, each once, among names that no file has.
func TestListHostileNames(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("such names are none on Windows")
	}
	photo, err := os.ReadFile(drawing)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var paths []string
	for _, name := range []string{"a\tb", "a\nb", "a\r\nb", "\r", `a"b`, `"`, "a,b", "-", "--from", " a ", "\U0001F431", "\u2028", "\ufeff", "<b>", `a\b`, "%00", "\x7f\x1b[2J", strings.Repeat("é", 120)} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, photo, 0o666); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	photos := len(paths)
	paths = append(paths, filepath.Join(dir, "a\x00b"), filepath.Join(dir, strings.Repeat("x", 2000)), "https://", "\x00")
	list, out := writeList(t, paths), filepath.Join(t.TempDir(), "out")
	for shard := range 3 {
		stderr, err := mobilenetCommand(context.Background(), t, new(bytes.Buffer), "predict", "--model", smallModel, "--from", list, "--part-rows", "2", "--max-errors", "2", "--output", out, "--shard", fmt.Sprint(shard, "/3"))
		if err != nil {
			t.Fatal(err, stderr)
		}
	}
	rows, _ := readParts(t, out)
	for i, path := range paths {
		if len(rows[path]) != 1 {
			t.Errorf("%q: %d rows", path, len(rows[path]))
			continue
		}
		row := rows[path][0]
		if row["n"] != float64(i) || (i < photos) != (row["predictions"] != nil) || (i < photos) != (row["error"] == nil) {
			t.Errorf("%q: %v", path, row)
		}
	}
	if len(rows) != len(paths) {
		t.Errorf("%d paths of %d", len(rows), len(paths))
	}
}

// TestKillList kills shards at random moments, and compares what a last run makes of it
// with results of a run that was left alone.
func TestKillList(t *testing.T) {
	program := executable(t)
	var paths []string
	for i := range 600 {
		paths = append(paths, drawing)
		if i%50 == 7 {
			paths[i] = fmt.Sprint("absent", i)
		}
	}
	list, dir := writeList(t, paths), t.TempDir()
	start := func(out string, more ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), program, append([]string{"predict", "--model", smallModel, "--threads", "1", "--from", list, "--part-rows", "20", "--resume", "--output", filepath.Join(dir, out)}, more...)...)
		cmd.Env = append(os.Environ(), "MOBILENET_CACHE="+t.TempDir())
		cmd.Stderr = new(bytes.Buffer)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	began := time.Now()
	if cmd := start("whole"); cmd.Wait() != nil {
		t.Fatal(cmd.Stderr)
	}
	took := time.Since(began)
	seed := uint64(began.UnixNano())
	t.Logf("seed %d, %v a run", seed, took)
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := range 8 { // shards of changing numbers, two at a time
		a := start("killed", "--shard", fmt.Sprintf("0/%d", i+2))
		b := start("killed", "--shard", fmt.Sprintf("1/%d", i+2))
		time.Sleep(time.Duration(rng.Int64N(int64(took)/2 + 1)))
		a.Process.Kill()
		b.Process.Kill()
		a.Wait()
		b.Wait()
	}
	if cmd := start("killed"); cmd.Wait() != nil {
		t.Fatal(cmd.Stderr)
	}
	_, want := readParts(t, filepath.Join(dir, "whole"))
	rows, got := readParts(t, filepath.Join(dir, "killed"))
	if !maps.Equal(got, want) || len(want) != 30 {
		t.Errorf("%d files, %d of them of a whole run: %q", len(got), len(want), slices.Sorted(maps.Keys(got)))
	}
	if len(rows[drawing]) != 588 {
		t.Errorf("%d rows", len(rows[drawing]))
	}
}
