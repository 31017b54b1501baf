package wholefile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/mobilenet-go/mobilenet/fault"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	model, sub := filepath.Join(dir, "model"), filepath.Join(dir, "sub")
	write(t, outside, []byte("outside"))
	write(t, model, []byte("weights"))
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(sub, "part"), []byte("part"))
	link := filepath.Join(dir, "link")
	if err := os.Symlink(outside, link); err != nil {
		t.Skip(err)
	}
	for _, test := range []struct{ path, name, want, err string }{
		{model, "model", "weights", ""},
		{model, "sub/part", "part", ""},
		{link, "link", "outside", ""}, // the user's own link
		{model, "link", "", "escapes"},
		{model, "../outside", "", "escapes"},
		{model, outside, "", "escapes"},
		{model, "absent", "", "no such file"},
		{model, "sub", "", "a folder, not a file"},
		{sub, "sub", "", "a folder, not a file"},
		{"/dev/zero", "zero", "", "a device or socket, not a file"},
	} {
		fsys, _ := Folder(test.path)
		got, err := Read(fsys, test.name, 100)
		switch {
		case test.path == "/dev/zero" && errors.Is(err, fs.ErrNotExist): // another system
		case test.err == "" && (err != nil || string(got) != test.want):
			t.Errorf("%s of %s: %q, %v; want %q", test.name, test.path, got, err, test.want)
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), test.name+":")):
			t.Errorf("%s of %s: error %v, want %q without the name", test.name, test.path, err, test.err)
		}
	}
	fsys, name := Folder(model)
	if _, err := Read(fsys, name, 6); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("7 bytes with a limit of 6: %v", err)
	}
	if _, err := Read(fsys, "absent", 6); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if got, err := Read(fstest.MapFS{"m": {Data: []byte("map")}}, "m", 6); string(got) != "map" || err != nil {
		t.Errorf("a map: %q, %v", got, err)
	}
}

// TestReadIsNeverAMixture overwrites a file in place, with one letter and then with
// another: what is read is all one letter, or refused. Writers rest for a while
// between two letters or, with the file open, within one. Where the machine has a
// writer stand still for longer than pause, or its clock is set, nobody can tell that it
// goes on.
func TestReadIsNeverAMixture(t *testing.T) {
	const size, part = 4 << 20, 64 << 10
	for name, test := range map[string]struct {
		between, within time.Duration
		linux           bool // only Linux says that a process has the file open
	}{
		"no rest":      {},
		"rest between": {between: 40 * time.Millisecond},
		"rest within":  {within: 60 * time.Millisecond, linux: true},
	} {
		if test.linux && runtime.GOOS != "linux" {
			continue
		}
		path := filepath.Join(t.TempDir(), "model")
		write(t, path, bytes.Repeat([]byte{'a'}, size))
		stop := make(chan struct{})
		var wg sync.WaitGroup
		began := time.Now()
		var last, longest atomic.Int64 // when the last write began, and how long the longest took, with what came before the next
		stood := func() int64 { return max(longest.Load(), int64(time.Since(began))-last.Load()) }
		set := func() time.Duration { // by how much the clock was
			now := time.Now()
			return (now.Round(0).Sub(began.Round(0)) - now.Sub(began)).Abs()
		}
		wg.Go(func() {
			for letter := byte('b'); ; letter ^= 'a' ^ 'b' {
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				if err != nil {
					t.Error(err)
					return
				}
				for at := int64(size - part); at >= 0; at -= part { // towards the reader
					longest.Store(stood())
					last.Store(int64(time.Since(began)))
					f.WriteAt(bytes.Repeat([]byte{letter}, part), at)
					if at == size/2 {
						time.Sleep(test.within)
					}
				}
				f.Close()
				select {
				case <-stop:
					return
				case <-time.After(test.between):
				}
			}
		})
		fsys, file := Folder(path)
		whole, refused := 0, 0
		for begin := time.Now(); time.Since(begin) < 600*time.Millisecond; {
			data, err := Read(fsys, file, size)
			switch {
			case err == nil && bytes.Count(data, data[:1]) == size:
				whole++
			case err == nil && stood() > int64(pause):
				t.Logf("%s: a mixture of two files, as the writer stood still for %v", name, time.Duration(stood()))
			case err == nil && set() > tick:
				t.Logf("%s: a mixture of two files, as the clock was set by %v", name, set())
			case err == nil:
				t.Errorf("%s: a mixture of two files", name)
			default:
				if _, ok := errors.AsType[*fault.Error](err); !ok {
					t.Error(err)
				}
				refused++
			}
		}
		close(stop)
		wg.Wait()
		t.Logf("%s: %d times whole, %d times refused", name, whole, refused)
	}
}

// TestReadNoticesChanges has files that are not what they were when they were opened.
func TestReadNoticesChanges(t *testing.T) {
	for name, f := range map[string]changing{
		"shorter":     {"abc", [2]state{{size: 4}, {size: 3}}},
		"longer":      {"abc", [2]state{{size: 2}, {size: 2}}},
		"truncated":   {"abc", [2]state{{size: 3}, {size: 2}}},
		"overwritten": {"abc", [2]state{{size: 3}, {size: 3, time: 1}}},
		"extended":    {"abc", [2]state{{size: 101}, {size: 101}}},
	} {
		asked := 0
		if _, err := Read(changingFS{&f, &asked}, "f", 100); err == nil || !strings.Contains(err.Error(), "changed while it was read") && name != "extended" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A changing file has one state when it is opened and another one at the end.
type changing struct {
	data   string
	states [2]state
}

type state struct{ size, time int64 }

type changingFS struct {
	*changing
	asked *int
}

func (f changingFS) Open(string) (fs.File, error) { return f, nil }
func (f changingFS) Close() error                 { return nil }
func (f changingFS) Read(b []byte) (int, error) {
	n := copy(b, f.data)
	f.data = f.data[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Stat is asked before the file is opened, when it is, and at the end.
func (f changingFS) Stat() (fs.FileInfo, error) {
	*f.asked++
	return info(f.states[(*f.asked-1)/2]), nil
}

type info state

func (i info) Name() string       { return "f" }
func (i info) Mode() fs.FileMode  { return 0 }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return time.Unix(i.time, 0) }

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
