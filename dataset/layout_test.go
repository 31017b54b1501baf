package dataset

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// notes are a set's without the folder of the test.
func notes(dir string, sets ...*Set) (out []string) {
	for _, s := range sets {
		if s == nil {
			continue
		}
		for _, n := range s.Notes {
			out = append(out, strings.TrimPrefix(strings.TrimPrefix(strings.ReplaceAll(n, dir+string(filepath.Separator), ""), dir), ": "))
		}
	}
	return out
}

func TestPartOf(t *testing.T) {
	for name, want := range map[string]string{
		"train": "train", "Train": "train", "TRAINING": "train", "training_set": "train", "train-images": "train", "seg_train": "train",
		"val": "val", "Valid": "val", "Validation": "val", "val_split": "val",
		"test": "test", "testing": "test", "Test Data": "test",
		"trains": "", "training_val": "", "train_test": "", "testament": "", "set": "", "": "", "invalid": "", "cat_test": "",
	} {
		if got := partOf(name); got != want {
			t.Errorf("%q is part %q, want %q", name, got, want)
		}
	}
}

// TestLayouts opens folders as people have them.
func TestLayouts(t *testing.T) {
	cat, both := []string{"cat/1.png"}, []string{"cat/1.png", "dog/2.png"}
	two := func(dir string) map[string]string {
		return map[string]string{dir + "/cat/1.png": "", dir + "/dog/2.png": ""}
	}
	join := func(all ...map[string]string) map[string]string {
		out := map[string]string{}
		for _, m := range all {
			maps.Copy(out, m)
		}
		return out
	}
	for name, test := range map[string]struct {
		files      map[string]string
		train, val []string
		notes      []string
		err        string
	}{
		"capital letters": {files: join(two("Train"), two("Val")), train: both, val: both},
		"Keras":           {files: join(two("train"), two("validation")), train: both, val: both},
		"Roboflow": {
			files: join(two("train"), two("valid"), two("test"), map[string]string{"README.dataset.txt": "x"}), train: both, val: both,
			notes: []string{"not used: test/"},
		},
		"training and testing": {
			files: join(two("training"), two("testing")), train: both, val: both,
			notes: []string{"validated with testing/, for there is no val part"},
		},
		"long names": {files: join(two("training_set"), two("Validation Set")), train: both, val: both},
		"packed twice": {
			files: join(two("seg_train/seg_train"), two("seg_test/seg_test"), map[string]string{"seg_pred/seg_pred/9.png": ""}), train: both, val: both,
			notes: []string{"not used: seg_pred/ beside seg_train/ and seg_test/", "validated with seg_test/, for there is no val part"},
		},
		"train alone":       {files: two("train"), train: both},
		"test has no names": {files: join(two("train"), map[string]string{"test/9.png": ""}), train: both, notes: []string{"not used: test/, whose images lie in no class's folder"}},
		"junk": {
			files: join(two("train"), two("val"), map[string]string{"__MACOSX/train/cat/._1.png": "", ".git/x.png": "", "train/cat/Thumbs.db": "x", "train/@eaDir/1.png": ""}),
			train: both, val: both,
		},
		"class without images in val": {
			files: join(two("train"), map[string]string{"val/cat/1.png": "", "val/dog/x.txt": "x"}), train: both, val: cat,
			notes: []string{"val: class \"dog\" has no images"},
		},
		"Roboflow's table": {
			files: map[string]string{
				"train/1.png": "", "train/2.png": "", "valid/3.png": "",
				"train/_classes.csv": "filename, cat, dog\n1.png, 1, 0\n2.png, 0, 1\n", "valid/_classes.csv": "filename, cat, dog\n3.png, 0, 1\n",
			},
			train: both, val: []string{"dog/3.png"},
			notes: []string{
				`train/_classes.csv: the paths are in column "filename", the classes are the columns of 0 and 1 (cat, dog)`,
				`valid/_classes.csv: the paths are in column "filename", the classes are the columns of 0 and 1 (cat, dog)`,
			},
		},
		"a table beside images": {
			files: map[string]string{"1.png": "", "2.png": "", "metadata.csv": "file_name,label\n1.png,cat\n2.png,dog\n", "other.csv": "x"},
			train: both, notes: []string{"metadata.csv: the images are those of the table"},
		},
		"a table beside the folder of images": {
			files: map[string]string{"images/1.png": "", "images/2.png": "", "list.csv": "id,breed\n1,cat\n2,dog\n"}, train: both,
			notes: []string{
				"list.csv: the paths are those of files in images; names without endings are those of images such as images/1.png",
				"list.csv: the images are those of the table",
			},
		},
		"Kaggle": {
			files: map[string]string{
				"train_images/1.png": "", "train_images/2.png": "", "test_images/3.png": "",
				"train.csv": "image_id,label\n1.png,cat\n2.png,dog\n", "test.csv": "image_id\n3.png\n", "sample_submission.csv": "image_id,label\n3.png,cat\n",
			},
			train: both, notes: []string{"train.csv: the paths are those of files in train_images", "not used: test.csv, which has no classes"},
		},
		"Kaggle's folders without classes": {
			files: map[string]string{"train/1.png": "", "train/2.png": "", "test/3.png": "", "labels.csv": "id,breed\n1,cat\n2,dog\n", "sample_submission.csv": "id,cat,dog\n3,0.5,0.5\n"},
			train: both,
			notes: []string{
				"labels.csv: the paths are those of files in train; names without endings are those of images such as train/1.png",
				"labels.csv: the images are those of the table",
			},
		},
		"tables of parts": {
			files: map[string]string{"1.png": "", "2.png": "", "Training.CSV": "path,label\n1.png,cat\n2.png,dog\n", "valid.csv": "path,label\n2.png,dog\n"},
			train: both, val: []string{"dog/2.png"}, notes: []string{"trained and validated with: 1 image"},
		},
		"valid and invalid":  {files: map[string]string{"valid/1.png": "", "invalid/2.png": ""}, train: []string{"invalid/2.png", "valid/1.png"}, notes: []string{"taken for a class: valid/, which has no folders in it"}},
		"a class of trains":  {files: map[string]string{"train/1.png": "", "car/2.png": ""}, train: []string{"car/2.png", "train/1.png"}, notes: []string{"taken for a class: train/, which has no folders in it"}},
		"images in no class": {files: join(two("."), map[string]string{"3.png": "", "list.csv": "x"}), train: both, notes: []string{"not used: 1 image in no class's folder", "the classes are the folders; not read: list.csv"}},
		"folders in a class": {files: map[string]string{"cat/old/1.png": "", "cat/new/3.png": "", "dog/2.png": ""}, train: []string{"cat/3.png", "cat/1.png", "dog/2.png"}, notes: []string{`class "cat" has its images in folders of its own (new, old)`}},

		"parts without classes":     {files: map[string]string{"train/1.png": "", "test/2.png": ""}, err: "only test/ and train/, without folders of classes"},
		"one part without classes":  {files: map[string]string{"training/1.png": ""}, err: "only training/, without folders of classes"},
		"train without classes":     {files: join(two("val"), map[string]string{"train/1.png": ""}), err: "train/ has 1 image, but no folder per class as val/ has"},
		"a class beside parts":      {files: join(two("train"), two("val"), map[string]string{"dog/1.png": ""}), err: "dog/ holds images itself, but lies beside parts of a data set (train/ and val/): move it into one, or away"},
		"a part beside classes":     {files: join(two("."), map[string]string{"test/1.png": ""}), err: "test/ is called as a part of a data set, but lies beside classes (cat/, dog/)"},
		"two of a part":             {files: join(two("val"), two("valid"), two("train")), err: "val/ and valid/ are both the val part"},
		"two tables of a part":      {files: map[string]string{"train.csv": "", "Train.tsv": ""}, err: "Train.tsv and train.csv are both the train part"},
		"only val":                  {files: two("val"), err: "no train part, only val/; to use that all the same give "},
		"one folder above":          {files: two("pets"), err: "one folder, pets/, with others in it (cat, dog): give "},
		"one folder above parts":    {files: join(two("pets/train"), two("pets/val")), err: "one folder, pets/, with others in it (train, val): give "},
		"parts in classes":          {files: map[string]string{"cat/train/1.png": "", "cat/val/2.png": "", "dog/train/3.png": ""}, err: "cat: a class that holds parts of a data set (train, val): want them above the classes, train/cat/ and val/cat/"},
		"boxes":                     {files: map[string]string{"train/images/1.png": "", "train/labels/1.txt": "x"}, err: "images/ and labels/ are data for finding objects"},
		"boxes above":               {files: map[string]string{"images/train/1.png": "", "labels/train/1.txt": "x"}, err: "images/ and labels/ are data for finding objects"},
		"images alone":              {files: map[string]string{"1.png": "", "2.png": ""}, err: "2 images, but no folders that say what is in them"},
		"several tables":            {files: map[string]string{"1.png": "", "a.csv": "", "b.csv": ""}, err: "several tables (a.csv, b.csv): name the one that lists the images"},
		"escape sequences":          {files: map[string]string{"\x1b[31mcat/1.png": "", "dog/1.png": ""}, err: `the folder "\x1b[31mcat" would be a class whose name can't be shown`},
		"Latin-1":                   {files: map[string]string{"B\xe4r/1.png": "", "dog/1.png": ""}, err: `the folder "B\xe4r" would be a class whose name can't be shown`},
		"a name in two forms":       {files: map[string]string{"caf\u00e9/1.png": "", "cafe\u0301/2.png": ""}, err: `two folders are called "café"`},
		"class of another kind":     {files: map[string]string{"cat/1.png": "", "dog/1.xyz": heic, "dog/2.xyz": heic}, err: `class "dog" has no images that are read, but others: 2 files such as `},
		"an unknown class in val":   {files: join(two("train"), map[string]string{"val/cow/1.png": ""}), err: `val: class "cow" is not among the 2 of the training images`},
		"an unknown class in a csv": {files: map[string]string{"1.png": "", "train.csv": "path,label\n1.png,cat\n", "val.csv": "path,label\n1.png,0\n"}, err: `val.csv: line 2: class "0" is not among the 1`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, test.files)
			train, val, err := Open(dir, Options{})
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
				t.Error("train:", d)
			}
			if val == nil && test.val != nil || val != nil && !slices.Equal(test.val, listed(val)) {
				t.Errorf("val: %v, want %q", val, test.val)
			}
			if d := cmp.Diff(test.notes, notes(dir, train, val)); d != "" {
				t.Error("notes:", d)
			}
		})
	}
}

