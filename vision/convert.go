package vision

import (
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"reflect"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/jpeg"
)

// FromImage returns the pixels of src as Pillow's convert("RGB") does: alpha is
// dropped, not blended; grey is repeated; of 16-bit channels the upper 8 bits are
// kept, but 16-bit grey is clipped at 255, which turns most of it white; CMYK
// becomes (255-c)(255-k)/255. YCbCr is taken for JPEG's, upsampled and converted
// as libjpeg does it, from whichever coordinate it begins at.
//
// An *Image is returned as it is. An image that is nil, has no pixels, or fewer
// than its bounds say, is an error, and so is one of more than [DefaultMaxPixels]
// that can be asked for its pixels one at a time only, such as image.Uniform.
func FromImage(src image.Image) (*Image, error) {
	if v := reflect.ValueOf(src); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errNoPixels
	}
	if m, ok := src.(*Image); ok {
		if err := m.check(); err != nil {
			return nil, err
		}
		return m, nil
	}
	b := src.Bounds()
	if b.Empty() {
		return nil, errNoPixels
	}
	if m, ok := src.(*image.YCbCr); ok {
		pix, err := jpeg.FromYCbCr(m)
		if err != nil {
			return nil, err
		}
		return &Image{W: b.Dx(), H: b.Dy(), Pix: pix}, nil
	}
	if err := checkPlain(src, b); err != nil {
		return nil, err
	}
	dst := NewImage(b.Dx(), b.Dy())
	for y := range dst.H {
		convertRow(dst.row(y), src, b, b.Min.Y+y)
	}
	return dst, nil
}

// checkPlain makes sure that the pixels of an image that [convertRow] knows are
// there, and that any other is not beyond all bounds.
func checkPlain(src image.Image, b image.Rectangle) error {
	var pix []byte
	stride, size := 0, 1
	switch m := src.(type) {
	case *image.Gray:
		pix, stride = m.Pix, m.Stride
	case *image.Gray16:
		pix, stride, size = m.Pix, m.Stride, 2
	case *image.NRGBA:
		pix, stride, size = m.Pix, m.Stride, 4
	case *image.RGBA:
		pix, stride, size = m.Pix, m.Stride, 4
	case *image.NRGBA64:
		pix, stride, size = m.Pix, m.Stride, 8
	case *image.CMYK:
		pix, stride, size = m.Pix, m.Stride, 4
	case *image.Paletted:
		pix, stride = m.Pix, m.Stride
	default:
		// Of unsigned differences, as those of the largest bounds have no sign left.
		w, h := uint64(b.Max.X)-uint64(b.Min.X), uint64(b.Max.Y)-uint64(b.Min.Y)
		if w > DefaultMaxPixels || h > DefaultMaxPixels || w*h > DefaultMaxPixels {
			return fault.TooLargef("an image of %dx%d pixels, more than the limit of %d", w, h, DefaultMaxPixels)
		}
		return nil
	}
	w, h := b.Dx(), b.Dy()
	if w < 0 || h < 0 || w > len(pix)/size || stride < w*size || (len(pix)-w*size)/stride < h-1 {
		return fmt.Errorf("an image of %v whose %d bytes of pixels are too few", b, len(pix))
	}
	return nil
}

// convertRow writes row y of src to dst.
func convertRow(dst []byte, src image.Image, b image.Rectangle, y int) {
	switch m := src.(type) {
	case *image.Gray:
		for x, v := range m.Pix[m.PixOffset(b.Min.X, y):][:b.Dx()] {
			put(dst, x, v, v, v)
		}
	case *image.Gray16:
		s := m.Pix[m.PixOffset(b.Min.X, y):][:2*b.Dx()]
		for x := range b.Dx() {
			v := clip16(binary.BigEndian.Uint16(s[2*x:]))
			put(dst, x, v, v, v)
		}
	case *image.NRGBA:
		fourBytes(dst, m.Pix[m.PixOffset(b.Min.X, y):][:4*b.Dx()])
	case *image.RGBA: // what image/png makes of RGB
		s := m.Pix[m.PixOffset(b.Min.X, y):][:4*b.Dx()]
		for x := range b.Dx() {
			p := s[4*x:][:4]
			c := color.NRGBA{p[0], p[1], p[2], p[3]}
			if c.A != 255 {
				c = straight(color.RGBA(c))
			}
			put(dst, x, c.R, c.G, c.B)
		}
	case *image.NRGBA64:
		s := m.Pix[m.PixOffset(b.Min.X, y):][:8*b.Dx()]
		for x := range b.Dx() {
			put(dst, x, s[8*x], s[8*x+2], s[8*x+4])
		}
	case *image.CMYK:
		s := m.Pix[m.PixOffset(b.Min.X, y):][:4*b.Dx()]
		for x := range b.Dx() {
			k := 255 - int(s[4*x+3])
			put(dst, x, ink(k, s[4*x]), ink(k, s[4*x+1]), ink(k, s[4*x+2]))
		}
	case *image.Paletted:
		for x, i := range m.Pix[m.PixOffset(b.Min.X, y):][:b.Dx()] {
			if int(i) < len(m.Palette) {
				c := straight(m.Palette[i])
				put(dst, x, c.R, c.G, c.B)
			}
		}
	default:
		for x := range b.Dx() {
			c := straight(src.At(b.Min.X+x, y))
			put(dst, x, c.R, c.G, c.B)
		}
	}
}

func put(dst []byte, x int, r, g, b byte) {
	d := dst[3*x:][:3]
	d[0], d[1], d[2] = r, g, b
}

func fourBytes(dst, src []byte) {
	for len(src) >= 4 && len(dst) >= 3 {
		dst[0], dst[1], dst[2] = src[0], src[1], src[2]
		dst, src = dst[3:], src[4:]
	}
}

// ink is what is left of white under k/255 of light through c (Pillow's
// cmyk2rgb with its rounded division by 255).
func ink(k int, c byte) byte {
	t := int(c)*k + 128
	return byte(max(0, k-(t>>8+t)>>8))
}

// straight returns a colour without the alpha multiplied in.
func straight(c color.Color) color.NRGBA {
	if n, ok := c.(color.NRGBA); ok {
		return n
	}
	n := color.NRGBA64Model.Convert(c).(color.NRGBA64)
	return color.NRGBA{uint8(n.R >> 8), uint8(n.G >> 8), uint8(n.B >> 8), 255}
}
