package vision

import (
	"errors"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/fault"
)

// ftyp is the first box of a file of the ISO base media format.
func ftyp(brands ...string) string {
	return "\x00\x00\x00" + string(byte(12+4*len(brands))) + "ftyp" + brands[0] + "\x00\x00\x00\x00" + strings.Join(brands[1:], "") + "\x00\x00\x00\x20meta"
}

// rawTIFF is a TIFF file of entries in ascending order of their tags.
func rawTIFF(entries ...[2]uint32) string {
	data := "II*\x00\x08\x00\x00\x00" + string([]byte{byte(len(entries)), 0})
	for _, e := range entries {
		data += string(header("", 12, map[int]uint32{0: e[0] | 4<<16, 4: 1, 8: e[1]}))
	}
	return data + "\x00\x00\x00\x00"
}

// TestRecognise: by content, files that look alike included, and what is said of
// those that are not read.
func TestRecognise(t *testing.T) {
	for _, c := range []struct {
		head, want string
		read       bool
	}{
		{"\xff\xd8\xff\xe0", "JPEG", true},
		{"RIFF\x00\x00\x00\x00WEBPVP8 ", "WebP", true},
		{"RIFF\x00\x00\x00\x00WAVEfmt ", "", false},
		{string(bombBMP()), "BMP", true},
		{"BMI and height of two hundred patients", "", false},
		{rawTIFF([2]uint32{256, 10}), "TIFF", true},
		{rawTIFF([2]uint32{254, 1}, [2]uint32{330, 999}), "camera raw", false},
		{rawTIFF([2]uint32{254, 0}, [2]uint32{330, 999}), "TIFF", true},
		{rawTIFF([2]uint32{254, 1}, [2]uint32{330, 999}, [2]uint32{0xc612, 4}), "DNG", false},
		{"II*\x00\x10\x00\x00\x00CR\x02\x00", "CR2", false},
		{ftyp("heic", "mif1", "heic"), "HEIC", false},
		{ftyp("mif1", "heic", "mif1"), "HEIC", false},
		{ftyp("mif1", "avif"), "AVIF", false},
		{ftyp("mif1", "miaf"), "HEIF", false},
		{ftyp("isom", "mp42"), "MPEG-4 video", false},
		{"\x00\x00\x00\x08wide\x00\x00\x00\x00mdat", "MPEG-4 video", false},
		{"RIFF\x00\x00\x00\x00AVI LIST", "AVI video", false},
		{"\x1a\x45\xdf\xa3\x9f", "Matroska video", false},
		{"\x00\x00\x01\xba", "MPEG video", false},
		{"\x00\x00\x00\x18ftypheic", "HEIC", false},
		{"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL", false},
		{"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000", false},
		{"%PDF-1.7\n", "PDF", false},
		{"\ufeff<?xml version=\"1.0\"?>\n<!-- drawn -->\n<svg xmlns=\"http://www.w3.org/2000/svg\">", "SVG", false},
		{"<!doctype html><html><body><svg></svg>", "", false},
		{"\x00\x00\x01\x00\x02\x00", "ICO", false},
		{"version https://git-lfs.github.com/spec/v1\noid sha256:", "Git LFS pointer", false},
		{"P6\n# drawn\n3 2\n255\n", "PNM", true},
		{"P7\nWIDTH 3\n", "PNM", true},
		{"P1 is the first of three priorities", "", false},
		{"", "", false},
		{"photo of an otter", "", false},
	} {
		name, read := Recognise([]byte(c.head))
		if name != c.want || read != c.read {
			t.Errorf("%.40q: %q, read: %v; want %q, %v", c.head, name, read, c.want, c.read)
		}
		if read {
			continue
		}
		_, err := Decode(t.Context(), []byte(c.head), DecodeOptions{})
		if e, ok := errors.AsType[*fault.Error](err); !ok || e.Kind != fault.Unsupported || !strings.Contains(e.Reason, c.want) {
			t.Errorf("%.40q: %v", c.head, err)
		}
		if errors.Is(err, image.ErrFormat) != (c.want == "") || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%.40q: %v is of another kind", c.head, err)
		}
	}
}

func TestRecogniseFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wrong.png")
	if err := os.WriteFile(path, append([]byte("\xff\xd8\xff"), make([]byte, 2*HeadSize)...), 0o644); err != nil {
		t.Fatal(err)
	}
	if name, read, err := RecogniseFile(path); name != "JPEG" || !read || err != nil {
		t.Error(name, read, err)
	}
	for _, path := range []string{filepath.Dir(path), path + ".not"} {
		if _, _, err := RecogniseFile(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