// TestComposed trains and measures with names whose accents are written in different
// ways, as macOS and others do.
func TestComposed(t *testing.T) {
	dir := tree(t, map[string]string{
		"train/caf\u00e9/1.png": "", "val/cafe\u0301/2.png": "", "train.csv": "", "list.csv": "train/cafe\u0301/1.png,cafe\u0301\n",
	})
	if err := os.Remove(filepath.Join(dir, "train.csv")); err != nil {
		t.Fatal(err)
	}
	train, val, err := Open(dir, Options{})
	if err != nil || len(val.Items) != 1 || train.Classes[val.Items[0].Label] != "caf\u00e9" {
		t.Errorf("%v %v: %v", train, val, err)
	}
	// A file's name in a table need not be in the form that the disk has.
	train, _, err = Open(filepath.Join(dir, "list.csv"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"caf\u00e9/1.png"}, listed(train)); d != "" {
		t.Error(d)
	}
	if img, err := train.Image(t.Context(), 0); err != nil || img.W != 3 {
		t.Error(err)
	}
	for _, labels := range [][]string{{"cafe\u0301"}, {"CAF\u00c9"}} {
		if _, err := OpenEval(dir, EvalOptions{Labels: labels}); err != nil {
			t.Errorf("%q: %v", labels, err)
		}
	}
}

