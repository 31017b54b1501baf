package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet/fault"
)

func TestReadLabels(t *testing.T) {
	cats := []string{"cat", "tabby, tabby cat", "chat échaudé"}
	long := strings.Repeat("x\n", maxLabels)
	tests := []struct {
		name, text string
		want       []string
		err        string // what follows the file name
	}{
		{"lines", "cat\ntabby, tabby cat\nchat échaudé\n", cats, ""},
		{"lines without a last end", "cat\ntabby, tabby cat\nchat échaudé", cats, ""},
		{"lines of Windows", "\ufeffcat\r\n tabby, tabby cat\t\r\nchat échaudé\r\n\r\n", cats, ""},
		{"blank lines at the end", "cat\ntabby, tabby cat\nchat échaudé\n\n \n", cats, ""},
		{"one label", "0", []string{"0"}, ""},
		{"list", "\n [\"cat\",\n\"tabby, tabby cat\", \"chat \\u00e9chaudé\"]\n", cats, ""},
		{"map", `{"2": "chat échaudé", "0": "cat", "1": "tabby, tabby cat"}`, cats, ""},
		{"imagenet_class_index", `{"0": ["n02121620", "cat"], "1": ["n02123045", "tabby, tabby cat"], "2": ["n0", "chat échaudé"]}`, cats, ""},
		{"config", `{"a": {"id2label": 1}, "id2label": {"0": "cat"}, "label2id": {"cat": 0}}`, cats[:1], ""},
		{"config with label2id alone", `{"label2id": {"chat échaudé": 2, "cat": 0, "tabby, tabby cat": 1}}`, cats, ""},
		{"class_to_idx", "{\n\"tabby, tabby cat\": 1, \"cat\": 0, \"chat échaudé\": 2}", cats, ""},
		{"class_to_idx of numbers", `{"0": 0, "1": 1, "10": 2, "2": 3}`, []string{"0", "1", "10", "2"}, ""},
		{"classes called as keys are", `{"labels": 1, "names": 0}`, []string{"names", "labels"}, ""},
		{"list in an object", `{"classes": ["cat"], "version": 1}`, cats[:1], ""},
		{"UTF-16", "\xff\xfec\x00a\x00t\x00\r\x00\n\x00", cats[:1], ""},
		{"UTF-16, high byte first", "\xfe\xff\x00c\x00a\x00t", cats[:1], ""},
		{"lines of an old Mac", "cat\rtabby, tabby cat\rchat échaudé\r", cats, ""},
		{"Python dict", "{0: 'cat',\n 1: \"tabby, tabby cat\",  # striped\n 2: u'chat \\xe9chaud\\u00e9', }", cats, ""},
		{"Python dict of names", "{'cat': 0, 'tabby, tabby cat': 1, 'chat échaudé': 2}", cats, ""},
		{"Python list", "['cat', 'tabby, tabby cat', 'chat échaudé']", cats, ""},
		{"Python tuple", "('cat',)", cats[:1], ""},
		{"quotation marks in Python", `{0: 'jack-o\'-lantern', 1: "carpenter's kit", 2: '"x"', 3: 'a\\b'}`, []string{"jack-o'-lantern", "carpenter's kit", `"x"`, `a\b`}, ""},
		{"table", "index,name\n2,chat échaudé\n0,cat\n1,\"tabby, tabby cat\"\n", cats, ""},
		{"table of other columns", "class_name;wnid;class_id\ncat;n1;0\ntabby, tabby cat;n2;1\nchat échaudé;n3;2", cats, ""},
		{"table of tabs", "id\tlabel\n0\tcat\n", cats[:1], ""},
		{"table of pandas", ",label\n0,cat\n1,\"tabby, tabby cat\"\n2,chat échaudé\n", cats, ""},
		{"numbered lines", "0: cat\n1: tabby, tabby cat\n2: chat échaudé\n", cats, ""},
		{"numbered with commas", "1,\"tabby, tabby cat\"\n0,cat\n2,chat échaudé", cats, ""},
		{"numbered with spaces", "0  cat\n1  tabby, tabby cat\n2  chat échaudé\n", cats, ""},
		{"numbers behind", "tabby, tabby cat,1\ncat,0\nchat échaudé,2\n", cats, ""},
		{"names with numbers behind", "boeing,737\nboeing,747\n", []string{"boeing,737", "boeing,747"}, ""},
		{"numbers that belong to names", "2 doors\n4 doors\n", []string{"2 doors", "4 doors"}, ""},
		{"as many as allowed", long, nil, ""},

		{"empty", "", nil, "line 1: no labels"},
		{"blank", "\n \n", nil, "line 3: no labels"},
		{"empty list", "[\n]", nil, "line 2: no labels"},
		{"empty map", "{}", nil, "line 1: no labels"},
		{"empty id2label", `{"id2label": {}}`, nil, "line 1: no labels"},
		{"blank line", "cat\n\ndog\n", nil, "line 2: class 1 has a blank name"},
		{"blank first line", "\ncat", nil, "line 1: class 0 has a blank name"},
		{"too many", long + "x", nil, "line 1048577: more than 1048576 labels"},
		{"Latin-1", "cat\nchat \xe9chaudé", nil, "line 2: not UTF-8 text"},
		{"half a character of UTF-16", "\xff\xfec\x00a", nil, "line 1: not UTF-8 text"},
		{"UTF-32", "\xff\xfe\x00\x00c\x00\x00\x00", nil, "text in UTF-32: want UTF-8"},
		{"binary", "\x03\x04", nil, "line 1: the name of class 0 has the control character U+0003"},
		{"zip", "PK\x03\x04", nil, "a zip archive: unpack it and give the file in it; " + labelForms},
		{"web page", "<!DOCTYPE html>\n<html>", nil, "a web page: download the file itself, not the page about it; " + labelForms},
		{"Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 31675\n", nil,
			"a Git LFS pointer: fetch the file itself with git lfs pull; " + labelForms},
		{"YAML", "nc: 2\nnames:\n  0: cat\n  1: dog\n", nil, "YAML: " + labelForms},
		{"numbered from 1", "1,cat\n2,dog\n", nil, "line 2: no name for class 0, but 2 names"},
		{"numbered twice", "0,cat\n0,dog\n", nil, "line 2: class 0 has two names"},
		{"table with a gap", "index,name\n0,cat\n2,dog\n", nil, "line 3: no name for class 1, but 2 names"},
		{"table with a blank", "index,name\n0,cat\n1,\n", nil, "line 3: class 1 has a blank name"},
		{"Python that is none", "{0: cat}", nil, `line 1: invalid character '0' looking for beginning of object key string; it begins "{0: cat}": ` + labelForms},
		{"Python escape sequence", `{0: '\x1b[31m'}`, nil, "line 1: the name of class 0 has the control character U+001B"},
		{"Python gap", "{0: 'cat',\n2: 'dog'}", nil, "line 2: no name for class 1, but 2 names"},
		{"escape sequence", "cat\n\x1b[31mdog", nil, "line 2: the name of class 1 has the control character U+001B"},
		{"escape sequence in JSON", `["\u001b[31mdog"]`, nil, "line 1: the name of class 0 has the control character U+001B"},
		{"line break in a name", "[\"cat\",\n\"a\\nb\"]", nil, "line 2: the name of class 1 has the control character U+000A"},
		{"blank name", `["cat", " "]`, nil, "line 1: class 1 has a blank name"},
		{"null", `["cat", null]`, nil, "line 1: class 1 has a blank name"},
		{"number", "[\"cat\",\n1]", nil, "line 2: class 1 has neither a name nor a pair of WordNet ID and name"},
		{"triple", "[\n\n[\"a\", \"b\", \"c\"]]", nil, "line 3: class 0 has neither a name nor a pair of WordNet ID and name"},
		{"gap", "{\"0\": \"cat\",\n\"2\": \"dog\"}", nil, "line 2: no name for class 1, but 2 names"},
		{"from 1", `{"1": "cat"}`, nil, "line 1: no name for class 0, but 1 names"},
		{"huge index", `{"999999999999": "cat"}`, nil, "line 1: more than 1048576 labels"},
		{"negative index", `{"-1": "cat"}`, nil, `line 1: "-1" is not the index of a class`},
		{"padded index", `{"00": "cat"}`, nil, `line 1: "00" is not the index of a class`},
		{"names to names", "{\n\"cat\": \"dog\"}", nil, `line 2: "cat" is not the index of a class`},
		{"names to shares", "{\n\"cat\": 0.5}", nil, `line 2: "0.5" is not the index of a class`},
		{"two classes with an index", "{\"cat\": 0,\n\"dog\": 0}", nil, "line 2: class 0 has two names"},
		{"two names", "{\"0\": \"cat\",\n \"0\": \"dog\"}", nil, "line 2: class 0 has two names"},
		{"id2label is text", "{\"a\": \"b\",\n\"id2label\": \"cat\"}", nil, `line 1: "a" is not the index of a class`},
		{"JSON cut off", "[\"cat\",\n", nil, `line 2: unexpected end of JSON input; it begins "[\"cat\",": ` + labelForms},
		{"JSON and more", "[\"cat\"]\nx", nil, `line 2: invalid character 'x' after top-level value; it begins "[\"cat\"]": ` + labelForms},
		{"deep JSON", strings.Repeat("[", 1<<20), nil, `line 1: invalid character '[' exceeded max depth; it begins "` + strings.Repeat("[", 60) + `": ` + labelForms},
		{"deep Python", strings.Repeat("(", 1<<20), nil, `line 1: invalid character '(' looking for beginning of value; it begins "` + strings.Repeat("(", 60) + `": ` + labelForms},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "labels")
			if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := ReadLabels(path)
			if test.err != "" {
				if !errors.As(err, new(*fault.Error)) || err.Error() != path+": "+test.err {
					t.Fatalf("error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" && test.want != nil {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestReadLabelsFromWrongPlaces(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadLabels(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: error %v", err)
	}
	if _, err := ReadLabels(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("folder: error %v does not name it", err)
	}
	large := filepath.Join(dir, "large")
	f, err := os.Create(large)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(maxLabelBytes+1), f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLabels(large); err == nil || !strings.Contains(err.Error(), large+": more than the limit of 16 MiB") {
		t.Errorf("large file: error %v", err)
	}
}

// Accepted labels are printable, and the same when written and read again.
func FuzzParseLabels(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		labels, err := parseLabels(data)
		if err != nil {
			_, ok := errors.AsType[*fault.Error](err)
			if !ok {
				t.Fatalf("error %v (%T)", err, err)
			}
			return
		}
		if len(labels) == 0 {
			t.Fatal("no labels and no error")
		}
		for class, label := range labels {
			if strings.TrimSpace(label) == "" || strings.ContainsFunc(label, unicode.IsControl) {
				t.Errorf("class %d: %q", class, label)
			}
		}
		pairs := map[string][]string{}
		for class, label := range labels {
			pairs[fmt.Sprint(class)] = []string{"n", label}
		}
		for _, form := range []any{labels, pairs, map[string]any{"id2label": pairs}} {
			text, err := json.Marshal(form)
			if err != nil {
				t.Fatal(err)
			}
			if len(text) > maxLabelBytes || strings.Contains(string(text), "\ufffd") {
				continue
			}
			again, err := parseLabels(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if diff := cmp.Diff(labels, again); diff != "" {
				t.Errorf("%s (-want +got):\n%s", text, diff)
			}
		}
	})
}
