package explain

import (
	"fmt"
	"image"
	"strings"
	"unicode"

	"git.sr.ht/~sbinet/gg"
	"golang.org/x/image/font"

	"github.com/mobilenet-go/mobilenet/internal/fonts"
)

// Colours of text and lines.
const (
	ink   = "#1f2937"
	faint = "#6b7280"
)

// em is the size of all text, in pixels, and line what a line of it takes.
const (
	em   = 14
	line = 20
)

// A canvas is a picture in the making, in pixels from the top left.
type canvas struct {
	*gg.Context
	pixels        *image.RGBA
	regular, bold font.Face
}

func newCanvas(w, h int) *canvas {
	c := newMeasure()
	c.pixels = image.NewRGBA(image.Rect(0, 0, w, h))
	c.Context = gg.NewContextForRGBA(c.pixels)
	c.SetHexColor("#ffffff")
	c.Clear()
	return c
}

// newMeasure returns a canvas of no size, for the width of texts.
func newMeasure() *canvas {
	return &canvas{Context: gg.NewContext(1, 1), regular: fonts.Face(em, false), bold: fonts.Face(em, true)}
}

// A style is how text looks.
type style struct {
	color string
	bold  bool
}

func (c *canvas) use(s style) {
	c.SetFontFace(c.regular)
	if s.bold {
		c.SetFontFace(c.bold)
	}
	c.SetHexColor(s.color)
}

// text writes s with its baseline at y. align says which point of it is at x: 0 the left
// end, 0.5 the middle, 1 the right end.
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

// prefix returns how many of the first runes are at most w pixels wide with end behind
// them.
func (c *canvas) prefix(runes []rune, end string, w float64, st style) int {
	n := len(runes)
	for n > 0 && c.width(string(runes[:n])+end, st) > w {
		n--
	}
	return n
}

// wrap breaks s into at most so many lines of w pixels, at spaces where it can. What is
// left of it then ends with an ellipsis.
func (c *canvas) wrap(s string, w float64, lines int, st style) (out []string) {
	for len(out) < lines-1 && c.width(s, st) > w {
		runes := []rune(s)
		n := c.prefix(runes, "", w, st)
		if n == 0 {
			break
		}
		if space := strings.LastIndexFunc(string(runes[:n+1]), unicode.IsSpace); space > 0 {
			out, s = append(out, s[:space]), strings.TrimSpace(s[space:])
			continue
		}
		out, s = append(out, string(runes[:n])), string(runes[n:])
	}
	if c.width(s, st) > w {
		runes := []rune(s)
		s = string(runes[:c.prefix(runes, "…", w, st)]) + "…"
	}
	return append(out, s)
}

// legible returns text that can be drawn: name, in one line, or what stands for it.
func legible(name, otherwise string) string {
	name = strings.Join(strings.Fields(name), " ")
	if name == "" || !fonts.Legible(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return otherwise
	}
	return name
}

// short is a number for people.
func short(v float32) string {
	if v == 0 {
		return "0" // and not -0
	}
	return fmt.Sprintf("%.3g", v)
}
