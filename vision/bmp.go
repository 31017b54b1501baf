package vision

import (
	"context"
	"encoding/binary"
	"io"
	"math"
	"math/bits"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A bmpFile is a Windows or OS/2 bitmap. It is not x/image/bmp's because that reads
// neither 16 bits nor run lengths, and takes 4 bytes a pixel beside ours.
type bmpFile struct {
	data        []byte
	w, h        int
	topDown     bool
	bits        int
	compression uint32
	pixels      int          // where they begin
	masks       [3]uint32    // of red, green and blue, for 16 and 32 bits
	palette     [256][3]byte // for 8 bits and less
}

// Compressions of a bitmap.
const (
	bmpRaw       = 0
	bmpRLE8      = 1
	bmpRLE4      = 2
	bmpMasks     = 3
	bmpJPEG      = 4
	bmpPNG       = 5
	bmpMasksRGBA = 6
)

func openBMP(data []byte) (picture, error) {
	le := binary.LittleEndian
	size := int(data[14]) // isBMP has looked at it
	if len(data) < 14+size {
		return picture{}, io.ErrUnexpectedEOF
	}
	b := &bmpFile{data: data, masks: [3]uint32{0xff0000, 0xff00, 0xff}}
	head, colours := data[14:14+size], uint32(0)
	if size == 12 {
		b.w, b.h, b.bits = int(le.Uint16(head[4:])), int(le.Uint16(head[6:])), int(le.Uint16(head[10:]))
	} else {
		b.w, b.h = int(int32(le.Uint32(head[4:]))), int(int32(le.Uint32(head[8:])))
		b.bits = int(le.Uint16(head[14:]))
		if size >= 40 {
			b.compression, colours = le.Uint32(head[16:]), le.Uint32(head[32:])
		}
	}
	if b.h < 0 && b.h != math.MinInt32 {
		b.h, b.topDown = -b.h, true
	}
	at := 14 + size
	switch {
	case b.compression == bmpJPEG || b.compression == bmpPNG:
		return picture{}, fault.Unsupportedf("a bitmap that holds a JPEG or PNG file")
	case b.compression == bmpRLE8 && b.bits == 8, b.compression == bmpRLE4 && b.bits == 4:
	case (b.compression == bmpMasks || b.compression == bmpMasksRGBA) && (b.bits == 16 || b.bits == 32):
		masks := data[54:]
		if size == 40 {
			at += 12
			if b.compression == bmpMasksRGBA {
				at += 4
			}
		}
		if len(masks) < 12 {
			return picture{}, io.ErrUnexpectedEOF
		}
		if m := [3]uint32{le.Uint32(masks), le.Uint32(masks[4:]), le.Uint32(masks[8:])}; m != [3]uint32{} {
			b.masks = m
		}
	case b.compression != bmpRaw:
		return picture{}, fault.Unsupportedf("compression %d of %d bits", b.compression, b.bits)
	case b.bits == 16:
		b.masks = [3]uint32{0x7c00, 0x3e0, 0x1f}
	case b.bits != 1 && b.bits != 2 && b.bits != 4 && b.bits != 8 && b.bits != 24 && b.bits != 32:
		return picture{}, fault.Unsupportedf("%d bits a pixel", b.bits)
	}
	if b.bits <= 8 {
		at = b.readPalette(at, size, colours)
	}
	if b.pixels = int(le.Uint32(data[10:])); b.pixels < 14+size { // some files say nothing
		b.pixels = at
	}
	return picture{w: b.w, h: b.h, extra: 4 * int64(b.w), decode: b.decode}, nil
}

// readPalette reads the palette at an offset and returns where it ends. Entries
// that the file lacks are grey, as in Pillow.
func (b *bmpFile) readPalette(at, size int, colours uint32) int {
	entry := 4
	if size == 12 {
		entry = 3
	}
	if colours == 0 || colours > 1<<b.bits {
		colours = 1 << b.bits
	}
	for i := range b.palette {
		b.palette[i] = [3]byte{byte(i), byte(i), byte(i)}
		if rest := b.data[min(at, len(b.data)):]; i < int(colours) && len(rest) >= entry {
			b.palette[i] = [3]byte{rest[2], rest[1], rest[0]}
			at += entry
		}
	}
	return at
}

func (b *bmpFile) decode(ctx context.Context, c *canvas) error {
	if b.pixels > len(b.data) {
		return io.ErrUnexpectedEOF
	}
	data := b.data[b.pixels:]
	if b.compression == bmpRLE8 || b.compression == bmpRLE4 {
		return b.runs(ctx, data, c)
	}
	n := (b.w*b.bits + 7) / 8
	stride := (n + 3) &^ 3
	if uint64(len(data)) < uint64(stride)*uint64(b.h-1)+uint64(n) {
		return io.ErrUnexpectedEOF
	}
	for y := range b.h { // of the image, not of the file: a canvas is written from the top down
		if err := ctx.Err(); err != nil {
			return err
		}
		at := b.h - 1 - y
		if b.topDown {
			at = y
		}
		b.convert(c.row(y), data[at*stride:][:n])
		c.done(y)
	}
	return nil
}

// convert writes a row of pixels as RGB.
func (b *bmpFile) convert(dst, row []byte) {
	switch b.bits {
	case 24:
		for x := range len(dst) / 3 {
			s := row[3*x:][:3]
			put(dst, x, s[2], s[1], s[0])
		}
	case 16:
		b.masked(dst, func(x int) uint32 { return uint32(binary.LittleEndian.Uint16(row[2*x:])) })
	case 32:
		b.masked(dst, func(x int) uint32 { return binary.LittleEndian.Uint32(row[4*x:]) })
	default:
		for x := range len(dst) / 3 {
			copy(dst[3*x:3*x+3], b.palette[sampleAt(row, x, b.bits)][:])
		}
	}
}

// masked writes pixels of which each channel has the bits of a mask. They are
// scaled to 8 bits and rounded down, as in Pillow.
func (b *bmpFile) masked(dst []byte, pixel func(x int) uint32) {
	var shift, full [3]uint32
	for i, m := range b.masks {
		shift[i] = uint32(bits.TrailingZeros32(m)) & 31
		full[i] = max(m>>shift[i], 1)
	}
	for x := range len(dst) / 3 {
		v := pixel(x)
		for i, m := range b.masks {
			dst[3*x+i] = byte(uint64(v&m>>shift[i]) * 255 / uint64(full[i]))
		}
	}
}

// runs decodes run lengths: pairs of a count and a colour, or of 0 and the end of
// a row, the end of the image, a move, or a count of colours as they are. Pixels
// that are left out have the first colour of the palette.
func (b *bmpFile) runs(ctx context.Context, data []byte, c *canvas) error {
	x, y := 0, 0 // y from the file's first row on
	row, rgb := make([]byte, b.w), make([]byte, 3*b.w)
	flush := func(to int) error { // the row, and those that are moved over
		for ; y < min(to, b.h); y++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			for i, v := range row {
				copy(rgb[3*i:3*i+3], b.palette[v][:])
			}
			at := b.h - 1 - y
			if b.topDown {
				at = y
			}
			c.set(0, at, rgb)
			clear(row)
		}
		return nil
	}
	end := false
	for !end && y < b.h {
		if len(data) < 2 {
			if y == b.h-1 && x == b.w {
				break // all pixels, without an end
			}
			return io.ErrUnexpectedEOF
		}
		n, v := int(data[0]), data[1]
		data = data[2:]
		switch {
		case n > 0:
			for i := range min(n, b.w-x) {
				row[x+i] = b.colour(v, i)
			}
			x = min(x+n, b.w)
		case v == 0:
			if err := flush(y + 1); err != nil {
				return err
			}
			x = 0
		case v == 1:
			end = true
		case v == 2:
			if len(data) < 2 {
				return io.ErrUnexpectedEOF
			}
			if err := flush(y + int(data[1])); err != nil {
				return err
			}
			x = min(x+int(data[0]), b.w)
			data = data[2:]
		default:
			size := int(v)
			if b.compression == bmpRLE4 {
				size = (size + 1) / 2
			}
			if len(data) < size {
				return io.ErrUnexpectedEOF
			}
			for i := range min(int(v), b.w-x) {
				if b.compression == bmpRLE4 {
					row[x+i] = b.colour(data[i/2], i)
				} else {
					row[x+i] = data[i]
				}
			}
			x = min(x+int(v), b.w)
			data = data[min((size+1)&^1, len(data)):]
		}
	}
	return flush(b.h)
}

// colour returns colour i of a run's byte: for 4 bits its halves in turn.
func (b *bmpFile) colour(v byte, i int) byte {
	switch {
	case b.compression == bmpRLE8:
		return v
	case i%2 == 0:
		return v >> 4
	}
	return v & 15
}
