package vision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/image/ccitt"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/jpeg"
)

// Compressions of a TIFF file (tag 259).
const (
	compressionNone       = 1
	compressionGroup3     = 3
	compressionGroup4     = 4
	compressionLZW        = 5
	compressionJPEG       = 7
	compressionDeflate    = 8
	compressionDeflateOld = 32946
	compressionPackBits   = 32773
	compressionZstd       = 50000
)

// zstdWindow bounds what a zstd stream may ask for. Level 19, above what anybody
// writes TIFF with, has 8 MB.
const zstdWindow = 8 << 20

func (t *tiffFile) knownCompression() error {
	predictor := t.first(tagPredictor, 1)
	switch t.compression {
	case compressionNone, compressionPackBits, compressionJPEG:
		return nil // have no predictor
	case compressionGroup3, compressionGroup4:
		if t.bits != 1 || t.samples != 1 {
			return fault.Brokenf("fax of %d samples of %d bits", t.samples, t.bits)
		}
		if t.compression == compressionGroup3 && t.first(tagT4Options, 0)&1 == 1 {
			return fault.Unsupportedf("two-dimensional Group 3 fax")
		}
		return nil
	case compressionLZW, compressionDeflate, compressionDeflateOld, compressionZstd:
	default:
		names := map[uint64]string{2: "modified Huffman fax", 6: "old-style JPEG", 34712: "JPEG 2000", 34925: "LZMA", 50001: "WebP", 50002: "JPEG XL"}
		return fault.Unsupportedf("compression %d %s", t.compression, names[t.compression])
	}
	switch {
	case predictor == 1, predictor == 2 && t.bits >= 8, predictor == 3 && t.format == floatSamples:
		return nil
	}
	return fault.Unsupportedf("predictor %d of %d bits", predictor, t.bits)
}

// chunk reads the first rows of strip or tile i of n. emit gets each with what
// writes it as RGB.
func (t *tiffFile) chunk(ctx context.Context, i, n, rows int, emit func(y int, rgb func(dst []byte))) error {
	if t.compression == compressionJPEG {
		return t.jpegChunk(ctx, i, rows, emit)
	}
	streams := make([]io.Reader, t.planes)
	for p := range streams {
		data, err := t.bytes(i + p*n)
		if err != nil {
			return err
		}
		if streams[p], err = t.stream(&t.plane[p], i+p*n, data, rows); err != nil {
			return broken(i, err)
		}
	}
	perPlane := t.samples / t.planes
	if t.planar == nil {
		t.planar = make([]byte, (t.cw*perPlane*t.bits+7)/8)
		t.row = t.planar
		if t.planes > 1 {
			t.row = make([]byte, len(t.planar)*t.planes)
		}
	}
	planar, row := t.planar, t.row
	for y := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		for p, r := range streams {
			if _, err := io.ReadFull(r, planar); err != nil {
				return broken(i, err)
			}
			t.unpredict(planar, perPlane)
			if t.planes > 1 {
				interleave(row, planar, p, t.planes, t.bits/8)
			}
		}
		emit(y, func(dst []byte) { t.convert(dst, row) })
	}
	// What the rows need has been read; whether it is right, a checksum behind it
	// says, if there is one.
	for _, r := range streams {
		if _, err := r.Read(make([]byte, 1)); err == zlib.ErrChecksum {
			return broken(i, err)
		}
	}
	return nil
}

// broken is the error about strip or tile i.
func broken(i int, err error) error {
	e := &fault.Error{Reason: err.Error(), Err: err}
	if ours, ok := errors.AsType[*fault.Error](err); ok {
		e = &fault.Error{Kind: ours.Kind, Reason: ours.Error(), Err: ours.Err}
	} else if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		e.Reason = "it ends early"
	}
	e.Place = fmt.Sprintf("strip or tile %d", i)
	return e
}

// interleave puts the samples of a plane between those of others.
func interleave(dst, src []byte, plane, planes, size int) {
	for x := range len(src) / size {
		copy(dst[(x*planes+plane)*size:][:size], src[x*size:])
	}
}

// bytes returns what a strip or tile is compressed to.
func (t *tiffFile) bytes(i int) ([]byte, error) {
	offsets, counts := uint16(tagStripOffsets), uint16(tagStripByteCounts)
	if t.tiled {
		offsets, counts = tagTileOffsets, tagTileByteCounts
	}
	at, ok := t.value(offsets, uint64(i))
	if !ok || at > uint64(len(t.data)) {
		return nil, fault.Brokenf("strip or tile %d lies outside of the file", i)
	}
	rest := t.data[at:]
	// Uncompressed strips are as long as they have to be, whatever is said.
	if n, ok := t.value(counts, uint64(i)); ok && t.compression != compressionNone {
		if n > uint64(len(rest)) {
			return nil, fault.Brokenf("strip or tile %d ends behind the end of the file", i)
		}
		rest = rest[:n]
	}
	return rest, nil
}

// spend counts the bytes of strip or tile i that are looked at whatever its rows
// need. Strips may lie on one another.
func (t *tiffFile) spend(i, n int) error {
	if t.spent += n; t.spent > 2*len(t.data) {
		return fault.Brokenf("strips or tiles up to %d, which overlap, are twice as long as the file", i)
	}
	return nil
}

