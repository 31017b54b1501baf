package hdf5

import (
	"bytes"
	"encoding/binary"

	"github.com/mobilenet-go/mobilenet/fault"
)

// undefined is the address of what isn't there.
const undefined = 1<<64 - 1

// A cursor reads little-endian numbers one behind the other. The first error stays, and
// everything behind it reads as 0.
type cursor struct {
	r    *reader
	data []byte // up to the end of what may be read
	pos  int    // in data
	base int    // of data in the file
	err  error
}

// at returns a cursor at an address of the file.
func (r *reader) at(address uint64) *cursor {
	c := &cursor{r: r, data: r.data}
	if address > uint64(len(r.data)) {
		c.fail("the address %d in a file of %d bytes", address, len(r.data))
		return c
	}
	c.pos = int(address)
	return c
}

// in returns a cursor over bytes that lie at an offset of the file.
func (r *reader) in(b []byte, base int) *cursor { return &cursor{r: r, data: b, base: base} }

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fault.At(int64(c.base+c.pos), format, args...)
	}
}

func (c *cursor) left() int { return len(c.data) - c.pos }

// take returns the next n bytes, in place.
func (c *cursor) take(n uint64) []byte {
	if c.err == nil && n > uint64(c.left()) {
		c.fail("%d bytes are wanted, %d are there", n, c.left())
	}
	if c.err != nil {
		return nil
	}
	b := c.data[c.pos:][:n:n]
	c.pos += int(n)
	return b
}

func (c *cursor) skip(n int) { c.take(uint64(n)) }

// align skips to a multiple of 8 bytes from a start.
func (c *cursor) align(start int) { c.skip((8 - (c.pos-start)%8) % 8) }

// uint reads a number of 1 to 8 bytes.
func (c *cursor) uint(size int) uint64 {
	var full [8]byte
	copy(full[:], c.take(uint64(size)))
	return binary.LittleEndian.Uint64(full[:])
}

// size reads a length.
func (c *cursor) size() uint64 { return c.uint(c.r.length) }

// address reads an address, undefined where all its bits are set.
func (c *cursor) address() uint64 {
	v := c.uint(c.r.offset)
	if c.r.offset == 4 && v == 1<<32-1 {
		return undefined
	}
	return v
}

// magic reads the signature of a structure.
func (c *cursor) magic(want string) {
	if c.err == nil && !bytes.HasPrefix(c.data[c.pos:], []byte(want)) {
		c.fail("want %q here", want)
	}
	c.skip(len(want))
}

// version reads a version, which must be the one that is known.
func (c *cursor) version(what string, want uint64) {
	if v := c.uint(1); v != want && c.err == nil {
		c.err = fault.Unsupportedf("an HDF5 file with a %s of version %d", what, v)
	}
}

// text reads up to a NUL, or to the end.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
