package report

import (
	"image"
	"image/jpeg"
	"image/png"
	"io"

	"git.sr.ht/~sbinet/gg"
	"golang.org/x/image/font"

	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/internal/fonts"
)

// Colours of all pictures.
const (
	white  = "#ffffff"
	ink    = "#1f2937" // text
	faint  = "#6b7280" // secondary text
	grid   = "#e5e7eb" // lines behind curves, empty cells
	blue   = "#2563eb"
	orange = "#ea7317"
	green  = "#15803d"
	red    = "#c81e1e"
)

// A canvas is a picture in the making, in pixels from the top left.
type canvas struct {
	*gg.Context
	faces map[style]font.Face
}

// A style of text. size is the em in pixels.
type style struct {
	size  float64
	color string
	bold  bool
}

func newCanvas(w, h int) *canvas {
	c := &canvas{gg.NewContext(w, h), map[style]font.Face{}}
	c.SetHexColor(white)
	c.Clear()
	return c
}

// use makes s the style of what is written and measured next.
func (c *canvas) use(s style) {
	face, ok := c.faces[s]
	if !ok {
		face = fonts.Face(s.size, s.bold)
		c.faces[s] = face
	}
	c.SetFontFace(face)
	c.SetHexColor(s.color)
}

// text writes s with its baseline at y. align says which point of it is at x: 0
// the left end, 0.5 the middle, 1 the right end.
func (c *canvas) text(s string, x, y, align float64, st style) {
	c.use(st)
	c.DrawStringAnchored(fonts.Visual(s), x, y, align, 0)
}

// width is how many pixels s takes.
func (c *canvas) width(s string, st style) float64 {
	c.use(st)
	w, _ := c.MeasureString(fonts.Visual(s))
	return w
}

// fit shortens s with an ellipsis so that it is at most w pixels wide. It cuts the
// middle: names of many classes differ in their ends only.
func (c *canvas) fit(s string, w float64, st style) string {
	if c.width(s, st) <= w {
		return s
	}
	runes := []rune(s)
	for n := len(runes) - 1; n > 0; n-- {
		cut := string(runes[:(n+1)/2]) + "…" + string(runes[len(runes)-n/2:])
		if c.width(cut, st) <= w {
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
