package vision

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// held decodes a file and holds what that takes against the limits: 4 bytes a
// pixel of what the header says, if it may say so, and what tables take; and some
// seconds of a fast machine. Everything that is allocated is counted, whether it is garbage by then
// or not.
func held(t *testing.T, name string, data []byte) (*Image, error) {
	t.Helper()
	var pixels uint64
	if f := recognise(data); f.open != nil {
		if p, err := f.open(data); err == nil && p.check(0) == nil {
			pixels = uint64(p.w) * uint64(p.h)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := testenv.CPU()
	img, err := Decode(t.Context(), data, DecodeOptions{})
	took := testenv.CPU() - began
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4*pixels+32<<20+4*uint64(len(data)) {
		t.Errorf("%s: %d bytes allocated for %d pixels and %d bytes of file", name, n, pixels, len(data))
	}
	if testenv.TooLong(took, 100) {
		t.Errorf("%s: %v", name, took)
	}
	if err != nil && !isFault(err) {
		t.Errorf("%s: error of type %T: %v", name, err, err)
	}
	return img, err
}

// Makers of files, as little right as need be.

func segmentJPEG(marker byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2)), body...)
}

// greyJPEG is a frame with tables of one code each; scans follow.
func greyJPEG(sof byte, w, h int, scans ...[]byte) []byte {
	one := append([]byte{1}, make([]byte, 15)...)
	return slices.Concat([]byte{0xff, 0xd8},
		segmentJPEG(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)...),
		segmentJPEG(sof, 8, byte(h>>8), byte(h), byte(w>>8), byte(w), 1, 1, 0x11, 0),
		segmentJPEG(0xc4, slices.Concat([]byte{0}, one, []byte{0})...),
		segmentJPEG(0xc4, slices.Concat([]byte{0x10}, one, []byte{0xe0})...), // ends the band for 2^14 blocks
		slices.Concat(scans...), []byte{0xff, 0xd9})
}

func scanJPEG(first, last, approximation byte, bits []byte) []byte {
	return append(segmentJPEG(0xda, 1, 1, 0, first, last, approximation), bits...)
}

// manyScans is a progressive file in which each scan behind the first is some runs
// over the whole picture.
func manyScans(w, h, n int) []byte {
	blocks := (w + 7) / 8 * ((h + 7) / 8)
	dc := scanJPEG(0, 0, 0, make([]byte, (blocks+7)/8))
	runs := scanJPEG(1, 63, 0, bytes.Repeat([]byte{0x55, 0x55}, blocks/(1<<14)+2))
	return greyJPEG(0xc2, w, h, append([][]byte{dc}, slices.Repeat([][]byte{runs}, n)...)...)
}

func zeroes(n int) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	block := make([]byte, 1<<20)
	for ; n > 0; n -= len(block) {
		z.Write(block[:min(n, len(block))])
	}
	z.Close()
	return b.Bytes()
}

