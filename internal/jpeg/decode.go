// Package jpeg decodes JPEG files (ITU-T T.81) to the pixels that Pillow gets
// from libjpeg-turbo with its default settings, byte for byte: the accurate
// integer inverse DCT, interpolated chroma ("fancy upsampling") and fixed-point
// colour conversion.
//
// A file's way through the package is decode.go (segments), huffman.go (codes),
// strip.go (a row of blocks at a time), scan.go and bits.go (entropy-coded bits),
// sequential.go, progressive.go or arithmetic.go (to coefficients), idct.go
// (coefficients to samples), upsample.go and colour.go (samples to RGB).
//
// All scans of a file are read side by side, each up to the row of blocks that is
// due, so that beside the pixels a decoder holds no more than one row of blocks,
// of progressive files too.
//
// Decoded are 8-bit baseline, extended sequential and progressive files of
// one (grey), three (YCbCr, RGB) and four (CMYK, YCCK) components with Huffman or
// arithmetic codes. Lossless and hierarchical files and 12-bit samples are not:
// the error is of kind [fault.Unsupported].
package jpeg

import (
	"context"
	"encoding/binary"
	"image"
	"image/color"
	"sync"

	"github.com/mobilenet-go/mobilenet/fault"
)

// Markers (T.81, table B.1).
const (
	sof0  = 0xc0 // baseline
	sof1  = 0xc1 // extended sequential
	sof2  = 0xc2 // progressive
	dht   = 0xc4
	sof9  = 0xc9 // extended sequential, arithmetic codes
	sof10 = 0xca // progressive, arithmetic codes
	dac   = 0xcc
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
	index   int // among the components
	id      byte
	h, v    int  // sampling factors
	tq      byte // which quantisation table
	w, rows int  // its samples, without those that fill the last blocks
	bw, bh  int  // blocks that hold these samples
	padW    int  // blocks in a row with those that fill the last MCU
	quant   *quantTable

	// Of the row of MCUs that is being decoded: the samples, below the last row of
	// those above, and behind them slack; and a progressive file's coefficients.
	plane  []byte
	stride int
	blocks []coefBlock

	// The columns of blocks that become samples: in this row of MCUs, and in those
	// that the part has something of.
	first, end, partEnd int
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
	at   int // where the segment began that is being read

	width, height int
	comps         []component
	maxH, maxV    int
	mcuX, mcuY    int // MCUs in a row and in a column
	baseline      bool
	progressive   bool
	arithmetic    bool

	jfif, adobe    bool
	adobeTransform byte
	restart        int // MCUs between restart markers, 0 for none

	quant        [4]*quantTable
	huff         [2][4]*huffTable // DC, AC
	conditioning conditioning
	scans        []*scan
	blocks       uint64 // that the scans visit

	colour Colour
	queue  queue
	k      *kernels
	part   image.Rectangle // what is wanted of the image

	planes [4][]byte    // memory for the components' samples
	window []byte       // for the bits of the first scan
	tables []*huffTable // and for tables, of which some are used
	used   int
}

// decoders keeps memory that is not the result: a program decodes many photos of
// about the same size.
var decoders = sync.Pool{New: func() any { return new(decoder) }}

