package foreign

import (
	"bytes"
	"errors"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/mobilenet-go/mobilenet/fault"
)

func TestDescribe(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 40, 40))
	encoded := func(write func(b *bytes.Buffer) error) string {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for want, head := range map[string]string{
		"an empty file":      "",
		"a Git LFS pointer":  "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 14000000\n",
		"a web page":         "\n\n<!DOCTYPE html>\n<html>",
		"an image (JPEG)":    encoded(func(b *bytes.Buffer) error { return jpeg.Encode(b, img, nil) }),
		"an image (PNG)":     encoded(func(b *bytes.Buffer) error { return png.Encode(b, img) }),
		"an image (GIF)":     encoded(func(b *bytes.Buffer) error { return gif.Encode(b, img, nil) }),
		"an image (BMP)":     encoded(func(b *bytes.Buffer) error { return bmp.Encode(b, img) }),
		"an image (TIFF)":    encoded(func(b *bytes.Buffer) error { return tiff.Encode(b, img, nil) }),
		"a torch checkpoint": "PK\x03\x04" + strings.Repeat("\x00", 22) + "\x10\x00\x00\x00archive/data.pkl",
		"a zip archive":      "PK\x03\x04" + strings.Repeat("\x00", 22) + "\x10\x00\x00\x00archive/model.bin",
		"a gzip archive":     "\x1f\x8b\x08\x00",
		"a tar archive":      strings.Repeat("\x00", 257) + "ustar\x00",
		"a text file":        "e" + strings.Repeat("é", Head/2),
		"a file of zeros":    strings.Repeat("\x00", Head),
		"":                   "\x08\x07\x12\x07pytorch",
	} {
		if kind, _ := Describe([]byte(head[:min(Head, len(head))])); kind != want {
			t.Errorf("%.20q is %q, want %q", head, kind, want)
		}
	}
}

// TestCheck wants an error that says what to do, and none about our own files.
func TestCheck(t *testing.T) {
	err := Check([]byte("<html>"), "a model")
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Unsupported || !strings.HasPrefix(f.Reason, "a web page, not a model: download") {
		t.Errorf("a web page: %v", err)
	}
	for _, name := range []string{"legacy.pth", "timm.safetensors"} {
		data, err := os.ReadFile("../../checkpoint/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(data[:min(Head, len(data))], "a photo"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
