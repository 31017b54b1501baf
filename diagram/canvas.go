package diagram

import "math"

// A canvas is a picture as a list of shapes, painted in order. Lengths are in
// points, x grows to the right and y downwards.
type canvas struct {
	w, h   float64
	title  string // what a screen reader says
	shapes []shape
}

// A shape paints itself in both forms, so that the two cannot differ.
type shape interface {
	svg(w *svgWriter)
	png(r *raster)
}

func (c *canvas) add(s ...shape) { c.shapes = append(c.shapes, s...) }

type point struct{ x, y float64 }

// A color is "#rrggbb"; the empty one paints nothing.
type color string

// The colours are Okabe and Ito's, which colour-blind readers can tell apart,
// darkened where white text stands on them and lightened for areas.
const (
	ink    color = "#1f2933"
	muted  color = "#5f6b76"
	faint  color = "#c3cad1"
	white  color = "#ffffff"
	blue   color = "#0072b2"
	orange color = "#b35900"
	green  color = "#00734f"
	purple color = "#8f3f71"

	paleBlue   color = "#dcebf5"
	paleOrange color = "#fdebd3"
	paleGreen  color = "#d7efe5"
	palePurple color = "#f3e0ec"
	paleGrey   color = "#eef1f4"
)

// A paint is how the inside and the outline of a shape look.
type paint struct {
	fill, stroke color
	width        float64 // of the stroke
	dashed       bool
}

// A rect is a rectangle with rounded corners.
type rect struct {
	paint
	x, y, w, h, radius float64
}

// A path is a sequence of pen movements as in SVG: M (move), L (line), C (cubic
// curve) and Z (close) take 1, 1, 3 and 0 points.
type path struct {
	paint
	verbs string
	at    []point
}

func line(p paint, at ...point) path {
	verbs := make([]byte, len(at))
	for i := range verbs {
		verbs[i] = 'L'
	}
	verbs[0] = 'M'
	return path{paint: p, verbs: string(verbs), at: at}
}

func polygon(p paint, at ...point) path {
	l := line(p, at...)
	l.verbs += "Z"
	return l
}

// arrowHead is a filled triangle with its tip at tip, pointing along (dx, dy),
// which has length 1.
func arrowHead(c color, tip point, dx, dy float64) path {
	const long, half = 7, 3.2
	bx, by := tip.x-long*dx, tip.y-long*dy
	return polygon(paint{fill: c}, tip, point{bx - half*dy, by + half*dx}, point{bx + half*dy, by - half*dx})
}

// hatch is the diagonal lines, step apart, that fill r: the sign of a linear
// layer in the paper's figures.
func hatch(c color, r rect, step float64) path {
	p := path{paint: paint{stroke: c, width: 1}}
	for d := step; d < r.w+r.h; d += step {
		// The line x+y = d within the rectangle.
		p.verbs += "ML"
		p.at = append(p.at,
			point{r.x + math.Max(0, d-r.h), r.y + math.Min(d, r.h)},
			point{r.x + math.Min(d, r.w), r.y + math.Max(0, d-r.w)})
	}
	return p
}

// An align says which end of a text stands at its x.
type align string

const (
	left   align = "start"
	center align = "middle"
	right  align = "end"
)

// A text is one line; (x, y) is on its baseline.
type text struct {
	x, y  float64
	s     string
	size  float64
	bold  bool
	align align
	color color
}

// box returns the text's extent: from the top of its capitals to the bottom of
// its descenders.
func (t text) box() rect {
	w := textWidth(t.s, t.size, t.bold)
	x := t.x
	switch t.align {
	case center:
		x -= w / 2
	case right:
		x -= w
	}
	return rect{x: x, y: t.y - 0.73*t.size, w: w, h: 0.94 * t.size}
}
