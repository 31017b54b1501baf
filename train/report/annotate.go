package report

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"math"

	"golang.org/x/image/draw"
)

// minAnnotated is the width that text needs.
const minAnnotated = 240

// Annotated returns, as JPEG, a picture with lines of text below it, the first of
// them in bold. A picture of more than maxSide pixels a side is scaled down; a tiny
// one, as of MNIST, is shown in larger pixels.
func Annotated(m image.Image, lines []string, maxSide int) ([]byte, error) {
	b := m.Bounds()
	if b.Empty() {
		return nil, errors.New("a picture without pixels")
	}
	side := max(b.Dx(), b.Dy())
	k, scaler := min(1, float64(maxSide)/float64(side)), draw.Scaler(draw.CatmullRom)
	if n := minAnnotated / side; n >= 2 {
		k, scaler = float64(n), draw.NearestNeighbor
	}
	w, h := max(1, int(k*float64(b.Dx())+0.5)), max(1, int(k*float64(b.Dy())+0.5))
	width := max(w, minAnnotated)
	size := math.Round(max(14, float64(width)/40))
	line := int(1.4 * size)
	c := newCanvas(width, h+line*len(lines)+line/2)
	at := image.Rect(0, 0, w, h).Add(image.Pt((width-w)/2, 0))
	scaler.Scale(c.Image().(draw.Image), at, m, b, draw.Src, nil)
	for i, text := range lines {
		st := style(size, ink, i == 0)
		margin := size / 2
		c.Text(c.fit(text, float64(width)-2*margin, st), margin, float64(h+line*(i+1)), 0, st)
	}
	var out bytes.Buffer
	err := jpeg.Encode(&out, c.Image(), &jpeg.Options{Quality: 92})
	return out.Bytes(), err
}
