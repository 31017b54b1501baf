// Package drawing has what all drawn pictures share: a white picture, shapes by gg, and
// text in any script.
package drawing

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"strconv"

	"git.sr.ht/~sbinet/gg"
	"golang.org/x/image/font"
	"golang.org/x/image/math/fixed"

	"github.com/mobilenet-go/mobilenet/internal/fonts"
)

// Colours of all pictures.
const (
	White = "#ffffff"
	Ink   = "#1f2937" // text
	Faint = "#6b7280" // secondary text
)

// A Canvas is a picture in the making, in pixels from the top left.
type Canvas struct {
	*gg.Context
	Pixels *image.RGBA
	faces  map[Style]font.Face
}

// A Style is how text looks.
type Style struct {
	Size  float64 // the em in pixels
	Color string  // #rrggbb
	Bold  bool
}

// New returns a white picture of w by h pixels.
func New(w, h int) *Canvas {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(m, m.Rect, image.White, image.Point{}, draw.Src)
	return &Canvas{gg.NewContextForRGBA(m), m, map[Style]font.Face{}}
}

// use makes s the style of what is written and measured next.
func (c *Canvas) use(s Style) font.Face {
	face, ok := c.faces[s]
	if !ok {
		face = fonts.Face(s.Size, s.Bold)
		c.faces[s] = face
	}
	c.SetFontFace(face)
	c.SetHexColor(s.Color)
	return face
}

// Text writes s with its baseline at y. align says which point of it is at x: 0 the
// left end, 0.5 the middle, 1 the right end.
func (c *Canvas) Text(s string, x, y, align float64, st Style) {
	face := c.use(st)
	s = fonts.Visual(s)
	if c.turned() {
		c.DrawStringAnchored(s, x, y, align, 0)
		return
	}
	// The same pixels as gg's, within a level, which goes through a transformation of
	// each letter: 1 ms a caption.
	w, _ := c.MeasureString(s)
	at := fixed.Point26_6{X: toFixed(x - align*w), Y: toFixed(y)}
	d := font.Drawer{Dst: c.Pixels, Src: image.NewUniform(rgb(st.Color)), Face: face, Dot: at}
	d.DrawString(s)
}

// turned reports whether what is drawn now is transformed.
func (c *Canvas) turned() bool {
	x0, y0 := c.TransformPoint(0, 0)
	x1, y1 := c.TransformPoint(1, 0)
	return x0 != 0 || y0 != 0 || x1 != 1 || y1 != 0
}

func toFixed(v float64) fixed.Int26_6 { return fixed.Int26_6(math.Round(64 * v)) }

// rgb reads a colour of a [Style].
func rgb(hex string) color.RGBA {
	n, err := strconv.ParseUint(hex[1:], 16, 24)
	if err != nil {
		panic(err) // colours are compiled in
	}
	return color.RGBA{byte(n >> 16), byte(n >> 8), byte(n), 255}
}

// Width is how many pixels s takes.
func (c *Canvas) Width(s string, st Style) float64 {
	c.use(st)
	w, _ := c.MeasureString(fonts.Visual(s))
	return w
}
