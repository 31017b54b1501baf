package vision

import (
	"context"
	"io"
	"math"

	"github.com/mobilenet-go/mobilenet/fault"
)

// Tags of a TIFF directory (TIFF 6.0 and its supplements).
const (
	tagSubfileType     = 254
	tagWidth           = 256
	tagHeight          = 257
	tagBits            = 258
	tagCompression     = 259
	tagPhotometric     = 262
	tagFillOrder       = 266
	tagStripOffsets    = 273
	tagOrientation     = 274
	tagSamples         = 277
	tagRowsPerStrip    = 278
	tagStripByteCounts = 279
	tagPlanar          = 284
	tagT4Options       = 292
	tagPredictor       = 317
	tagColourMap       = 320
	tagTileWidth       = 322
	tagTileHeight      = 323
	tagTileOffsets     = 324
	tagTileByteCounts  = 325
	tagSubIFDs         = 330
	tagExtraSamples    = 338
	tagSampleFormat    = 339
	tagJPEGTables      = 347
	tagDNGVersion      = 50706
)

// What the samples of a TIFF file are (tag 262).
const (
	whiteIsZero = 0
	blackIsZero = 1
	photoRGB    = 2
	photoIndex  = 3
	photoCMYK   = 5
	photoYCbCr  = 6
	photoLab    = 8
)

// And what their bits are (tag 339).
const (
	unsignedSamples = 1
	signedSamples   = 2
	floatSamples    = 3
)

// maxChunks bounds what setting up a decompressor takes, some microseconds for each
// strip or tile. 250 million pixels have a million tiles of 16x16.
const maxChunks = 1 << 20

// A tiffFile is the first picture of a TIFF file. It is not x/image/tiff's because
// that decodes a strip at once to up to 8 bytes a pixel, and reads neither ink, Lab
// nor floating-point samples, nor JPEG.
type tiffFile struct {
	tiffDirectory
	w, h        int
	bits        int // of a sample
	samples     int // of a pixel
	format      uint64
	photometric uint64
	compression uint64
	planes      int // 1, or as many as samples if each has its own strips
	premultiply bool
	clipped     bool // see Image.Clipped
	tiled       bool
	cw, ch      int // pixels of a strip or tile
	palette     [256][3]byte
	plane       []tiffPlane
	planar, row []byte // a row of samples as it is stored, and with planes put together
	spent       int    // see spend
}

// A tiffPlane is what the strips or tiles of a plane use one after the other.
type tiffPlane struct {
	inflater io.Reader
	mirrored []byte // a strip whose bits are stored the other way round
}

func openTIFF(data []byte) (picture, error) {
	t := &tiffFile{tiffDirectory: directory(data), planes: 1}
	w, h := t.first(tagWidth, 0), t.first(tagHeight, 0)
	if w == 0 || h == 0 || w > math.MaxInt32 || h > math.MaxInt32 {
		return picture{}, fault.Brokenf("%dx%d pixels", w, h)
	}
	t.w, t.h = int(w), int(h)
	t.compression = t.first(tagCompression, 1)
	t.photometric = t.first(tagPhotometric, whiteIsZero)
	t.format = t.first(tagSampleFormat, unsignedSamples)
	samples := t.first(tagSamples, 1)
	if samples < 1 || samples > 16 {
		return picture{}, fault.Unsupportedf("%d samples a pixel", samples)
	}
	t.samples = int(samples)
	bits := t.first(tagBits, 1)
	for i := range samples {
		if b, ok := t.value(tagBits, i); ok && b != bits {
			return picture{}, fault.Unsupportedf("samples of %d and of %d bits", bits, b)
		}
	}
	t.bits = int(min(bits, 1<<16))
	if t.first(tagPlanar, 1) == 2 {
		t.planes = t.samples
	}
	t.plane = make([]tiffPlane, t.planes)
	t.premultiply = t.first(tagExtraSamples, 0) == 1
	if err := t.known(); err != nil {
		return picture{}, err
	}
	if err := t.layout(); err != nil {
		return picture{}, err
	}
	if t.photometric == photoIndex {
		if err := t.readPalette(); err != nil {
			return picture{}, err
		}
	}
	// Rows of samples, as pixels, and the tables of the decompressors; zstd's window.
	extra := 64*w + 1<<20
	if t.compression == compressionZstd {
		extra += zstdWindow
	}
	return picture{w: t.w, h: t.h, extra: int64(extra), decode: t.decode}, nil
}

