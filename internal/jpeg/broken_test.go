package jpeg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image/jpeg"

	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/fault"
)

// expected reports whether err is of a kind that Decode's callers know.
func expected(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

func goldenFile(t testing.TB, name string) []byte {
	t.Helper()
	for _, g := range readGolden(t) {
		if g.File == name {
			return g.data
		}
	}
	t.Fatalf("no golden file %s", name)
	return nil
}

// TestTruncated: wherever a file ends early, it is an error as in image/jpeg, but
// where nothing is missing but the end marker of a sequential file.
func TestTruncated(t *testing.T) {
	for _, name := range []string{"grey_0", "420_9x5", "restart_0", "progressive_1", "cmyk_0", "optimised_2"} {
		data := goldenFile(t, name)
		whole, _, _, err := decodeAll(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(data) {
			pix, _, _, err := decodeAll(t.Context(), data[:n])
			if n >= len(data)-2 && name != "progressive_1" {
				if err != nil || !bytes.Equal(pix, whole) {
					t.Errorf("%s without its end: %v", name, err)
				}
				continue
			}
			if err == nil || !expected(err) {
				t.Errorf("%s, %d of %d bytes: %v", name, n, len(data), err)
			}
			if _, theirs := jpeg.Decode(bytes.NewReader(data[:n])); theirs == nil {
				t.Errorf("%s, %d of %d bytes: image/jpeg decodes them", name, n, len(data))
			}
		}
	}
}

// segment returns a marker's segment.
func segment(marker byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2)), body...)
}

func file(segments ...[]byte) []byte {
	return slices.Concat([]byte{0xff, soi}, slices.Concat(segments...))
}

func grey(w, h int) []byte {
	return []byte{8, byte(h >> 8), byte(h), byte(w >> 8), byte(w), 1, 1, 0x11, 0}
}

var (
	steps   = segment(dqt, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)...)
	oneCode = append(append([]byte{0x00, 2}, make([]byte, 15)...), 0, 1) // DC: 0 or one bit
	bothDHT = slices.Concat(segment(dht, oneCode...), segment(dht, append([]byte{0x10}, oneCode[1:]...)...))
	sosGrey = segment(sos, 1, 1, 0, 0, 63, 0)
	endMark = []byte{0xff, eoi}
)

// TestBroken: every error, with little memory.
func TestBroken(t *testing.T) {
	huge := segment(sof0, grey(10000, 10000)...)
	small := segment(sof0, grey(8, 8)...)
	progressive := segment(sof2, grey(8, 8)...)
	colour := func(hv ...byte) []byte {
		body := []byte{8, 0, 8, 0, 8, byte(len(hv))}
		for i, f := range hv {
			body = append(body, byte(i), f, 0)
		}
		return segment(sof0, body...)
	}
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"nothing", "at byte 0: it ends early", nil},
		{"no SOI", "missing SOI marker", []byte("GIF8")},
		{"no frame", "missing SOF marker", file(endMark)},
		{"no scan", "at byte 15: missing scan of component 1", file(small, endMark)},
		{"scan before frame", "at byte 2: scan before a frame", file(sosGrey)},
		{"two frames", "multiple SOF markers", file(small, small)},
		{"lossless", "at byte 2: lossless or hierarchical compression", file(segment(0xc3, grey(8, 8)...))},
		{"12 bits", "samples of 12 bits", file(segment(sof1, 12, 0, 8, 0, 8, 1, 1, 0x11, 0))},
		{"2 components", "2 components", file(colour(0x11, 0x11))},
		{"no height", "8x0 pixels", file(segment(sof0, grey(8, 0)...))},
		{"factor 0", "sampling factors 1x0", file(colour(0x10, 0x11, 0x11))},
		{"factor 5", "sampling factors 5x1", file(colour(0x51, 0x11, 0x11))},
		{"factors 3 and 2", "sampling factors 3x1 and 2x1", file(colour(0x31, 0x21, 0x11))},
		{"11 blocks", "total sampling factors too large", file(colour(0x42, 0x21, 0x11), steps, bothDHT, segment(sos, 3, 0, 0, 1, 0, 2, 0, 0, 63, 0))},
		{"same component twice", "repeated component selector", file(colour(0x11, 0x11, 0x11), steps, bothDHT, segment(sos, 2, 0, 0, 0, 0, 0, 63, 0))},
		{"no quantisation", "missing quantization table", file(small, bothDHT, sosGrey, make([]byte, 9), endMark)},
		{"no codes", "uninitialized Huffman table", file(small, steps, sosGrey, make([]byte, 9), endMark)},
		{"too many codes", "bad Huffman table", file(segment(dht, append(append([]byte{0, 3}, make([]byte, 15)...), 0, 1, 2)...))},
		{"unused code", "scan 1, row 0 of blocks: bad code", file(small, steps, segment(dht, append(append([]byte{0, 1}, make([]byte, 15)...), 0)...), bothDHT[len(bothDHT)/2:], sosGrey, []byte{0xfe, 0xfe}, endMark)},
		{"marker in a scan", "scan 1 ends early", file(segment(sof0, grey(80, 80)...), steps, bothDHT, sosGrey, []byte{0}, endMark, make([]byte, 100))},
		{"huge", "it ends early", file(huge, steps, bothDHT, sosGrey, make([]byte, 100))},
		{"refinement first", "progressive scan before that of DC coefficients", file(progressive, steps, bothDHT, segment(sos, 1, 1, 0, 0, 0, 0x10), make([]byte, 9))},
		{"AC first", "progressive scan before that of DC coefficients", file(progressive, steps, bothDHT, segment(sos, 1, 1, 0, 1, 63, 0), make([]byte, 9))},
		{"DC and AC at once", "bad spectral selection bounds", file(progressive, steps, bothDHT, segment(sos, 1, 1, 0, 0, 63, 0))},
		{"501 scans", "more than the limit of 500 scans", file(progressive, steps, bothDHT, bytes.Repeat(slices.Concat(segment(sos, 1, 1, 0, 0, 0, 0), []byte{0}), 501))},
		{"scans of many blocks", "or more scans of 65535x65535 pixels, more than the limit", file(segment(sof2, grey(65535, 65535)...), steps, bothDHT,
			segment(sos, 1, 1, 0, 0, 0, 0), make([]byte, 8192*8192/8), bytes.Repeat(segment(sos, 1, 1, 0, 1, 63, 0), 4))},
		{"tables again and again", "at byte 46002: it ends early", file(bytes.Repeat(bothDHT, 1000))},
		{"two bits refined", "bad successive approximation values", file(progressive, steps, bothDHT, segment(sos, 1, 1, 0, 0, 0, 0x20))},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, _, err := decodeAll(t.Context(), c.data)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) || !expected(err) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<18 {
				t.Errorf("%d bytes allocated for %d of file", n, len(c.data))
			}
		})
	}
}

