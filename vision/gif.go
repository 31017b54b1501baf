package vision

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/gif"
)

// openGIF reads the header of a GIF file. What is decoded is the first frame on
// the file's canvas, which it need not fill. Around it lies what Pillow puts there:
// the transparent colour, else the first of the palette.
func openGIF(data []byte) (picture, error) {
	config, err := gif.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return picture{}, err
	}
	pixels := int64(config.Width) * int64(config.Height)
	return picture{w: config.Width, h: config.Height, extra: pixels, decode: func(ctx context.Context, c *canvas) error {
		first, err := gif.Decode(bytes.NewReader(data))
		if err != nil {
			return err
		}
		frame := first.(*image.Paletted)
		back := opaque(frame.Palette, config.ColorModel)
		var palette [256][3]byte
		for i, v := range frame.Palette {
			n := straight(v)
			palette[i] = [3]byte{n.R, n.G, n.B}
		}
		for y := range config.Height {
			if err := ctx.Err(); err != nil {
				return err
			}
			row := c.row(y)
			for x := range config.Width {
				copy(row[3*x:3*x+3], palette[back][:])
			}
			if y >= frame.Rect.Min.Y && y < frame.Rect.Max.Y {
				for i, v := range frame.Pix[(y-frame.Rect.Min.Y)*frame.Stride:][:frame.Rect.Dx()] {
					x := frame.Rect.Min.X + i
					copy(row[3*x:3*x+3], palette[v][:])
				}
			}
			c.done(y)
		}
		return nil
	}}, nil
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
