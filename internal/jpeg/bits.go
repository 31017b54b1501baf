package jpeg

import (
	"bytes"
	"encoding/binary"
)

// bits reads the entropy-coded bits of a scan. They are copied without their
// stuffing to buf first, a window's length at a time, so that filling the
// accumulator is a load without a look at the bytes.
type bits struct {
	acc  uint64 // next bit highest; below the n bits that count there may be more of buf
	n    uint   // at most 63
	pos  int    // in buf, of the byte behind the n bits; goes on behind the end, where zeroes are
	buf  []byte // with 8 zeroes at the end
	last bool   // no more of the segment is to come
	src  []byte // of the file, from what is not in buf yet to the end of the scan
}

const padding = 8

// window is how much of a scan is in memory without stuffing. There may be
// hundreds of scans.
const window = 16 << 10

// mcuBytes is more than the bytes of an MCU: 10 blocks of 64 coefficients, each a
// code and a value of at most 31 bits, and what the accumulator takes ahead.
const mcuBytes = 10*64*31/8 + 2*padding

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
	return r.last && 8*r.pos-int(r.n) > 8*(len(r.buf)-padding)
}

// low reports whether an MCU's bits might not all be in buf though the segment
// goes on.
func (r *bits) low() bool { return !r.last && r.pos+mcuBytes > len(r.buf) }

// segment begins to read at src.
func (r *bits) segment() {
	*r = bits{buf: r.buf[:0], src: r.src}
	r.more()
}

// more brings buf, which still has the bytes from pos on, up to a window's length
// or to the next marker, where it leaves src.
func (r *bits) more() {
	if n := min(len(r.src), window) + padding; len(r.buf) == 0 && cap(r.buf) < n {
		r.buf = make([]byte, 0, n)
	}
	kept := 0
	if end := len(r.buf) - padding; r.pos < end {
		kept = copy(r.buf, r.buf[r.pos:end])
	}
	buf := r.buf[:kept]
	r.pos = 0
	for room := cap(buf) - padding - kept; room > 0 && !r.last; room = cap(buf) - padding - len(buf) {
		rest := r.src[:min(len(r.src), room)]
		at := bytes.IndexByte(rest, 0xff)
		if at < 0 {
			at = len(rest)
		}
		buf, r.src = append(buf, rest[:at]...), r.src[at:]
		switch {
		case len(r.src) == 0:
			r.last = true
		case at == len(rest): // no more room
		case len(r.src) == 1 || r.src[1] == 0:
			buf, r.src = append(buf, 0xff), r.src[min(2, len(r.src)):]
		default:
			r.last = true
		}
	}
	r.buf = append(buf, make([]byte, padding)...)
}

// nextSegment goes over restart marker number i, and what lies before it, to the
// segment behind it. It reports whether there is that marker.
func (r *bits) nextSegment(i int) bool {
	at := marker(r.src)
	if at+1 >= len(r.src) || r.src[at+1] != rst0+byte(i%8) {
		return false
	}
	r.src = r.src[at+2:]
	r.segment()
	return true
}

// marker returns where the first marker in data begins, len(data) if there is
// none.
func marker(data []byte) int {
	for rest := data; ; rest = rest[1:] {
		at := bytes.IndexByte(rest, 0xff)
		if at < 0 || at+1 >= len(rest) {
			return len(data)
		}
		rest = rest[at:]
		if rest[1] != 0 && rest[1] != 0xff {
			return len(data) - len(rest)
		}
	}
}
