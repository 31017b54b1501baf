package vision

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/fault"
)

// header puts little-endian fields at offsets, not overlapping, of a file that is n bytes long.
func header(magic string, n int, fields map[int]uint32) []byte {
	data := make([]byte, n)
	copy(data, magic)
	for at, v := range fields {
		binary.LittleEndian.PutUint32(data[at:], v)
	}
	return data
}

func bombPNG() []byte {
	ihdr := "IHDR\x00\x00\x75\x30\x00\x00\x75\x30\x08\x02\x00\x00\x00"
	data := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" + ihdr)
	return binary.BigEndian.AppendUint32(data, crc32.ChecksumIEEE([]byte(ihdr)))
}

func bombBMP() []byte {
	return header("BM", 100, map[int]uint32{10: 54, 14: 40, 18: 60000, 22: 60000, 26: 1 | 24<<16})
}

// bombTIFF is a square of a size and says that it has two milliard strips.
func bombTIFF(size uint32) []byte {
	entry := func(tag, kind, count, value uint32) []byte {
		return header("", 12, map[int]uint32{0: tag | kind<<16, 4: count, 8: value})
	}
	data := append([]byte("II*\x00\x08\x00\x00\x00"), 5, 0)
	data = append(data, entry(256, 4, 1, size)...)
	data = append(data, entry(257, 4, 1, size)...)
	data = append(data, entry(258, 3, 1, 8)...)
	data = append(data, entry(262, 3, 1, 1)...)
	return append(data, entry(273, 4, 1<<31, 8)...)
}

func bombWebP(canvas bool) []byte {
	if canvas {
		return header("RIFF....WEBPVP8X", 64, map[int]uint32{4: 56, 16: 10, 24: 30000 | 0x30<<24, 28: 30000 >> 8})
	}
	return header("RIFF....WEBPVP8L", 64, map[int]uint32{4: 56, 16: 44, 20: 0xffffff2f, 24: 0x0f})
}

func TestBrokenFiles(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata/images", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	half := func(name string) []byte { d := read(name); return d[:len(d)/2] }
	wideFrame := read("plain.gif")
	copy(wideFrame[6:], "\x05\x00\x05\x00")
	for _, c := range []struct {
		name, want string
		data       []byte
		kind       fault.Kind
	}{
		{"empty", "empty file", nil, fault.Unsupported},
		{"text", "not an image: none of JPEG, PNG", []byte("hello, world\n"), fault.Unsupported},
		{"magic only", "broken JPEG image: it ends early", []byte("\xff\xd8"), fault.Broken},
		{"half a JPEG", "broken JPEG image: it ends early", half("444.jpg"), fault.Broken},
		{"half a progressive JPEG", "broken JPEG image: it ends early", half("progressive.jpg"), fault.Broken},
		{"half a PNG", "broken PNG image: it ends early", half("rgb.png"), fault.Broken},
		{"half a GIF", "broken GIF image: gif:", half("plain.gif"), fault.Broken},
		{"half a lossless WebP", "broken WebP image:", half("lossless.webp"), fault.Broken},
		{"half a lossy WebP", "broken WebP image:", half("lossy.webp"), fault.Broken},
		{"half a BMP", "broken BMP image: it ends early", half("rgb.bmp"), fault.Broken},
		{"half a TIFF", "broken TIFF image:", half("raw.tiff"), fault.Broken},
		{"huge PNG", "image of 30000x30000 pixels, more than the limit of 250000000 (DecodeOptions.MaxPixels)", bombPNG(), fault.TooLarge},
		{"huge GIF", "image of 65535x65535 pixels, more than", header("GIF89a", 40, map[int]uint32{6: 0xffffffff}), fault.TooLarge},
		{"GIF frame beyond canvas", "broken GIF image:", wideFrame, fault.Broken},
		{"huge BMP", "image of 60000x60000 pixels, more than", bombBMP(), fault.TooLarge},
		{"huge TIFF", "image of 60000x60000 pixels, more than", bombTIFF(60000), fault.TooLarge},
		{"TIFF of many strips", "broken TIFF image:", bombTIFF(10), fault.Broken},
		{"WebP canvas alone", "broken WebP image: no picture", bombWebP(true), fault.Broken},
		{"huge lossless WebP", "image of 16384x16384 pixels, more than", bombWebP(false), fault.TooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Decode(t.Context(), c.data, DecodeOptions{})
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if e, ok := errors.AsType[*fault.Error](err); !ok || e.Kind != c.kind {
				t.Errorf("error of type %T: %v, want %v", err, err, c.kind)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
				t.Errorf("%d bytes allocated for %d of file", n, len(c.data))
			}
		})
	}
}
