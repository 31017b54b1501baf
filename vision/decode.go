package vision

import (
	"bytes"
	"fmt"
	"image"
	"image/gif"
	"image/png"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"github.com/mobilenet-go/mobilenet/internal/jpeg"
)

// DefaultMaxPixels is how many pixels an image may have if DecodeOptions says
// nothing: 100 megapixels, which take 300 MB once decoded.
const DefaultMaxPixels = 100_000_000

// DecodeOptions are the choices of [Decode].
type DecodeOptions struct {
	MaxPixels         int  // 0 means DefaultMaxPixels
	IgnoreOrientation bool // leave the pixels as stored, whatever EXIF says
}

// A format is a kind of image file, told by its first bytes.
type format struct {
	name   string
	match  func(data []byte) bool
	config func(data []byte) (image.Config, error)
	decode func(data []byte) (image.Image, error)
}

var formats = []format{
	{"JPEG", prefix("\xff\xd8"), jpeg.Config, decodeJPEG},
	{"PNG", prefix("\x89PNG\r\n\x1a\n"), read(png.DecodeConfig), read(png.Decode)},
	{"GIF", prefix("GIF8"), read(gif.DecodeConfig), read(decodeGIF)},
	{"WebP", isWebP, read(webp.DecodeConfig), read(decodeWebP)},
	{"BMP", prefix("BM"), read(bmp.DecodeConfig), read(bmp.Decode)},
	{"TIFF", prefix("II*\x00"), read(tiff.DecodeConfig), read(tiff.Decode)},
	{"TIFF", prefix("MM\x00*"), read(tiff.DecodeConfig), read(tiff.Decode)},
}

// read lets f, which reads from a Reader, read from bytes.
func read[T any](f func(io.Reader) (T, error)) func([]byte) (T, error) {
	return func(data []byte) (T, error) { return f(bytes.NewReader(data)) }
}

func decodeJPEG(data []byte) (image.Image, error) {
	pix, w, h, err := jpeg.Decode(data)
	if err != nil {
		return nil, err
	}
	return &Image{w, h, pix}, nil
}

func prefix(magic string) func([]byte) bool {
	return func(data []byte) bool { return bytes.HasPrefix(data, []byte(magic)) }
}

func isWebP(data []byte) bool {
	return len(data) >= 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP"
}

// Decode returns the pixels of a JPEG, PNG, GIF (its first frame), WebP, BMP or
// TIFF file, turned as its EXIF orientation says. Errors are *[FormatError] and
// *[UnsupportedError]. Nothing the size of the image is allocated before its
// header has been held against the limit.
func Decode(data []byte, o DecodeOptions) (*Image, error) {
	f, err := sniff(data)
	if err != nil {
		return nil, err
	}
	c, err := f.config(data)
	if err != nil {
		return nil, &FormatError{f.name, err}
	}
	if err := checkSize(c, o.MaxPixels); err != nil {
		return nil, err
	}
	src, err := f.decode(data)
	if err != nil {
		return nil, &FormatError{f.name, err}
	}
	img := FromImage(src)
	if f.name == "TIFF" && invertedFax(data) {
		for i, v := range img.Pix {
			img.Pix[i] = 255 - v
		}
	}
	if !o.IgnoreOrientation {
		img = orient(img, orientation(f.name, data))
	}
	return img, nil
}

// invertedFax reports whether a TIFF file holds fax data (CCITT, compression 2 to
// 4) in which 0 is black: golang.org/x/image/tiff decodes these inverted.
func invertedFax(data []byte) bool {
	const compression, photometric, blackIsZero = 0x0103, 0x0106, 1
	c, _ := tiffShort(data, compression)
	p, ok := tiffShort(data, photometric)
	return ok && p == blackIsZero && c >= 2 && c <= 4
}

func sniff(data []byte) (format, error) {
	if len(data) == 0 {
		return format{}, &UnsupportedError{"empty file"}
	}
	for _, f := range formats {
		if f.match(data) {
			return f, nil
		}
	}
	return format{}, &UnsupportedError{"not an image: none of JPEG, PNG, GIF, WebP, BMP, TIFF"}
}

func checkSize(c image.Config, limit int) error {
	if limit == 0 {
		limit = DefaultMaxPixels
	}
	if c.Width < 1 || c.Height < 1 {
		return &UnsupportedError{fmt.Sprintf("image of %dx%d pixels", c.Width, c.Height)}
	}
	if uint64(c.Width)*uint64(c.Height) > uint64(limit) {
		return &UnsupportedError{fmt.Sprintf("image of %dx%d pixels, more than the limit of %d", c.Width, c.Height, limit)}
	}
	return nil
}
