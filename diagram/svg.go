package diagram

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// An svgWriter writes elements; bufio keeps the first error.
type svgWriter struct{ *bufio.Writer }

func (c *canvas) writeSVG(w io.Writer) error {
	s := &svgWriter{bufio.NewWriter(w)}
	fmt.Fprintf(s, `<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%[2]s" viewBox="0 0 %[1]s %[2]s" font-family="%[3]s" stroke-linejoin="round" role="img">`+"\n",
		num(c.w), num(c.h), fontFamily)
	fmt.Fprintf(s, "<title>%s</title>\n", escapeXML(c.title))
	fmt.Fprintf(s, `<rect width="%s" height="%s" fill="%s"/>`+"\n", num(c.w), num(c.h), white)
	for _, shape := range c.shapes {
		shape.svg(s)
	}
	s.WriteString("</svg>\n")
	return s.Flush()
}

func (r rect) svg(w *svgWriter) {
	fmt.Fprintf(w, `<rect x="%s" y="%s" width="%s" height="%s"`, num(r.x), num(r.y), num(r.w), num(r.h))
	if r.radius > 0 {
		fmt.Fprintf(w, ` rx="%s"`, num(r.radius))
	}
	w.paint(r.paint)
}

func (p path) svg(w *svgWriter) {
	w.WriteString(`<path d="`)
	at := p.at
	for _, verb := range p.verbs {
		w.WriteRune(verb)
		for i := range points[verb] {
			if i > 0 {
				w.WriteByte(' ')
			}
			w.WriteString(num(at[i].x) + "," + num(at[i].y))
		}
		at = at[points[verb]:]
	}
	w.WriteByte('"')
	w.paint(p.paint)
}

// points is how many points each verb of a path takes.
var points = map[rune]int{'M': 1, 'L': 1, 'C': 3, 'Z': 0}

func (t text) svg(w *svgWriter) {
	fmt.Fprintf(w, `<text x="%s" y="%s" font-size="%s" fill="%s"`, num(t.x), num(t.y), num(t.size), t.color)
	if t.bold {
		w.WriteString(` font-weight="bold"`)
	}
	if t.align == center || t.align == right {
		fmt.Fprintf(w, ` text-anchor="%s"`, t.align)
	}
	fmt.Fprintf(w, ">%s</text>\n", escapeXML(t.s))
}

// paint writes the paint's attributes and ends the element.
func (w *svgWriter) paint(p paint) {
	if p.fill == "" {
		w.WriteString(` fill="none"`)
	} else {
		fmt.Fprintf(w, ` fill="%s"`, p.fill)
	}
	if p.stroke != "" {
		fmt.Fprintf(w, ` stroke="%s" stroke-width="%s"`, p.stroke, num(p.width))
	}
	if p.dashed {
		w.WriteString(` stroke-dasharray="2 3"`)
	}
	w.WriteString("/>\n")
}

// num writes a length to a hundredth of a point.
func num(v float64) string {
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}

func escapeXML(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a strings.Builder never fails
	return b.String()
}
