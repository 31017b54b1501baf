package dataset

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAssign says which class of a model each class of the data is.
func TestAssign(t *testing.T) {
	twelve := make([]string, 12)
	for i := range twelve {
		twelve[i] = strconv.Itoa(i)
	}
	inOrder := slices.Sorted(slices.Values(twelve)) // 0 1 10 11 2 ...
	words := strings.Fields("ant bee cat dog elk fox gnu hen ibis jay koi lynx")
	for _, test := range []struct {
		name   string
		form   form
		labels []string // nil for a model without names
		n      int      // of classes, if labels is nil
		data   []string
		want   []int
		note   string
		err    string
	}{
		{name: "names", labels: words, data: []string{"Bee", "ant"}, want: []int{1, 0}},
		{name: "underscores", labels: []string{"tench", "great white shark"}, data: []string{"Great_White_Shark"}, want: []int{1}},
		{name: "a choice", labels: []string{"a b", "a_b"}, data: []string{"a_b", "a b"}, want: []int{1, 0}},
		{name: "a choice left", labels: []string{"a b", "a_b"}, data: []string{"A_b"}, err: "several classes of the model are called so"},
		{name: "names that are numbers", labels: inOrder, data: twelve, want: []int{0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3}},
		{name: "some of these", labels: inOrder, data: []string{"10", "2"}, want: []int{2, 4}},
		{name: "none of these", labels: []string{"1", "2"}, data: []string{"0"}, err: `class "0" is none of the 2 classes (1, 2)`},
		{
			name: "folders of indices", labels: words, data: inOrder, want: []int{0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9},
			note: `the folders' names are taken for indices of the model's classes (0 is "ant"), not for places in the order in which torchvision's ImageFolder numbers folders (0, 1, 10, 11, 2, ...)`,
		},
		{name: "few folders of indices", labels: words, data: []string{"0", "1"}, want: []int{0, 1}},
		{name: "rows of indices", form: inTable, labels: words, data: twelve, want: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{
			name: "numbers behind a background", form: inTable, labels: []string{"background", "tench", "goldfish"}, data: []string{"1", "0"}, want: []int{1, 0},
			note: `numbers are taken for indices of the model's 3 classes, of which 0 is "background" (1 is "tench"); where they count without that class, they are one too low`,
		},
		{name: "index too high", labels: words, data: []string{"0", "12"}, err: `class "12" is none of the 12 classes (ant, bee, cat, dog, elk, ...)`},
		{name: "names and indices", labels: words, data: []string{"0", "ant"}, err: `class "ant" is the model's, but "0" is not of the same kind`},
		{name: "a name of two classes", labels: []string{"crane", "crane"}, data: []string{"crane"}, err: `class "crane": several classes of the model are called so`},

		{
			name: "folders of numbers, no names", n: 12, data: inOrder, want: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
			note: "the model has no names for its classes: the folders are not taken for indices but as torchvision's ImageFolder numbers them (0, 1, 10, 11, 2, ...); a list of labels for the model settles it",
		},
		{
			name: "some folders of numbers, no names", n: 12, data: []string{"10", "2", "3"}, want: []int{2, 4, 5},
			note: "the model has no names for its classes: the folders are not taken for indices but as torchvision's ImageFolder numbers them (0, 1, 10, 11, 2, ...); a list of labels for the model settles it",
		},
		{name: "ten folders, no names", n: 10, data: twelve[:10], want: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{name: "placeholders", labels: []string{"LABEL_0", "LABEL_1"}, data: []string{"0", "1"}, want: []int{0, 1}},
		{
			name: "folders from 1, no names", n: 3, data: []string{"1", "2", "3"}, want: []int{0, 1, 2},
			note: "the model has no names for its classes: the classes are taken in the order of their names as torchvision's ImageFolder numbers them (1, 2, 3); a list of labels for the model settles it",
		},
		{
			name: "folders of words, no names", n: 2, data: []string{"cat", "dog"}, want: []int{0, 1},
			note: "the model has no names for its classes: the classes are taken in the order of their names as torchvision's ImageFolder numbers them (cat, dog); a list of labels for the model settles it",
		},
		{name: "some folders of words, no names", n: 3, data: []string{"cat", "dog"}, err: `class "cat" is none of the 3 classes, which have no names, only indices`},
		{name: "rows of numbers, no names", form: inTable, n: 12, data: []string{"2", "10"}, want: []int{2, 10}},
		{name: "IDX files, no names", form: inIDX, n: 10, data: fashion, want: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, err := readNames(t.TempDir(), EvalOptions{Labels: test.labels, Classes: test.n})
			if err != nil {
				t.Fatal(err)
			}
			to, note, err := n.assign("data", &Set{Classes: test.data, form: test.form})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, to); d != "" || note != test.note {
				t.Errorf("%s\nnote %q\nwant %q", d, note, test.note)
			}
		})
	}
}

// TestOpenEvalWithoutNames checks that the classes of a set are the model's, by index.
func TestOpenEvalWithoutNames(t *testing.T) {
	files := map[string]string{}
	for i := range 12 {
		files[fmt.Sprintf("%d/x.png", i)] = ""
	}
	dir := tree(t, files)
	s, err := OpenEval(dir, EvalOptions{Classes: 12})
	if err != nil || len(s.Notes) != 1 || !strings.HasPrefix(s.Notes[0], dir+": the model has no names") {
		t.Fatal(s, err)
	}
	for i, it := range s.Items {
		if it.Label != i || s.Classes[i] != strconv.Itoa(i) {
			t.Errorf("%s is class %d, %q; want %d", it.Name, it.Label, s.Classes[it.Label], i)
		}
	}
	if filepath.Base(filepath.Dir(s.Items[2].Name)) != "10" {
		t.Error("torchvision has 10 behind 1")
	}
	if _, err := OpenEval(dir, EvalOptions{}); err == nil {
		t.Error("neither labels nor a number of classes, and no error")
	}
}
