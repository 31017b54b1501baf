package search

import "testing"

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"", "a/b.jpg", true},
		{"*.jpg", "a/b.jpg", true},
		{"*.jpg", "a/b.jpg.png", false},
		{"b.*", "a/b.jpg", true},
		{"a*", "a/b.jpg", false},
		{"a/*", "a/b.jpg", true},
		{"a/*", "a/b/c.jpg", false},
		{"a/**", "a/b/c.jpg", true},
		{"**/c.jpg", "a/b/c.jpg", true},
		{"**/c.jpg", "c.jpg", true},
		{"**/b/*", "a/b/c.jpg", true},
		{"/a/b", "/a/b", true},
		{"?.jpg", "ü.jpg", true},
		{"[a-c].jpg", "b.jpg", true},
		{"[^a-c].jpg", "b.jpg", false},
		{"[.]x", "ax", false},
		{`\*.jpg`, "*.jpg", true},
		{`\*.jpg`, "a.jpg", false},
		{"a+(b)|c", "a+(b)|c", true},
		{"*", "two\nlines", true},
		{"*.jpg", "\xff.jpg", true},
	} {
		match, err := Glob(c.pattern)
		if err != nil {
			t.Errorf("%q: %v", c.pattern, err)
		} else if got := match([]byte(c.path)); got != c.want {
			t.Errorf("%q of %q: %v", c.pattern, c.path, got)
		}
	}
	for _, pattern := range []string{"[", "[]", "a[b", `a\`, "[z-a]"} {
		if _, err := Glob(pattern); err == nil {
			t.Errorf("%q is a pattern", pattern)
		}
	}
}
