// Package jpeg decodes JPEG files (ITU-T T.81) to the pixels that Pillow gets
// from libjpeg-turbo with its default settings, byte for byte: the accurate
// integer inverse DCT, interpolated chroma ("fancy upsampling") and fixed-point
// colour conversion.
//
// A file's way through the package is decode.go (segments), huffman.go (codes),
// bits.go (entropy-coded bits), sequential.go or progressive.go (scans to
// coefficients), idct.go (coefficients to samples), upsample.go and colour.go
// (samples to RGB).
//
// Decoded are 8-bit baseline, extended sequential and progressive files of
// one (grey), three (YCbCr, RGB) and four (CMYK, YCCK) components with Huffman
// codes. Arithmetic codes, lossless and hierarchical files and 12-bit samples
// are an [UnsupportedError].
package jpeg

import (
	"encoding/binary"
	"image"
	"image/color"
	"io"
	"sync"
)

// A FormatError says what is wrong with a file.
type FormatError string

func (e FormatError) Error() string { return "invalid JPEG format: " + string(e) }

// An UnsupportedError names a feature that is valid but not decoded.
type UnsupportedError string

func (e UnsupportedError) Error() string { return "unsupported JPEG feature: " + string(e) }

// Markers (T.81, table B.1).
const (
	sof0  = 0xc0 // baseline
	sof1  = 0xc1 // extended sequential
	sof2  = 0xc2 // progressive
	dht   = 0xc4
	rst0  = 0xd0
	rst7  = 0xd7
	soi   = 0xd8
	eoi   = 0xd9
	sos   = 0xda
	dqt   = 0xdb
	dri   = 0xdd
	app0  = 0xe0
	app14 = 0xee
	app15 = 0xef
	com   = 0xfe
)

// A component is a colour channel.
type component struct {
	index      int // among the components
	id         byte
	h, v       int    // sampling factors
	tq         byte   // which quantisation table
	w, rows    int    // its samples, without those that fill the last blocks
	bw, bh     int    // blocks that hold these samples
	padW, padH int    // blocks with those that fill the last MCU
	stride     int    // of plane
	plane      []byte // samples; there is slack behind the last row, nil until they come
	quant      *quantTable
	blocks     []coefBlock // of a progressive file
}

// slack is how far behind a row the vector kernels read.
const slack = 64

// A quantTable has, for each coefficient in zig-zag order, its quantisation step
// in the lower 16 bits and its place in the block above. A broken block may run
// over the end by up to 15 coefficients; their place is the last one.
type quantTable [64 + 16]uint32

// A decoder is the state of decoding one file.
type decoder struct {
	data []byte
	pos  int

	width, height int
	comps         []component
	maxH, maxV    int
	mcuX, mcuY    int // MCUs in a row and in a column
	baseline      bool
	progressive   bool

	jfif, adobe    bool
	adobeTransform byte
	restart        int // MCUs between restart markers, 0 for none

	quant [4]*quantTable
	huff  [2][4]*huffTable // DC, AC

	bits   bits
	queue  queue
	planes [4][]byte // memory for the components' planes
	k      *kernels
}

// decoders keeps memory that is not the result: a program decodes many photos of
// about the same size.
var decoders = sync.Pool{New: func() any { return new(decoder) }}

// reset leaves nothing but memory in d.
func (d *decoder) reset() {
	*d = decoder{bits: bits{buf: d.bits.buf}, planes: d.planes}
}

// Config returns the size and the colour model of a file. It reads as far as the
// frame header.
func Config(data []byte) (image.Config, error) {
	d := decoder{data: data}
	if err := d.segments(true); err != nil {
		return image.Config{}, err
	}
	c := image.Config{Width: d.width, Height: d.height, ColorModel: color.YCbCrModel}
	switch len(d.comps) {
	case 1:
		c.ColorModel = color.GrayModel
	case 4:
		c.ColorModel = color.CMYKModel
	}
	return c, nil
}

// Decode returns the pixels of a file as RGB, [height][width][3]. A file that
// ends early is an error. What is allocated is in proportion to the file's
// pixels, whose number the caller has limited, see [Config], and nothing is
// before the file has shown bits enough for them.
func Decode(data []byte) (pix []byte, width, height int, err error) {
	return decode(data, fastest())
}

func decode(data []byte, k *kernels) (pix []byte, width, height int, err error) {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	defer d.reset()
	d.data, d.k = data, k
	if err := d.segments(false); err != nil {
		return nil, 0, 0, err
	}
	if err := d.finish(); err != nil {
		return nil, 0, 0, err
	}
	return d.pixels(), d.width, d.height, nil
}

