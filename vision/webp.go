package vision

import (
	"bytes"
	"context"
	"encoding/binary"
	"image"
	"io"

	"golang.org/x/image/vp8"
	"golang.org/x/image/vp8l"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A webpFile is the picture of a WebP file, the first frame if it is animated.
type webpFile struct {
	w, h     int // of the canvas
	x, y     int // where the frame is on it
	lossless bool
	data     []byte // VP8 or VP8L
	fw, fh   int    // of the frame
}

// openWebP looks for the picture among the file's chunks. Alpha and what else
// there is isn't looked at: x/image/webp, which reads alpha and no animation,
// takes more memory for less.
func openWebP(data []byte) (picture, error) {
	f := &webpFile{}
	size := uint64(binary.LittleEndian.Uint32(data[4:])) + 8
	switch {
	case size > uint64(len(data)):
		return picture{}, io.ErrUnexpectedEOF
	case size < 12:
		return picture{}, fault.At(4, "%d bytes", size)
	}
	if err := f.find(data[12:size], 12, false); err != nil {
		return picture{}, err
	}
	n := int64(f.fw) * int64(f.fh)
	p := picture{w: f.w, h: f.h, extra: n, turned: 4 * n, decode: f.lossy}
	if f.lossless {
		p.decode = f.decodeLossless
	}
	return p, nil
}

// find takes the picture from chunks, which begin at an offset of the file, those
// of a frame included.
func (f *webpFile) find(chunks []byte, at int, framed bool) error {
	for extended := framed; len(chunks) >= 8; {
		name, n := string(chunks[:4]), uint64(binary.LittleEndian.Uint32(chunks[4:]))
		if n > uint64(len(chunks)-8) {
			return io.ErrUnexpectedEOF
		}
		body := chunks[8 : 8+n]
		switch name {
		case "VP8X":
			if len(body) < 10 {
				return fault.At(int64(at), "chunk %q of %d bytes", name, len(body))
			}
			f.w, f.h, extended = 1+int(uint24(body[4:])), 1+int(uint24(body[7:])), true
		case "ANMF":
			if len(body) < 16 || !extended {
				return fault.At(int64(at), "chunk %q of %d bytes", name, len(body))
			}
			f.x, f.y = 2*int(uint24(body)), 2*int(uint24(body[3:]))
			return f.find(body[16:], at+24, true)
		case "VP8 ", "VP8L":
			f.data, f.lossless = body, name == "VP8L"
			if err := f.size(); err != nil {
				return err
			}
			if !extended {
				f.w, f.h = f.fw, f.fh
			}
			if !framed && (f.fw != f.w || f.fh != f.h) || f.x+f.fw > f.w || f.y+f.fh > f.h {
				return fault.At(int64(at), "a picture of %dx%d pixels on a canvas of %dx%d", f.fw, f.fh, f.w, f.h)
			}
			return nil
		}
		step := min(8+n+n%2, uint64(len(chunks)))
		chunks, at = chunks[step:], at+int(step)
	}
	return fault.At(int64(at), "no picture")
}

func uint24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

// size reads the size of the frame.
func (f *webpFile) size() error {
	if f.lossless {
		c, err := vp8l.DecodeConfig(bytes.NewReader(f.data))
		f.fw, f.fh = c.Width, c.Height
		return err
	}
	d := vp8.NewDecoder()
	d.Init(bytes.NewReader(f.data), len(f.data))
	h, err := d.DecodeFrameHeader()
	f.fw, f.fh = h.Width, h.Height
	return err
}

func (f *webpFile) decodeLossless(ctx context.Context, c *canvas) error {
	src, err := vp8l.Decode(bytes.NewReader(f.data))
	if err != nil {
		return err
	}
	m := src.(*image.NRGBA)
	if c.orientation == 1 && f.fw == f.w && f.fh == f.h {
		fourBytes(m.Pix, m.Pix) // in place
		n := 3 * f.w * f.h
		c.img = &Image{W: f.w, H: f.h, Pix: m.Pix[:n:n]}
		return nil
	}
	return f.paint(ctx, c, func(row []byte, y int) { fourBytes(row, m.Pix[y*m.Stride:]) })
}

// paint puts a frame on the canvas, which is black elsewhere.
func (f *webpFile) paint(ctx context.Context, c *canvas, row func(dst []byte, y int)) error {
	for y := range f.h {
		if err := ctx.Err(); err != nil {
			return err
		}
		dst := c.row(y)
		if f.fw < f.w || f.fh < f.h {
			clear(dst)
		}
		if y >= f.y && y < f.y+f.fh {
			row(dst[3*f.x:3*(f.x+f.fw)], y-f.y)
		}
		c.done(y)
	}
	return nil
}

// lossy decodes 4:2:0 planes in video range (luma 16 to 235) and converts them as
// libwebp does, with chroma interpolated in both directions ("fancy"
// upsampling.c). image/color would take them for JPEG's.
func (f *webpFile) lossy(ctx context.Context, c *canvas) error {
	d := vp8.NewDecoder()
	d.Init(bytes.NewReader(f.data), len(f.data))
	if _, err := d.DecodeFrameHeader(); err != nil {
		return err
	}
	m, err := d.DecodeFrame()
	if err != nil {
		return err
	}
	cb, cr := make([]byte, f.fw), make([]byte, f.fw)
	return f.paint(ctx, c, func(dst []byte, y int) {
		near := y / 2 * m.CStride
		far := beyond(y, f.fh) * m.CStride
		blendChroma(cb, m.Cb[near:], m.Cb[far:])
		blendChroma(cr, m.Cr[near:], m.Cr[far:])
		videoToRGB(dst, m.Y[y*m.YStride:][:f.fw], cb, cr)
	})
}

// beyond returns which chroma sample of n pixels' is second nearest to pixel i;
// at the edges, the nearest.
func beyond(i, n int) int {
	j := i/2 - 1
	if i%2 == 1 {
		j = i/2 + 1
	}
	if j < 0 || j > (n-1)/2 {
		return i / 2
	}
	return j
}

// blendChroma doubles the width of a chroma row: of the four samples around a
// pixel the nearest counts 9/16, its neighbours 3/16 and the one across 1/16,
// rounded twice.
func blendChroma(dst, near, far []byte) {
	for x := range dst {
		i, j := x/2, beyond(x, len(dst))
		a, b := int(near[i]), int(far[i])
		if i == j {
			dst[x] = byte((3*a + b + 2) >> 2)
			continue
		}
		c, d := int(near[j]), int(far[j])
		dst[x] = byte((a + (a+3*b+3*c+d+8)>>3) >> 1)
	}
}

// videoToRGB is BT.601 in video range, with six bits of fraction (libwebp,
// yuv.h):
//
//	R = 1.164(Y-16) + 1.596(Cr-128)
//	G = 1.164(Y-16) - 0.813(Cr-128) - 0.391(Cb-128)
//	B = 1.164(Y-16) + 2.018(Cb-128)
func videoToRGB(dst, luma, cb, cr []byte) {
	cb, cr = cb[:len(luma)], cr[:len(luma)]
	for x, v := range luma {
		y, u, w := int32(v)*19077>>8, int32(cb[x]), int32(cr[x])
		r := y + w*26149>>8 - 14234
		g := y - u*6419>>8 - w*13320>>8 + 8708
		b := y + u*33050>>8 - 17685
		d := dst[3*x:][:3]
		d[0], d[1], d[2] = clip(r>>6), clip(g>>6), clip(b>>6)
	}
}

func clip(v int32) byte { return byte(min(max(v, 0), 255)) }
