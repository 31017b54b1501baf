//go:build unix

package search

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A mapping is a file in memory.
type mapping []byte

// mapped maps the first size bytes of a file.
func mapped(f *os.File, size int64) (source, func(), error) {
	if size == 0 {
		return mapping(nil), func() {}, nil
	}
	if int64(int(size)) != size {
		return nil, nil, fault.TooLargef("%d bytes, more than this processor can address", size)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil { // a file system without
		return file{f}, func() {}, nil
	}
	return mapping(b), func() { unix.Munmap(b) }, nil
}

func (m mapping) bytes(at, n int64) ([]byte, error) {
	if at < 0 || n < 0 || at > int64(len(m)) || n > int64(len(m))-at {
		return nil, fault.At(at, "cut short: %d bytes of %d", len(m), at+n)
	}
	return m[at:][:n:n], nil
}

// release tells the system that no page need stay in memory. What is read again comes
// from the file.
func (m mapping) release() { unix.Madvise(m, unix.MADV_DONTNEED) }
