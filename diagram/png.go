package diagram

import (
	"fmt"
	"image/png"
	"io"

	"git.sr.ht/~sbinet/gg"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"

	"github.com/mobilenet-go/mobilenet/internal/fonts"
)

// maxPixels bounds the memory of a raster picture: 400 MB.
const maxPixels = 100_000_000

// A raster paints shapes at scale pixels a point.
type raster struct {
	*gg.Context
	scale float64
}

func (c *canvas) writePNG(w io.Writer, scale float64) error {
	if !(scale > 0) {
		return fmt.Errorf("scale %v: want more than 0", scale)
	}
	wide, high := c.w*scale, c.h*scale
	if !(wide*high <= maxPixels) {
		return fmt.Errorf("a picture of %.0fx%.0f pixels: at most %d million are drawn; choose a smaller scale, or SVG", wide, high, maxPixels/1_000_000)
	}
	r := &raster{gg.NewContext(max(1, int(wide+0.5)), max(1, int(high+0.5))), scale}
	r.SetLineCapButt() // SVG's default
	r.SetHexColor(string(white))
	r.Clear()
	for _, s := range c.shapes {
		s.png(r)
	}
	return png.Encode(w, r.Image())
}

func (s rect) png(r *raster) {
	k := r.scale
	r.DrawRoundedRectangle(k*s.x, k*s.y, k*s.w, k*s.h, k*s.radius)
	r.paint(s.paint)
}

func (p path) png(r *raster) {
	k, at := r.scale, p.at
	for _, verb := range p.verbs {
		switch verb {
		case 'M':
			r.MoveTo(k*at[0].x, k*at[0].y)
		case 'L':
			r.LineTo(k*at[0].x, k*at[0].y)
		case 'C':
			r.CubicTo(k*at[0].x, k*at[0].y, k*at[1].x, k*at[1].y, k*at[2].x, k*at[2].y)
		case 'Z':
			r.ClosePath()
		}
		at = at[points[verb]:]
	}
	r.paint(p.paint)
}

// png fills the outlines of the characters: unhinted, so that a text is as wide
// at every scale as it was laid out.
func (t text) png(r *raster) {
	f := fonts.Sans(t.bold)
	var buf sfnt.Buffer
	ppem := fixed.Int26_6(64*t.size*r.scale + 0.5)
	x, y := r.scale*t.box().x, r.scale*t.y
	for _, c := range t.s {
		glyph, err := f.GlyphIndex(&buf, c)
		if err != nil {
			continue // a damaged font; ours is compiled in
		}
		outline, err := f.LoadGlyph(&buf, glyph, ppem, nil)
		if err != nil {
			continue
		}
		r.outline(outline, x, y)
		x += r.scale * textWidth(string(c), t.size, t.bold)
	}
	r.paint(paint{fill: t.color})
}

// outline adds a character, with its origin at (x, y), to the current path.
func (r *raster) outline(segments sfnt.Segments, x, y float64) {
	for _, s := range segments {
		var at [3]point
		for i, p := range s.Args {
			at[i] = point{x + float64(p.X)/64, y + float64(p.Y)/64}
		}
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			r.MoveTo(at[0].x, at[0].y)
		case sfnt.SegmentOpLineTo:
			r.LineTo(at[0].x, at[0].y)
		case sfnt.SegmentOpQuadTo:
			r.QuadraticTo(at[0].x, at[0].y, at[1].x, at[1].y)
		case sfnt.SegmentOpCubeTo:
			r.CubicTo(at[0].x, at[0].y, at[1].x, at[1].y, at[2].x, at[2].y)
		}
	}
}

// paint fills and strokes the current path and ends it.
func (r *raster) paint(p paint) {
	if p.fill != "" {
		r.SetHexColor(string(p.fill))
		r.FillPreserve()
	}
	if p.stroke != "" {
		r.SetHexColor(string(p.stroke))
		r.SetLineWidth(r.scale * p.width)
		r.SetDash()
		if p.dashed {
			r.SetDash(2*r.scale, 3*r.scale)
		}
		r.StrokePreserve()
	}
	r.ClearPath()
}
