package vision

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"

	"github.com/klauspost/compress/zlib"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A pngFile is a PNG file (ISO 15948). It is not image/png's because that needs 8
// bytes a pixel of 16-bit channels, twice if they are interlaced, and refuses files
// that end behind their last pixel.
type pngFile struct {
	data       []byte
	at         int // of the next chunk
	w, h       int
	bits       int // a sample
	kind       byte
	interlaced bool
	clipped    bool // see Image.Clipped
	palette    [256][3]byte
}

// Colour types of a PNG file.
const (
	pngGrey      = 0
	pngRGB       = 2
	pngPalette   = 3
	pngGreyAlpha = 4
	pngRGBA      = 6
)

// channels returns how many samples a pixel has.
func (p *pngFile) channels() int {
	switch p.kind {
	case pngRGB:
		return 3
	case pngGreyAlpha:
		return 2
	case pngRGBA:
		return 4
	}
	return 1
}

func openPNG(data []byte) (picture, error) {
	p := &pngFile{data: data, at: 8}
	kind, head, err := p.chunk()
	switch {
	case err != nil:
		return picture{}, err
	case kind == "CgBI":
		return picture{}, fault.Unsupportedf("compressed for iOS")
	case kind != "IHDR" || len(head) != 13:
		return picture{}, fault.At(8, "chunk %q of %d bytes in place of IHDR", kind, len(head))
	}
	w, h := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
	p.bits, p.kind, p.interlaced = int(head[8]), head[9], head[12] == 1
	switch {
	case w > 1<<31-1 || h > 1<<31-1:
		return picture{}, fault.At(16, "%dx%d pixels", w, h)
	case !p.depthFits():
		return picture{}, fault.At(24, "colour type %d with %d bits", p.kind, p.bits)
	case head[10] != 0 || head[11] != 0 || head[12] > 1:
		return picture{}, fault.At(26, "compression %d, filter %d, interlacing %d", head[10], head[11], head[12])
	}
	p.w, p.h = int(w), int(h)
	for i := range p.palette { // what Pillow has where the file has nothing
		p.palette[i] = [3]byte{byte(i), byte(i), byte(i)}
	}
	const inflate = 64 << 10 // its window and tables
	return picture{w: p.w, h: p.h, extra: inflate + 4*int64(w)*8 + int64(len(data)), decode: p.decode}, nil
}

func (p *pngFile) depthFits() bool {
	switch p.bits {
	case 1, 2, 4:
		return p.kind == pngGrey || p.kind == pngPalette
	case 8:
		return p.kind == pngGrey || p.kind == pngRGB || p.kind == pngPalette || p.kind == pngGreyAlpha || p.kind == pngRGBA
	case 16:
		return p.kind == pngGrey || p.kind == pngRGB || p.kind == pngGreyAlpha || p.kind == pngRGBA
	}
	return false
}

// chunk returns the next chunk, whose checksum is right.
func (p *pngFile) chunk() (kind string, body []byte, err error) {
	rest := p.data[p.at:]
	if len(rest) < 12 {
		return "", nil, io.ErrUnexpectedEOF
	}
	n := uint64(binary.BigEndian.Uint32(rest))
	if n > uint64(len(rest)-12) {
		return "", nil, io.ErrUnexpectedEOF
	}
	body = rest[8 : 8+n]
	if sum := binary.BigEndian.Uint32(rest[8+n:]); crc32.ChecksumIEEE(rest[4:8+n]) != sum {
		return "", nil, fault.At(int64(p.at), "chunk %q with a wrong checksum", rest[4:8])
	}
	p.at += 12 + int(n)
	return string(rest[4:8]), body, nil
}

// decode reads the chunks up to the pixels, and these as far as there are rows.
// What is behind them, Pillow doesn't mind either.
func (p *pngFile) decode(ctx context.Context, c *canvas) error {
	defer func() { c.clipped = p.clipped }()
	palette := false
	for {
		at := p.at
		if len(p.data)-at >= 8 && string(p.data[at+4:at+8]) == "IDAT" {
			break
		}
		kind, body, err := p.chunk()
		switch {
		case err != nil:
			return err
		case kind == "IEND":
			return fault.At(int64(at), "no pixels")
		case kind != "PLTE":
			continue
		case len(body)%3 != 0 || len(body) > 3*256:
			return fault.At(int64(at), "palette of %d bytes", len(body))
		}
		palette = true
		for i := 0; i < len(body); i += 3 {
			p.palette[i/3] = [3]byte(body[i:])
		}
	}
	if p.kind == pngPalette && !palette {
		return fault.At(int64(p.at), "no palette")
	}
	chunks := newIDAT(p.data, p.at)
	if err := p.pixels(ctx, chunks, c); err != nil {
		if sum := chunks.check(); sum != nil {
			return sum // which explains the other
		}
		if err == io.ErrUnexpectedEOF && chunks.Len() == 0 && chunks.end != io.EOF {
			err = chunks.end
		}
		return p.inflated(err)
	}
	return chunks.check()
}