// TestParts opens each part to measure with.
func TestParts(t *testing.T) {
	dir := tree(t, map[string]string{
		"all/train/cat/1.png": "", "all/val/cat/2.png": "", "all/test/cat/3.png": "", "two/train/cat/1.png": "", "two/Testing/cat/3.png": "", "one/train/cat/1.png": "",
		"whole/cat/1.png": "", "list.csv": "path,label,split\nall/train/cat/1.png,cat,train\nall/val/cat/2.png,cat,Validation\nall/test/cat/3.png,cat,test\n",
	})
	for _, test := range []struct{ path, part, want, err string }{
		{"all", "", "cat/2.png", ""},
		{"all", "train", "cat/1.png", ""},
		{"all", "val", "cat/2.png", ""},
		{"all", "test", "cat/3.png", ""},
		{"two", "", "cat/3.png", ""},
		{"two", "val", "", "no val part, only train/ and Testing/"},
		{"one", "", "", "no part to measure with, only train/, and what a model was trained with says little about it; to use that all the same give "},
		{"one", "train", "cat/1.png", ""},
		{"whole", "", "cat/1.png", ""},
		{"whole", "test", "", "no test part, only the whole"},
		{"list.csv", "", "cat/2.png", ""},
		{"list.csv", "test", "cat/3.png", ""},
		{"list.csv", "dev", "", `part "dev": want train, val or test`},
	} {
		s, err := OpenEval(filepath.Join(dir, test.path), EvalOptions{Part: test.part, Labels: []string{"cat"}})
		switch {
		case test.err != "":
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s %s: error %v, want %q", test.path, test.part, err, test.err)
			}
		case err != nil || !slices.Equal(listed(s), []string{test.want}):
			t.Errorf("%s %s: %v, %v; want %s", test.path, test.part, s, err, test.want)
		}
	}
}

// heic is what a HEIC file begins with.
const heic = "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"