// reset leaves nothing but memory in d.
func (d *decoder) reset() {
	*d = decoder{planes: d.planes, window: d.window, tables: d.tables[:min(len(d.tables), 8)]}
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

// Rows takes an image row by row, from the top down.
type Rows struct {
	Row  func(y int) []byte // where row y goes, [width][3]
	Done func(y int)        // row y is there

	// Part is what is wanted of the image; empty means all. Other rows are not
	// written, and other pixels of these rows hold whatever. Codes are read, and
	// errors found, as for all: only the arithmetic behind them is left out.
	Part image.Rectangle
}

// Decode writes the pixels of a file, RGB, to rows. A file that ends before all its
// pixels is an error; only the end marker behind a sequential file's scans may be
// missing. What is allocated is in proportion to the file's width, whose number
// of pixels the caller has limited, see [Config]; the first row comes after the
// file has shown bits enough for all, which of arithmetic codes can't be told.
// Errors are *[fault.Error], or that of ctx.
func Decode(ctx context.Context, data []byte, rows Rows) error {
	return decode(ctx, data, Auto, rows, fastest())
}

// DecodeAs is Decode for a file that somebody else says the colours of, as a TIFF
// file around it does.
func DecodeAs(ctx context.Context, data []byte, c Colour, rows Rows) error {
	return decode(ctx, data, c, rows, fastest())
}

func decode(ctx context.Context, data []byte, colour Colour, rows Rows, k *kernels) error {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	defer d.reset()
	d.data, d.k, d.colour = data, k, colour
	if err := d.segments(false); err != nil {
		return err
	}
	return d.pixels(ctx, rows)
}

// broken returns an error about the segment that is being read.
func (d *decoder) broken(format string, args ...any) error {
	return fault.At(int64(d.at), format, args...)
}

// early is the error of a file that ends too soon.
func (d *decoder) early() error { return fault.At(int64(len(d.data)), "it ends early") }

func (d *decoder) unsupported(format string, args ...any) error {
	err := fault.At(int64(d.at), format, args...)
	err.Kind = fault.Unsupported
	return err
}

// segments reads the file's segments up to its end, or only up to its first
// frame header.
func (d *decoder) segments(config bool) error {
	if len(d.data) < 2 {
		return d.early()
	}
	if d.data[0] != 0xff || d.data[1] != soi {
		return d.broken("missing SOI marker")
	}
	d.pos = 2
	for {
		marker, ok := d.marker()
		switch {
		case !ok && !config && d.mayEnd():
			return nil
		case !ok:
			return d.early()
		}
		if marker == eoi {
			if len(d.comps) == 0 {
				return d.broken("missing SOF marker")
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
		case sof0, sof1, sof2, sof9, sof10:
			if err := d.frame(marker, body); err != nil || config {
				return err
			}
		case dht:
			err = d.huffmanTables(body)
		case dac:
			err = d.arithmeticConditioning(body)
		case dqt:
			err = d.quantTables(body)
		case dri:
			if len(body) != 2 {
				return d.broken("DRI has wrong length")
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
				err = d.broken("unknown marker %#02x", marker)
			case marker > sof2 && marker < rst0:
				err = d.unsupported("lossless or hierarchical compression")
			default:
				err = d.unsupported("marker %#02x", marker)
			}
		}
		if err != nil {
			return err
		}
	}
}

// mayEnd reports whether a file may end without an end marker: if it is
// sequential and a scan has begun for every component. That the scans are whole
// turns out when they are read; arithmetic codes never show it.
func (d *decoder) mayEnd() bool {
	if d.progressive || d.arithmetic || len(d.comps) == 0 {
		return false
	}
	for i := range d.comps {
		if d.comps[i].quant == nil {
			return false
		}
	}
	return true
}

// marker returns the next marker and skips what is before it. ok is false if
// there is none.
func (d *decoder) marker() (m byte, ok bool) {
	d.at = d.pos + marker(d.data[d.pos:])
	if d.at == len(d.data) {
		return 0, false
	}
	d.pos = d.at + 2
	return d.data[d.at+1], true
}

// body returns what is in the segment at pos.
func (d *decoder) body() ([]byte, error) {
	rest := d.data[d.pos:]
	if len(rest) < 2 {
		return nil, d.early()
	}
	n := int(binary.BigEndian.Uint16(rest))
	if n < 2 {
		return nil, d.broken("segment of length %d", n)
	}
	if n > len(rest) {
		return nil, d.early()
	}
	d.pos += n
	return rest[2:n], nil
}

// frame reads a frame header (B.2.2).
func (d *decoder) frame(marker byte, body []byte) error {
	if len(d.comps) != 0 {
		return d.broken("multiple SOF markers")
	}
	d.baseline, d.progressive, d.arithmetic = marker == sof0, marker == sof2 || marker == sof10, marker >= sof9
	n := (len(body) - 6) / 3
	if n != 1 && n != 3 && n != 4 || len(body) != 6+3*n {
		return d.unsupported("%d components", n)
	}
	if body[0] != 8 {
		return d.unsupported("samples of %d bits", body[0])
	}
	if int(body[5]) != n {
		return d.broken("SOF has wrong length")
	}
	d.height = int(binary.BigEndian.Uint16(body[1:]))
	d.width = int(binary.BigEndian.Uint16(body[3:]))
	if d.width == 0 || d.height == 0 {
		return d.unsupported("%dx%d pixels", d.width, d.height) // or with their number behind the scan
	}
	comps := make([]component, n)
	for i := range comps {
		c, b := &comps[i], body[6+3*i:]
		c.index, c.id, c.h, c.v, c.tq = i, b[0], int(b[1]>>4), int(b[1]&15), b[2]
		for _, other := range comps[:i] {
			if other.id == c.id {
				return d.broken("repeated component identifier")
			}
		}
		if c.tq > 3 {
			return d.broken("bad Tq value")
		}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 {
			return d.broken("sampling factors %dx%d", c.h, c.v)
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
			return d.unsupported("sampling factors %dx%d and %dx%d", d.maxH, d.maxV, c.h, c.v)
		}
		c.w, c.rows = ceil(d.width, d.maxH/c.h), ceil(d.height, d.maxV/c.v)
		c.bw, c.bh = ceil(c.w, 8), ceil(c.rows, 8)
		c.padW = d.mcuX * c.h
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
			return d.broken("bad Tq value")
		}
		if wide > 1 {
			return d.broken("bad Pq value")
		}
		n := 64 << wide
		if len(body) < 1+n {
			return d.broken("DQT has wrong length")
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
