package explain

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/mobilenet-go/mobilenet/internal/drawing"
	"github.com/mobilenet-go/mobilenet/internal/fonts"
)

// Colours of text and lines.
const (
	ink   = drawing.Ink
	faint = drawing.Faint
)

// em is the size of all text, in pixels, and line what a line of it takes.
const (
	em   = 14
	line = 20
)

// A canvas is a picture in the making, in pixels from the top left.
type canvas struct{ *drawing.Canvas }

// style is how text looks.
func style(color string, bold bool) drawing.Style {
	return drawing.Style{Size: em, Color: color, Bold: bold}
}

// prefix returns how many of the first runes are at most w pixels wide with end behind
// them.
func (c canvas) prefix(runes []rune, end string, w float64, st drawing.Style) int {
	n := len(runes)
	for n > 0 && c.Width(string(runes[:n])+end, st) > w {
		n--
	}
	return n
}

// wrap breaks s into at most so many lines of w pixels, at spaces where it can. What is
// left of it then ends with an ellipsis.
func (c canvas) wrap(s string, w float64, lines int, st drawing.Style) (out []string) {
	for len(out) < lines-1 && c.Width(s, st) > w {
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
	if c.Width(s, st) > w {
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
