package report

import (
	"errors"
	"image"
	"math"

	"golang.org/x/image/draw"
)

// Layout of a sheet of pictures, in pixels.
const (
	tileSide   = 184
	tileGap    = 16
	tileText   = 48 // for two lines below the picture
	maxColumns = 8
	sheetTitle = 32
)

// A Tile is a picture of a sheet with what is to be said of it.
type Tile struct {
	Image   image.Image
	Caption string
	Detail  string // a second, fainter line
	Verdict Verdict
}

// A Verdict frames a tile: green for right, red for wrong.
type Verdict int

// The verdicts. The zero value frames nothing.
const (
	NotJudged Verdict = iota
	Right
	Wrong
)

var verdictColor = map[Verdict]string{NotJudged: ink, Right: green, Wrong: red}

// WriteSheet draws tiles in rows below a title, which may be empty, and writes them
// as JPEG. Pictures of any size are scaled to fit, small ones without blurring their
// pixels.
func WriteSheet(path, title string, tiles []Tile) error {
	if len(tiles) == 0 {
		return errors.New("a sheet of no pictures")
	}
	columns := min(maxColumns, len(tiles), max(4, int(math.Ceil(math.Sqrt(2*float64(len(tiles)))))))
	rows := (len(tiles) + columns - 1) / columns
	top := tileGap
	if title != "" {
		top += sheetTitle
	}
	c := newCanvas(tileGap+columns*(tileSide+tileGap), top+rows*(tileSide+tileText+tileGap/2))
	c.Text(title, tileGap, tileGap+18, 0, style(20, ink, true))
	for i, t := range tiles {
		t.draw(c, tileGap+i%columns*(tileSide+tileGap), top+i/columns*(tileSide+tileText+tileGap/2))
	}
	return writeJPEG(path, c.Image())
}

// draw paints the tile with its top left corner at (x, y).
func (t Tile) draw(c *canvas, x, y int) {
	c.DrawImage(thumbnail(t.Image), x, y)
	frame := verdictColor[t.Verdict]
	if t.Verdict != NotJudged {
		const thick = 5
		left, top := float64(x), float64(y)
		c.box(left, top, tileSide, thick, frame)
		c.box(left, top+tileSide-thick, tileSide, thick, frame)
		c.box(left, top, thick, tileSide, frame)
		c.box(left+tileSide-thick, top, thick, tileSide, frame)
	}
	caption := style(16, frame, true)
	c.Text(c.fit(t.Caption, tileSide, caption), float64(x), float64(y)+tileSide+20, 0, caption)
	detail := style(16, faint, false)
	c.Text(c.fit(t.Detail, tileSide, detail), float64(x), float64(y)+tileSide+40, 0, detail)
}

// thumbnail scales m to fit a tile, centred on black.
func thumbnail(m image.Image) image.Image {
	dst := image.NewRGBA(image.Rect(0, 0, tileSide, tileSide))
	draw.Draw(dst, dst.Bounds(), image.NewUniform(image.Black), image.Point{}, draw.Src)
	b := m.Bounds()
	if b.Empty() {
		return dst
	}
	k := tileSide / float64(max(b.Dx(), b.Dy()))
	w, h := max(1, int(k*float64(b.Dx())+0.5)), max(1, int(k*float64(b.Dy())+0.5))
	at := image.Rect(0, 0, w, h).Add(image.Pt((tileSide-w)/2, (tileSide-h)/2))
	var scaler draw.Scaler = draw.CatmullRom
	if k >= 2 {
		scaler = draw.NearestNeighbor
	}
	scaler.Scale(dst, at, m, b, draw.Src, nil)
	return dst
}