// pixels inflates the chunks. What checksums there are must be right; Pillow takes
// files that lack them.
func (p *pngFile) pixels(ctx context.Context, chunks *idat, c *canvas) error {
	z, err := zlib.NewReader(&chunks.Reader)
	if err != nil {
		return err
	}
	passes := []pass{{0, 0, 1, 1}}
	if p.interlaced {
		passes = adam7
	}
	for _, ps := range passes {
		if err := p.pass(ctx, z, ps, c); err != nil {
			return err
		}
	}
	if _, err := z.Read(make([]byte, 1)); err == zlib.ErrChecksum {
		return err
	}
	return nil
}

// inflated gives an error of the pixels' stream a place.
func (p *pngFile) inflated(err error) error {
	switch err {
	case zlib.ErrChecksum, zlib.ErrHeader, zlib.ErrDictionary:
		return fault.At(int64(p.at), "compressed pixels: %v", err)
	case io.EOF:
		return fault.At(int64(p.at), "fewer pixels than %dx%d", p.w, p.h)
	}
	return err
}

// A pass is a part of an interlaced image: every dx-th column from x on of every
// dy-th row from y on.
type pass struct{ x, y, dx, dy int }

var adam7 = []pass{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}

// pass reads the rows of a pass.
func (p *pngFile) pass(ctx context.Context, r io.Reader, ps pass, c *canvas) error {
	w, h := (p.w-ps.x+ps.dx-1)/ps.dx, (p.h-ps.y+ps.dy-1)/ps.dy
	if w <= 0 || h <= 0 {
		return nil
	}
	back := (p.bits*p.channels() + 7) / 8 // bytes to the pixel on the left
	n := (w*p.channels()*p.bits + 7) / 8
	raw, before := make([]byte, 1+n), make([]byte, 1+n)
	k := fastest()
	var pixels []byte
	if p.interlaced {
		pixels = make([]byte, 3*w)
	}
	for i := range h {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.ReadFull(r, raw); err != nil {
			return err
		}
		if !unfilter(k, raw[0], raw[1:], before[1:], back) {
			return fault.At(int64(p.at), "row %d with filter %d", i, raw[0])
		}
		y := ps.y + i*ps.dy
		if p.interlaced {
			p.convert(pixels, raw[1:])
			for x := range w {
				c.set(ps.x+x*ps.dx, y, pixels[3*x:3*x+3])
			}
		} else {
			p.convert(c.row(y), raw[1:])
			c.done(y)
		}
		raw, before = before, raw
	}
	return nil
}

// unfilter undoes a row's filter. back is how far the pixel on the left is.
func unfilter(k *kernels, filter byte, row, above []byte, back int) bool {
	above = above[:len(row)]
	switch filter {
	case 0:
	case 1:
		for i := back; i < len(row); i++ {
			row[i] += row[i-back]
		}
	case 2:
		addBytes(row, above)
	case 3:
		for i := range min(back, len(row)) {
			row[i] += above[i] / 2
		}
		for i := back; i < len(row); i++ {
			row[i] += byte((int(row[i-back]) + int(above[i])) / 2)
		}
	case 4:
		k.paeth(row, above, back)
	default:
		return false
	}
	return true
}

// addBytes adds b to a, of the same length, eight bytes at a time: the highest bits
// apart, so that nothing is carried from byte to byte.
func addBytes(a, b []byte) {
	const high = 0x80808080_80808080
	for len(a) >= 8 && len(b) >= 8 {
		p, q := binary.LittleEndian.Uint64(a), binary.LittleEndian.Uint64(b)
		binary.LittleEndian.PutUint64(a, (p&^high+q&^high)^(p^q)&high)
		a, b = a[8:], b[8:]
	}
	for i, v := range b {
		a[i] += v
	}
}

// paethGeneric undoes PNG's filter 4.
func paethGeneric(row, above []byte, back int) {
	for i := range min(back, len(row)) {
		row[i] += above[i] // which is nearest where there is nothing on the left
	}
	for i := back; i < len(row); i++ {
		row[i] += predict(row[i-back], above[i], above[i-back])
	}
}

