package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDataPage opens the examples of docs/data.md: a block of files, a line each, with
// the text of tables indented below their names, and a block of what is read of them.
func TestDataPage(t *testing.T) {
	page, err := os.ReadFile("../docs/data.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Split(string(page), "```files\n")[1:]
	if len(examples) < 10 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, example := range examples {
		list, rest, _ := strings.Cut(example, "```\n```reads\n")
		want, _, ok := strings.Cut(rest, "```")
		if !ok {
			t.Fatalf("an example without what is read: %s", example)
		}
		files := map[string]string{}
		var data, last string
		for line := range strings.Lines(list) {
			line = strings.TrimSuffix(line, "\n")
			if row, ok := strings.CutPrefix(line, "    "); ok {
				files[last] += row + "\n"
				continue
			}
			name, isTable := strings.CutSuffix(line, ":")
			files[name], last = "", name
			if data = strings.Split(name, "/")[0]; isTable && !strings.Contains(name, "/") {
				data = name
			}
		}
		t.Chdir(tree(t, files))
		var got strings.Builder
		train, val, err := Open(data, Options{})
		if err != nil {
			fmt.Fprintln(&got, "error:", err)
		}
		for _, s := range []*Set{train, val} {
			if s == nil {
				continue
			}
			var counts []string
			for i, n := range s.Counts() {
				counts = append(counts, fmt.Sprint(s.Classes[i], " ", n))
			}
			fmt.Fprintf(&got, "%s: %s\n", map[*Set]string{train: "train", val: "val"}[s], strings.Join(counts, ", "))
		}
		for _, note := range notes(string(filepath.Separator), train, val) {
			fmt.Fprintln(&got, "note:", note)
		}
		if d := cmp.Diff(want, got.String()); d != "" {
			t.Errorf("%s%s", list, d)
		}
	}
}
