package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPages runs the command lines of some pages in docs, one after the other in one
// folder, and compares what they print.
func TestPages(t *testing.T) {
	for _, name := range []string{"classify", "onnx", "search"} {
		t.Run(name, func(t *testing.T) { testPage(t, "../../docs/"+name+".md") })
	}
}

func testPage(t *testing.T, path string) {
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	drawings(t)
	lines := 0
	for i, block := range strings.Split(string(page), "```") {
		if i%2 == 0 || !strings.HasPrefix(block, "\n$ ") {
			continue
		}
		for _, command := range strings.Split(block, "\n$ ")[1:] {
			lines++
			line, want, _ := strings.Cut(strings.TrimRight(command, "\n"), "\n")
			if got := printed(t, strings.Fields(line)); rounded(got) != rounded(want) {
				t.Errorf("$ %s\n%s\n\nwant:\n%s", line, got, want)
			}
		}
	}
	if lines < 5 {
		t.Errorf("only %d command lines", lines)
	}
}

// drawings goes to a folder with the two photos of testdata.
func drawings(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"ankle-boot.png", "shapes.png"} {
		data, err := os.ReadFile(filepath.Join("../../testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

// printed runs a command line of words without spaces.
func printed(t *testing.T, words []string) string {
	t.Helper()
	if words[0] == "ls" { // of a folder, a name a line
		entries, err := os.ReadDir(words[len(words)-1])
		if err != nil {
			t.Error(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, "\n")
	}
	var out bytes.Buffer
	if stderr, err := mobilenetCommand(t.Context(), t, &out, words[1:]...); stderr != "" && err == nil {
		t.Errorf("%v: %s", words, stderr)
	}
	return strings.TrimRight(out.String(), "\n")
}

var digits = regexp.MustCompile(`(0\.\d{4})\d+`)

// rounded leaves out digits that differ from one kind of CPU to another.
func rounded(text string) string { return digits.ReplaceAllString(text, "$1") }
