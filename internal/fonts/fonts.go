// Package fonts has the type of all pictures: Liberation Sans, and for what that
// lacks a bitmap font of Chinese, Japanese, Korean, Arabic, Hebrew, Georgian,
// Armenian and more.
//
// The names of classes are in any language. Outlines for all of them take 16 MB
// (Noto Sans CJK), or 4 (Droid Sans Fallback, without Arabic); the bitmaps take
// 2.5, and are as legible at the size of a caption.
package fonts

import (
	"image"
	"sync"
	"unicode"

	"github.com/go-fonts/liberation/liberationsansbold"
	"github.com/go-fonts/liberation/liberationsansregular"
	"github.com/hajimehoshi/bitmapfont/v3"
	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"golang.org/x/text/language"
)

var sans = sync.OnceValue(func() [2]*sfnt.Font {
	return [2]*sfnt.Font{mustParse(liberationsansregular.TTF), mustParse(liberationsansbold.TTF)}
})

func mustParse(ttf []byte) *sfnt.Font {
	f, err := opentype.Parse(ttf)
	if err != nil {
		panic(err) // the bytes are compiled in
	}
	return f
}

// Sans is Liberation Sans, regular or bold.
func Sans(bold bool) *sfnt.Font {
	if bold {
		return sans()[1]
	}
	return sans()[0]
}

// Legible reports whether a [Face] has all characters of s. It lacks pictographs,
// Thai, Ethiopic, and scripts whose letters change with their neighbours, such as
// Devanagari, Arabic aside.
func Legible(s string) bool {
	var buf sfnt.Buffer
	for _, r := range s {
		if !inSans(&buf, r) && !inBitmaps(r) {
			return false
		}
	}
	return true
}

func inSans(buf *sfnt.Buffer, r rune) bool {
	glyph, err := Sans(false).GlyphIndex(buf, r)
	return err == nil && glyph != 0
}

// shaped are scripts of the bitmap font that make no sense letter by letter.
var shaped = []*unicode.RangeTable{
	unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya, unicode.Tamil, unicode.Telugu,
	unicode.Kannada, unicode.Malayalam, unicode.Sinhala, unicode.Tibetan, unicode.Myanmar, unicode.Khmer, unicode.Mongolian,
}

func inBitmaps(r rune) bool {
	if unicode.In(r, shaped...) {
		return false
	}
	_, mask, at, _, ok := bitmapfont.Face.Glyph(fixed.Point26_6{}, r)
	if !ok {
		return false
	}
	for y := range mask.Bounds().Dy() {
		for x := range mask.Bounds().Dx() {
			if _, _, _, a := mask.At(at.X+x, at.Y+y).RGBA(); a > 0 {
				return true
			}
		}
	}
	return unicode.IsSpace(r)
}

// Visual returns s as it is drawn from left to right: words of Arabic and Hebrew in
// the order of their places, Arabic letters in the forms that they have beside their
// neighbours.
func Visual(s string) string {
	runes := []rune(s)
	var out []rune
	for i := 0; i < len(runes); {
		n := backward(runes[i:])
		if n == 0 {
			out = append(out, runes[i])
			i++
			continue
		}
		text := bitmapfont.PresentationForms(string(runes[i:i+n]), bitmapfont.DirectionRightToLeft, language.Und)
		out = append(out, []rune(text)...)
		i += n
	}
	return string(out)
}

// backward returns how many of the first runes are of words from right to left, with
// what is between them.
func backward(runes []rune) (n int) {
	for i, r := range runes {
		switch {
		case unicode.In(r, unicode.Arabic, unicode.Hebrew):
			n = i + 1
		case unicode.IsMark(r) && n == i:
			n = i + 1
		case n == 0 || unicode.IsLetter(r):
			return n
		}
	}
	return n
}

// A face is an outline font, and where that has no character a bitmap font scaled
// to its size.
type face struct {
	font.Face
	buf   sfnt.Buffer
	scale float64 // pixels a pixel of the bitmap font
}

// Of the bitmap font: the em, and what the faces of scripts have above the baseline,
// in pixels.
const (
	bitmapEm     = 12
	bitmapAscent = 12
)

// Face returns Liberation Sans with an em of size pixels, and the bitmap font for
// what that lacks. It is for one goroutine at a time.
func Face(size float64, bold bool) font.Face {
	f, err := opentype.NewFace(Sans(bold), &opentype.FaceOptions{Size: size, DPI: 72})
	if err != nil {
		panic(err) // only without options
	}
	return &face{Face: f, scale: max(1, size/bitmapEm)}
}

func (f *face) Glyph(dot fixed.Point26_6, r rune) (image.Rectangle, image.Image, image.Point, fixed.Int26_6, bool) {
	if inSans(&f.buf, r) || !inBitmaps(r) {
		return f.Face.Glyph(dot, r)
	}
	small, bits, from, advance, ok := bitmapfont.Face.Glyph(fixed.Point26_6{}, r)
	if !ok {
		return small, bits, from, advance, ok
	}
	mask := image.NewAlpha(image.Rect(0, 0, int(f.scale*float64(small.Dx())+0.5), int(f.scale*float64(small.Dy())+0.5)))
	draw.CatmullRom.Scale(mask, mask.Rect, bits, small.Sub(small.Min).Add(from), draw.Src, nil)
	at := image.Pt(dot.X.Round(), dot.Y.Round()-int(f.scale*bitmapAscent+0.5))
	return mask.Rect.Add(at), mask, image.Point{}, f.scaled(advance), true
}

func (f *face) scaled(v fixed.Int26_6) fixed.Int26_6 { return fixed.Int26_6(f.scale*float64(v) + 0.5) }

func (f *face) GlyphAdvance(r rune) (fixed.Int26_6, bool) {
	if inSans(&f.buf, r) || !inBitmaps(r) {
		return f.Face.GlyphAdvance(r)
	}
	advance, ok := bitmapfont.Face.GlyphAdvance(r)
	return f.scaled(advance), ok
}

// Kern is that of the outlines, but for figures, which are as wide as each other: the
// font brings 1 and 1 so close that 11 looks like a letter.
func (f *face) Kern(a, b rune) fixed.Int26_6 {
	if unicode.IsDigit(a) && unicode.IsDigit(b) {
		return 0
	}
	return f.Face.Kern(a, b)
}

func (f *face) GlyphBounds(r rune) (fixed.Rectangle26_6, fixed.Int26_6, bool) {
	if inSans(&f.buf, r) || !inBitmaps(r) {
		return f.Face.GlyphBounds(r)
	}
	b, advance, ok := bitmapfont.Face.GlyphBounds(r)
	wide, high := f.scaled(b.Max.X-b.Min.X), f.scaled(b.Max.Y-b.Min.Y)
	top := -f.scaled(fixed.I(bitmapAscent))
	return fixed.Rectangle26_6{Min: fixed.Point26_6{Y: top}, Max: fixed.Point26_6{X: wide, Y: top + high}}, f.scaled(advance), ok
}
