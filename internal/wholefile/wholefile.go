// Package wholefile reads the files of models: each of them whole and as it was at
// one moment, or not at all.
package wholefile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/mobilenet-go/mobilenet/fault"
)

// Folder returns the folder of the file at path as a file system, and the file's
// name in it. The file itself may be a link to anywhere. Other names must lie in
// the folder: a model can't have any file of the machine read as its weights.
func Folder(path string) (fs.FS, string) {
	name := filepath.Base(path)
	return folder{dir: filepath.Dir(path), name: name, path: path}, name
}

type folder struct{ dir, name, path string }

func (f folder) Open(name string) (fs.File, error) {
	if name == f.name {
		return os.Open(f.path)
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(filepath.FromSlash(name))
}

// Stat makes folder an fs.StatFS: a pipe must be recognised without opening it.
func (f folder) Stat(name string) (fs.FileInfo, error) {
	if name == f.name {
		return os.Stat(f.path)
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Stat(filepath.FromSlash(name))
}

// Sub returns the folder dir of fsys. Other than that of fs.Sub it can tell what a file
// is without opening it.
func Sub(fsys fs.FS, dir string) fs.FS { return sub{fsys, dir} }

type sub struct {
	fsys fs.FS
	dir  string
}

func (s sub) Open(name string) (fs.File, error)     { return s.fsys.Open(path.Join(s.dir, name)) }
func (s sub) Stat(name string) (fs.FileInfo, error) { return fs.Stat(s.fsys, path.Join(s.dir, name)) }

// Open opens a file of fsys of at most limit bytes. What is no regular file is not
// opened: a pipe might never end, or never open. Errors don't repeat the name.
func Open(fsys fs.FS, name string, limit int64) (fs.File, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, bare(err)
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return nil, fault.Unsupportedf("a folder, not a file")
	case mode&fs.ModeNamedPipe != 0:
		return nil, fault.Unsupportedf("a pipe, not a file")
	case !mode.IsRegular():
		return nil, fault.Unsupportedf("a device or socket, not a file")
	case info.Size() > limit:
		return nil, fault.TooLargef("%d bytes, more than the limit of %d", info.Size(), limit)
	}
	f, err := fsys.Open(name)
	return f, bare(err)
}

// Read returns the content of a file of fsys, see [Open]. A file that changes
// while it is read is an error: its bytes may be a mixture of two models, which
// nothing else would show. A file that another one replaces by a rename is no such
// case.
func Read(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := Open(fsys, name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	before, err := settled(f)
	if err != nil {
		return nil, bare(err)
	}
	if before.Size() > limit { // it has grown since
		return nil, errChanged
	}
	data := make([]byte, before.Size())
	_, err = io.ReadFull(f, data)
	if err == nil {
		if n, _ := f.Read(make([]byte, 1)); n > 0 {
			return nil, errChanged
		}
	}
	after, statErr := f.Stat()
	switch {
	case statErr == nil && !Same(before, after):
		return nil, errChanged
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errChanged
	}
	return data, bare(errors.Join(err, statErr))
}

var errChanged = fault.Brokenf("the file changed while it was read; try again when it is complete")

// Same reports whether two states of a file are of the same bytes, as far as its
// size and time tell.
func Same(a, b fs.FileInfo) bool {
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

const (
	// A file's time is that of the kernel's last tick, which come every 10 ms or more
	// often: two changes within a tick have the same time.
	tick = 20 * time.Millisecond
	// pause is the longest that a process is taken to need between two writes of one
	// file: a busy machine can stop it half-way for much longer than a tick.
	pause = 2 * time.Second
)

// settled returns the state of f, at a moment when nobody is writing it and from
// which on every change will give it another time. For a file that was written just
// now, that moment is a tick away.
func settled(f fs.File) (fs.FileInfo, error) {
	for range 10 {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		// A time in the future is that of another clock and tells nothing.
		age := time.Since(info.ModTime())
		if age < 0 || age > tick && (age > pause || !openForWriting(f)) {
			return info, nil
		}
		time.Sleep(tick + time.Millisecond)
	}
	return nil, errChanged
}

// bare takes the name off an error: who opens a file names it, once.
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