// TestOddButValid: what image/jpeg and libjpeg take as well.
func TestOddButValid(t *testing.T) {
	data := goldenFile(t, "restart_1")
	want, _, _, err := decodeAll(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte{0xff, dqt})
	behind := len(data) - 2
	for name, odd := range map[string][]byte{
		"fill bytes before a marker":    slices.Insert(slices.Clone(data), at, 0xff, 0xff, 0xff),
		"garbage before a marker":       slices.Insert(slices.Clone(data), at, 1, 2, 0xff, 0, 3),
		"garbage before the end":        slices.Insert(slices.Clone(data), behind, 0x55, 0x55),
		"restart marker before the end": slices.Insert(slices.Clone(data), behind, 0xff, rst0+3),
		"comment":                       slices.Insert(slices.Clone(data), at, segment(com, 'h', 'i')...),
		"bytes behind the end":          append(slices.Clone(data), 0xff, 0xc0, 0, 3),
	} {
		if got, _, _, err := decodeAll(t.Context(), odd); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecode: pixels as many as Config says, the same on every set of kernels, or
// an error that callers know, in memory that the pixels and the file's size
// bound. image/jpeg must agree on the size of what both decode.
func FuzzDecode(f *testing.F) {
	for i, g := range readGolden(f) {
		if i%9 == 0 {
			f.Add(g.data)
		}
	}
	for i, g := range readGoldenSet(f, "arithmetic") {
		if i%9 < 2 {
			f.Add(g.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Config(data)
		if err != nil && !expected(err) {
			t.Errorf("%T: %v", err, err)
		}
		if err != nil || c.Width*c.Height > 1<<14 {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		pix, w, h, err := decodeWith(t.Context(), data, &generic)
		runtime.ReadMemStats(&after)
		// Whole MCUs of narrow images may be 32 times as large, with coefficients
		// of two bytes; tables may come again and again.
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20+uint64(512*len(data)) {
			t.Errorf("%d bytes allocated for %d of file", n, len(data))
		}
		for _, k := range native() {
			got, _, _, other := decodeWith(t.Context(), data, k)
			if fmt.Sprint(other) != fmt.Sprint(err) || !bytes.Equal(got, pix) {
				t.Errorf("%s kernels differ from plain Go: %v, %v", k.name, other, err)
			}
		}
		if err != nil {
			if !expected(err) {
				t.Errorf("%T: %v", err, err)
			}
			return
		}
		if w != c.Width || h != c.Height || len(pix) != 3*w*h {
			t.Errorf("%dx%d with %d bytes, want %dx%d", w, h, len(pix), c.Width, c.Height)
		}
		if m, err := jpeg.Decode(bytes.NewReader(data)); err == nil && (m.Bounds().Dx() != w || m.Bounds().Dy() != h) {
			t.Errorf("%dx%d, image/jpeg has %v", w, h, m.Bounds())
		}
	})
}
