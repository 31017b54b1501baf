package vision

import (
	"bytes"
	"context"
	"image"
	"image/gif"
	"image/png"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"github.com/mobilenet-go/mobilenet/fault"
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
	match  func(head []byte) bool
	config func(data []byte) (image.Config, error)
	decode func(data []byte) (image.Image, error) // nil if it is not read here
	hint   string                                 // then: what converts it
}

// formats has the stricter match before the wider: raw files of cameras are TIFF
// files too.
var formats = []format{
	{name: "JPEG", match: prefix("\xff\xd8"), config: jpeg.Config, decode: decodeJPEG},
	{name: "PNG", match: prefix("\x89PNG\r\n\x1a\n"), config: read(png.DecodeConfig), decode: read(png.Decode)},
	{name: "GIF", match: prefix("GIF8"), config: read(gif.DecodeConfig), decode: read(decodeGIF)},
	{name: "WebP", match: isWebP, config: read(webp.DecodeConfig), decode: read(decodeWebP)},
	{name: "BMP", match: isBMP, config: read(bmp.DecodeConfig), decode: read(bmp.Decode)},
	{name: "CR2", match: prefix("II*\x00\x10\x00\x00\x00CR"), hint: raw},
	{name: "DNG", match: isDNG, hint: raw},
	{name: "camera raw", match: isRaw, hint: raw},
	{name: "TIFF", match: prefix("II*\x00", "MM\x00*"), config: read(tiff.DecodeConfig), decode: read(tiff.Decode)},

	{name: "HEIC", match: brand("heic", "heix", "heim", "heis", "hevc", "hevx"), hint: "heif-convert photo.heic photo.jpg"},
	{name: "AVIF", match: brand("avif", "avis"), hint: "avifdec photo.avif photo.png"},
	{name: "HEIF", match: brand("mif1", "msf1"), hint: "heif-convert photo.heif photo.jpg"},
	{name: "CR3", match: brand("crx "), hint: raw},
	{name: "JPEG 2000", match: prefix("\x00\x00\x00\x0cjP  \r\n", "\xff\x4f\xff\x51"), hint: "opj_decompress -i photo.jp2 -o photo.png"},
	{name: "JPEG XL", match: prefix("\x00\x00\x00\x0cJXL \r\n", "\xff\x0a"), hint: "djxl photo.jxl photo.png"},
	{name: "JPEG XR", match: prefix("II\xbc\x01"), hint: magick},
	{name: "camera raw", match: prefix("IIRO", "IIRS", "MMOR", "IIU\x00", "FUJIFILMCCD-RAW", "\x00MRM", "FOVb"), hint: raw},
	{name: "PDF", match: prefix("%PDF-"), hint: "pdftoppm -png photo.pdf photo"},
	{name: "PostScript", match: prefix("%!PS", "\xc5\xd0\xd3\xc6"), hint: magick},
	{name: "SVG", match: isSVG, hint: "rsvg-convert photo.svg -o photo.png"},
	{name: "PSD", match: prefix("8BPS"), hint: magick},
	{name: "XCF", match: prefix("gimp xcf"), hint: magick},
	{name: "ICO", match: isICO, hint: magick},
	{name: "OpenEXR", match: prefix("\x76\x2f\x31\x01"), hint: magick},
	{name: "Radiance HDR", match: prefix("#?RADIANCE", "#?RGBE"), hint: magick},
	{name: "DDS", match: prefix("DDS "), hint: magick},
	{name: "QOI", match: prefix("qoif"), hint: magick},
	{name: "MPEG-4 video", match: isMPEG4, hint: ffmpeg},
	{name: "AVI video", match: func(head []byte) bool { return prefix("RIFF")(head) && len(head) >= 12 && string(head[8:12]) == "AVI " }, hint: ffmpeg},
	{name: "Matroska video", match: prefix("\x1a\x45\xdf\xa3"), hint: ffmpeg},
	{name: "MPEG video", match: prefix("\x00\x00\x01\xba", "\x00\x00\x01\xb3"), hint: ffmpeg},
	{name: "Git LFS pointer", match: prefix("version https://git-lfs.github.com/"), hint: "git lfs pull"},
}

const (
	raw    = "dcraw -T photo, or the camera's own program"
	ffmpeg = "ffmpeg -i video -vf fps=1 %04d.png"
	magick = "magick photo photo.png (ImageMagick)"
)

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

// Decode returns the pixels of a JPEG, PNG, GIF (its first frame), WebP, BMP or
// TIFF file, turned as its EXIF orientation says. The format is told by the
// content. Nothing the size of the image is allocated before its header has been
// held against the limit.
//
// Errors are *[fault.Error], but for that of ctx: broken bytes; what is intact but
// not read, with how to convert it (errors.ErrUnsupported); more than a limit.
// Bytes that are no image's at all are unsupported and [image.ErrFormat].
func Decode(ctx context.Context, data []byte, o DecodeOptions) (*Image, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f := recognise(data)
	if f.decode == nil {
		return nil, f.unread(len(data))
	}
	c, err := f.config(data)
	if err != nil {
		return nil, f.fault(err)
	}
	if err := checkSize(c, o.MaxPixels); err != nil {
		return nil, err
	}
	src, err := f.decode(data)
	if err != nil {
		return nil, f.fault(err)
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

func checkSize(c image.Config, limit int) error {
	if limit == 0 {
		limit = DefaultMaxPixels
	}
	if c.Width < 1 || c.Height < 1 {
		return fault.Brokenf("image of %dx%d pixels", c.Width, c.Height)
	}
	if uint64(c.Width)*uint64(c.Height) > uint64(limit) {
		return fault.TooLargef("image of %dx%d pixels, more than the limit of %d", c.Width, c.Height, limit)
	}
	return nil
}
