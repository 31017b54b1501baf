package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

const badName = "b\xff\ufffd.png" // a byte that is no UTF-8, and what stands for one

// badDrawings makes two photos alike, of which one has a name that is not UTF-8.
func badDrawings(t *testing.T) {
	t.Helper()
	drawings(t)
	data, err := os.ReadFile("shapes.png")
	if err == nil {
		err = os.WriteFile(badName, data, 0o644)
	}
	if err != nil {
		t.Skipf("the file system has no such names: %v", err)
	}
}

func ran(t *testing.T, args ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	if stderr, err := mobilenetCommand(t.Context(), t, &out, args...); err != nil {
		t.Fatalf("%v: %v, %s", args, err, stderr)
	}
	return out.Bytes()
}

// TestAppendBadName has embed --append know a photo again whose name is not UTF-8.
func TestAppendBadName(t *testing.T) {
	badDrawings(t)
	for out, list := range map[string]string{"a.npy": "a.npy.jsonl", "a.jsonl": "a.jsonl", "b.mnidx": ""} {
		for _, photos := range [][]string{{badName}, {badName, "shapes.png"}, {badName}} {
			ran(t, append([]string{"embed", "--append", "--model", "fashion-mnist", "-o", out}, photos...)...)
		}
		if list == "" {
			continue
		}
		text, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
			var row struct {
				File      string
				FileBytes []byte `json:"file_bytes"`
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			if row.FileBytes != nil {
				row.File = string(row.FileBytes)
			}
			names = append(names, row.File)
		}
		if want := []string{badName, "shapes.png"}; !slices.Equal(names, want) {
			t.Errorf("%s: got %q, want %q", out, names, want)
		}
	}
}

// TestWrittenBadName has every format for programs say which file a photo is.
func TestWrittenBadName(t *testing.T) {
	badDrawings(t)
	ran(t, "embed", "--model", "fashion-mnist", "-o", "a.mnidx", badName)
	const bytesOfIt = `"file_bytes":"Yv/vv70ucG5n"`
	for _, c := range []struct {
		want string
		args []string
	}{
		{bytesOfIt, []string{"predict", "--model", "fashion-mnist", "-f", "json", badName}},
		{bytesOfIt, []string{"search", "--model", "fashion-mnist", "-i", "a.mnidx", "-f", "json", "shapes.png"}},
		{bytesOfIt, []string{"duplicates", "--model", "fashion-mnist", "-f", "json", badName, "shapes.png"}},
		{`"b\udcff` + "\ufffd" + `.png"`, []string{"duplicates", "--model", "fashion-mnist", "-f", "imagededup", badName, "shapes.png"}},
	} {
		if out := string(ran(t, c.args...)); !strings.Contains(out, c.want) {
			t.Errorf("%v: got %s, want %s", c.args, out, c.want)
		}
	}
	args := []string{"duplicates", "--model", "fashion-mnist", "-f", "csv", badName, "shapes.png"}
	lines, err := csv.NewReader(bytes.NewReader(ran(t, args...))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(lines, func(line []string) bool { return slices.Contains(line, badName) }) {
		t.Errorf("no %q in %q", badName, lines)
	}
}