// stream decompresses strip or tile i, of so many rows of a plane.
func (t *tiffFile) stream(p *tiffPlane, i int, data []byte, rows int) (io.Reader, error) {
	if t.first(tagFillOrder, 1) == 2 {
		if err := t.spend(i, len(data)); err != nil {
			return nil, err
		}
		p.mirrored = append(p.mirrored[:0], data...)
		for j, b := range p.mirrored {
			p.mirrored[j] = bits.Reverse8(b)
		}
		data = p.mirrored
	}
	src := bytes.NewReader(data)
	switch t.compression {
	case compressionGroup3, compressionGroup4:
		kind := ccitt.Group3
		if t.compression == compressionGroup4 {
			kind = ccitt.Group4
		}
		return ccitt.NewReader(src, ccitt.MSB, kind, t.cw, rows, &ccitt.Options{Invert: true}), nil
	case compressionLZW:
		if len(data) > 1 && data[0] == 0 && data[1]&1 == 1 {
			return nil, fault.Unsupportedf("old-style LZW")
		}
		r, ok := p.inflater.(*lzwReader)
		if !ok {
			r = new(lzwReader)
			p.inflater = r
		}
		r.reset(data)
		return r, nil
	case compressionDeflate, compressionDeflateOld:
		if z, ok := p.inflater.(zlib.Resetter); ok {
			return p.inflater, z.Reset(src, nil)
		}
		z, err := zlib.NewReader(src)
		p.inflater = z
		return z, err
	case compressionPackBits:
		return &packBits{data: data}, nil
	case compressionZstd:
		if z, ok := p.inflater.(*zstd.Decoder); ok {
			return z, z.Reset(src)
		}
		// Without goroutines there is nothing to close.
		z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindow))
		p.inflater = z
		return z, err
	}
	return src, nil
}

// unpredict undoes the predictor on a row.
func (t *tiffFile) unpredict(row []byte, samples int) {
	switch t.compression {
	case compressionLZW, compressionDeflate, compressionDeflateOld, compressionZstd:
	default:
		return
	}
	switch predictor := t.first(tagPredictor, 1); {
	case predictor == 3:
		t.unpredictFloat(row, samples)
	case predictor != 2:
	case t.bits == 8:
		for i := samples; i < len(row); i++ {
			row[i] += row[i-samples]
		}
	case t.bits == 16:
		for i := 2 * samples; i+1 < len(row); i += 2 {
			t.order.PutUint16(row[i:], t.order.Uint16(row[i:])+t.order.Uint16(row[i-2*samples:]))
		}
	case t.bits == 32:
		for i := 4 * samples; i+3 < len(row); i += 4 {
			t.order.PutUint32(row[i:], t.order.Uint32(row[i:])+t.order.Uint32(row[i-4*samples:]))
		}
	}
}

// unpredictFloat undoes the floating-point predictor (Adobe's Technical Note 3):
// the highest bytes of all samples stand first, then the next ones, all as
// differences.
func (t *tiffFile) unpredictFloat(row []byte, samples int) {
	for i := samples; i < len(row); i++ {
		row[i] += row[i-samples]
	}
	planes := slices.Clone(row)
	n := len(row) / 4
	for i := range n {
		v := uint32(planes[i])<<24 | uint32(planes[n+i])<<16 | uint32(planes[2*n+i])<<8 | uint32(planes[3*n+i])
		t.order.PutUint32(row[4*i:], v)
	}
}

// jpegChunk reads a strip or tile that is a JPEG file without its tables.
func (t *tiffFile) jpegChunk(ctx context.Context, i, rows int, emit func(y int, rgb func(dst []byte))) error {
	data, err := t.bytes(i)
	if err != nil {
		return err
	}
	if err := t.spend(i, len(data)); err != nil {
		return err
	}
	if tables := t.fields[tagJPEGTables].values; len(tables) > 4 && len(data) > 2 {
		data = slices.Concat(tables[:len(tables)-2], data[2:]) // without the markers of an end and a start
	}
	c, err := jpeg.Config(data)
	if err != nil {
		return broken(i, err)
	}
	if c.Width != t.cw || c.Height < rows || c.Height > max(t.ch, rows) {
		return broken(i, fmt.Errorf("%dx%d pixels in place of %dx%d", c.Width, c.Height, t.cw, t.ch))
	}
	colour := jpeg.Plain
	if t.photometric == photoYCbCr {
		colour = jpeg.YCbCr
	}
	pixels := make([]byte, 3*t.cw)
	err = jpeg.DecodeAs(ctx, data, colour, jpeg.Rows{Row: func(int) []byte { return pixels }, Done: func(y int) {
		if y < rows {
			emit(y, func(dst []byte) { copy(dst, pixels) })
		}
	}})
	if err != nil && ctx.Err() == nil {
		return broken(i, err)
	}
	return err
}

// packBits decompresses Apple's run lengths: n from 0 to 127 is followed by n+1
// bytes, from 129 to 255 by one that stands for 257-n; 128 is nothing.
type packBits struct {
	data []byte
	left int // of a run or of bytes as they are
	run  bool
}

func (p *packBits) Read(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		if p.left == 0 {
			if len(p.data) < 2 {
				return done, io.EOF
			}
			n := p.data[0]
			p.data = p.data[1:]
			switch {
			case n < 128:
				p.left, p.run = int(n)+1, false
			case n > 128:
				p.left, p.run = 257-int(n), true
			}
			continue
		}
		n := min(p.left, len(b)-done)
		if p.run {
			for i := range n {
				b[done+i] = p.data[0]
			}
			if n == p.left {
				p.data = p.data[1:]
			}
		} else {
			if n = copy(b[done:done+n], p.data); n == 0 {
				return done, io.EOF
			}
			p.data = p.data[n:]
		}
		p.left -= n
		done += n
	}
	return done, nil
}
