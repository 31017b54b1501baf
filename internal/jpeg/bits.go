package jpeg

import (
	"bytes"
	"encoding/binary"
	"io"
)

// bits reads entropy-coded bits. They are copied without their stuffing to buf
// first, so that filling the accumulator is a load without a look at the bytes.
type bits struct {
	acc uint64 // next bit highest; below the n bits that count there may be more of buf
	n   uint   // at most 63
	pos int    // in buf, of the byte behind the n bits; goes on behind the end, where zeroes are
	buf []byte // with 8 zeroes at the end
}

const padding = 8

// fill makes n at least 56.
func (r *bits) fill() {
	r.acc, r.n, r.pos = fill(r.buf, r.acc, r.n, r.pos)
}

func fill(buf []byte, acc uint64, n uint, pos int) (uint64, uint, int) {
	if pos <= len(buf)-8 {
		acc |= binary.BigEndian.Uint64(buf[pos:]) >> (n & 63)
	}
	return acc, n | 56, pos + int((63-n)>>3)
}

// take returns the next n bits, at most 16.
func (r *bits) take(n uint) uint32 {
	if r.n < 32 {
		r.fill()
	}
	v := uint32(r.acc >> 1 >> ((63 - n) & 63))
	r.skip(n)
	return v
}

// skip drops bits that are in the accumulator.
func (r *bits) skip(n uint) {
	r.acc <<= n & 63
	r.n -= n
}

// value takes a code and its value, 0 if it has none. ok is false if there is no
// such code.
func (r *bits) value(t *huffTable) (v int32, run int, ok bool) {
	if r.n < 32 {
		r.fill()
	}
	e := t.lut[r.acc>>(64-lutBits)]
	if v = int32(e) >> 16; v != 0 {
		r.skip(uint(e & 63))
		return v, int(e >> 8 & 15), true
	}
	if e == 0 {
		if e = t.long(r.acc); e == 0 {
			return 0, 0, false
		}
	}
	r.skip(uint(e & 63))
	if size := e >> 8 & 15; size > 0 {
		v = extend(uint32(r.acc>>((64-size)&63)), size)
		r.skip(uint(size))
	}
	return v, int(e >> 12), true
}

// overrun reports whether more bits were taken than there were.
func (r *bits) overrun() bool {
	return 8*r.pos-int(r.n) > 8*(len(r.buf)-padding)
}

// segment copies the entropy-coded bytes at d.pos up to the next marker, where
// it leaves d.pos, to d.bits.
func (d *decoder) segment() {
	buf, rest := d.bits.buf[:0], d.data[d.pos:]
	if cap(buf) == 0 {
		buf = make([]byte, 0, len(rest)+padding)
	}
	for {
		at := bytes.IndexByte(rest, 0xff)
		if at < 0 || at+1 == len(rest) {
			buf, rest = append(buf, rest...), nil
			break
		}
		if rest[at+1] != 0 {
			buf, rest = append(buf, rest[:at]...), rest[at:]
			break
		}
		buf, rest = append(buf, rest[:at+1]...), rest[at+2:]
	}
	d.pos = len(d.data) - len(rest)
	d.bits = bits{buf: append(buf, make([]byte, padding)...)}
}

// shortage is the error when a segment's bits don't suffice.
func (d *decoder) shortage() error {
	if d.pos == len(d.data) {
		return FormatError("short Huffman data")
	}
	return FormatError("missing 0xff00 sequence")
}

// nextSegment goes over restart marker number i to the segment behind it.
func (d *decoder) nextSegment(i int) error {
	if d.pos == len(d.data) {
		return io.ErrUnexpectedEOF
	}
	marker, err := d.marker()
	if err != nil {
		return err
	}
	if marker != rst0+byte(i%8) {
		return FormatError("bad RST marker")
	}
	d.segment()
	return nil
}
