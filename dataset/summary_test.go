package dataset

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/fault"
)

// namesOf are the names of a set's images, the last two parts of their paths.
func namesOf(s *Set) []string {
	var names []string
	for _, item := range s.Items {
		parts := strings.Split(strings.ReplaceAll(item.Name, `\`, "/"), "/")
		names = append(names, strings.Join(parts[len(parts)-2:], "/"))
	}
	return names
}

// TestSummary checks that a summary knows what was trained with, and that what earlier
// weights were trained with stays known, also where it was held out later.
func TestSummary(t *testing.T) {
	_, all := photosOf(t, "a/1", "a/2", "b/1", "b/2", "b/3")
	part := func(i ...int) *Set {
		s := *all
		s.Items = nil
		for _, i := range i {
			s.Items = append(s.Items, all.Items[i])
		}
		return &s
	}
	first, err := Divide(t.Context(), part(0, 2), part(1))
	if err != nil {
		t.Fatal(err)
	}
	second, err := Divide(t.Context(), part(1, 3), part(0, 3)) // b/2 on both sides
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name       string
		of, before *Division
		train, val []string
	}{
		{"one", first, nil, []string{"a/1", "b/1"}, []string{"a/2", "b/2", "b/3"}},
		{"another", second, nil, []string{"a/2", "b/2"}, []string{"a/1", "b/1", "b/2", "b/3"}},
		{"one after the other", second, first, []string{"a/1", "a/2", "b/1", "b/2"}, []string{"b/2", "b/3"}},
	} {
		text := test.of.Summary(test.before)
		d, err := ParseSummary(text)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		for part, want := range map[string][]string{"train": test.train, "val": test.val} {
			s, err := d.Part(t.Context(), all, part)
			if err != nil || !slices.Equal(namesOf(s.Set), want) {
				t.Errorf("%s: %s is %+v, %v; want %v", test.name, part, s, err, want)
			}
		}
		if again := d.Summary(nil); again != text {
			t.Errorf("%s: %s becomes %s", test.name, text, again)
		}
		if len(text) > 100 {
			t.Errorf("%s: %d bytes for a few photos", test.name, len(text))
		}
	}
}

func TestSummaryRejects(t *testing.T) {
	_, all := photosOf(t, "a/1", "b/1")
	d, err := Divide(t.Context(), all, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := d.Summary(nil)
	flipped := []byte(text)
	flipped[len(`{"trained":"`)] ^= 1
	for _, text := range []string{"", "{}", "[1]", text[:len(text)-1], string(flipped), `{"trained":"AAA=","check":"x"}`} {
		var f *fault.Error
		if _, err := ParseSummary(text); !errors.As(err, &f) || f.Kind != fault.Broken {
			t.Errorf("%q: %v", text, err)
		}
	}
}