func chunkPNG(kind string, body []byte) []byte {
	b := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), kind...)
	b = append(b, body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func pngOf(w, h uint32, bits, kind, interlaced byte, chunks ...[]byte) []byte {
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	return slices.Concat([]byte("\x89PNG\r\n\x1a\n"), chunkPNG("IHDR", append(head, bits, kind, 0, 0, interlaced)),
		slices.Concat(chunks...), chunkPNG("IEND", nil))
}

// tag is an entry of a TIFF directory; values that don't fit lie in the data.
type tag struct {
	tag    uint16
	values []uint32
}

// tiffOf is a TIFF file with data at offset 8.
func tiffOf(data []byte, tags ...tag) []byte {
	le := binary.LittleEndian
	slices.SortFunc(tags, func(a, b tag) int { return int(a.tag) - int(b.tag) })
	ifd := le.AppendUint16(nil, uint16(len(tags)))
	for _, g := range tags {
		ifd = le.AppendUint32(le.AppendUint16(le.AppendUint16(ifd, g.tag), tiffLong), uint32(len(g.values)))
		if len(g.values) == 1 {
			ifd = le.AppendUint32(ifd, g.values[0])
			continue
		}
		ifd = le.AppendUint32(ifd, uint32(8+len(data)))
		for _, v := range g.values {
			data = le.AppendUint32(data, v)
		}
	}
	head := le.AppendUint32([]byte("II*\x00"), uint32(8+len(data)))
	return slices.Concat(head, data, ifd, make([]byte, 4))
}

func plainTIFF(w, h, compression uint32, data []byte, more ...tag) []byte {
	tags := []tag{{tagWidth, []uint32{w}}, {tagHeight, []uint32{h}}, {tagBits, []uint32{8}}, {tagSamples, []uint32{3}},
		{tagPhotometric, []uint32{photoRGB}}, {tagCompression, []uint32{compression}},
		{tagStripOffsets, []uint32{8}}, {tagStripByteCounts, []uint32{uint32(len(data))}}}
	for _, m := range more {
		tags = slices.DeleteFunc(tags, func(g tag) bool { return g.tag == m.tag })
	}
	return tiffOf(data, append(tags, more...)...)
}

func tiled(w, h, tw, th uint32, data []byte) []byte {
	return plainTIFF(w, h, compressionDeflate, data, tag{tagTileWidth, []uint32{tw}}, tag{tagTileHeight, []uint32{th}},
		tag{tagTileOffsets, []uint32{8}}, tag{tagTileByteCounts, []uint32{uint32(len(data))}})
}

// lzwBomb has the longest strings that the codes of a GIF file can stand for.
func lzwBomb(pixels int) []byte {
	var out []byte
	acc, n := uint32(0), 0
	put := func(code uint32, size int) {
		acc |= code << n
		for n += size; n >= 8; n -= 8 {
			out, acc = append(out, byte(acc)), acc>>8
		}
	}
	for done := 0; done < pixels; {
		put(4, 3)
		put(0, 3)
		done++
		size, length := 3, 2
		for next := uint32(6); next < 4095 && done < pixels; next++ {
			put(next, size)
			done, length = done+length, length+1
			if next+1 == 1<<size && size < 12 {
				size++
			}
		}
	}
	put(5, 12)
	put(0, 12)
	return out
}

func gifOf(w, h uint16, codes []byte) []byte {
	b := []byte("GIF89a")
	b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, w), h)
	b = append(b, 0x80, 0, 0, 1, 2, 3, 4, 5, 6, ',', 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, w), h)
	b = append(b, 0, 2)
	for c := range slices.Chunk(codes, 255) {
		b = append(append(b, byte(len(c))), c...)
	}
	return append(b, 0, ';')
}

func rle8(w, h uint32, codes []byte) []byte {
	return append(header("BM", 54+1024, map[int]uint32{10: 54 + 1024, 14: 40, 18: w, 22: h, 26: 1 | 8<<16, 30: bmpRLE8}), codes...)
}