// predict returns what is nearest to left + up - corner: the first of the three that
// is.
func predict(left, up, corner byte) byte {
	a, b := int(up)-int(corner), int(left)-int(corner) // the distances to left and up, with signs
	c := abs(a + b)
	a, b = abs(a), abs(b)
	switch {
	case a <= b && a <= c:
		return left
	case b <= c:
		return up
	}
	return corner
}

func abs(v int) int { return max(v, -v) }

// convert writes a row of pixels as RGB: alpha is dropped, of 16-bit channels the
// upper 8 bits are kept, but 16-bit grey is clipped at 255, all as Pillow does it.
func (p *pngFile) convert(dst, row []byte) {
	n := len(dst) / 3
	switch {
	case p.kind == pngPalette:
		for x := range n {
			copy(dst[3*x:3*x+3], p.palette[sampleAt(row, x, p.bits)][:])
		}
	case p.kind == pngGrey && p.bits < 8:
		full := 255 / (1<<p.bits - 1)
		for x := range n {
			v := byte(sampleAt(row, x, p.bits) * full)
			put(dst, x, v, v, v)
		}
	case p.kind == pngGrey && p.bits == 16:
		for x := range n {
			level := binary.BigEndian.Uint16(row[2*x:])
			p.clipped = p.clipped || level > 255
			v := clip16(level)
			put(dst, x, v, v, v)
		}
	case p.kind == pngRGB && p.bits == 8:
		copy(dst, row)
	case p.kind == pngRGBA && p.bits == 8:
		fourBytes(dst, row)
	default:
		size := p.bits / 8
		step, more := size*p.channels(), 0
		if p.kind == pngRGB || p.kind == pngRGBA {
			more = size
		}
		for x := range n {
			s := row[step*x:]
			put(dst, x, s[0], s[more], s[2*more])
		}
	}
}

// clip16 makes a sample of 16-bit grey one of 8 bits as Pillow does, which keeps
// its value: nearly all is white.
func clip16(v uint16) byte { return byte(min(v, 255)) }

// sampleAt returns sample x of a row of bits-wide ones, up to 8, the first in the
// highest bits of a byte.
func sampleAt(row []byte, x, bits int) int {
	at := x * bits
	return int(row[at/8]) >> (8 - bits - at%8) & (1<<bits - 1)
}

// An idat is the compressed pixels: the bodies of the chunks called IDAT that follow
// one another, whose checksums are not looked at before they have been read.
type idat struct {
	bytes.Reader
	data   []byte
	chunks []span // of data, bodies
	end    error  // why there are no more: io.EOF, or what is broken
}

// A span is a part of a file.
type span struct{ at, end int }

// newIDAT collects the chunks from at on. The bodies of several are copied: inflating
// from one piece takes half as long.
func newIDAT(data []byte, at int) *idat {
	r := &idat{data: data}
	r.collect(at)
	if len(r.chunks) == 1 {
		r.Reset(data[r.chunks[0].at:r.chunks[0].end])
		return r
	}
	n := 0
	for _, c := range r.chunks {
		n += c.end - c.at
	}
	body := make([]byte, 0, n)
	for _, c := range r.chunks {
		body = append(body, data[c.at:c.end]...)
	}
	r.Reset(body)
	return r
}

func (r *idat) collect(at int) {
	for {
		rest := r.data[at:]
		if len(rest) < 8 || string(rest[4:8]) != "IDAT" {
			r.end = io.EOF
			return
		}
		n := binary.BigEndian.Uint32(rest)
		if n > math.MaxInt32 {
			r.end = fault.At(int64(at), "chunk \"IDAT\" of %d bytes", n)
			return
		}
		c := span{at + 8, at + 8 + int(min(int64(n), int64(len(rest)-8)))}
		if n > 0 { // empty ones may be any number
			r.chunks = append(r.chunks, c)
		}
		if at = c.end + 4; at > len(r.data) || c.end-c.at < int(n) {
			r.end = io.ErrUnexpectedEOF
			return
		}
	}
}

// check holds the chunks that have been read, if in part, against their checksums.
// The last one may lack it.
func (r *idat) check() error {
	read := int(r.Size()) - r.Len()
	for _, c := range r.chunks {
		if read <= 0 || len(r.data)-c.end < 4 {
			break
		}
		read -= c.end - c.at
		if crc32.ChecksumIEEE(r.data[c.at-4:c.end]) != binary.BigEndian.Uint32(r.data[c.end:]) {
			return fault.At(int64(c.end), "chunk \"IDAT\" with a wrong checksum")
		}
	}
	return nil
}
