package diagram

import (
	"sync"

	"github.com/go-fonts/liberation/liberationsansbold"
	"github.com/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// fontFamily is what an SVG asks for. Arial and Helvetica have the widths of
// Liberation Sans, which the pictures are laid out with and which the PNGs use.
const fontFamily = "Liberation Sans, Arial, Helvetica, sans-serif"

// fonts are the regular and the bold face.
var fonts = sync.OnceValue(func() [2]*sfnt.Font {
	return [2]*sfnt.Font{mustParse(liberationsansregular.TTF), mustParse(liberationsansbold.TTF)}
})

func mustParse(ttf []byte) *sfnt.Font {
	f, err := opentype.Parse(ttf)
	if err != nil {
		panic(err) // the bytes are compiled in
	}
	return f
}

func fontOf(bold bool) *sfnt.Font {
	if bold {
		return fonts()[1]
	}
	return fonts()[0]
}

// textWidth is the width of s in points. A character that the font lacks counts
// as one em: a viewer takes it from another font.
func textWidth(s string, size float64, bold bool) float64 {
	f := fontOf(bold)
	var buf sfnt.Buffer
	em := fixed.Int26_6(f.UnitsPerEm()) << 6
	var sum fixed.Int26_6
	for _, r := range s {
		glyph, err := f.GlyphIndex(&buf, r)
		advance := em
		if err == nil && glyph != 0 {
			if a, err := f.GlyphAdvance(&buf, glyph, em, font.HintingNone); err == nil {
				advance = a
			}
		}
		sum += advance
	}
	return float64(sum) / float64(em) * size
}

// fit shortens s with an ellipsis so that it is at most w points wide.
func fit(s string, w, size float64, bold bool) string {
	if textWidth(s, size, bold) <= w {
		return s
	}
	runes := []rune(s)
	for len(runes) > 0 && textWidth(string(runes)+"…", size, bold) > w {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}
