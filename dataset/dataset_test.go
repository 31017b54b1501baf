package dataset

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// tree writes files: a PNG where the text is empty.
func tree(t testing.TB, files map[string]string) string {
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

// listed are a set's images as "class/file".
func listed(s *Set) []string {
	var out []string
	for _, it := range s.Items {
		out = append(out, s.Classes[it.Label]+"/"+filepath.Base(it.Name))
	}
	return out
}

// idx is a file with values of 1.
func idx(dims ...byte) string {
	s := []byte{0, 0, 8, byte(len(dims))}
	n := 1
	for _, d := range dims {
		s = append(s, 0, 0, 0, d)
		n *= int(d)
	}
	return string(append(s, bytes.Repeat([]byte{1}, n)...))
}

func TestOpen(t *testing.T) {
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
			files: map[string]string{
				"b/z.png": "", "b/deep/1.png": "", "b/.thumbs/z.png": "", "a/x.PNG": "", "a/.hidden.png": "", "a/text.txt": "x", ".git/y.png": "",
			},
			train: []string{"a/x.PNG", "b/z.png", "b/1.png"}, // as torchvision: the folder's own images first
		},
		"photos of trains": {
			files: map[string]string{"car/1.png": "", "train/1.png": "", "train/2.png": ""},
			train: []string{"car/1.png", "train/1.png", "train/2.png"},
		},
		"classes that differ in case": {
			files: map[string]string{"train/A/1.png": "", "train/a/2.png": "", "val/a/3.png": "", "val/A/4.png": ""},
			train: []string{"A/1.png", "a/2.png"}, val: []string{"A/4.png", "a/3.png"},
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
			files: map[string]string{"train.csv": "1.png,10\n2.png,9", "val.csv": "3.png,9", "1.png": "", "2.png": "", "3.png": ""},
			train: []string{"10/1.png", "9/2.png"}, val: []string{"9/3.png"},
		},
		"csv of a spreadsheet": {
			files: map[string]string{"list.csv": "\ufeff1.png,b\r\n2.png,B\r\n", "1.png": "", "2.png": ""}, path: "list.csv",
			train: []string{"b/1.png", "B/2.png"},
		},
		"csv of one column": {files: map[string]string{"list.csv": "1.png\n"}, path: "list.csv", err: `can't be understood: one column; want columns of path and label, named so in the first line; it begins "1.png"`},
		"mnist": {
			files: map[string]string{trainImages: idx(2, 4, 3), trainLabels + ".gz": zipped.String(), testImages: idx(1, 4, 3), testLabels: idx(1)},
			train: []string{"1/" + trainImages + " image 0", "1/" + trainImages + " image 1"}, val: []string{"1/" + testImages + " image 0"},
		},
		"mnist of unequal parts": {files: map[string]string{trainImages: idx(2, 4, 3), trainLabels: idx(3)}, err: "2 images and 3 labels"},
		"mnist cut short":        {files: map[string]string{trainImages: idx(2, 4, 3)[:20], trainLabels: idx(2)}, err: "4 bytes for dimensions [2 4 3]"},
		"mnist too long":         {files: map[string]string{trainImages: idx(2, 4, 3) + "x", trainLabels: idx(2)}, err: "more than the 24 bytes"},
		"mnist without width":    {files: map[string]string{trainImages: idx(2, 4, 0), trainLabels: idx(2)}, err: "0 pixels along dimension 2"},
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
			if d := cmp.Diff(test.train, listed(train)); d != "" {
				t.Error(d)
			}
			if test.val == nil {
				if val != nil {
					t.Error("there is a validation set")
				}
			} else if d := cmp.Diff(test.val, listed(val)); d != "" {
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
	if img, err := s.Image(t.Context(), 0); err != nil || img.W != 3 || img.H != 2 {
		t.Errorf("%v, %v", img, err)
	}
	if _, err := s.Image(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "2.png") {
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
		if d := cmp.Diff(listed(train), listed(again)); d != "" {
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

// TestOpenMNISTDivides opens IDX files without a test part.
func TestOpenMNISTDivides(t *testing.T) {
	dir := tree(t, map[string]string{trainImages: idx(8, 4, 3), trainLabels: idx(8)})
	train, val, err := Open(dir, Options{Val: 0.5})
	if err != nil || val == nil || len(val.Items) == 0 || len(train.Items)+len(val.Items) != 8 {
		t.Errorf("train %v, val %v, error %v: want 8 images in two parts", train, val, err)
	}
}

func TestOpenEval(t *testing.T) {
	dir := tree(t, map[string]string{
		"names/bee/1.png": "", "flat/1.png": "", "flat/2 b.png": "", "order.txt": "1\n0\n", "kinds.txt": "1\nant\n", "named.txt": "2 b.png\tbee\n", "short.txt": "1\n",
		"mixed.txt": "1.png ant\nbee\n", "split/train/bee/0.png": "", "split/test/bee/1.png": "", "lists/val.csv": "1.png,ANT\n", "lists/1.png": "",
		"ids/n02206856/b.png": "", "ids/n02219486/a.png": "", "list.csv": "names/bee/1.png,1\n", "ids.csv": "names/bee/1.png,n02206856\n",
		"wrong.csv": "names/bee/1.png,2\n", "odd/cow/1.png": "", "own/n00000002/b.png": "", "own/synsets.txt": "n00000001 x\nn00000002 y\n",
		"many/n00000002/b.png": "", "many/synsets.txt": "n00000001\nn00000002\nn00000003\nn00000004\n",
		"ILSVRC2012_validation_ground_truth.txt": "490\n361\n", "numbers.txt": "1000\n361\n", "indices.txt": "999\n0\n", "beyond.txt": "1000\n0\n",
		"caffe.txt": "1.png 65\n", "one.txt": "\ufeffbee\n", "val_ids.txt": "n01751748\nn09193705\n", "LOC_val_solution.csv": "ImageId,PredictionString\n2 b,n09193705 85 1 499 272 n09193705 1 2 3 4 \n1,n01751748 1 2 3 4 \n", "mnist/" + testImages: idx(1, 4, 3), "mnist/" + testLabels: idx(1),
		"learned/" + trainImages: idx(1, 4, 3), "learned/" + trainLabels: idx(1),
	})
	few := []string{"ant", "bee"}
	for _, test := range []struct {
		path, truth string
		labels      []string
		want        []string
		err         string
	}{
		{path: "names", labels: few, want: []string{"bee/1.png"}},
		{path: "split", labels: few, want: []string{"bee/1.png"}},
		{path: "lists", labels: few, want: []string{"ant/1.png"}},
		{path: "mnist", labels: few, err: `class "2" is none of the 2`},
		{path: "mnist", labels: ImageNetLabels(), want: []string{"goldfish/t10k-images-idx3-ubyte image 0"}},
		{path: "learned", labels: few, err: "no part to measure with, only train-images-idx3-ubyte"},
		{path: "own", truth: "one.txt", labels: few, err: "go with a flat folder"},
		{path: "flat", truth: "order.txt", labels: few, want: []string{"bee/1.png", "ant/2 b.png"}},
		{path: "flat", truth: "kinds.txt", labels: few, err: `line 2: class "ant" is the model's, but "1" is not of the same kind`},
		{path: "flat", truth: "named.txt", labels: few, want: []string{"bee/2 b.png"}},
		{path: "flat", truth: "short.txt", labels: few, err: "1 classes for the 2 images"},
		{path: "flat", truth: "mixed.txt", labels: few, err: `"bee": some lines have the name`},
		{path: "list.csv", labels: few, want: []string{"bee/1.png"}},
		{path: "wrong.csv", labels: few, err: `class "2"`},
		{path: "odd", labels: few, err: `class "cow" is none of the 2 classes (ant, bee)`},
		{path: "own", labels: few, want: []string{"bee/b.png"}},
		{path: "many", labels: few, err: "4 WordNet ids for a model of 2 classes"},

		// ImageNet: image 1 of the validation set is class 65, image 2 class 970.
		{path: "ids", labels: few, want: []string{"bee/b.png", "ant/a.png"}},
		{path: "ids", labels: ImageNetLabels(), want: []string{"bee/b.png", "ant/a.png"}},
		{path: "ids", labels: ImageNet1001Labels(), want: []string{"bee/b.png", "ant/a.png"}},
		{path: "ids.csv", labels: ImageNetLabels(), want: []string{"bee/1.png"}},
		{path: "flat", truth: "ILSVRC2012_validation_ground_truth.txt", labels: ImageNetLabels(), want: []string{"sea snake/1.png", "alp/2 b.png"}},
		{path: "flat", truth: "ILSVRC2012_validation_ground_truth.txt", labels: ImageNet1001Labels(), want: []string{"sea snake/1.png", "alp/2 b.png"}},
		{path: "flat", truth: "numbers.txt", labels: ImageNetLabels(), want: []string{"dumbbell/1.png", "alp/2 b.png"}},
		{path: "flat", truth: "indices.txt", labels: ImageNetLabels(), want: []string{"toilet tissue/1.png", "tench/2 b.png"}},
		{path: "flat", truth: "beyond.txt", labels: ImageNetLabels(), err: `class "1000"`},
		{path: "flat", truth: "caffe.txt", labels: ImageNetLabels(), want: []string{"sea snake/1.png"}},
		{path: "flat", truth: "LOC_val_solution.csv", labels: ImageNetLabels(), want: []string{"alp/2 b.png", "sea snake/1.png"}},
		{path: "flat", truth: "val_ids.txt", labels: ImageNetLabels(), want: []string{"sea snake/1.png", "alp/2 b.png"}},
	} {
		t.Run(fmt.Sprint(test.path, test.truth, len(test.labels)), func(t *testing.T) {
			o := EvalOptions{Labels: test.labels}
			if test.truth != "" {
				o.Truth = filepath.Join(dir, test.truth)
			}
			s, err := OpenEval(filepath.Join(dir, test.path), o)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), dir) {
					t.Fatalf("error %v, want the file and %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, listed(s)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestFashionMNIST checks that Debian's files are told by what is in them, in a
// folder of any name.
func TestFashionMNIST(t *testing.T) {
	const debian = "/usr/share/datasets/fashion-mnist"
	if !hasIDX(debian) {
		testenv.Skip(t, "fashion-mnist", "dataset-fashion-mnist is not installed")
	}
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Symlink(debian, dir); err != nil {
		t.Fatal(err)
	}
	train, test, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(fashion, train.Classes); d != "" {
		t.Error(d)
	}
	for _, s := range []*Set{train, test} {
		for c, n := range s.Counts() {
			if n != len(s.Items)/10 {
				t.Errorf("%d of %d images in class %d", n, len(s.Items), c)
			}
		}
	}
	if img, err := test.Image(t.Context(), 0); err != nil || img.W != 28 || img.H != 28 || train.Classes[test.Items[0].Label] != "Ankle boot" {
		t.Errorf("%v, %v", img, err)
	}
}

func FuzzIDX(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, dims := range []int{1, 3} {
			pixels, size, err := parseIDX(bytes.NewReader(data), dims)
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

// Tables that are understood have images with labels, and the sets made of them have
// each image once.
func FuzzCSV(f *testing.F) {
	dir := tree(f, map[string]string{"cat/1.png": "", "cat/2.png": "", "dog/caf\u00e9.png": "", "list.csv": "x"})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) (*listing, error){parseTable, parseTruth} {
			l, err := parse(slices.Clone(data))
			if err != nil {
				if text := err.Error(); len(text) > 2000 || strings.ContainsFunc(text, unicode.IsControl) {
					t.Errorf("error %q", text)
				}
				continue
			}
			if len(l.rows) == 0 {
				t.Fatal("no rows and no error")
			}
			for _, r := range l.rows {
				if l.labels[r.label] == "" || int(r.line) < 1 || int(r.line) > 1+bytes.Count(data, []byte("\n"))+bytes.Count(data, []byte("\r")) {
					t.Errorf("%+v of %q", r, l.labels)
				}
			}
			found, err := newFinder(dir, filepath.Join(dir, "list.csv"), l.rows)
			if err != nil {
				continue
			}
			s, err := l.set(l.rows, found)
			if err != nil {
				continue
			}
			once := map[string]bool{}
			for _, it := range s.Items {
				if once[it.Name] || s.Classes[it.Label] == "" {
					t.Errorf("%+v of %q", it, s.Classes)
				}
				once[it.Name] = true
			}
		}
	})
}

// Folders with files of any names give sets of these files, or an error that names
// the folder.
func FuzzFolders(f *testing.F) {
	f.Fuzz(func(t *testing.T, names string) {
		dir := t.TempDir()
		n := 0
		for name := range strings.Lines(names) {
			name = strings.TrimSuffix(name, "\n")
			if path := filepath.Join(dir, name); n < 20 && len(name) < 100 && filepath.IsLocal(name) {
				if os.MkdirAll(filepath.Dir(path), 0o755) == nil && os.WriteFile(path, []byte("%PDF-"), 0o644) == nil {
					n++
				}
			}
		}
		train, val, err := Open(dir, Options{})
		if err != nil && !strings.Contains(err.Error(), dir) {
			t.Errorf("error %v", err)
		}
		measured, err := OpenEval(dir, EvalOptions{Classes: 2})
		if err != nil && !strings.Contains(err.Error(), dir) {
			t.Errorf("error %v", err)
		}
		for _, s := range []*Set{train, val, measured} {
			if s == nil {
				continue
			}
			if len(s.Items) == 0 || len(s.Items) > n {
				t.Errorf("%d images of %d files", len(s.Items), n)
			}
			for _, it := range s.Items {
				if s.Classes[it.Label] == "" || !exists(it.Name) || Hidden(filepath.Base(it.Name)) {
					t.Errorf("%+v of %q", it, s.Classes)
				}
			}
		}
	})
}
