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
}

// TestCSVNames has names in CSV be one line each that can't command a terminal, the same
// of predict and of duplicates.
func TestCSVNames(t *testing.T) {
	drawings(t)
	data, err := os.ReadFile("shapes.png")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"a\nb.png", "\x1b[31mred.png", "a,\"b\".png", badName}
	for _, name := range names {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Skipf("the file system has no such names: %v", err)
		}
	}
	want := []string{`"a\nb.png"`, `"\x1b[31mred.png"`, `a,"b".png`, `"b\xff` + "\ufffd" + `.png"`}
	for command, column := range map[string]int{"predict": 0, "duplicates": 1} {
		out := ran(t, append([]string{command, "--model", "fashion-mnist", "-f", "csv"}, names...)...)
		lines, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, line := range lines[1:] {
			if name := line[column]; !slices.Contains(got, name) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", command, got, want)
		}
	}
}
