// Package atomicfile writes files that are either complete or absent.
package atomicfile

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Write calls fill with a temporary file beside path and renames it to path
// once fill and the sync have succeeded. On error path is left as it was and
// the temporary file is removed.
func Write(path string, fill func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), prefix(path)+"*")
	if err != nil {
		return named(err, path)
	}
	err = errors.Join(write(f, fill), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name()) // the first error says why; this one would hide it
	}
	return named(err, path)
}

// named makes an error of the temporary file one of path, which the user knows.
func named(err error, path string) error {
	var p *fs.PathError
	if errors.As(err, &p) && strings.HasPrefix(filepath.Base(p.Path), prefix(path)) {
		return &fs.PathError{Op: "write", Path: path, Err: p.Err}
	}
	return err
}

// prefix is what the names of temporary files for path begin with.
func prefix(path string) string { return "." + filepath.Base(path) + "." }

// Clean removes the temporary files that a process killed in Write has left
// beside path. Nothing may be writing path.
func Clean(path string) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if number, ok := strings.CutPrefix(e.Name(), prefix(path)); ok && strings.Trim(number, "0123456789") == "" {
			if err := os.Remove(filepath.Join(filepath.Dir(path), e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func write(f *os.File, fill func(io.Writer) error) error {
	// CreateTemp makes files that only their owner can read; a result is for
	// everyone the folder is for.
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err := fill(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}
