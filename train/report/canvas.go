package report

import (
	"image"
	"image/jpeg"
	"image/png"
	"io"

	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/drawing"
)

// Colours of all pictures.
const (
	white  = drawing.White
	ink    = drawing.Ink
	faint  = drawing.Faint
	grid   = "#e5e7eb" // lines behind curves, empty cells
	blue   = "#2563eb"
	orange = "#ea7317"
	green  = "#15803d"
	red    = "#c81e1e"
)

// A canvas is a picture in the making, in pixels from the top left.
type canvas struct{ *drawing.Canvas }

func style(size float64, color string, bold bool) drawing.Style {
	return drawing.Style{Size: size, Color: color, Bold: bold}
}

func newCanvas(w, h int) *canvas { return &canvas{drawing.New(w, h)} }

// fit shortens s with an ellipsis so that it is at most w pixels wide. It cuts the
// middle: names of many classes differ in their ends only.
func (c *canvas) fit(s string, w float64, st drawing.Style) string {
	if c.Width(s, st) <= w {
		return s
	}
	runes := []rune(s)
	for n := len(runes) - 1; n > 0; n-- {
		cut := string(runes[:(n+1)/2]) + "…" + string(runes[len(runes)-n/2:])
		if c.Width(cut, st) <= w {
			return cut
		}
	}
	return "…"
}

func (c *canvas) line(x0, y0, x1, y1, width float64, color string) {
	c.SetHexColor(color)
	c.SetLineWidth(width)
	c.DrawLine(x0, y0, x1, y1)
	c.Stroke()
}

func (c *canvas) box(x, y, w, h float64, color string) {
	c.SetHexColor(color)
	c.DrawRectangle(x, y, w, h)
	c.Fill()
}

func writePNG(path string, m image.Image) error {
	return atomicfile.Write(path, func(w io.Writer) error { return png.Encode(w, m) })
}

func writeJPEG(path string, m image.Image) error {
	return atomicfile.Write(path, func(w io.Writer) error { return jpeg.Encode(w, m, &jpeg.Options{Quality: 92}) })
}
