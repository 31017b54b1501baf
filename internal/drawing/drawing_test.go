package drawing

import (
	"fmt"
	"testing"
)

// TestText: text that isn't turned is what gg draws, within a level, and has no more than its
// width.
func TestText(t *testing.T) {
	for _, text := range []string{"Ankle boot, 99.3 %", "kuvász Ærø", "金魚 שלום"} {
		for _, at := range [][3]float64{{10, 30, 0}, {150, 31.4, 0.5}, {290.7, 30, 1}} {
			t.Run(fmt.Sprint(text, at), func(t *testing.T) {
				st := Style{17, "#c81e1e", true}
				got, want := New(300, 50), New(300, 50)
				got.Text(text, at[0], at[1], at[2], st)
				want.use(st)
				if w := want.Width(text, st); w < 50 || w > 250 {
					t.Errorf("width %v", w)
				}
				want.Translate(1, 0) // by way of gg
				want.Text(text, at[0]-1, at[1], at[2], st)
				inked := 0
				for i, v := range got.Pixels.Pix {
					if d := int(v) - int(want.Pixels.Pix[i]); d < -1 || d > 1 {
						t.Fatalf("pixel %d, %d: %d, want %d", i/4%300, i/4/300, v, want.Pixels.Pix[i])
					}
					if v < 128 {
						inked++
					}
				}
				if inked < 100 {
					t.Errorf("%d dark levels", inked)
				}
			})
		}
	}
}
