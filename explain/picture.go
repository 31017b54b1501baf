package explain

import (
	"cmp"
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/internal/drawing"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// Options say how a picture looks.
type Options struct {
	Colors   Colormap // "" is Inferno
	Alpha    float64  // how much of the colours covers the photo, up to 1; 0 is 0.5
	ReLU     bool     // only what speaks for a class; what speaks against it is 0
	Contours bool     // lines over a light grey photo in place of colours: for print
	Name     string   // of the photo, below it
}

// In pixels.
const (
	maxSide   = 640 // of a photo in the picture
	minSide   = 320 // of a tiny one, as of MNIST: its pixels are shown larger
	minColumn = 288 // what text needs
	gap       = 16
	barWidth  = 288
	barHeight = 14
)

// Picture draws a photo and beside it, over the photo, each map of an explanation, with
// the name, probability and logit of its class. One legend is for all: the same colour
// is the same value in each. seen is the part of the photo that the network sees
// ([mobilenet.Classifier.Seen]); the rest of it is shown dimmed, without colours.
//
// The photo is scaled down to 640 pixels a side at most, and a tiny one up by a whole number.
func Picture(photo *vision.Image, seen vision.Region, e *mobilenet.Explanation, o Options) (*image.RGBA, error) {
	if !(o.Alpha >= 0 && o.Alpha <= 1) { // NaN neither
		return nil, fmt.Errorf("alpha %v: want 0 to 1", o.Alpha)
	}
	colors, err := cmp.Or(o.Colors, Inferno).table()
	if err != nil {
		return nil, err
	}
	o.Alpha = cmp.Or(o.Alpha, 0.5)
	p := &picture{Options: o, explanation: e, colors: colors, name: photoName(photo, o.Name)}
	p.photoPart, p.veil = veilOf(colors, o.Alpha)
	p.photo, p.seen = fitted(photo, seen)
	for i := range e.Maps {
		p.maps = append(p.maps, smooth(e, i, p.seen.Dy(), p.seen.Dx(), o.ReLU))
	}
	p.scale = scaleOf(p.maps...)
	p.layOut()
	p.draw()
	return p.Pixels, nil
}

func photoName(photo *vision.Image, name string) []string {
	lines := []string{fmt.Sprintf("%dx%d pixels", photo.W, photo.H)}
	if name != "" {
		lines = slices.Insert(lines, 0, legible(name, "the photo"))
	}
	return lines
}

// fitted returns the photo as it is in the picture, and the pixels of it that are seen,
// at least one.
func fitted(photo *vision.Image, seen vision.Region) (*vision.Image, image.Rectangle) {
	w, h := photo.W, photo.H
	switch side := max(w, h); {
	case side > maxSide:
		photo = vision.Resize(photo, max(1, w*maxSide/side), max(1, h*maxSide/side), model.Bilinear)
	case side <= minSide/2:
		photo = enlarged(photo, minSide/side)
	}
	x, y := float64(photo.W)/float64(w), float64(photo.H)/float64(h)
	round := func(v float64) int { return int(math.Round(v)) }
	r := image.Rect(round(x*seen.Left), round(y*seen.Top), round(x*seen.Right), round(y*seen.Bottom))
	r.Max.X, r.Max.Y = max(r.Max.X, r.Min.X+1), max(r.Max.Y, r.Min.Y+1)
	return photo, r
}

// enlarged shows each pixel of m as n by n.
func enlarged(m *vision.Image, n int) *vision.Image {
	out := vision.NewImage(n*m.W, n*m.H)
	for y := range out.H {
		for x := range out.W {
			copy(out.Pix[3*(y*out.W+x):][:3], m.Pix[3*(y/n*m.W+x/n):])
		}
	}
	return out
}

// A picture is the photo and the maps beside each other, in columns and rows.
type picture struct {
	Options
	canvas
	explanation *mobilenet.Explanation
	colors      string
	photoPart   int         // of a level that shows through the colours, in 256ths
	veil        [256][3]int // the colours' part of a pixel, in 256ths, rounding included
	photo       *vision.Image
	seen        image.Rectangle
	name        []string // of the photo, in lines

	maps     [][]float32 // for the pixels seen
	scale    scale
	captions [][]string // of the photo, and of each map
	columns  int
	cell     image.Point // a photo with its caption, and the gaps
}

// layOut chooses the number of columns, and makes a canvas for them.
func (p *picture) layOut() {
	measure := canvas{drawing.New(1, 1)} // for the width of texts
	width := max(p.photo.W, minColumn)
	captions := [][]string{nil}
	for i, text := range p.name {
		captions[0] = append(captions[0], measure.wrap(text, float64(width), 2, style(ink, i == 0))...)
	}
	for _, m := range p.explanation.Maps {
		label := legible(m.Label, fmt.Sprintf("class %d", m.Index))
		lines := measure.wrap(label, float64(width), 2, style(ink, true))
		captions = append(captions, append(lines, fmt.Sprintf("%.1f %%, logit %s", 100*m.Probability, short(m.Logit))))
	}
	p.captions = captions
	most := 0
	for _, c := range captions {
		most = max(most, len(c))
	}
	p.cell = image.Pt(width+gap, p.photo.H+line*most+gap)
	panels := len(captions)
	p.columns = columns(panels, p.cell)
	rows := (panels + p.columns - 1) / p.columns
	p.canvas = canvas{drawing.New(gap+p.columns*p.cell.X, gap+rows*p.cell.Y+p.legendHeight())}
}

// columns returns how many columns of cells make the picture nearest to the shape of a screen with few
// places left empty.
func columns(cells int, cell image.Point) int {
	best, least := 1, math.Inf(1)
	for n := 1; n <= cells; n++ {
		rows := (cells + n - 1) / n
		empty := float64(n*rows-cells) / float64(cells)
		if off := math.Abs(math.Log(float64(n*cell.X)/float64(rows*cell.Y)/1.7)) + 3*empty; off < least {
			best, least = n, off
		}
	}
	return best
}

func (p *picture) draw() {
	bottom := 0
	for i, caption := range p.captions {
		at := image.Pt(gap+i%p.columns*p.cell.X, gap+i/p.columns*p.cell.Y)
		p.panel(at, i-1)
		for j, text := range caption {
			bold := j < len(caption)-1
			p.Text(text, float64(at.X), float64(at.Y+p.photo.H+line*(j+1)), 0, style(ink, bold))
		}
		bottom = at.Y + p.cell.Y
	}
	p.legend(float64(bottom))
}

// panel draws the photo at a place with map i over it; of -1 it is the photo alone.
func (p *picture) panel(at image.Point, i int) {
	seen := p.seen.Intersect(image.Rect(0, 0, p.photo.W, p.photo.H))
	for y := range p.photo.H {
		row := p.photo.Pix[3*y*p.photo.W:][:3*p.photo.W]
		to := p.Pixels.Pix[p.Pixels.PixOffset(at.X, at.Y+y):][:4*p.photo.W]
		left, right := seen.Min.X, seen.Max.X
		if y < seen.Min.Y || y >= seen.Max.Y {
			left, right = 0, 0
		}
		p.beyond(to[:4*left], row[:3*left], i)
		p.beyond(to[4*right:], row[3*right:], i)
		if right > left {
			p.within(to[4*left:4*right], row[3*left:3*right], i, y-p.seen.Min.Y, left-p.seen.Min.X)
		}
	}
	if i >= 0 && p.Contours {
		p.contours(at, i)
	}
	p.frame(seen.Add(at))
}

// beyond draws levels that the network doesn't see, [n][RGB], as [n][RGBA].
func (p *picture) beyond(to, levels []byte, i int) {
	for ; len(levels) > 0; to, levels = to[4:], levels[3:] {
		level, dst := (*[3]byte)(levels), (*[3]byte)(to)
		if p.Contours && i >= 0 {
			*dst = pale(level, false)
		} else {
			*dst = [3]byte{dimmed[level[0]], dimmed[level[1]], dimmed[level[2]]}
		}
	}
}

// within draws levels that it sees under map i, from its row y and column x on.
func (p *picture) within(to, levels []byte, i, y, x int) {
	if i < 0 || p.Contours {
		for ; len(levels) > 0; to, levels = to[4:], levels[3:] {
			level, dst := (*[3]byte)(levels), (*[3]byte)(to)
			if *dst = *level; i >= 0 {
				*dst = pale(level, true)
			}
		}
		return
	}
	for _, v := range p.maps[i][y*p.seen.Dx()+x:][:len(levels)/3] {
		veil, level, dst := &p.veil[p.scale.step(v)], (*[3]byte)(levels), (*[3]byte)(to)
		dst[0] = byte((p.photoPart*int(level[0]) + veil[0]) >> 8)
		dst[1] = byte((p.photoPart*int(level[1]) + veil[1]) >> 8)
		dst[2] = byte((p.photoPart*int(level[2]) + veil[2]) >> 8)
		to, levels = to[4:], levels[3:]
	}
}

// veilOf is what colours, [256][3], and the photo under them make of a pixel.
func veilOf(colors string, alpha float64) (photoPart int, veil [256][3]int) {
	part := int(256*alpha + 0.5)
	for i := range colors {
		veil[i/3][i%3] = part*int(colors[i]) + 128
	}
	return 256 - part, veil
}

// dimmed is what becomes of a level that the network doesn't see: nearer to grey, whether
// the photo is dark or light.
var dimmed = func() (out [256]byte) {
	for l := range out {
		out[l] = byte(128 + (l-128)*2/5)
	}
	return out
}()

// pale is a level in light grey, for lines to be seen on.
func pale(level *[3]byte, seen bool) [3]byte {
	grey := (299*int(level[0]) + 587*int(level[1]) + 114*int(level[2])) / 1000
	v := byte(255 - (255-grey)/2)
	if !seen {
		v = byte(255 - (255-grey)/6)
	}
	return [3]byte{v, v, v}
}

// frame draws a thin line around what is seen, dark and light beside each other for
// photos of any colour.
func (p *picture) frame(r image.Rectangle) {
	if r.Empty() || r.Dx() == p.photo.W && r.Dy() == p.photo.H {
		return
	}
	p.SetLineWidth(1)
	for i, color := range []string{"#ffffff", ink} {
		d := float64(i) + 0.5
		p.SetHexColor(color)
		p.DrawRectangle(float64(r.Min.X)+d, float64(r.Min.Y)+d, float64(r.Dx())-2*d, float64(r.Dy())-2*d)
		p.Stroke()
	}
}

// contourStep is how many pixels are between the values that contours are made of.
const contourStep = 4

// contours draws the lines of map i, thicker where the value is larger, black on white.
func (p *picture) contours(at image.Point, i int) {
	h, w := max(2, p.seen.Dy()/contourStep), max(2, p.seen.Dx()/contourStep)
	v := smooth(p.explanation, i, h, w, p.ReLU)
	x, y := float64(p.seen.Dx())/float64(w), float64(p.seen.Dy())/float64(h)
	p.Push()
	p.DrawRectangle(float64(at.X), float64(at.Y), float64(p.photo.W), float64(p.photo.H))
	p.Clip()
	p.Translate(float64(at.X+p.seen.Min.X), float64(at.Y+p.seen.Min.Y))
	for j, level := range levels {
		lines := contours(v, h, w, p.scale.low+level*(p.scale.high-p.scale.low))
		p.stroke(j, func() {
			for _, line := range lines {
				p.NewSubPath()
				for _, at := range line {
					p.LineTo(x*at.x, y*at.y)
				}
			}
		})
	}
	p.ResetClip()
	p.Pop()
}

// stroke draws lines of a level: black, with white beside them.
func (p *picture) stroke(level int, path func()) {
	width := 0.75 + 0.75*float64(level)
	for _, s := range []struct {
		color string
		width float64
	}{{"#ffffff", width + 2}, {"#000000", width}} {
		p.SetHexColor(s.color)
		p.SetLineWidth(s.width)
		path()
		p.Stroke()
	}
}

// notes say what the colours or lines are.
func (p *picture) notes() []string {
	e := p.explanation
	what := map[mobilenet.Method]string{
		mobilenet.CAM:       "CAM of " + e.Layer,
		mobilenet.GradCAM:   "Grad-CAM of " + e.Layer,
		mobilenet.Occlusion: "Occlusion: by how much the logit falls",
	}[e.Method]
	switch {
	case p.ReLU:
		what += ", above 0"
	case e.Method == mobilenet.CAM:
		what += ": its mean and the bias are the logit"
	}
	notes := []string{what}
	if whole := image.Rect(0, 0, p.photo.W, p.photo.H); !whole.In(p.seen) {
		notes = append(notes, "Beyond the frame: not seen by the network")
	}
	return notes
}

func (p *picture) legendHeight() int { return barHeight + line + line*len(p.notes()) + gap/2 }

// legend draws what the values are.
func (p *picture) legend(y float64) {
	if p.Contours {
		p.lines(y)
	} else {
		p.bar(y)
	}
	y += barHeight + line
	for _, note := range p.notes() {
		y += line
		p.Text(note, gap, y, 0, style(faint, false))
	}
}

// bar draws the colours and what values the ends, and 0, have.
func (p *picture) bar(y float64) {
	s := p.scale
	for x := range barWidth {
		color := p.colors[3*int(s.step(s.low+(s.high-s.low)*float32(x)/(barWidth-1))):][:3]
		for row := range barHeight {
			copy(p.Pixels.Pix[p.Pixels.PixOffset(gap+x, int(y)+row):], color)
		}
	}
	below := y + barHeight + em + 2
	left, right := p.Width(short(s.low), style(ink, false)), p.Width(short(s.high), style(ink, false))
	p.Text(short(s.low), gap, below, 0, style(ink, false))
	p.Text(short(s.high), gap+barWidth, below, 1, style(ink, false))
	if zero := float64(-s.low / (s.high - s.low) * barWidth); zero > left+em && zero < barWidth-right-em {
		p.SetHexColor(ink)
		p.SetLineWidth(1)
		p.DrawLine(gap+zero, y+barHeight-2, gap+zero, y+barHeight+4)
		p.Stroke()
		p.Text("0", gap+zero, below, 0.5, style(ink, false))
	}
}

// lines draws a line of each level and its value.
func (p *picture) lines(y float64) {
	const each = barWidth / 4
	for i, level := range levels {
		x := float64(gap + i*each)
		p.stroke(i, func() {
			p.MoveTo(x, y+barHeight/2)
			p.LineTo(x+each-gap, y+barHeight/2)
		})
		p.Text(short(p.scale.low+level*(p.scale.high-p.scale.low)), x, y+barHeight+em+2, 0, style(ink, false))
	}
}
