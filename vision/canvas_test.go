package vision

import (
	"bytes"
	"testing"
)

// TestCanvas: rows and runs of pixels end where the orientation says, which the
// files exif1.jpg to exif8.jpg of the golden test define, in images of more and
// fewer rows than are turned at once.
func TestCanvas(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {3, 2}, {2, 16}, {5, 17}, {40, 33}} {
		src := formula(size)
		for o := 1; o <= 8; o++ {
			want := NewImage(src.W, src.H)
			if o >= 5 {
				want = NewImage(src.H, src.W)
			}
			for y := range want.H {
				for x := range want.W {
					sx, sy := x, y
					if o >= 5 {
						sx, sy = y, x
					}
					if o == 2 || o == 3 || o == 7 || o == 8 {
						sx = src.W - 1 - sx
					}
					if o == 3 || o == 4 || o == 6 || o == 7 {
						sy = src.H - 1 - sy
					}
					copy(want.row(y)[3*x:3*x+3], src.row(sy)[3*sx:])
				}
			}
			byRow, byRun := newCanvas(src.W, src.H, o), newCanvas(src.W, src.H, o)
			for y := range src.H {
				copy(byRow.row(y), src.row(y))
				byRow.done(y)
				half := src.W / 2
				byRun.set(half, y, src.row(y)[3*half:])
				byRun.set(0, y, src.row(y)[:3*half])
			}
			for way, c := range map[string]*canvas{"rows": byRow, "runs": byRun} {
				if m := c.image(); m.W != want.W || m.H != want.H || !bytes.Equal(m.Pix, want.Pix) {
					t.Errorf("%v, orientation %d, by %s: differs", size, o, way)
				}
			}
		}
	}
}
