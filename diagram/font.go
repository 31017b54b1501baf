package diagram

import (
	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"

	"github.com/mobilenet-go/mobilenet/internal/fonts"
)

// fontFamily is what an SVG asks for. Arial and Helvetica have the widths of
// Liberation Sans, which the pictures are laid out with and which the PNGs use.
const fontFamily = "Liberation Sans, Arial, Helvetica, sans-serif"

// textWidth is the width of s in points. A character that the font lacks counts
// as one em: a viewer takes it from another font.
func textWidth(s string, size float64, bold bool) float64 {
	f := fonts.Sans(bold)
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
