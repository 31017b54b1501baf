// Package boundedfile reads files that may turn out to be anything.
package boundedfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Read returns the content of the file at path, which may be a pipe. Folders,
// devices, sockets, and files of more than limit bytes are errors. All errors are
// *fs.PathError and so name the file.
func Read(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path) // before opening: a device might never end, or never open
	if err != nil {
		return nil, err
	}
	fail := func(err error) ([]byte, error) { return nil, &fs.PathError{Op: "read", Path: path, Err: err} }
	if info.IsDir() {
		return fail(errors.New("a folder, not a file"))
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

func overLimit(limit int64) error {
	if limit < 1<<20 {
		return fmt.Errorf("more than the limit of %d bytes", limit)
	}
	return fmt.Errorf("more than the limit of %d MiB", limit>>20)
}
