package fonts

import (
	"image"
	"testing"

	"golang.org/x/image/font"
	"golang.org/x/image/math/fixed"
)

func TestLegible(t *testing.T) {
	for _, s := range []string{"", "Great grey owl", "é ł ế", "собака", "γάτα", "חתול", "قطة", "猫 ねこ カメラ", "汉语 漢語", "고양이", "კატა", "կատու"} {
		if !Legible(s) {
			t.Errorf("%q is not legible", s)
		}
	}
	for _, s := range []string{"बिल्ली", "แมว", "ድመት", "বিড়াল", "😀", "a\x1b[31m", "\U00012000"} {
		if Legible(s) {
			t.Errorf("%q is legible", s)
		}
	}
}

// TestVisual checks what turns around and what stays.
func TestVisual(t *testing.T) {
	for s, want := range map[string]string{
		"97 % cat":        "97 % cat",
		"is חתול 4":       "is לותח 4",
		"חתול קטן":        "ןטק לותח",
		"(אב) cat (גד)":   "(בא) cat (דג)",
		"قط":              "\ufec2\ufed7", // final Tah, initial Qaf
		"a\u0301 ねこ":      "a\u0301 ねこ",
		"cat חתול dog קט": "cat לותח dog טק",
	} {
		if got := Visual(s); got != want {
			t.Errorf("%q is drawn as %q, want %q", s, got, want)
		}
	}
}

// TestFace checks that characters of either font have ink, above the baseline, and
// as much room as they ask for.
func TestFace(t *testing.T) {
	for _, size := range []float64{11, 16, 22.5, 28} {
		f := Face(size, true)
		for _, r := range "aДカ猫고ق" {
			box, mask, at, advance, ok := f.Glyph(fixed.P(10, 40), r)
			asked, hasAdvance := f.GlyphAdvance(r)
			bounds, _, hasBounds := f.GlyphBounds(r)
			if !ok || !hasAdvance || !hasBounds || asked != advance {
				t.Fatalf("%c at %v: %v %v %v, advance %v and %v", r, size, ok, hasAdvance, hasBounds, advance, asked)
			}
			if w := advance.Round(); w < int(size)/3 || w > int(1.2*size) {
				t.Errorf("%c at %v is %d wide", r, size, w)
			}
			ink := 0
			for y := range box.Dy() {
				for x := range box.Dx() {
					if _, _, _, a := mask.At(at.X+x, at.Y+y).RGBA(); a > 0x8000 {
						ink++
					}
				}
			}
			if ink < int(size) || box.Min.Y > 40-int(size)/3 || !box.In(image.Rect(0, 0, 60, 60)) {
				t.Errorf("%c at %v: %d pixels in %v", r, size, ink, box)
			}
			if high := (bounds.Max.Y - bounds.Min.Y).Ceil(); high < box.Dy()-1 {
				t.Errorf("%c at %v: %d high, but its bounds are %v", r, size, box.Dy(), bounds)
			}
		}
		if font.MeasureString(f, "猫猫") != 2*font.MeasureString(f, "猫") {
			t.Errorf("two are not twice as wide as one at %v", size)
		}
	}
}

// TestFigures checks that figures keep their distance, and letters their kerning.
func TestFigures(t *testing.T) {
	f := Face(100, false)
	if f.Kern('1', '1') != 0 || f.Kern('A', 'V') >= 0 {
		t.Errorf("1 and 1 are moved by %v, A and V by %v", f.Kern('1', '1'), f.Kern('A', 'V'))
	}
}
