package diagram

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	"image/png"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// checkCanvas fails if a reader could not read the picture: if a text leaves
// the page, overlaps another, straddles the border of a box, or is crossed by
// a line.
func checkCanvas(t rapid.TB, c *canvas) {
	t.Helper()
	var texts []text
	var boxes []rect
	var paths []path
	for _, s := range c.shapes {
		switch s := s.(type) {
		case text:
			texts = append(texts, s)
		case rect:
			boxes = append(boxes, s)
		case path:
			paths = append(paths, s)
		}
	}
	page := rect{w: c.w, h: c.h}
	for i, a := range texts {
		if a.s == "" || a.size < 6 {
			t.Errorf("text %q of size %v", a.s, a.size)
		}
		if !contains(page, a.box()) {
			t.Errorf("%q leaves the page", a.s)
		}
		for _, b := range texts[i+1:] {
			if overlap(a.box(), b.box()) {
				t.Errorf("%q overlaps %q", a.s, b.s)
			}
		}
		for j, b := range boxes {
			hidden := func() bool {
				return slices.ContainsFunc(boxes[j+1:], func(over rect) bool { return contains(over, a.box()) })
			}
			if overlap(a.box(), b) && !contains(b, a.box()) && !hidden() {
				t.Errorf("%q at %v straddles the box %v", a.s, a.box(), b)
			}
		}
		for _, p := range paths {
			if crosses(p, a.box()) {
				t.Errorf("%q at %v is crossed by %s %v", a.s, a.box(), p.verbs, p.at)
			}
		}
	}
}

// rounding is how far sums of coordinates may be off, in points.
const rounding = 1e-6

func overlap(a, b rect) bool {
	return a.x+rounding < b.x+b.w && b.x+rounding < a.x+a.w && a.y+rounding < b.y+b.h && b.y+rounding < a.y+a.h
}

func contains(outer, inner rect) bool {
	return outer.x <= inner.x+rounding && inner.x+inner.w <= outer.x+outer.w+rounding &&
		outer.y <= inner.y+rounding && inner.y+inner.h <= outer.y+outer.h+rounding
}

// touch is overlap for what may have no width: lines.
func touch(a, b rect) bool {
	return a.x < b.x+b.w && b.x < a.x+a.w+rounding && a.y < b.y+b.h && b.y < a.y+a.h+rounding
}

// bounds is the extent of points.
func bounds(at []point) rect {
	low, high := at[0], at[0]
	for _, p := range at {
		low = point{min(low.x, p.x), min(low.y, p.y)}
		high = point{max(high.x, p.x), max(high.y, p.y)}
	}
	return rect{x: low.x, y: low.y, w: high.x - low.x, h: high.y - low.y}
}

// crosses reports whether the outline of p meets b.
func crosses(p path, b rect) bool {
	if !touch(bounds(p.at), b) {
		return false
	}
	var pen, start point
	at := p.at
	for _, verb := range p.verbs {
		var to []point
		switch verb {
		case 'M':
			start = at[0]
		case 'L':
			to = at[:1]
		case 'C':
			to = at[:3]
		case 'Z':
			to = []point{start}
		}
		if to != nil && curveMeets(append([]point{pen}, to...), b) {
			return true
		}
		if verb != 'Z' {
			pen = at[points[verb]-1]
		}
		at = at[points[verb]:]
	}
	return false
}

// curveMeets walks along a line or a Bezier curve in small steps.
func curveMeets(ctrl []point, b rect) bool {
	if !touch(bounds(ctrl), b) {
		return false
	}
	const steps = 200
	for i := range steps + 1 {
		u := float64(i) / steps
		p := append([]point(nil), ctrl...)
		for n := len(p) - 1; n > 0; n-- { // de Casteljau
			for k := range n {
				p[k] = point{p[k].x + u*(p[k+1].x-p[k].x), p[k].y + u*(p[k+1].y-p[k].y)}
			}
		}
		if p[0].x > b.x+rounding && p[0].x < b.x+b.w-rounding && p[0].y > b.y+rounding && p[0].y < b.y+b.h-rounding {
			return true
		}
	}
	return false
}

// layOut returns the canvas of d.
func layOut(t *testing.T, d *Drawing) *canvas {
	t.Helper()
	c, err := d.canvas()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// written returns what write writes, after checking that it does so twice.
func written(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var a, b bytes.Buffer
	if err := errors.Join(write(&a), write(&b)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two runs wrote different bytes")
	}
	return a.String()
}

// svgTexts parses an SVG strictly and returns its texts.
func svgTexts(t *testing.T, svg string) []string {
	t.Helper()
	var texts []string
	dec := xml.NewDecoder(strings.NewReader(svg))
	inText := false
	for {
		token, err := dec.Token()
		if err == io.EOF {
			return texts
		}
		if err != nil {
			t.Fatalf("invalid XML: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			inText = token.Name.Local == "text"
		case xml.CharData:
			if inText {
				texts = append(texts, string(token))
			}
		case xml.EndElement:
			inText = false
		}
	}
}

// checkPNG fails unless data is a PNG of the canvas at the given scale with
// something on it.
func checkPNG(t *testing.T, data string, c *canvas, scale float64) {
	t.Helper()
	img, err := png.Decode(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	want := image.Pt(int(math.Round(c.w*scale)), int(math.Round(c.h*scale)))
	if img.Bounds().Size() != want {
		t.Errorf("PNG of %v, want %v", img.Bounds().Size(), want)
	}
	dark := 0
	for y := range want.Y {
		for x := range want.X {
			if r, _, _, _ := img.At(x, y).RGBA(); r < 0x8000 {
				dark++
			}
		}
	}
	if dark < 1000 {
		t.Errorf("%d dark pixels", dark)
	}
}

func TestPNGLimits(t *testing.T) {
	c := &canvas{w: 100, h: 100}
	for _, scale := range []float64{0, -1, math.NaN(), math.Inf(1), 1000} {
		if err := c.writePNG(io.Discard, scale); err == nil {
			t.Errorf("scale %v: no error", scale)
		}
	}
}
