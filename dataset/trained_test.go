package dataset

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet/fault"
)

// photosOf writes files with content of their own and opens them as a folder of
// classes.
func photosOf(t *testing.T, names ...string) (dir string, s *Set) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("P5\n1 1\n255\n"+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, _, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return dir, s
}

func TestDivision(t *testing.T) {
	dir, all := photosOf(t, "ant/1.pgm", "ant/2.pgm", "ant/3.pgm", "bee/1.pgm", "bee/2.pgm")
	train, val, err := all.Split(0.4, 1)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Divide(t.Context(), train, val)
	if err != nil {
		t.Fatal(err)
	}
	if s := d.Shared(); s != nil {
		t.Errorf("in both parts: %v", s)
	}
	if twice, err := Divide(t.Context(), all, val); err == nil {
		if held, err := twice.Part(t.Context(), all, "val"); err != nil || len(held.Items) != len(val.Items) || held.Copies != len(val.Items) {
			t.Errorf("%+v were held out, though trained with, too; error %v", held, err)
		}
		if held, err := twice.Part(t.Context(), all, "new"); err != nil || len(held.Items) != 0 || held.Others != len(all.Items) {
			t.Errorf("%+v count as new, though all were trained with; error %v", held, err)
		}
	}
	if twice, err := Divide(t.Context(), all, val); err != nil || len(twice.Shared()) != len(val.Items) {
		t.Errorf("in both parts: %v, error %v", twice.Shared(), err)
	}
	file := filepath.Join(t.TempDir(), "split.csv")
	var text bytes.Buffer
	if err := d.Write(&text); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if d, err = ReadDivision(file); err != nil {
		t.Fatal(err)
	}

	// The file is data that comes divided.
	train2, val2, err := Open(file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{listed(train), listed(val)}, [][]string{listed(train2), listed(val2)}); diff != "" {
		t.Errorf("-divided +opened:\n%s", diff)
	}

	// Moved, renamed and among new ones the images are still known.
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	was := strings.Replace(train.Items[0].Name, dir, moved, 1)
	if err := os.Rename(was, filepath.Join(filepath.Dir(was), "renamed.pgm")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(moved, "bee", "new.pgm"), []byte("P5\n1 1\n255\nnew"), 0o644); err != nil {
		t.Fatal(err)
	}
	again, _, err := Open(moved, Options{})
	if err != nil {
		t.Fatal(err)
	}
	trained, err := d.Part(t.Context(), again, "train")
	if err != nil || len(trained.Items) != len(train.Items) || trained.Others != len(val.Items)+1 || trained.Copies != len(train.Items) {
		t.Errorf("%+v were trained with; error %v", trained, err)
	}
	held, err := d.Part(t.Context(), again, "val")
	if err != nil || held.Others != len(train.Items) || held.Copies != 0 {
		t.Errorf("%+v were held out; error %v", held, err)
	}
	if diff := cmp.Diff(append(listed(val), "bee/new.pgm"), listed(held.Set)); diff != "" {
		t.Errorf("-held out +found:\n%s", diff)
	}
	if _, err := d.Part(t.Context(), again, "test"); err == nil {
		t.Error("no error for another part")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Part(ctx, again, "val"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if gone, err := Divide(t.Context(), train, nil); err != nil || len(gone.rows) != 0 {
		t.Errorf("%d images that are gone; error %v", len(gone.rows), err)
	}
}

// TestContradictions: of images of the same content, in either part, those are named
// that have several labels.
func TestContradictions(t *testing.T) {
	dir, _ := photosOf(t, "ant/1.pgm", "ant/2.pgm", "bee/3.pgm", "bee/4.pgm")
	for from, to := range map[string]string{"ant/1.pgm": "bee/1.pgm", "ant/2.pgm": "ant/copy.pgm"} {
		data, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all, _, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := Divide(t.Context(), all, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Copy{{filepath.Join(dir, "bee", "1.pgm"), "bee", filepath.Join(dir, "ant", "1.pgm"), "ant"}}
	if diff := cmp.Diff(want, d.Contradictions()); diff != "" {
		t.Errorf("-want +found:\n%s", diff)
	}
}

// TestDivisionNames: files of any name are found again in a division's file, and of
// ordinary names it says what the same table does that somebody else made.
func TestDivisionNames(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		t.Skip("such names can't be there")
	}
	names := []string{"ant/a\nb.pgm", "ant/a\rb.pgm", "ant/a\r\nb.pgm", "ant/\x1b[31m.pgm", "ant/\"q\",.pgm", "bee/\xff.pgm", "bee/ c.pgm", "bee/d.pgm"}
	_, all := photosOf(t, names...)
	d, err := Divide(t.Context(), nil, all)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := d.Write(&text); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "split.csv")
	if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := OpenEval(file, EvalOptions{Labels: []string{"ant", "bee"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(listed(all), listed(again)); diff != "" || len(again.Items) != len(names) {
		t.Errorf("-held out +opened:\n%s", diff)
	}

	const ordinary = "path,label,split,content\n/a/1.png,ant,train,0123456789abcdef0123456789abcdef\n/a/2.png,bee,val,ffffffffffffffffffffffffffffffff\n"
	ours, err := parseTable([]byte(ordinary))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := parseTable([]byte(strings.ReplaceAll(ordinary, ",", ";")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(theirs, ours, cmp.AllowUnexported(listing{}, row{})); diff != "" {
		t.Errorf("-somebody's +ours:\n%s", diff)
	}
}

// TestBrokenCopies: files that can't be read are copies of nothing, whatever they hold.
func TestBrokenCopies(t *testing.T) {
	dir, _ := photosOf(t, "ant/1.pgm", "ant/2.pgm", "bee/3.pgm", "bee/4.pgm")
	for _, name := range []string{"ant/1.pgm", "ant/cut.pgm", "bee/3.pgm", "bee/cut.pgm"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("P5\n9 9\n255\ncut"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all, _, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := Divide(t.Context(), all, all)
	if err != nil {
		t.Fatal(err)
	}
	if c := d.Contradictions(); c != nil {
		t.Errorf("in several classes: %v", c)
	}
	want := []string{filepath.Join(dir, "ant", "2.pgm"), filepath.Join(dir, "bee", "4.pgm")}
	var shared []string
	for _, c := range d.Shared() {
		shared = append(shared, c.Path)
	}
	if diff := cmp.Diff(want, shared); diff != "" {
		t.Errorf("in both parts: -want +found:\n%s", diff)
	}
	only := &Set{Classes: all.Classes, Items: all.Items[:1]} // a broken one, which is there once
	if d, err = Divide(t.Context(), only, nil); err != nil {
		t.Fatal(err)
	}
	if known, err := d.Known(t.Context(), all); err != nil || known != nil {
		t.Errorf("known: %q; error %v", known, err)
	}
}

// TestDivisionChanged: photos that were moved are the same, those of other content are
// named, and what is new or gone is not. Those that are the same get their new paths.
func TestDivisionChanged(t *testing.T) {
	dir, all := photosOf(t, "ant/1.pgm", "ant/2.pgm", "ant/3.pgm", "bee/1.pgm")
	was, err := Divide(t.Context(), all, nil)
	if err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ant/2.pgm", "bee/new.pgm"} {
		if err := os.WriteFile(filepath.Join(moved, name), []byte("P5\n1 1\n255\nnew"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(moved, "ant", "3.pgm")); err != nil {
		t.Fatal(err)
	}
	again, _, err := Open(moved, Options{})
	if err != nil {
		t.Fatal(err)
	}
	is, err := Divide(t.Context(), again, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Join(moved, "ant", "2.pgm")}, is.Changed(was)); diff != "" {
		t.Errorf("-changed +found:\n%s", diff)
	}
	var paths []string
	for _, r := range was.Moved(is).rows {
		paths = append(paths, r.path)
	}
	want := []string{filepath.Join(moved, "ant", "1.pgm"), filepath.Join(dir, "ant", "2.pgm"), filepath.Join(dir, "ant", "3.pgm"), filepath.Join(moved, "bee", "1.pgm")}
	if diff := cmp.Diff(want, paths); diff != "" || was.rows[0].path != filepath.Join(dir, "ant", "1.pgm") {
		t.Errorf("-moved +found:\n%s", diff)
	}
	known, err := was.Known(t.Context(), again)
	if want := []string{again.Items[0].Name, again.Items[2].Name}; err != nil || !cmp.Equal(want, known) {
		t.Errorf("known: %q, want %q; error %v", known, want, err)
	}
}

// TestDigest checks that one byte more or less of an image is noticed, wherever it
// matters.
func TestDigest(t *testing.T) {
	digest := func(data []byte) digest {
		d, err := digestOf(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, magic := range []string{"P6", "BM", "\xff\xd8\xff", "\x89PNG\r\n\x1a\n"} {
		data := append([]byte(magic), make([]byte, 3*digestHead)...)
		first := digest(data)
		changes := []int{len(magic), digestHead - 1, len(data) - digestTail, len(data) - 1}
		if !isCompressed(data) {
			changes = append(changes, digestHead, 2*digestHead)
		}
		for _, at := range changes {
			data[at] = 1
			if digest(data) == first {
				t.Errorf("%q: byte %d is not noticed", magic, at)
			}
			data[at] = 0
		}
		if digest(data[:len(data)-1]) == first || digest(data) != first {
			t.Errorf("%q: the size is not noticed", magic)
		}
	}
}

func TestReadDivisionRejects(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"path,label,split,content\na,b,test,00\n":                                    `line 2: "test" in the column of parts`,
		"path,label,split,content\na,b,val,00\n":                                     `line 2: "00": want a digest`,
		"path,label,split,content\na,b,val,0123456789abcdef0123456789abcdef00\n":     "want a digest",
		"path,label,split,content\na,b,val,0123456789abcdef0123456789abcdeg\n":       "want a digest",
		"path,label,split,content\na,b,val\n":                                        "line 2: 3 columns",
		"path,label,split,content\n\n\"a\nb\",\"c,val,0\n":                           "line 3: a quote that nothing closes",
		"path,label,split,content\na,b,val,0123456789abcdef0123456789abcdef,extra\n": "line 2",
	} {
		path := filepath.Join(dir, "split.csv")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := ReadDivision(path)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.File != path || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	other := filepath.Join(dir, "other.csv")
	if err := os.WriteFile(other, []byte("id,split\n1,train\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{other, filepath.Join(dir, "absent.csv")} {
		if d, err := ReadDivision(path); d != nil || err != nil {
			t.Errorf("%s: %v, %v", path, d, err)
		}
	}
}

// FuzzDivision reads any bytes; what it accepts it writes so that the same is read.
func FuzzDivision(f *testing.F) {
	f.Add([]byte("path,label,split,content\n/a/1.png,ant,train,0123456789abcdef0123456789abcdef\n\"/a\n2\",\"a\"\"b\",val,ffffffffffffffffffffffffffffffff\n"))
	f.Add([]byte("path,label,split,content\n"))
	f.Add([]byte("path,label,split,content\na,b,train,00\n"))
	f.Add([]byte("path,label\na,b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parseDivision(data)
		if err != nil || d == nil {
			return
		}
		var text bytes.Buffer
		if err := d.Write(&text); err != nil {
			t.Fatal(err)
		}
		again, err := parseDivision(text.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, again, cmp.AllowUnexported(Division{}, divided{}, side{})); diff != "" {
			t.Errorf("-read +read again:\n%s", diff)
		}
	})
}
