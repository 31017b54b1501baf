package report

import (
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"slices"
	"unicode"

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

// fitAll is fit of names that are to be told apart: where several would look alike, what
// these begin and end with alike is left out, and where they still do, they get their
// numbers, from 0.
func (c *canvas) fitAll(names []string, w float64, st drawing.Style) []string {
	out := make([]string, len(names))
	fit := func(i int, name string) { out[i] = c.fit(name, w, st) }
	for i, name := range names {
		fit(i, name)
	}
	places := repeated(out)
	for k, rest := range differences(names, places) {
		fit(places[k], rest)
	}
	for _, i := range repeated(out) {
		fit(i, fmt.Sprintf("%d: %s", i, names[i]))
	}
	return out
}

// repeated are the places of names that come more than once.
func repeated(names []string) (places []int) {
	count := map[string]int{}
	for _, name := range names {
		count[name]++
	}
	for i, name := range names {
		if count[name] > 1 {
			places = append(places, i)
		}
	}
	return places
}

// differences are the names in these places without what all of them begin and end
// with, but for the letters and digits next to where they differ.
func differences(names []string, places []int) (rest []string) {
	var all [][]rune
	for _, i := range places {
		all = append(all, []rune(names[i]))
	}
	if len(all) == 0 {
		return nil
	}
	first, shortest := all[0], len(all[0])
	for _, name := range all {
		shortest = min(shortest, len(name))
	}
	alike := func(at func(name []rune) rune) bool {
		return !slices.ContainsFunc(all, func(name []rune) bool { return at(name) != at(first) })
	}
	begin, end := 0, 0
	for begin < shortest && alike(func(name []rune) rune { return name[begin] }) {
		begin++
	}
	for end < shortest-begin && alike(func(name []rune) rune { return name[len(name)-1-end] }) {
		end++
	}
	for begin > 0 && wordy(first[begin-1]) {
		begin--
	}
	for end > 0 && wordy(first[len(first)-end]) {
		end--
	}
	for _, name := range all {
		text := string(name[begin : len(name)-end])
		if begin > 0 {
			text = "…" + text
		}
		if end > 0 {
			text += "…"
		}
		rest = append(rest, text)
	}
	return rest
}

func wordy(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

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
