package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestVerbs requires of every verb a script that runs it, examples in its help,
// and a row in the README's table.
func TestVerbs(t *testing.T) {
	scripts := readAll(t, filepath.Join("testdata", "script", "*.txt"))
	readme := readAll(t, filepath.Join("..", "..", "README.md"))
	verbs := 0
	for _, verb := range newRoot().Commands() {
		if verb.Hidden || verb.Name() == "help" || verb.Name() == "completion" { // cobra's own
			continue
		}
		verbs++
		if !strings.Contains(scripts, "exec mobilenet "+verb.Name()) {
			t.Errorf("%s: no script in testdata/script runs it", verb.Name())
		}
		if !hasExample(verb) {
			t.Errorf("%s: --help has no examples", verb.Name())
		}
		if !strings.Contains(readme, "| `mobilenet "+verb.Name()) {
			t.Errorf("%s: the README's table of verbs has no row for it", verb.Name())
		}
	}
	if verbs < 10 {
		t.Errorf("only %d verbs found", verbs)
	}
}

// hasExample is whether a verb, or each of its own verbs, shows how it is used.
func hasExample(cmd *cobra.Command) bool {
	if cmd.Example != "" {
		return true
	}
	for _, sub := range cmd.Commands() {
		if !hasExample(sub) {
			return false
		}
	}
	return cmd.HasSubCommands()
}

func readAll(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