// segments reads the file's segments up to its end, or only up to its first
// frame header.
func (d *decoder) segments(config bool) error {
	if len(d.data) < 2 {
		return io.ErrUnexpectedEOF
	}
	if d.data[0] != 0xff || d.data[1] != soi {
		return FormatError("missing SOI marker")
	}
	d.pos = 2
	for {
		marker, err := d.marker()
		if err != nil {
			return err
		}
		if marker == eoi {
			if len(d.comps) == 0 {
				return FormatError("missing SOF marker")
			}
			return nil
		}
		if marker >= rst0 && marker <= rst7 { // one too many, harmless
			continue
		}
		body, err := d.body()
		if err != nil {
			return err
		}
		switch marker {
		case sof0, sof1, sof2:
			if err := d.frame(marker, body); err != nil || config {
				return err
			}
		case dht:
			err = d.huffmanTables(body)
		case dqt:
			err = d.quantTables(body)
		case dri:
			if len(body) != 2 {
				return FormatError("DRI has wrong length")
			}
			d.restart = int(binary.BigEndian.Uint16(body))
		case sos:
			err = d.scan(body)
		case app0:
			d.jfif = d.jfif || len(body) >= 5 && string(body[:5]) == "JFIF\x00"
		case app14:
			if len(body) >= 12 && string(body[:5]) == "Adobe" {
				d.adobe, d.adobeTransform = true, body[11]
			}
		default:
			switch {
			case marker > app0 && marker <= app15 || marker == com:
			case marker < sof0:
				err = FormatError("unknown marker")
			default:
				err = UnsupportedError("unknown marker")
			}
		}
		if err != nil {
			return err
		}
	}
}

// marker returns the next marker and skips what is before it.
func (d *decoder) marker() (byte, error) {
	for ; d.pos+1 < len(d.data); d.pos++ {
		m := d.data[d.pos+1]
		if d.data[d.pos] == 0xff && m != 0 && m != 0xff {
			d.pos += 2
			return m, nil
		}
	}
	return 0, io.ErrUnexpectedEOF
}

// body returns what is in the segment at pos.
func (d *decoder) body() ([]byte, error) {
	rest := d.data[d.pos:]
	if len(rest) < 2 {
		return nil, io.ErrUnexpectedEOF
	}
	n := int(binary.BigEndian.Uint16(rest))
	if n < 2 {
		return nil, FormatError("short segment length")
	}
	if n > len(rest) {
		return nil, io.ErrUnexpectedEOF
	}
	d.pos += n
	return rest[2:n], nil
}

// frame reads a frame header (B.2.2).
func (d *decoder) frame(marker byte, body []byte) error {
	if len(d.comps) != 0 {
		return FormatError("multiple SOF markers")
	}
	d.baseline, d.progressive = marker == sof0, marker == sof2
	n := (len(body) - 6) / 3
	if n != 1 && n != 3 && n != 4 || len(body) != 6+3*n {
		return UnsupportedError("number of components")
	}
	if body[0] != 8 {
		return UnsupportedError("precision")
	}
	if int(body[5]) != n {
		return FormatError("SOF has wrong length")
	}
	d.height = int(binary.BigEndian.Uint16(body[1:]))
	d.width = int(binary.BigEndian.Uint16(body[3:]))
	if d.width == 0 || d.height == 0 {
		return UnsupportedError("image without pixels") // or with their number behind the scan
	}
	comps := make([]component, n)
	for i := range comps {
		c, b := &comps[i], body[6+3*i:]
		c.index, c.id, c.h, c.v, c.tq = i, b[0], int(b[1]>>4), int(b[1]&15), b[2]
		for _, other := range comps[:i] {
			if other.id == c.id {
				return FormatError("repeated component identifier")
			}
		}
		if c.tq > 3 {
			return FormatError("bad Tq value")
		}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 {
			return FormatError("luma/chroma subsampling ratio")
		}
		if n == 1 { // whatever the factors: a single component is never interleaved (A.2)
			c.h, c.v = 1, 1
		}
		d.maxH, d.maxV = max(d.maxH, c.h), max(d.maxV, c.v)
	}
	d.mcuX, d.mcuY = ceil(d.width, 8*d.maxH), ceil(d.height, 8*d.maxV)
	for i := range comps {
		c := &comps[i]
		if d.maxH%c.h != 0 || d.maxV%c.v != 0 {
			return UnsupportedError("luma/chroma subsampling ratio")
		}
		c.w, c.rows = ceil(d.width, d.maxH/c.h), ceil(d.height, d.maxV/c.v)
		c.bw, c.bh = ceil(c.w, 8), ceil(c.rows, 8)
		c.padW, c.padH = d.mcuX*c.h, d.mcuY*c.v
		c.stride = 8 * c.padW
	}
	d.comps = comps
	return nil
}

func ceil(a, b int) int { return (a + b - 1) / b }

// zigzag has the place in a block of each coefficient in the order of the file.
var zigzag = [64]byte{
	0, 1, 8, 16, 9, 2, 3, 10,
	17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34,
	27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46,
	53, 60, 61, 54, 47, 55, 62, 63,
}

// quantTables reads quantisation tables (B.2.4.1).
func (d *decoder) quantTables(body []byte) error {
	for len(body) > 0 {
		wide, id := body[0]>>4, body[0]&15
		if id > 3 {
			return FormatError("bad Tq value")
		}
		if wide > 1 {
			return FormatError("bad Pq value")
		}
		n := 64 << wide
		if len(body) < 1+n {
			return FormatError("DQT has wrong length")
		}
		t := new(quantTable)
		for i := range t {
			t[i] = 63 << 16
		}
		for i, at := range zigzag {
			step := uint32(body[1+i<<wide])
			if wide == 1 {
				step = step<<8 | uint32(body[2+2*i])
			}
			t[i] = uint32(at)<<16 | step
		}
		d.quant[id] = t
		body = body[1+n:]
	}
	return nil
}