// known reports what kinds of samples are not read.
func (t *tiffFile) known() error {
	least, ok := map[uint64]int{whiteIsZero: 1, blackIsZero: 1, photoRGB: 3, photoIndex: 1, photoCMYK: 4, photoYCbCr: 3, photoLab: 3}[t.photometric]
	switch {
	case !ok:
		return fault.Unsupportedf("photometric interpretation %d", t.photometric)
	case t.samples < least:
		return fault.Brokenf("%d samples a pixel for photometric interpretation %d", t.samples, t.photometric)
	case t.photometric == photoYCbCr && t.compression != compressionJPEG:
		return fault.Unsupportedf("YCbCr without JPEG compression")
	case t.compression == compressionJPEG && (t.bits != 8 || t.planes != 1 || t.photometric == photoLab || t.photometric == photoIndex || t.samples != least):
		return fault.Unsupportedf("JPEG compression of %d samples of %d bits, photometric interpretation %d", t.samples, t.bits, t.photometric)
	}
	grey := t.photometric <= blackIsZero
	switch {
	case t.bits == 8 && t.format == unsignedSamples:
	case (t.bits == 1 || t.bits == 2 || t.bits == 4) && t.format == unsignedSamples && (grey || t.photometric == photoIndex) && t.samples == 1:
	case t.bits == 16 && t.format == unsignedSamples && (grey || t.photometric == photoRGB || t.photometric == photoCMYK):
	case (t.bits == 16 || t.bits == 32) && t.format == signedSamples && grey:
	case t.bits == 32 && (t.format == unsignedSamples || t.format == floatSamples) && grey:
	default:
		return fault.Unsupportedf("samples of %d bits, sample format %d, photometric interpretation %d", t.bits, t.format, t.photometric)
	}
	return t.knownCompression()
}

// layout reads how the picture is cut into strips or tiles.
func (t *tiffFile) layout() error {
	if t.tiled = t.has(tagTileWidth) || t.has(tagTileOffsets); t.tiled {
		w, h := t.first(tagTileWidth, 0), t.first(tagTileHeight, 0)
		if w == 0 || h == 0 || w > maxSide || h > maxSide || !t.has(tagTileOffsets) {
			return fault.Brokenf("tiles of %dx%d pixels", w, h)
		}
		t.cw, t.ch = int(w), int(h)
		return nil
	}
	rows := t.first(tagRowsPerStrip, uint64(t.h))
	if rows == 0 || !t.has(tagStripOffsets) {
		return fault.Brokenf("strips of %d rows", rows)
	}
	t.cw, t.ch = t.w, int(min(rows, uint64(t.h)))
	return nil
}

// readPalette reads the colours of indices: all red, then all green, then all blue
// ones, of 16 bits.
func (t *tiffFile) readPalette() error {
	n := uint64(1) << t.bits
	for i := range n {
		for j := range uint64(3) {
			v, ok := t.value(tagColourMap, j*n+i)
			if !ok {
				return fault.Brokenf("no colour map of %d colours", n)
			}
			t.palette[i][j] = byte(v >> 8)
		}
	}
	return nil
}

