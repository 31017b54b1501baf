package duplicates

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet/fault"
)

// tree is the files below dir: their contents by name.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(dir, path)
			all[filepath.ToSlash(rel)] = string(data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func names(files map[string]string) []string {
	var all []string
	for name := range files {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	if !slices.Equal(names(got), names(want)) {
		t.Errorf("files %q, want %q", names(got), names(want))
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s changed", name)
		}
	}
}

// do makes changes and returns those that failed.
func do(t *testing.T, changes []Change, log *bytes.Buffer) (failed []string) {
	t.Helper()
	err := Do(t.Context(), changes, log, func(c Change, err error) {
		if err != nil {
			failed = append(failed, filepath.Base(c.Path)+": "+err.Error())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return failed
}

// undo takes a log back, and counts the changes that were left.
func undo(t *testing.T, log *bytes.Buffer) (done int) {
	t.Helper()
	err := Undo(t.Context(), bytes.NewReader(log.Bytes()), func(c Change, err error) {
		if err == nil {
			done++
		} else if !errors.Is(err, ErrUndone) {
			t.Errorf("%s: %v", c.Path, err)
		}
	})
	if err != nil {
		t.Error(err)
	}
	return done
}

func TestMoveAndUndo(t *testing.T) {
	dir, paths := folder(t)
	out := filepath.Join(t.TempDir(), "out")
	before := tree(t, dir)
	r, err := finder().Find(t.Context(), paths)
	if err != nil {
		t.Fatal(err)
	}
	// A name that is taken is not overwritten.
	if err := os.MkdirAll(out, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, "a.png"), []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	moves, left := r.Moves(out, []string{dir})
	if left != 0 {
		t.Errorf("%d left", left)
	}
	var log bytes.Buffer
	if failed := do(t, moves, &log); failed != nil {
		t.Errorf("failed: %q", failed)
	}
	if got, want := names(tree(t, out)), []string{"a.png", "a~2.png", "b.png", "broken2.png", "d.jpg"}; !slices.Equal(got, want) {
		t.Errorf("moved: %q, want %q", got, want)
	}
	if got, want := names(tree(t, dir)), []string{"broken1.png", "c.png", "z.png"}; !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
	for _, want := range []int{len(moves), 0} { // again does nothing, and says so
		if done := undo(t, &log); done != want {
			t.Errorf("%d taken back, want %d", done, want)
		}
		same(t, tree(t, dir), before)
		same(t, tree(t, out), map[string]string{"a.png": "mine"})
	}
}

// Where a file stands in the way, or a name is too long, nothing is moved, and that is said.
func TestMoveNowhere(t *testing.T) {
	dir, paths := folder(t)
	before := tree(t, dir)
	r, err := finder().Find(t.Context(), paths)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{file, filepath.Join(t.TempDir(), strings.Repeat("long", 1000))} {
		moves, _ := r.Moves(out, []string{dir})
		var log bytes.Buffer
		if failed := do(t, moves, &log); len(failed) != len(moves) || len(moves) == 0 {
			t.Errorf("of %d moves failed %q", len(moves), failed)
		}
		same(t, tree(t, dir), before)
	}
}

func TestLinkAndUndo(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes")
	}
	dir, paths := folder(t)
	old := time.Unix(1e9, 0)
	if err := os.Chmod(paths[1], 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(paths[1], old, old); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	r, err := finder().Find(t.Context(), paths)
	if err != nil {
		t.Fatal(err)
	}
	links, left := r.Hardlinks()
	if len(links) != 2 || left != 2 { // b.png to a.png, broken2.png to broken1.png; not a.png and d.jpg to c.png
		t.Fatalf("%v, %d left", links, left)
	}
	var log bytes.Buffer
	if failed := do(t, links, &log); failed != nil {
		t.Errorf("failed: %q", failed)
	}
	same(t, tree(t, dir), before)
	one := func() bool {
		a, err1 := os.Stat(paths[0])
		b, err2 := os.Stat(paths[1])
		return err1 == nil && err2 == nil && os.SameFile(a, b)
	}
	if !one() {
		t.Error("b.png is a file of its own")
	}
	for range 2 {
		undo(t, &log)
		same(t, tree(t, dir), before)
		if one() {
			t.Error("b.png is still a.png")
		}
		info, err := os.Stat(paths[1])
		if err != nil || info.Mode().Perm() != 0o640 || !info.ModTime().Equal(old) {
			t.Errorf("%v %v %v", info.Mode(), info.ModTime(), err)
		}
	}
}

// TestChanged: what is not as it was when it was compared stays.
func TestChanged(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links")
	}
	for _, c := range []struct {
		name   string
		change func(paths []string) error
		want   int // failures of 4 moves
	}{
		{"the photo", func(p []string) error { return os.WriteFile(p[3], []byte("other"), 0o666) }, 1},
		{"its time", func(p []string) error { return os.Chtimes(p[3], time.Time{}, time.Unix(5, 0)) }, 1},
		{"the one that is kept", func(p []string) error { return os.Remove(p[2]) }, 3},
		{"a link in its place", func(p []string) error { return os.Rename(p[3], p[3]+"x") }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, paths := folder(t)
			r, err := finder().Find(t.Context(), paths)
			if err != nil {
				t.Fatal(err)
			}
			moves, _ := r.Moves(t.TempDir(), []string{dir})
			if err := c.change(paths); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			if failed := do(t, moves, &log); len(failed) != c.want {
				t.Errorf("failed: %q", failed)
			}
		})
	}
	dir, paths := folder(t)
	r, err := finder().Find(t.Context(), paths)
	if err != nil {
		t.Fatal(err)
	}
	links, _ := r.Hardlinks()
	// Another file of the same size and time: its bytes are looked at.
	info, _ := os.Stat(paths[1])
	data, _ := os.ReadFile(paths[1])
	data[len(data)-1] ^= 1
	if err := os.WriteFile(paths[1], data, 0o666); err != nil {
		t.Fatal(err)
	}
	os.Chtimes(paths[1], info.ModTime(), info.ModTime())
	before := tree(t, dir)
	var log bytes.Buffer
	if failed := do(t, links, &log); len(failed) != 1 || !strings.Contains(failed[0], "its bytes are not those of") {
		t.Errorf("failed: %q", failed)
	}
	same(t, tree(t, dir), before)
}

// TestChained: what only a chain joins to the photo that is kept is not moved.
func TestChained(t *testing.T) {
	g := Group{Members: []Member{{}, {How: AlikeFeatures}, {How: Chained}}}
	if moves, left := (&Report{Groups: []Group{g}}).Moves(t.TempDir(), nil); len(moves) != 1 || left != 1 {
		t.Errorf("%d moves, %d left", len(moves), left)
	}
}

func TestCopyNew(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.WriteFile(from, []byte("photo"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := copyNew(from, to); err != nil {
		t.Fatal(err)
	}
	if err := copyNew(from, to); !os.IsExist(err) {
		t.Errorf("over a file: %v", err)
	}
	if got := names(tree(t, dir)); !slices.Equal(got, []string{"from", "to"}) {
		t.Errorf("%q", got)
	}
}

// TestUndoKilled takes back a move that a kill left at each of its steps.
func TestUndoKilled(t *testing.T) {
	for name, leave := range map[string]func(from, to string) error{
		"logged": func(from, to string) error { return nil },
		"linked": os.Link,
		"copied": copyNew,
		"moved":  os.Rename,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			from, to := filepath.Join(dir, "from.jpg"), filepath.Join(dir, "to.jpg")
			if err := os.WriteFile(from, []byte("photo"), 0o640); err != nil {
				t.Fatal(err)
			}
			before := tree(t, dir)
			info, err := os.Stat(from)
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			if err := writeEntry(&log, Change{Op: opMove, Path: from, To: to, Bytes: info.Size(), Modified: info.ModTime()}); err != nil {
				t.Fatal(err)
			}
			if err := leave(from, to); err != nil {
				t.Skip(err)
			}
			for range 2 {
				undo(t, &log)
				same(t, tree(t, dir), before)
			}
		})
	}
}

// TestUndoTwoRuns: of two runs that share a log and wanted the same photo, one got it. All is
// taken back, whichever line came first; a photo that is nowhere is still told of.
func TestUndoTwoRuns(t *testing.T) {
	for _, test := range []struct {
		name    string
		got     int // the run whose move was done
		deleted bool
	}{{"the first", 0, false}, {"the second", 1, false}, {"deleted", 0, true}} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			from := filepath.Join(dir, "from.jpg")
			to := []string{filepath.Join(dir, "to.jpg"), filepath.Join(dir, "to~2.jpg")}
			if err := os.WriteFile(from, []byte("photo"), 0o640); err != nil {
				t.Fatal(err)
			}
			before := tree(t, dir)
			info, err := os.Stat(from)
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			for _, to := range to {
				if err := writeEntry(&log, Change{Op: opMove, Path: from, To: to, Bytes: info.Size(), Modified: info.ModTime()}); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Rename(from, to[test.got]); err != nil {
				t.Fatal(err)
			}
			if !test.deleted {
				undo(t, &log)
				same(t, tree(t, dir), before)
				return
			}
			if err := os.Remove(to[test.got]); err != nil {
				t.Fatal(err)
			}
			failed := 0
			if err := Undo(t.Context(), &log, func(_ Change, err error) {
				if errors.Is(err, fs.ErrNotExist) {
					failed++
				}
			}); err != nil || failed != 2 {
				t.Errorf("%v, %d told of, want 2", err, failed)
			}
		})
	}
}

