package dataset

import (
	"bytes"
	"compress/gzip"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tree writes files: a PNG where the text is empty.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	var photo bytes.Buffer
	if err := png.Encode(&photo, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		data := []byte(text)
		if text == "" {
			data = photo.Bytes()
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// list is a set's images as "class/file".
func list(s *Set) []string {
	var out []string
	for _, it := range s.Items {
		out = append(out, s.Classes[it.Label]+"/"+filepath.Base(it.Name))
	}
	return out
}

func TestOpen(t *testing.T) {
	idx := func(dims ...byte) string {
		s := []byte{0, 0, 8, byte(len(dims))}
		n := 1
		for _, d := range dims {
			s = append(s, 0, 0, 0, d)
			n *= int(d)
		}
		return string(append(s, bytes.Repeat([]byte{1}, n)...))
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write([]byte(idx(2)))
	z.Close()
	for name, test := range map[string]struct {
		files      map[string]string
		path       string
		train, val []string
		err        string
	}{
		"folder": {
			files: map[string]string{"b/2.png": "", "b/deep/1.png": "", "a/x.PNG": "", "a/.hidden.png": "", "a/text.txt": "x", ".git/y.png": ""},
			train: []string{"a/x.PNG", "b/2.png", "b/1.png"},
		},
		"train and val": {
			files: map[string]string{"train/a/1.png": "", "train/b/1.png": "", "valid/b/9.png": ""},
			train: []string{"a/1.png", "b/1.png"}, val: []string{"b/9.png"},
		},
		"unknown class in val": {
			files: map[string]string{"train/a/1.png": "", "val/c/9.png": ""},
			err:   `class "c" is not among the 1`,
		},
		"empty class": {files: map[string]string{"a/1.png": "", "b/readme": "x"}, err: `class "b" has no images`},
		"nothing":     {files: map[string]string{"readme": "x"}, err: "no images"},
		"csv": {
			files: map[string]string{"list.csv": "path,label\np/1.png,dog\np/2.png,cat\n", "p/1.png": "", "p/2.png": ""}, path: "list.csv",
			train: []string{"dog/1.png", "cat/2.png"},
		},
		"csv pair": {
			files: map[string]string{"train.csv": "1.png,10\n2.png,9", "val.csv": "3.png,9"},
			train: []string{"10/1.png", "9/2.png"}, val: []string{"9/3.png"},
		},
		"csv of one column": {files: map[string]string{"list.csv": "1.png\n"}, path: "list.csv", err: "line 1: want path and label"},
		"mnist": {
			files: map[string]string{trainImages: idx(2, 4, 3), trainLabels + ".gz": zipped.String(), testImages: idx(1, 4, 3), testLabels: idx(1)},
			train: []string{"1/" + trainImages + " image 0", "1/" + trainImages + " image 1"}, val: []string{"1/" + testImages + " image 0"},
		},
		"mnist of unequal parts": {files: map[string]string{trainImages: idx(2, 4, 3), trainLabels: idx(3)}, err: "2 images and 3 labels"},
		"mnist cut short":        {files: map[string]string{trainImages: idx(2, 4, 3)[:20], trainLabels: idx(2)}, err: "4 bytes for dimensions [2 4 3]"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, test.files)
			train, val, err := Open(filepath.Join(dir, test.path), Options{})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), dir) {
					t.Fatalf("error %v, want the file and %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.train, list(train)); d != "" {
				t.Error(d)
			}
			if test.val == nil {
				if val != nil {
					t.Error("there is a validation set")
				}
			} else if d := cmp.Diff(test.val, list(val)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestImage(t *testing.T) {
	dir := tree(t, map[string]string{"a/1.png": "", "a/2.png": "no image"})
	s, _, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if img, err := s.Image(0); err != nil || img.W != 3 || img.H != 2 {
		t.Errorf("%v, %v", img, err)
	}
	if _, err := s.Image(1); err == nil || !strings.Contains(err.Error(), "2.png") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

// TestSplit checks that a split loses nothing, keeps an image of each class to
// train with, and depends on nothing but the seed.
func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Set{Classes: []string{"a", "b", "c"}}
		for i := range rapid.IntRange(1, 60).Draw(t, "images") {
			s.Items = append(s.Items, Item{Name: string(rune('A' + i)), Label: rapid.IntRange(0, 2).Draw(t, "label")})
		}
		share, seed := rapid.Float64Range(0.01, 0.9).Draw(t, "share"), rapid.Uint64().Draw(t, "seed")
		train, val, err := s.Split(share, seed)
		if err != nil {
			t.Fatal(err)
		}
		again, _, _ := s.Split(share, seed)
		if d := cmp.Diff(list(train), list(again)); d != "" {
			t.Fatal(d)
		}
		if len(train.Items)+len(val.Items) != len(s.Items) {
			t.Fatal("images got lost")
		}
		all, kept, held := s.Counts(), train.Counts(), val.Counts()
		for c := range all {
			if all[c] > 0 && kept[c] == 0 || all[c] > 1 && held[c] == 0 {
				t.Fatalf("class %d: %d of %d to train with", c, kept[c], all[c])
			}
		}
	})
}

func TestOpenEval(t *testing.T) {
	labels := []string{"ant", "bee"}
	dir := tree(t, map[string]string{
		"names/bee/1.png": "", "flat/1.png": "", "flat/2.png": "", "order.txt": "1\nant\n", "named.txt": "2.png bee\n", "short.txt": "1\n",
		"ids/n00000001/a.png": "", "ids/n00000002/b.png": "",
		"some/n00000002/b.png": "", "some/synsets.txt": "n00000001 x\nn00000002 y\n", "few/n00000002/b.png": "",
		"list.csv": "names/bee/1.png,1\n", "wrong.csv": "names/bee/1.png,2\n", "odd/cow/1.png": "",
	})
	for _, test := range []struct {
		path, truth string
		want        []string
		err         string
	}{
		{path: "names", want: []string{"bee/1.png"}},
		{path: "flat", truth: "order.txt", want: []string{"bee/1.png", "ant/2.png"}},
		{path: "flat", truth: "named.txt", want: []string{"bee/2.png"}},
		{path: "flat", truth: "short.txt", err: "1 classes for the 2 images"},
		{path: "ids", want: []string{"ant/a.png", "bee/b.png"}},
		{path: "some", want: []string{"bee/b.png"}},
		{path: "few", err: "put synsets.txt beside them"},
		{path: "list.csv", want: []string{"bee/1.png"}},
		{path: "wrong.csv", err: `label "2"`},
		{path: "odd", err: `class "cow" is none of the model's 2`},
	} {
		o := EvalOptions{Labels: labels}
		if test.truth != "" {
			o.Truth = filepath.Join(dir, test.truth)
		}
		s, err := OpenEval(filepath.Join(dir, test.path), o)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: error %v, want %q", test.path, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.path, err)
			continue
		}
		if d := cmp.Diff(test.want, list(s)); d != "" {
			t.Errorf("%s: %s", test.path, d)
		}
	}
}

func FuzzIDX(f *testing.F) {
	f.Add([]byte{0, 0, 8, 1, 0, 0, 0, 2, 1, 2})
	f.Add([]byte{0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7})
	f.Add([]byte{0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, dims := range []int{1, 3} {
			pixels, size, err := parseIDX(data, dims)
			if err == nil {
				n := 1
				for _, d := range size {
					n *= d
				}
				if n != len(pixels) {
					t.Errorf("%d bytes for %v", len(pixels), size)
				}
			}
		}
	})
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"path,label\na.png,dog\n", "a.png,1\nb.jpg,0", "\"a,b.png\",x", "a.png", "\n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if rows, err := readCSV(bytes.NewReader(data)); err == nil && len(rows) == 0 {
			t.Error("no rows and no error")
		}
		if rows, err := parseTruth(data); err == nil && len(rows) == 0 {
			t.Error("no truth and no error")
		}
	})
}