// decode reads one strip or tile after the other.
func (t *tiffFile) decode(ctx context.Context, c *canvas) error {
	defer func() { c.clipped = t.clipped }()
	across, down := (t.w+t.cw-1)/t.cw, (t.h+t.ch-1)/t.ch
	if across*down > maxChunks {
		return fault.TooLargef("%d strips or tiles, more than the limit of %d", across*down, maxChunks)
	}
	pixels := make([]byte, 3*t.cw)
	for i := range across * down {
		x, y0 := i%across*t.cw, i/across*t.ch
		visible := 3 * min(t.cw, t.w-x)
		// Nothing below the picture is read.
		err := t.chunk(ctx, i, across*down, min(t.ch, t.h-y0), func(y int, rgb func(dst []byte)) {
			if !t.tiled {
				rgb(c.row(y0 + y))
				c.done(y0 + y)
				return
			}
			rgb(pixels)
			c.set(x, y0+y, pixels[:visible])
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// convert writes a row of samples as RGB, by Pillow's rules: of 16 bits the upper 8
// are kept, but grey of more than 8 bits is clipped at 0 and 255, see [clip16].
func (t *tiffFile) convert(dst, row []byte) {
	switch t.photometric {
	case whiteIsZero, blackIsZero:
		t.convertGrey(dst, row)
	case photoIndex:
		for x := range len(dst) / 3 {
			i := sampleAt(row, x*t.samples, t.bits)
			copy(dst[3*x:3*x+3], t.palette[i][:])
		}
	case photoRGB:
		t.convertRGB(dst, row)
	case photoCMYK:
		size, upper := t.bits/8, t.upper()
		for x := range len(dst) / 3 {
			s := row[x*t.samples*size+upper:]
			k := 255 - int(s[3*size])
			put(dst, x, ink(k, s[0]), ink(k, s[size]), ink(k, s[2*size]))
		}
	case photoLab:
		grid := labGrid()
		for x := range len(dst) / 3 {
			s := row[x*t.samples:][:3]
			rgb := labToRGB(grid, s[0], s[1], s[2])
			copy(dst[3*x:], rgb[:])
		}
	}
}

// upper returns where the upper 8 bits of a sample are.
func (t *tiffFile) upper() int {
	if t.bits == 16 && t.order.Uint16([]byte{1, 0}) == 1 {
		return 1
	}
	return 0
}

func (t *tiffFile) convertRGB(dst, row []byte) {
	size, upper := t.bits/8, t.upper()
	if size == 1 && t.samples == 3 {
		copy(dst, row)
		return
	}
	for x := range len(dst) / 3 {
		s := row[x*t.samples*size+upper:]
		r, g, b := s[0], s[size], s[2*size]
		if t.premultiply && t.samples > 3 {
			if a := int(s[3*size]); a == 0 {
				r, g, b = 0, 0, 0
			} else {
				r, g, b = byte(min(int(r)*255/a, 255)), byte(min(int(g)*255/a, 255)), byte(min(int(b)*255/a, 255))
			}
		}
		put(dst, x, r, g, b)
	}
}

func (t *tiffFile) convertGrey(dst, row []byte) {
	inverted := t.photometric == whiteIsZero && t.bits <= 8 // as in Pillow
	for x := range len(dst) / 3 {
		var v byte
		at := x * t.samples
		switch {
		case t.bits <= 8:
			v = byte(sampleAt(row, at, t.bits) * (255 / (1<<t.bits - 1)))
			if inverted {
				v = 255 - v
			}
		case t.format == floatSamples:
			if f := math.Float32frombits(t.order.Uint32(row[4*at:])); f >= 255 {
				v = 255
				t.clipped = t.clipped || f > 255
			} else if f > 0 {
				v = byte(f)
			}
		case t.bits == 32:
			v = t.clip(int(int32(t.order.Uint32(row[4*at:]))))
		case t.format == signedSamples:
			v = t.clip(int(int16(t.order.Uint16(row[2*at:]))))
		default:
			v = t.clip(int(t.order.Uint16(row[2*at:])))
		}
		put(dst, x, v, v, v)
	}
}

// clip makes a level of more than 8 bits one of 8, see [clip16].
func (t *tiffFile) clip(v int) byte {
	t.clipped = t.clipped || v > 255
	return byte(min(max(v, 0), 255))
}
