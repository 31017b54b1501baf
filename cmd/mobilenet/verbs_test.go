package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestVerbs requires of every verb a script that runs it, examples in its help,
// and a row in the README's table.
func TestVerbs(t *testing.T) {
	scripts := readAll(t, filepath.Join("testdata", "script", "*.txt"))
	readme := readAll(t, filepath.Join("..", "..", "README.md"))
	verbs := 0
	for _, verb := range newRoot("").Commands() {
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

// TestOneVerb: a command line that begins with a verb gets that one alone, any other all.
func TestOneVerb(t *testing.T) {
	for _, v := range verbs {
		if got := asked([]string{v.name, "train"}); got != v.name {
			t.Errorf("%s train: asked for %q", v.name, got)
		}
		if all := newRoot(v.name).Commands(); len(all) != 1 || all[0].Name() != v.name {
			t.Errorf("%s: %d commands, the first is %s", v.name, len(all), all[0].Name())
		}
	}
	for _, args := range [][]string{nil, {"--version"}, {"help", "predict"}, {"__complete", "predict", ""}, {"predic"}, {"-h", "predict"}} {
		if got := asked(args); got != "" {
			t.Errorf("%q: asked for %q", args, got)
		}
	}
}

// TestDecimalNumbers wants 010 to be 10 in every command, and not the octal 8.
func TestDecimalNumbers(t *testing.T) {
	numbers := 0
	for _, cmd := range newRoot("").Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(f.Value.Type(), "int") {
				return
			}
			numbers++
			if err := f.Value.Set("010"); err != nil || f.Value.String() != "10" {
				t.Errorf("%s --%s 010: %s, %v", cmd.Name(), f.Name, f.Value, err)
			}
		})
	}
	if numbers < 30 {
		t.Errorf("%d whole numbers: some are of other types", numbers)
	}
}
