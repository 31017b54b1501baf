package jpeg

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"
)

// TestFromYCbCr: from image/jpeg's planes come our pixels, but for its inverse
// DCT, which rounds differently.
func TestFromYCbCr(t *testing.T) {
	converted := 0
	for _, g := range readGolden(t) {
		m, err := jpeg.Decode(bytes.NewReader(g.data))
		planes, ok := m.(*image.YCbCr)
		if err != nil || !ok {
			continue
		}
		converted++
		want, w, h, err := Decode(g.data)
		if err != nil {
			t.Fatal(err)
		}
		got := FromYCbCr(planes)
		if len(got) != 3*w*h {
			t.Fatalf("%s: %d bytes for %dx%d", g.File, len(got), w, h)
		}
		for i, v := range got {
			if d := int(v) - int(want[i]); d < -6 || d > 6 {
				t.Errorf("%s: byte %d is %d, want about %d", g.File, i, v, want[i])
				break
			}
		}
	}
	if converted < 100 {
		t.Errorf("only %d files have planes", converted)
	}
	if pix := FromYCbCr(&image.YCbCr{}); pix != nil {
		t.Errorf("%d bytes of an empty image", len(pix))
	}
}
