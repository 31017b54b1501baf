package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/mobilenet-go/mobilenet/internal/manifest"
	"github.com/mobilenet-go/mobilenet/spark/job"
)

// What isn't a file can't be read several times.
func TestManifestNoFile(t *testing.T) {
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Skip("no device here to take for a list")
	}
	_, _, err := command("predict", "--local", "-i", os.DevNull, "-o", t.TempDir(), "-m", fashion(t))
	if err == nil || err.Error() != os.DevNull+": no file, but a pipe or a device: a list is read several times; write it to a file" {
		t.Errorf("%v", err)
	}
}

// A list that becomes longer, shorter or another while the job runs is told, by how many rows it
// has or by what the system says of the file.
func TestManifestChanges(t *testing.T) {
	const text = "path\na\nb\nc\n"
	file := filepath.Join(t.TempDir(), "a.csv")
	for name, now := range map[string]string{"the same": text, "longer": text + "d\n", "shorter": text[:7], "other rows": "path\na\nb\nx\n"} {
		put(t, file, text)
		m, err := openLocal(file, job.Wanted{})
		if err != nil {
			t.Fatal(err)
		}
		if name != "the same" {
			put(t, file, now)
			if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Hour)); err != nil { // clocks of files are coarse
				t.Fatal(err)
			}
		}
		r := localRun{jobFlags: &jobFlags{Spec: job.Spec{Input: file, PerTask: 2}}, manifest: m}
		rows := 0
		err = r.each(func(manifest.Part) (bool, error) { return false, nil }, func(p manifest.Part) error {
			rows += len(p.Rows)
			return nil
		})
		if other := len(now) != len(text); other != (err != nil) || other && err.Error() != file+": "+errChanged.Error() {
			t.Errorf("%s: %v", name, err)
		}
		if rows > 3 || m.changed() != (name != "the same") {
			t.Errorf("%s: %d rows, changed: %v", name, rows, m.changed())
		}
	}
}

// Half of a surrogate pair in a text that is passed on is no text, and is refused before anything
// runs; what is passed on as it is written may have one.
func TestHalfPairs(t *testing.T) {
	model := fashion(t)
	for value, bad := range map[string]bool{
		`"\ud800"`: true, `"\udfff"`: true, `"\ud800\ud800\udc00"`: true, `"\\\ud800x"`: true,
		`"\ud83d\ude00"`: false, `"\\ud800"`: false, `"\uFFFD"`: false, `["\ud800"]`: false,
	} {
		file := filepath.Join(t.TempDir(), "a.jsonl")
		put(t, file, fmt.Sprintf("{\"path\":\"a\",\"x\":null}\n{\"path\":\"b\",\"x\":%s}\n", value))
		out := filepath.Join(t.TempDir(), "out")
		args := []string{"predict", "--local", "-i", file, "-o", out, "-m", model, "--max-errors", "2"}
		_, _, err := command(args...)
		if bad != (err != nil) || bad && (!strings.HasPrefix(err.Error(), file+`: line 2: column "x" has half of a surrogate pair`) || exists(out)) {
			t.Errorf("%s: %v", value, err)
		}
		if _, _, err := command(append(args, "--resume", "--columns", "")...); bad && err != nil {
			t.Errorf("%s, without the column: %v", value, err)
		}
	}
}

// Files of a folder may have their columns in any order; what else they differ in is named.
func TestFolderColumns(t *testing.T) {
	model := fashion(t)
	type first struct {
		Path string `parquet:"path"`
		Shop int32  `parquet:"shop"`
	}
	type turned struct {
		Shop int32  `parquet:"shop"`
		Path string `parquet:"path"`
	}
	type typed struct {
		Path string  `parquet:"path"`
		Shop float64 `parquet:"shop"`
	}
	type more struct {
		Path string `parquet:"path"`
		Shop int32  `parquet:"shop"`
		More int32  `parquet:"more"`
	}
	type less struct {
		Path string `parquet:"path"`
	}
	for want, second := range map[string]func(string) error{
		"": func(name string) error { return parquet.WriteFile(name, []turned{{8, "b"}}) },
		`"shop" is of type INT there, and of DOUBLE here`: func(name string) error { return parquet.WriteFile(name, []typed{{"b", 8}}) },
		`"more" is new`:            func(name string) error { return parquet.WriteFile(name, []more{{"b", 8, 9}}) },
		`"shop" is not among them`: func(name string) error { return parquet.WriteFile(name, []less{{"b"}}) },
	} {
		dir, out := t.TempDir(), t.TempDir()
		if err := parquet.WriteFile(filepath.Join(dir, "a.parquet"), []first{{"a", 7}}); err != nil {
			t.Fatal(err)
		}
		if err := second(filepath.Join(dir, "b.parquet")); err != nil {
			t.Fatal(err)
		}
		_, stderr, err := command("predict", "--local", "-i", dir, "-o", out, "-m", model, "--max-errors", "2")
		if want != "" {
			if err == nil || err.Error() != dir+": b.parquet has other columns than a.parquet: "+want {
				t.Errorf("%v, want %s", err, want)
			}
			continue
		}
		paths, _ := parquetIn(out)
		if err != nil || len(paths) != 1 {
			t.Fatalf("%v: %s", err, stderr)
		}
		rows, err := parquet.ReadFile[first](paths[0])
		if err != nil || len(rows) != 2 || rows[0] != (first{"a", 7}) || rows[1] != (first{"b", 8}) {
			t.Errorf("%+v, %v", rows, err)
		}
	}
}
