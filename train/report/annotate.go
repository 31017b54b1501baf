package report

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"

	"golang.org/x/image/draw"
)

// Annotated returns, as JPEG, a picture with lines of text below it, the first of
// them in bold. The picture is at most maxSide pixels wide and high: larger ones are
// scaled down.
func Annotated(m image.Image, lines []string, maxSide int) ([]byte, error) {
	const minWidth = 240 // for the text
	b := m.Bounds()
	k := min(1, float64(maxSide)/float64(max(b.Dx(), b.Dy())))
	w, h := max(1, int(k*float64(b.Dx())+0.5)), max(1, int(k*float64(b.Dy())+0.5))
	width := max(w, minWidth)
	size := math.Round(max(14, float64(width)/40))
	line := int(1.4 * size)
	c := newCanvas(width, h+line*len(lines)+line/2)
	at := image.Rect(0, 0, w, h).Add(image.Pt((width-w)/2, 0))
	draw.CatmullRom.Scale(c.Image().(draw.Image), at, m, b, draw.Src, nil)
	for i, text := range lines {
		st := style{size, ink, i == 0}
		margin := size / 2
		c.text(c.fit(text, float64(width)-2*margin, st), margin, float64(h+line*(i+1)), 0, st)
	}
	var out bytes.Buffer
	err := jpeg.Encode(&out, c.Image(), &jpeg.Options{Quality: 92})
	return out.Bytes(), err
}
