package main

import "testing"

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"top", "top", 0}, {"", "top", 3}, {"tpo", "top", 1}, {"modle", "model", 1}, {"toop", "top", 1},
		{"tp", "top", 1}, {"tap", "top", 1}, {"model", "label", 3}, {"ca", "abc", 3},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q: %d, want %d", test.a, test.b, got, test.want)
		}
		if got := distance(test.b, test.a); got != test.want {
			t.Errorf("%q to %q: %d, want %d", test.b, test.a, got, test.want)
		}
	}
}

func TestNearest(t *testing.T) {
	flags := []string{"model", "top", "threads", "threshold", "batch", "format", "lr", "data", "help"}
	for name, want := range map[string]string{
		"modle": "model", "topk": "top", "weights": "model", "thread": "threads", "thresh": "threshold", "form": "format",
		"learning-rate": "lr", "batch-size": "batch", "dta": "data", "la": "", "zzz": "", "xyzzy": "",
	} {
		if got := nearest(name, flags); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestOtherNames wants synonyms of flags and verbs that exist, and no flag that is
// called like a synonym of another of the same command.
func TestOtherNames(t *testing.T) {
	flags := map[string]bool{}
	verbs := map[string]bool{}
	for _, cmd := range newRoot("").Commands() {
		verbs[cmd.Name()] = true
		for flag, names := range otherNames {
			if cmd.Flags().Lookup(flag) == nil {
				continue
			}
			flags[flag] = true
			for _, other := range names {
				if otherNames[other] != nil && cmd.Flags().Lookup(other) != nil {
					t.Errorf("%s: --%s is a flag and stands for --%s", cmd.Name(), other, flag)
				}
			}
		}
	}
	for flag := range otherNames {
		if !flags[flag] {
			t.Errorf("no command has --%s", flag)
		}
	}
	for verb, names := range otherVerbs {
		if !verbs[verb] {
			t.Errorf("no command is called %s", verb)
		}
		for _, other := range names {
			if verbs[other] {
				t.Errorf("%s is a command and stands for %s", other, verb)
			}
		}
	}
}

func TestFolderNames(t *testing.T) {
	for label, want := range map[string]string{
		"cat": "cat", "T-shirt/top": "T-shirt_top", "": "_", ".": "_", "..": "_", "...": "_", ".git": "_.git", "a. ": "a",
		"con": "_con", "COM1.txt": "_COM1.txt", "con artist": "con artist", "a\x00b\x1b": "a_b_", "犬": "犬", "\xff": "_",
		`C:\x`: "C__x", "../../etc": "_.._.._etc",
	} {
		if got := folderName(label); got != want {
			t.Errorf("%q: folder %q, want %q", label, got, want)
		}
	}
	long := make([]byte, 0, 999)
	for range 333 {
		long = append(long, "犬"...)
	}
	if got := folderName(string(long)); len(got) > longestName || got != string(long[:longestName/3*3]) {
		t.Errorf("a long label became %q", got)
	}
}
