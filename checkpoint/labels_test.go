package checkpoint

import (
	"archive/zip"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/model"
)

func dictOf(pairs ...any) *dict {
	d := &dict{}
	for i := 0; i < len(pairs); i += 2 {
		d.keys, d.values = append(d.keys, pairs[i]), append(d.values, pairs[i+1])
	}
	return d
}

// TestNamesBeside: the names of classes that people keep beside weights are labels, if
// there is one for each class.
func TestNamesBeside(t *testing.T) {
	for _, tt := range []struct {
		what   string
		value  any
		labels string
		note   string
	}{
		{"ImageFolder's", dictOf("class_to_idx", dictOf("dog", int64(1), "cat", int64(0))), "cat dog", ""},
		{"by number", dictOf("idx_to_class", dictOf(int64(1), "dog", int64(0), "cat")), "cat dog", ""},
		{"by number as text", dictOf("id2label", dictOf("1", "dog", "0", "cat")), "cat dog", ""},
		{"a list", dictOf("classes", &list{[]any{"cat", "dog"}}), "cat dog", ""},
		{"mmpretrain's", dictOf("meta", dictOf("dataset_meta", dictOf("classes", tuple{"cat", "dog"}))), "cat dog", ""},
		{"others", dictOf("names", &list{[]any{"cat", "dog", "emu"}}), "", "left out: names, 3 names for 2 classes"},
		{"two numbers the same", dictOf("class_to_idx", dictOf("dog", int64(0), "cat", int64(0))), "", ""},
		{"a gap", dictOf("class_to_idx", dictOf("dog", int64(2), "cat", int64(0))), "", ""},
		{"huge", dictOf("class_to_idx", dictOf("dog", int64(1<<62), "cat", int64(-1))), "", ""},
		{"numbers", dictOf("classes", &list{[]any{int64(0), int64(1)}}), "", ""},
		{"a count", dictOf("classes", int64(2)), "", ""},
		{"no dictionary", tuple{}, "", ""},
	} {
		c := model.Default()
		c.Classes = 2
		m := &model.Model{Config: c}
		f := contents{names: namesBeside(tt.value)}
		f.takeNames(m)
		if strings.Join(m.Labels, " ") != tt.labels || strings.Join(m.Notes, "; ") != tt.note {
			t.Errorf("%s: labels %q, notes %q", tt.what, m.Labels, m.Notes)
		}
	}
	m := &model.Model{Config: model.Default(), Labels: []string{"own"}}
	m.Config.Classes = 1
	f := contents{names: []classNames{{"classes", []string{"other"}}}}
	if f.takeNames(m); !slices.Equal(m.Labels, []string{"own"}) {
		t.Errorf("labels of the file's own are replaced: %q", m.Labels)
	}
}

// TestNamesInCheckpoints: in a pickle, beside a state dict.
func TestNamesInCheckpoints(t *testing.T) {
	word := func(text string) string { return "X" + string(rune(len(text))) + "\x00\x00\x00" + text }
	weights, ok := strings.CutSuffix(tinyPickle(t, 2), "u.")
	if !ok {
		t.Fatal("no end of a pickle")
	}
	pkl := weights + word("classes") + "](" + word("cat") + word("dog") + "e" + "u."
	for what, file := range map[string][]byte{
		"zip":    archiveOf(t, zip.Store, map[string]string{"data.pkl": pkl, "data/0": "\x00\x00\x80\x3f"}),
		"legacy": legacyOf(pkl, "\x80\x02]U\x010a.\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x3f"),
	} {
		m, err := Parse(file)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if got := strings.Join(m.Labels, " "); got != "cat dog" {
			t.Errorf("%s: labels %q", what, got)
		}
	}
}
