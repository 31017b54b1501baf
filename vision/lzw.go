package vision

import (
	"io"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A lzwReader decompresses TIFF's LZW (TIFF 6.0, section 13): codes of 9 to 12 bits,
// the first bit highest, each a bit longer one code sooner than elsewhere. It is
// not x/image/tiff/lzw's because that can't be used again for the next strip.
type lzwReader struct {
	data []byte
	acc  uint32
	n    uint // bits in acc
	end  bool

	next, last int // the next code to be defined; the code before, -1 behind a clear
	prefix     [1 << 12]uint16
	suffix     [1 << 12]byte
	length     [1 << 12]uint16
	string     [1 << 12]byte // of the last code, from start on
	start      int
}

const (
	lzwClear = 256
	lzwEnd   = 257
	lzwFirst = 258 // of the codes for strings
)

// reset begins a strip.
func (r *lzwReader) reset(data []byte) {
	r.data, r.acc, r.n, r.end = data, 0, 0, false
	r.next, r.last, r.start = lzwFirst, -1, len(r.string)
	for i := range 256 {
		r.suffix[i], r.length[i] = byte(i), 1
	}
}

func (r *lzwReader) Read(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		if r.start < len(r.string) {
			n := copy(b[done:], r.string[r.start:])
			r.start, done = r.start+n, done+n
			continue
		}
		if r.end {
			return done, io.EOF
		}
		if err := r.code(); err != nil {
			return done, err
		}
	}
	return done, nil
}

// code reads a code and brings its string to the end of r.string.
func (r *lzwReader) code() error {
	width := uint(9)
	switch {
	case r.next >= 2047:
		width = 12
	case r.next >= 1023:
		width = 11
	case r.next >= 511:
		width = 10
	}
	for r.n < width {
		if len(r.data) == 0 {
			r.end = true // without its code; whether bytes are missing, the rows show
			return nil
		}
		r.acc, r.n, r.data = r.acc<<8|uint32(r.data[0]), r.n+8, r.data[1:]
	}
	r.n -= width
	code := int(r.acc >> r.n & (1<<width - 1))
	switch {
	case code == lzwClear:
		r.next, r.last = lzwFirst, -1
		return nil
	case code == lzwEnd:
		r.end = true
		return nil
	case r.last < 0 && code > 255, code > r.next:
		return fault.Brokenf("LZW code %d of %d", code, r.next)
	}
	// A code that is just being defined is the string before and its first byte.
	from := code
	if code == r.next {
		from = r.last
	}
	n := int(r.length[from])
	at := len(r.string) - n
	for i, c := len(r.string)-1, from; i >= at; i, c = i-1, int(r.prefix[c]) {
		r.string[i] = r.suffix[c]
	}
	first := r.string[at]
	if code == r.next {
		copy(r.string[at-1:], r.string[at:])
		r.string[len(r.string)-1] = first
		at--
	}
	r.start = at
	if r.last >= 0 && r.next < len(r.prefix) {
		r.prefix[r.next], r.suffix[r.next], r.length[r.next] = uint16(r.last), first, r.length[r.last]+1
		r.next++
	}
	r.last = code
	return nil
}
