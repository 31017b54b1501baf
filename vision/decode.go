package vision

import (
	"context"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/jpeg"
	"github.com/mobilenet-go/mobilenet/model"
)

// DefaultMaxPixels is how many pixels an image may have if DecodeOptions say
// nothing: 250 million, more than the cameras of phones take. They are 750 MB once
// decoded.
const DefaultMaxPixels = 250_000_000

// maxSide is how long a side may be, as in libpng: a row of pixels has to be held
// in memory several times over.
const maxSide = 1 << 20

// DecodeOptions are the choices of [Decode].
type DecodeOptions struct {
	MaxPixels         int  // 0 means DefaultMaxPixels
	IgnoreOrientation bool // leave the pixels as stored, whatever EXIF says

	// Budget bounds the memory of all decodes together. nil means one of
	// DefaultBudget for the program, in which a photo that MaxPixels was raised for
	// may take more if it is decoded alone.
	Budget *Budget
}

// A picture is an image file whose header has been read.
type picture struct {
	w, h   int
	extra  int64 // bytes that decoding takes beside the pixels
	turned int64 // the same if they are turned; 0 for no more than extra
	parts  bool  // decode leaves out what isn't in the canvas's part
	decode func(ctx context.Context, c *canvas) error
}

// A format is a kind of image file, told by its first bytes.
type format struct {
	name  string
	match func(head []byte) bool
	open  func(data []byte) (picture, error) // nil if it is not read here
	hint  string                             // then: what converts it
}

// formats has the stricter match before the wider: raw files of cameras are TIFF
// files too.
var formats = []format{
	{name: "JPEG", match: prefix("\xff\xd8"), open: openJPEG},
	{name: "PNG", match: prefix("\x89PNG\r\n\x1a\n"), open: openPNG},
	{name: "GIF", match: prefix("GIF8"), open: openGIF},
	{name: "WebP", match: isWebP, open: openWebP},
	{name: "BMP", match: isBMP, open: openBMP},
	{name: "PNM", match: isPNM, open: openPNM},
	{name: "CR2", match: prefix("II*\x00\x10\x00\x00\x00CR"), hint: raw},
	{name: "DNG", match: isDNG, hint: raw},
	{name: "camera raw", match: isRaw, hint: raw},
	{name: "TIFF", match: prefix("II*\x00", "MM\x00*", "II+\x00", "MM\x00+"), open: openTIFF},

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
	{name: lfsPointer, match: prefix("version https://git-lfs.github.com/")},
}

// lfsPointer stands for an image, or for any other file.
const lfsPointer = "Git LFS pointer"

const (
	raw    = "dcraw -T photo, or the camera's own program"
	ffmpeg = "ffmpeg -i video -vf fps=1 %04d.png"
	magick = "magick photo photo.png (ImageMagick)"
)

func openJPEG(data []byte) (picture, error) {
	c, err := jpeg.Config(data)
	if err != nil {
		return picture{}, err
	}
	// A row of blocks, with coefficients if it is progressive.
	return picture{w: c.Width, h: c.Height, extra: 400 * int64(c.Width), parts: true, decode: func(ctx context.Context, to *canvas) error {
		return jpeg.Decode(ctx, data, jpeg.Rows{Row: to.row, Done: to.done, Part: to.part})
	}}, nil
}

// Decode returns the pixels of a JPEG, PNG, GIF, WebP (of both the first frame),
// BMP, TIFF or Netpbm file, turned as its EXIF orientation says. The format is
// told by the content. Nothing the size of the image is allocated before its
// header has been held against the limits. Decoding takes 3 bytes a pixel, up to
// 4.5 in WebP, and what little a row needs.
//
// Errors are *[fault.Error], but for that of ctx: broken bytes; what is intact but
// not read, with how to convert it (errors.ErrUnsupported); more than a limit.
// Bytes that are no image's at all are unsupported and [image.ErrFormat].
func Decode(ctx context.Context, data []byte, o DecodeOptions) (*Image, error) {
	return decode(ctx, data, o, nil, nil)
}

// DecodeCrop is [Decode] followed by [CropTo]: the same pixels and errors, in less
// time. Of a JPEG file that is not turned only what the crop is made of becomes
// pixels, in memory that the next call uses again.
func DecodeCrop(ctx context.Context, data []byte, o DecodeOptions, p model.Preprocess, h, w int) (*Image, error) {
	reused := false
	return decode(ctx, data, o, func(c *canvas) {
		c.part = readBy(c.w, c.h, p, h, w)
		if reused = 3*c.w*c.h <= reusable; reused {
			c.img = scratchImage(c.w, c.h)
		}
	}, func(img *Image) *Image {
		dst := CropTo(img, p, h, w)
		if reused {
			scratch.Put(img)
		}
		return dst
	})
}

// reusable is how many bytes of an image are kept for the next: a larger one would
// stay for long, and its decoding takes much longer than its allocation.
const reusable = 8 << 20

// decode is Decode that may leave out parts, limit says of a canvas which, and that may
// return what crop makes of the pixels.
func decode(ctx context.Context, data []byte, o DecodeOptions, limit func(*canvas), crop func(*Image) *Image) (*Image, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f := recognise(data)
	if f.open == nil {
		return nil, f.unread(len(data))
	}
	p, err := f.open(data)
	if err != nil {
		return nil, f.fault(err)
	}
	if err := p.check(o.MaxPixels); err != nil {
		return nil, f.fault(err)
	}
	to := newCanvas(p.w, p.h, 1)
	if !o.IgnoreOrientation {
		to.orientation = orientation(f.name, data)
	}
	budget, alone := o.Budget, false
	if budget == nil {
		budget, alone = shared, o.MaxPixels > DefaultMaxPixels
	}
	n := p.memory(to.orientation != 1)
	if err := budget.acquire(ctx, n, alone); err != nil {
		return nil, f.fault(err)
	}
	if limit != nil && p.parts && to.orientation == 1 {
		limit(to)
	}
	if err = p.decode(ctx, to); err != nil || crop == nil {
		budget.release(n, to.img)
		if err != nil {
			return nil, f.fault(err)
		}
		img := to.image()
		img.Clipped = to.clipped
		return img, nil
	}
	img := to.image()
	size := len(img.Pix) // before crop, which may give the pixels to the next call
	img, to.img = crop(img), nil
	img.Clipped = to.clipped
	budget.discard(n, size)
	return img, nil
}

// memory returns how many bytes decoding takes, the pixels included.
func (p *picture) memory(turned bool) int64 {
	n := 3 * int64(p.w) * int64(p.h)
	if turned {
		return n + max(p.extra, p.turned) + 3*bandRows*int64(p.w)
	}
	return n + p.extra
}

// check holds the size against the limit.
func (p *picture) check(limit int) error {
	if limit == 0 {
		limit = DefaultMaxPixels
	}
	switch {
	case p.w < 1 || p.h < 1:
		return fault.Brokenf("%dx%d pixels", p.w, p.h)
	case uint64(p.w)*uint64(p.h) > uint64(max(limit, 0)):
		return fault.TooLargef("%dx%d pixels, more than the limit of %d (DecodeOptions.MaxPixels)", p.w, p.h, limit)
	case p.w > maxSide || p.h > maxSide:
		return fault.TooLargef("%dx%d pixels, a side more than the limit of %d", p.w, p.h, maxSide)
	}
	return nil
}
