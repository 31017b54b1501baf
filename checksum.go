package mobilenet

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"sync"
	"syscall"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/wholefile"
)

// A sum tells the contents of files apart: the size and the CRC-32C of both halves,
// which can be computed at the same time. It finds changes, not forgeries: who can
// write the cache folder can write anything there.
type sum struct {
	size, at int64
	crc      [2]uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// add takes the file's next bytes.
func (s *sum) add(b []byte) {
	first := min(int64(len(b)), max(0, s.size/2-s.at))
	s.crc[0] = crc32.Update(s.crc[0], castagnoli, b[:first])
	s.crc[1] = crc32.Update(s.crc[1], castagnoli, b[first:])
	s.at += int64(len(b))
}

func (s *sum) String() string { return fmt.Sprintf("%x-%08x%08x", s.size, s.crc[0], s.crc[1]) }

// checksum is the sum of a file's bytes, read once and not kept.
func checksum(f io.ReaderAt, size int64) (string, error) {
	s := sum{size: size}
	var errs [2]error
	var wg sync.WaitGroup
	half := size / 2
	for i, part := range []*io.SectionReader{io.NewSectionReader(f, 0, half), io.NewSectionReader(f, half, size-half)} {
		wg.Go(func() {
			h := crc32.New(castagnoli)
			_, errs[i] = io.CopyBuffer(h, struct{ io.Reader }{part}, make([]byte, 64<<10))
			s.crc[i] = h.Sum32()
		})
	}
	wg.Wait()
	return s.String(), cmp.Or(errs[0], errs[1])
}

// checksumOf is the checksum of a file of fsys.
func checksumOf(fsys fs.FS, name string) (string, error) {
	f, size, err := openAt(fsys, name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return checksum(f, size)
}

// A fileAt can be read anywhere.
type fileAt interface {
	fs.File
	io.ReaderAt
}

// openAt opens a file of a model that can be read anywhere.
func openAt(fsys fs.FS, name string) (fileAt, int64, error) {
	f, err := wholefile.Open(fsys, name, maxModel)
	if err != nil {
		return nil, 0, err
	}
	at, ok := f.(fileAt)
	info, err := f.Stat()
	if !ok || err != nil {
		f.Close()
		return nil, 0, cmp.Or(err, errors.ErrUnsupported)
	}
	return at, info.Size(), nil
}

// A tally is a file system that sums up what is read from it: every file once, from
// its beginning.
type tally struct {
	fsys  fs.FS
	files []*tallied
}

// A tallied file adds what is read from it to its sum.
type tallied struct {
	fs.File
	name string
	info fs.FileInfo // when it was opened
	sum  sum
}

func (t *tally) Open(name string) (fs.File, error) {
	f, err := t.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	file := &tallied{f, name, info, sum{size: info.Size()}}
	t.files = append(t.files, file)
	return file, nil
}

func (t *tally) Stat(name string) (fs.FileInfo, error) { return fs.Stat(t.fsys, name) }

func (f *tallied) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	f.sum.add(b[:n])
	return n, err
}

// SyscallConn is that of the file, so that [wholefile.Read] can look at it.
func (f *tallied) SyscallConn() (syscall.RawConn, error) {
	conn, ok := f.File.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return conn.SyscallConn()
}

// sum is the checksum of a file, as it was read or, if it was not, as it is now.
func (t *tally) sum(name string) (string, error) {
	for _, f := range t.files {
		if f.name == name {
			return f.sum.String(), nil
		}
	}
	return checksumOf(t.fsys, name)
}

// check returns an error unless all files are still what they were when they were
// read: one of them may be the new model's, another one the old model's. A single
// file that was replaced by now is the whole old model.
func (t *tally) check() error {
	if len(t.files) < 2 {
		return nil
	}
	for _, f := range t.files {
		if now, err := fs.Stat(t.fsys, f.name); err != nil || !wholefile.Same(now, f.info) {
			return fault.Brokenf("%s changed while the model was read; try again when it is complete", fault.Shown(f.name))
		}
	}
	return nil
}