// TestHostile makes the kinds of files that take more than they should, as the
// decoders of others have met them, of some megapixels: what must not be taken in
// proportion to what a file claims shows at any size.
func TestHostile(t *testing.T) {
	const mega = 1 << 20
	for _, c := range []struct {
		name string
		kind fault.Kind
		ok   bool // decoded
		data []byte
	}{
		{"JPEG of 499 scans", 0, true, manyScans(512, 512, 498)},
		{"JPEG of 2000 scans", fault.TooLarge, false, manyScans(512, 512, 2000)},
		{"JPEG of many blocks in all", fault.TooLarge, false, manyScans(65528, 3500, 100)},
		{"JPEG without bits", fault.Broken, false, greyJPEG(0xc0, 10000, 10000, scanJPEG(0, 63, 0, make([]byte, 100)))},
		{"JPEG of arithmetic zeroes", fault.Broken, true, greyJPEG(0xc9, 3000, 2000, scanJPEG(0, 63, 0, nil))},
		{"JPEG of arithmetic noise", fault.Broken, true, greyJPEG(0xc9, 3000, 2000, scanJPEG(0, 63, 0, bytes.Repeat([]byte{0x5a, 0x31}, mega)))},
		{"JPEG of a million segments", fault.Broken, false, slices.Concat([]byte{0xff, 0xd8}, bytes.Repeat(segmentJPEG(0xfe), mega))},
		{"JPEG of tables", fault.Broken, false, slices.Concat([]byte{0xff, 0xd8}, bytes.Repeat(segmentJPEG(0xc4, slices.Concat([]byte{0, 1}, make([]byte, 16))...), mega/8))},

		{"PNG of 16 bits", 0, true, pngOf(2000, 2000, 16, pngRGBA, 0, chunkPNG("IDAT", zeroes(2000*(8*2000+1))))},
		{"PNG of 16 bits, interlaced", 0, true, pngOf(2000, 2000, 16, pngRGBA, 1, chunkPNG("IDAT", zeroes(2000*8*2000+4*2000)))},
		{"PNG of a pixel and 64 MB", 0, true, pngOf(1, 1, 8, pngRGB, 0, chunkPNG("IDAT", zeroes(64*mega)))},
		{"PNG with 64 MB of text", 0, true, pngOf(4, 4, 8, pngRGB, 0, chunkPNG("zTXt", append([]byte("a\x00\x00"), zeroes(64*mega)...)), chunkPNG("IDAT", zeroes(52)))},
		{"PNG of a million empty chunks", 0, true, pngOf(4, 4, 8, pngRGB, 0, bytes.Repeat(chunkPNG("IDAT", nil), mega), chunkPNG("IDAT", zeroes(52)))},
		{"PNG of one long row", fault.TooLarge, false, pngOf(100_000_000, 1, 1, pngGrey, 0, chunkPNG("IDAT", zeroes(12_500_001)))},
		{"PNG of 2^31 rows", fault.TooLarge, false, pngOf(1<<31-1, 1<<31-1, 8, pngRGB, 0, chunkPNG("IDAT", nil))},
		{"PNG whose rows are missing", fault.Broken, false, pngOf(10000, 10000, 8, pngRGB, 0, chunkPNG("IDAT", zeroes(1000)))},

		{"GIF of the longest strings", fault.Broken, false, gifOf(3000, 2000, lzwBomb(50*mega))},
		{"GIF without pixels", fault.Broken, false, gifOf(10000, 10000, []byte{0x44, 1})},

		{"TIFF of 16 bits", 0, true, plainTIFF(2000, 2000, compressionDeflate, zeroes(2000*2000*6), tag{tagBits, []uint32{16}})},
		{"TIFF of a pixel and 64 MB", 0, true, plainTIFF(1, 1, compressionDeflate, zeroes(64*mega))},
		{"TIFF of one strip again and again", 0, true, plainTIFF(1000, 2000, compressionDeflate, zeroes(20*mega), tag{tagRowsPerStrip, []uint32{1}},
			tag{tagStripOffsets, slices.Repeat([]uint32{8}, 2000)}, tag{tagStripByteCounts, slices.Repeat([]uint32{20000}, 2000)})},
		{"TIFF of a pixel in a huge tile", 0, true, tiled(1, 1, 65520, 65520, zeroes(64*mega))},
		{"TIFF of a tile of 2^32", fault.Broken, false, tiled(4, 4, 1<<32-1, 1<<32-1, zeroes(48))},
		{"TIFF of tiles without number", fault.TooLarge, false, tiled(10000, 10000, 1, 1, zeroes(48))},
		{"TIFF of strips that are not there", fault.Broken, false, plainTIFF(4, 4, compressionNone, make([]byte, 48), tag{tagStripOffsets, []uint32{1 << 31}})},
		{"TIFF of no strips", fault.Broken, false, plainTIFF(4, 4, compressionNone, make([]byte, 48), tag{tagRowsPerStrip, []uint32{0}})},
		{"TIFF of 65535 samples", fault.Unsupported, false, plainTIFF(4, 4, compressionNone, make([]byte, 48), tag{tagSamples, []uint32{65535}})},
		{"TIFF of 2^32 pixels a side", fault.Broken, false, plainTIFF(1<<32-1, 1<<32-1, compressionNone, make([]byte, 48))},
		{"TIFF of one JPEG again and again", fault.Broken, false, plainTIFF(8, 80000, compressionJPEG, slices.Concat(greyJPEG(0xc0, 8, 8, scanJPEG(0, 63, 0, make([]byte, 9))), make([]byte, mega)),
			tag{tagSamples, []uint32{1}}, tag{tagPhotometric, []uint32{blackIsZero}}, tag{tagRowsPerStrip, []uint32{8}},
			tag{tagStripOffsets, slices.Repeat([]uint32{8}, 10000)}, tag{tagStripByteCounts, slices.Repeat([]uint32{mega}, 10000)})},

		{"BMP of moves", 0, true, rle8(4, 100000, slices.Concat(bytes.Repeat([]byte{0, 2, 255, 255}, mega), []byte{0, 1}))},
		{"BMP of an end", 0, true, rle8(1000, 1000, []byte{0, 1})},
		{"BMP of nothing", fault.Broken, false, rle8(10000, 10000, nil)},
		{"BMP of empty rows", 0, true, rle8(4, 4, make([]byte, 2*mega))},
		{"BMP of -2^31 rows", fault.Broken, false, header("BM", 100, map[int]uint32{10: 54, 14: 40, 18: 4, 22: 1 << 31, 26: 1 | 24<<16})},
		{"BMP far away", fault.Broken, false, header("BM", 100, map[int]uint32{10: 1<<32 - 1, 14: 40, 18: 4, 22: 4, 26: 1 | 24<<16})},

		{"PPM without pixels", fault.Broken, false, []byte("P6 10000 10000 255\n")},
		{"PGM of white space", fault.Broken, false, append([]byte("P2 10 10 255"), bytes.Repeat([]byte{' '}, mega)...)},
		{"PGM of comments", fault.Unsupported, false, append([]byte("P2"), bytes.Repeat([]byte(" #\n"), mega)...)},
		{"PGM of 2^31 pixels a side", fault.TooLarge, false, []byte("P5 2147483647 2147483647 255\n")},
		{"PBM of no size", fault.Broken, false, []byte("P4 0 0\n")},

		{"WebP of chunks", fault.Broken, false, slices.Concat(header("RIFF....WEBP", 12, map[int]uint32{4: 8*mega + 4}), bytes.Repeat([]byte("JUNK\x00\x00\x00\x00"), mega))},
		{"WebP of frames in frames", fault.Broken, false, framesInFrames(1000)},
	} {
		_, err := held(t, c.name, c.data)
		if e, _ := errors.AsType[*fault.Error](err); c.ok != (err == nil) || !c.ok && e.Kind != c.kind {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// framesInFrames nests frames of an animation, which only hold pictures.
func framesInFrames(n int) []byte {
	body := []byte("VP8X\x0a\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x03\x00\x00")
	for i := range n {
		body = binary.LittleEndian.AppendUint32(append(body, "ANMF"...), uint32(24*(n-i)-8))
		body = append(body, make([]byte, 16)...)
	}
	return append(header("RIFF....WEBP", 12, map[int]uint32{4: uint32(len(body) + 4)}), body...)
}

// TestMutations flips bits of every intact image there is, cuts it, and has its
// lengths lie.
func TestMutations(t *testing.T) {
	var seeds [][]byte
	for _, f := range readForms(t) {
		seeds = append(seeds, f.data)
	}
	names, err := filepath.Glob("testdata/images/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, data)
	}
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, seed))
	for i, data := range seeds {
		for _, flips := range []int{1, 5, 9} {
			m := bytes.Clone(data)
			for range flips {
				m[8+rng.IntN(len(m)-8)] ^= 1 << rng.IntN(8)
			}
			held(t, "flipped", m)
		}
		for _, n := range []int{len(data) / 20, len(data) / 2, len(data) - len(data)/30, len(data) - 1} {
			held(t, "cut", data[:n])
		}
		for at := 2; at+4 <= min(len(data), 60); at += 1 + rng.IntN(4) {
			m := bytes.Clone(data)
			copy(m[at:], [][]byte{{0xff, 0xff, 0xff, 0xff}, {0x7f, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0x7f}, {0, 0, 0, 0}}[rng.IntN(4)])
			held(t, "lying", m)
		}
		if t.Failed() {
			t.Fatalf("seed %d, image %d", seed, i)
		}
	}
}

// TestCanceled: wherever a decode is, it ends with the context.
func TestCanceled(t *testing.T) {
	for name, data := range map[string][]byte{
		"JPEG": greyJPEG(0xc0, 8000, 8000, scanJPEG(0, 63, 0, make([]byte, 8000*8000/64/4+1))),
		"PNG":  pngOf(8000, 8000, 8, pngRGB, 0, chunkPNG("IDAT", zeroes(8000*24001))),
		"TIFF": plainTIFF(8000, 8000, compressionDeflate, zeroes(8000*24000)),
		"BMP":  append(header("BM", 54, map[int]uint32{10: 54, 14: 40, 18: 8000, 22: 8000, 26: 1 | 24<<16}), make([]byte, 8000*24000)...),
		"PGM":  append([]byte("P5 8000 8000 255\n"), make([]byte, 8000*8000)...),
	} {
		ctx := &countdown{Context: t.Context(), n: 3} // the first is asked before anything is read
		if _, err := Decode(ctx, data, DecodeOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A countdown is canceled when it has been asked so often.
type countdown struct {
	context.Context
	n int
}

func (c *countdown) Err() error {
	if c.n--; c.n <= 0 {
		return context.Canceled
	}
	return nil
}

// TestBudget: decodes wait for one another, in vain for nothing but a photo that
// is larger than all that there is; one that the limit of pixels was raised for is
// decoded alone.
func TestBudget(t *testing.T) {
	data := pngOf(100, 100, 8, pngRGB, 0, chunkPNG("IDAT", zeroes(100*301)))
	small := DecodeOptions{Budget: NewBudget(1000)}
	_, err := Decode(t.Context(), data, small)
	if e, ok := errors.AsType[*fault.Error](err); !ok || e.Kind != fault.TooLarge || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a small budget: %v", err)
	}
	b := NewBudget(200_000)
	if err := b.acquire(t.Context(), 150_000, false); err != nil {
		t.Fatal(err)
	}
	if n := b.Used(); n != 150_000 {
		t.Errorf("%d bytes used by one of 150000", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Decode(ctx, data, DecodeOptions{Budget: b}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without room: %v", err)
	}
	done := make(chan error)
	go func() {
		_, err := Decode(t.Context(), data, DecodeOptions{Budget: b})
		done <- err
	}()
	b.release(150_000, nil)
	if err := <-done; err != nil {
		t.Errorf("with room: %v", err)
	}
	if n := b.Used(); n != 0 {
		t.Errorf("%d bytes used by none", n)
	}
	if err := b.acquire(t.Context(), 1<<40, true); err != nil {
		t.Errorf("alone: %v", err)
	}
}

// TestBudgetKept: images that were returned count until they are garbage, but are
// not waited for if nothing else runs.
func TestBudgetKept(t *testing.T) {
	b := NewBudget(3 * large)
	kept := &Image{Pix: make([]byte, 2*large)}
	if err := b.acquire(t.Context(), 2*large, false); err != nil {
		t.Fatal(err)
	}
	b.release(2*large, kept)
	if err := b.acquire(t.Context(), 2*large, false); err != nil { // nothing runs
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.acquire(ctx, large, false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside an image and a decode: %v", err)
	}
	if n := b.Used(); n != 4*large {
		t.Errorf("%d bytes used by an image and a decode", n)
	}
	runtime.KeepAlive(kept)
	b.release(2*large, nil)
	kept = nil
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		runtime.GC() // it is counted a moment later
		if b.Used() == 0 {
			return
		}
	}
	t.Error("garbage is counted for ever")
}

// TestLZW holds our reader against strings that are longer than what is read at
// once.
func TestLZW(t *testing.T) {
	var codes []byte
	acc, n := uint32(0), uint(0)
	put := func(code uint32, size uint) {
		for acc, n = acc<<size|code, n+size; n >= 8; n -= 8 {
			codes = append(codes, byte(acc>>(n-8)))
		}
	}
	put(lzwClear, 9)
	put('a', 9)
	want := []byte("a")
	for i := range uint32(200) { // each code is just being defined
		put(lzwFirst+i, 9)
		want = append(want, bytes.Repeat([]byte("a"), int(i)+2)...)
	}
	put(lzwEnd, 9)
	put(0, 7)
	r := new(lzwReader)
	for range 2 {
		r.reset(codes)
		got, err := io.ReadAll(io.MultiReader(io.LimitReader(r, 777), r))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, want %d: %v", len(got), len(want), err)
		}
	}
}