// TestUndoOther: what has taken the place of a moved photo stays, and so does the photo.
func TestUndoOther(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from.jpg"), filepath.Join(dir, "to.jpg")
	moved := time.Unix(1e9, 0)
	for path, text := range map[string]string{from: "other", to: "photo"} { // of one size, and one time
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, moved, moved); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, dir)
	var log bytes.Buffer
	if err := writeEntry(&log, Change{Op: opMove, Path: from, To: to, Bytes: 5, Modified: moved}); err != nil {
		t.Fatal(err)
	}
	err := Undo(t.Context(), &log, func(c Change, err error) {
		if !os.IsExist(err) {
			t.Errorf("%v", err)
		}
	})
	if err != nil {
		t.Error(err)
	}
	same(t, tree(t, dir), before)
}

// TestOpenLog goes on with a log whose last line was cut off at each of its bytes: all
// that was and is done can be taken back.
func TestOpenLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moved.jsonl")
	var line bytes.Buffer
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	if err := writeEntry(&line, Change{Op: opMove, Path: a, To: b}); err != nil {
		t.Fatal(err)
	}
	for n := range line.Len() + 1 {
		if err := os.WriteFile(path, append(bytes.Clone(line.Bytes()), line.Bytes()[:n]...), 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := OpenLog(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err1 := f.Write(line.Bytes())
		_, err2 := f.Seek(0, 0)
		changes, err3 := readLog(f)
		if err := errors.Join(err1, err2, err3, f.Close()); err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		want := 2
		if n >= line.Len()-1 { // all of it was there
			want = 3
		}
		if len(changes) != want {
			t.Errorf("cut at %d: %d changes, want %d", n, len(changes), want)
		}
	}
}

func TestLog(t *testing.T) {
	odd := "/a/\xff\xfe\n\"b" // no UTF-8
	var b bytes.Buffer
	if err := writeEntry(&b, Change{Op: opMove, Path: odd, To: "/c", Bytes: 5, Modified: time.Unix(7, 9)}); err != nil {
		t.Fatal(err)
	}
	got, err := readLog(strings.NewReader(b.String() + `{"op":"move","pa`)) // killed
	if runtime.GOOS != "windows" && (err != nil || len(got) != 1 || got[0].Path != odd || got[0].To != "/c" || !got[0].Modified.Equal(time.Unix(7, 9))) {
		t.Errorf("%+v %v", got, err)
	}
	for _, text := range []string{"no\n", "{}\n", `{"op":"rm","path":"/a","to":"/b"}` + "\n", `{"op":"move","path":"a","to":"/b"}` + "\n", strings.Repeat("x", 1<<17) + "\n"} {
		if _, err := readLog(strings.NewReader(text)); err == nil {
			t.Errorf("%.40q is taken", text)
		}
	}
}

// FuzzLog reads any log: changes with absolute paths, which written and read again are
// the same, or an error about a line.
func FuzzLog(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		changes, err := readLog(bytes.NewReader(text))
		if err != nil {
			if _, ok := errors.AsType[*fault.Error](err); !ok {
				t.Errorf("%v is no fault", err)
			}
			return
		}
		var b bytes.Buffer
		for _, c := range changes {
			if !filepath.IsAbs(c.Path) || !filepath.IsAbs(c.To) {
				t.Fatalf("%+v: a path that depends on where the program runs", c)
			}
			c.Path, c.To = filepath.Clean(c.Path), filepath.Clean(c.To)
			if err := writeEntry(&b, c); err != nil {
				t.Fatal(err)
			}
		}
		again, err := readLog(&b)
		if err != nil || len(again) != len(changes) {
			t.Fatalf("%d changes written, and read: %d, %v", len(changes), len(again), err)
		}
		for i, c := range changes {
			if g := again[i]; g.Op != c.Op || g.Path != filepath.Clean(c.Path) || g.To != filepath.Clean(c.To) || g.Bytes != c.Bytes || !g.Modified.Equal(c.Modified) || g.Mode != c.Mode {
				t.Errorf("%+v became %+v", c, g)
			}
		}
	})
}
