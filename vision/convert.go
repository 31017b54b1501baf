package vision

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"io"

	"github.com/mobilenet-go/mobilenet/internal/jpeg"
)

// FromImage returns the pixels of src as Pillow's convert("RGB") does: alpha is
// dropped, not blended; grey is repeated; of 16-bit channels the upper 8 bits
// are kept (Pillow clips 16-bit grey at 255 instead, which turns it white); CMYK
// becomes (255-c)(255-k)/255. YCbCr is taken for JPEG's, upsampled and converted
// as libjpeg does it.
//
// An *Image is returned as it is.
func FromImage(src image.Image) *Image {
	if m, ok := src.(*Image); ok {
		return m
	}
	b := src.Bounds()
	if m, ok := src.(*image.YCbCr); ok {
		return &Image{b.Dx(), b.Dy(), jpeg.FromYCbCr(m)}
	}
	dst := NewImage(b.Dx(), b.Dy())
	for y := range dst.H {
		convertRow(dst.row(y), src, b, b.Min.Y+y)
	}
	return dst
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
			put(dst, x, s[2*x], s[2*x], s[2*x])
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

// decodeGIF returns the first frame on the file's canvas, which it need not
// fill. Around it lies what Pillow puts there: the transparent colour, else the
// first of the palette.
func decodeGIF(r io.Reader) (image.Image, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	c, err := gif.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	first, err := gif.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	frame := first.(*image.Paletted)
	canvas := image.Rect(0, 0, c.Width, c.Height)
	back := opaque(frame.Palette, c.ColorModel)
	if frame.Rect == canvas {
		return frame, nil
	}
	full := image.NewPaletted(canvas, frame.Palette)
	for i := range full.Pix {
		full.Pix[i] = back
	}
	for y := frame.Rect.Min.Y; y < frame.Rect.Max.Y; y++ {
		copy(full.Pix[full.PixOffset(frame.Rect.Min.X, y):], frame.Pix[frame.PixOffset(frame.Rect.Min.X, y):][:frame.Rect.Dx()])
	}
	return full, nil
}

// opaque gives the transparent entry of a frame's palette, which image/gif makes
// black, the colour that the file's palette has there, and returns its index, 0
// if there is none.
func opaque(frame color.Palette, file color.Model) uint8 {
	global, _ := file.(color.Palette)
	for i, c := range frame {
		if _, _, _, a := c.RGBA(); a != 0 {
			continue
		}
		if i < len(global) {
			frame[i] = global[i]
		}
		return uint8(i)
	}
	return 0
}
