// Package boundedfile reads files that may turn out to be anything.
package boundedfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Read returns the content of the file at path. Folders, devices, sockets, and files of
// more than limit bytes are errors, and so are pipes, but for those that this process has
// open: see [Descriptor]. All errors are *fs.PathError and so name the file.
func Read(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path) // before opening: a device might never end, or never open
	if err != nil {
		return nil, err
	}
	fail := func(err error) ([]byte, error) { return nil, &fs.PathError{Op: "read", Path: path, Err: err} }
	if info.IsDir() {
		return fail(errors.New("a folder, not a file"))
	}
	if info.Mode()&fs.ModeNamedPipe != 0 && !Descriptor(path) { // opening it may wait for ever
		return fail(errors.New("a pipe, not a file"))
	}
	if info.Mode()&(fs.ModeDevice|fs.ModeSocket|fs.ModeIrregular) != 0 {
		return fail(errors.New("not a file"))
	}
	if info.Size() > limit {
		return fail(overLimit(limit))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	b.Grow(int(info.Size()) + bytes.MinRead) // so that reading to the end doesn't grow it again
	if _, err := b.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, err
	}
	if int64(b.Len()) > limit {
		return fail(overLimit(limit))
	}
	return b.Bytes(), nil
}

// Descriptor reports whether path is the name of an open file of this process, as a shell's
// <(command) is. A list of photos, or a link in a folder, has no business with these.
func Descriptor(path string) bool {
	path = filepath.ToSlash(path)
	return path == "/dev/stdin" || strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/self/fd/")
}

func overLimit(limit int64) error {
	if limit < 1<<20 {
		return fmt.Errorf("more than the limit of %d bytes", limit)
	}
	return fmt.Errorf("more than the limit of %d MiB", limit>>20)
}

// Head returns the first n bytes of the file at path, fewer if it is shorter. It
// must be a file: opening a pipe would wait for a writer, and take its bytes away.
// All errors are *fs.PathError and so name the file.
func Head(path string, n int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a file")}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, int64(n)))
	if err != nil {
		return nil, err
	}
	return head, nil
}
