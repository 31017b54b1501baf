// Package atomicfile writes files that are either complete or absent.
package atomicfile

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Write calls fill with a temporary file beside path and renames it to path
// once fill and the sync have succeeded. On error path is left as it was and
// the temporary file is removed.
//
// The rest is as if path were opened and written: a link stays one, and what it
// points to is replaced; a file keeps its mode, a new one gets what the umask
// leaves of 0666; and a device, a pipe or a descriptor (/dev/null, /dev/stdout) is
// written through, as it comes.
func Write(path string, fill func(io.Writer) error) error {
	target, through, err := resolve(path)
	if err != nil {
		return err
	}
	if through {
		return writeThrough(path, fill)
	}
	f, err := createTemp(target)
	if err != nil {
		return named(err, target, path)
	}
	err = errors.Join(write(f, fill), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), target)
	}
	if err != nil {
		os.Remove(f.Name()) // the first error says why; this one would hide it
	}
	return named(err, target, path)
}

// resolve returns the file that path stands for, which need not exist yet, or says
// that it is none and has to be written through.
func resolve(path string) (target string, through bool, err error) {
	for range 40 { // links to links; Linux follows as many
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return path, false, nil
		case err != nil:
			return "", false, err
		case info.IsDir():
			return "", false, &fs.PathError{Op: "write", Path: path, Err: syscall.EISDIR}
		case info.Mode().IsRegular():
			return path, false, nil
		case info.Mode()&fs.ModeSymlink == 0:
			return "", true, nil
		}
		if inProcess(path) { // a link that is none: its text may be "pipe:[123]"
			return "", true, nil
		}
		link, err := os.Readlink(path)
		if err != nil {
			return "", false, err
		}
		if !filepath.IsAbs(link) {
			dir, _ := filepath.Split(path)
			link = dir + link // not Join: dir/.. may not be where it seems
		}
		path = link
	}
	return "", false, &fs.PathError{Op: "write", Path: path, Err: syscall.ELOOP}
}

// inProcess reports whether a link is one of a process's open files.
func inProcess(path string) bool {
	path = filepath.ToSlash(path)
	return strings.HasPrefix(path, "/proc/") || strings.HasPrefix(path, "/dev/fd/")
}

// writeThrough writes to what can't be replaced. It appends, so that a descriptor
// of a file, as of the shell's >>, is not written from its beginning.
func writeThrough(path string, fill func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = fill(w)
	if err == nil {
		err = w.Flush()
	}
	return errors.Join(err, f.Close())
}

// createTemp opens a temporary file that will be path: with the mode of the file
// that is there, and otherwise with that of a new one.
func createTemp(path string) (*os.File, error) {
	mode := fs.FileMode(0o666)
	old, statErr := os.Stat(path)
	if statErr == nil {
		mode = old.Mode().Perm() // at once: others may not be meant to read it
	}
	for {
		dir, _ := filepath.Split(path)
		name := fmt.Sprint(dir, prefix(path), rand.Uint32())
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode|0o200)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil && statErr == nil { // what the umask took, too
			if err = f.Chmod(mode); err != nil {
				f.Close()
				os.Remove(name)
			}
		}
		return f, err
	}
}

// named makes an error of the temporary file for target one of path, which the user
// knows.
func named(err error, target, path string) error {
	var p *fs.PathError
	if errors.As(err, &p) && strings.HasPrefix(filepath.Base(p.Path), prefix(target)) {
		return &fs.PathError{Op: "write", Path: path, Err: p.Err}
	}
	return err
}

// prefix is what the names of temporary files for path begin with.
func prefix(path string) string { return "." + filepath.Base(path) + "." }

// Clean removes the temporary files that a process killed in Write has left
// beside path. Nothing may be writing path.
func Clean(path string) error {
	path, through, err := resolve(path)
	if err != nil || through {
		return err
	}
	dir, _ := filepath.Split(path)
	entries, err := os.ReadDir(cmp.Or(dir, "."))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if number, ok := strings.CutPrefix(e.Name(), prefix(path)); ok && strings.Trim(number, "0123456789") == "" {
			if err := os.Remove(dir + e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

func write(f *os.File, fill func(io.Writer) error) error {
	w := bufio.NewWriterSize(f, 1<<20)
	if err := fill(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}