// TestImages lists a folder with everything that people's have.
func TestImages(t *testing.T) {
	dir := tree(t, map[string]string{
		"b.png": "", "a.JPG": "x", "c.jpe": "x", "no_ending": "", "wrong.dat": "", "a b/1.png": "", "a/1.png": "", "a/b/2.png": "",
		"photo.heic": heic, "IMG_2": heic, "scan.pdf": "%PDF-1.4", "clip.mp4": "\x00\x00\x00\x18ftypisom", "text.txt": "x", "boxes.json": "{}", "Thumbs.db": "\xd0\xcf\x11\xe0",
		".hidden.png": "", ".dir/1.png": "", "._x.jpg": "", "__MACOSX/1.png": "", "@eaDir/1.png": "", ".DS_Store": "x", "elsewhere/5.png": "",
	})
	for link, to := range map[string]string{"loop": ".", "a/up": "..", "link.png": "b.png", "gone.png": "nowhere.png", "gone": "nowhere", "z": "elsewhere", "zz": "elsewhere"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	paths, skipped, err := Images(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range paths {
		paths[i] = strings.TrimPrefix(paths[i], dir+"/")
	}
	want := []string{
		"a.JPG", "b.png", "c.jpe", "gone.png", "link.png", "no_ending", "wrong.dat", "a/1.png", "a b/1.png", "a/b/2.png", "elsewhere/5.png", "z/5.png",
	}
	slices.Sort(want[:7])
	if d := cmp.Diff(want, paths); d != "" {
		t.Error(d)
	}
	kinds := map[string]int{}
	for _, k := range skipped {
		kinds[k.Kind] = k.Count
		if !strings.HasPrefix(k.First, dir) {
			t.Errorf("%v", k)
		}
	}
	if d := cmp.Diff(map[string]int{"HEIC": 2, "PDF": 1, "MPEG-4 video": 1}, kinds); d != "" {
		t.Error(d)
	}
}

// TestCircularClass refuses a link among the classes that leads to them or above, and
// takes one that leads elsewhere.
func TestCircularClass(t *testing.T) {
	dir := tree(t, map[string]string{"top/data/a/1.png": "", "top/data/b/2.png": "", "top/else/3.png": "", "top/parts/train/a/1.png": "", "top/parts/val/a/1.png": ""})
	at := filepath.Join(dir, "top", "data")
	for to, refused := range map[string]bool{".": true, "..": true, "../../top": true, dir: true, "../data/../data": true, "../else": false, "a": false} {
		link := filepath.Join(at, "loop")
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
		for what, open := range map[string]func() (*Set, error){
			"train": func() (*Set, error) { s, _, err := Open(at, Options{}); return s, err },
			"val":   func() (*Set, error) { return OpenEval(at, EvalOptions{Labels: []string{"a", "b", "loop"}}) },
		} {
			s, err := open()
			switch {
			case refused && (err == nil || !strings.Contains(err.Error(), link+": a link to the folder that it is in, or to one above")):
				t.Errorf("%s, link to %s: %v", what, to, err)
			case !refused && (err != nil || len(s.Items) != 3):
				t.Errorf("%s, link to %s: %v", what, to, err)
			}
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "top", "parts", "train", "loop")
	if err := os.Symlink("../..", link); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(filepath.Join(dir, "top", "parts"), Options{}); err == nil || !strings.Contains(err.Error(), link) {
		t.Errorf("in a part: %v", err)
	}
}

// TestAlike tells of classes that are called alike.
func TestAlike(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("file systems of other systems take these names for one")
	}
	dir := tree(t, map[string]string{"cat/1.png": "", "cat /2.png": "", "big dog/3.png": "", "Big_Dog/4.png": "", "bigdog/5.png": ""})
	s, _, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`classes whose names differ in capital letters, spaces or underscores alone: "Big_Dog" and "big dog", "cat" and "cat "`}
	if d := cmp.Diff(want, notes(dir, s)); d != "" {
		t.Error(d)
	}
}

// TestSkipped checks that what a set leaves out is counted over its classes.
func TestSkipped(t *testing.T) {
	dir := tree(t, map[string]string{"a/1.png": "", "a/2.heic": heic, "b/1.png": "", "b/2.heic": heic})
	train, val, err := Open(dir, Options{Val: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	want := []Skipped{{"HEIC", 2, filepath.Join(dir, "a", "2.heic")}}
	if d := cmp.Diff(want, train.Skipped); d != "" || val != nil {
		t.Error(d, val)
	}
	s, err := OpenEval(dir, EvalOptions{Labels: []string{"a", "b"}})
	if d := cmp.Diff(want, s.Skipped); d != "" || err != nil {
		t.Error(d, err)
	}
	if got, want := want[0].String(), "2 files such as "+want[0].First+": HEIC, which is not read"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
