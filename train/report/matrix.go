package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"

	"github.com/mobilenet-go/mobilenet/internal/drawing"
)

// Layout of confusion_matrix.png, in pixels.
const (
	matrixSide  = 1000 // about, of the matrix itself
	namedSide   = 2000 // at most, so that rows have names
	smallestRow = 10   // with a name beside it: so 200 classes have theirs
	namedRow    = 16   // with a name beside it and counts in it, where that is not too large
	smallestNum = 9    // em of a count
	largestName = 220
)

// A matrix is the part of the confusion matrix that is drawn: the classes that
// occur, as true ones or as predicted ones.
type matrix struct {
	classes []Class
	at      map[int]int // place of a class by its index
	cells   []Cell
	cell    float64 // pixels of a side
	block   int     // classes that share a row: more than 1 where there are more classes than pixels
}

func newMatrix(e *Evaluation) matrix {
	m := matrix{at: map[int]int{}, cells: e.Confusion}
	for _, c := range e.PerClass {
		if c.Support+c.Predicted > 0 {
			m.at[c.Index] = len(m.classes)
			m.classes = append(m.classes, c)
		}
	}
	n := len(m.classes)
	m.block = max(1, (n+matrixSide-1)/matrixSide)
	m.cell = math.Floor(min(110, max(1, matrixSide/float64(max(1, n)))))
	if n*smallestRow <= namedSide {
		m.cell = max(m.cell, math.Floor(min(namedRow, namedSide/float64(max(1, n)))))
	}
	return m
}

func (m matrix) rows() int { return (len(m.classes) + m.block - 1) / m.block }

func (m matrix) side() float64 { return m.cell * float64(m.rows()) }

// WriteConfusionPNG draws the confusion matrix. The shade of a cell is the share
// of the row, the images of one true class. Classes that do not occur are left
// out; names and counts are written where there is room.
func WriteConfusionPNG(path string, e *Evaluation) error {
	m := newMatrix(e)
	label := style(min(22, max(min(11, m.cell), 0.55*m.cell)), ink, false)
	ruler := newCanvas(1, 1)
	names := m.names(ruler, label)
	widest := 0.0
	for _, name := range names {
		widest = max(widest, ruler.Width(name, label))
	}
	left, top := 70+widest, 120.0
	w := left + max(m.side(), 360) + 180
	c := newCanvas(int(w), int(top+m.side()+70+max(widest, 12)))
	c.Text("Confusion matrix", left, 46, 0, style(28, ink, true))
	c.Text(m.caption(e), left, 80, 0, style(19, faint, false))
	m.draw(c, left, top)
	m.label(c, left, top, names, label)
	m.drawScale(c, left+m.side()+36, top)
	return writePNG(path, c.Image())
}

func (m matrix) caption(e *Evaluation) string {
	s := fmt.Sprintf("top-1 %.2f %% of %d images", 100*e.Top1Accuracy, e.Images)
	if len(m.classes) < len(e.PerClass) {
		s += fmt.Sprintf("; %d of %d classes occur", len(m.classes), len(e.PerClass))
	}
	switch {
	case !m.named():
		s += "; the card names the worst"
	case slices.ContainsFunc(m.classes, func(c Class) bool { return illegible(c.Name) }):
		s += "; " + byNumber
	}
	return s
}

// named reports whether rows have room for names.
func (m matrix) named() bool { return m.cell >= smallestRow && m.block == 1 }

// names are what stands beside the rows: nothing where they are too narrow.
func (m matrix) names(c *canvas, st drawing.Style) []string {
	if !m.named() {
		return nil
	}
	var names []string
	for _, class := range m.classes {
		names = append(names, shown(class.Name, class.Index))
	}
	return c.fitAll(names, largestName, st)
}

// draw paints the cells with the top left corner at (x, y).
func (m matrix) draw(c *canvas, x, y float64) {
	c.box(x, y, m.side(), m.side(), "#f6f8fb")
	shade := map[[2]int]float64{} // the darkest of the cells that share a place
	for _, cell := range m.cells {
		at := [2]int{m.at[cell.True] / m.block, m.at[cell.Predicted] / m.block}
		shade[at] = max(shade[at], share(cell.Count, m.classes[m.at[cell.True]].Support))
	}
	gap := 1.0
	if m.cell < smallestRow {
		gap = min(0, (m.cell-3)/2) // at least 3 pixels, or single mistakes can't be seen
	}
	for at, v := range shade {
		c.SetColor(shadeOf(v))
		c.DrawRectangle(x+m.cell*float64(at[1])+gap, y+m.cell*float64(at[0])+gap, m.cell-2*gap, m.cell-2*gap)
		c.Fill()
	}
	c.SetHexColor("#cbd5e1")
	c.SetLineWidth(1.5)
	c.DrawRectangle(x, y, m.side(), m.side())
	c.Stroke()
	if m.block == 1 {
		m.counts(c, x, y)
	}
}

// counts writes the numbers that fit into their cells.
func (m matrix) counts(c *canvas, x, y float64) {
	for _, cell := range m.cells {
		s := strconv.Itoa(cell.Count)
		st := style(min(26, max(smallestNum, 0.4*m.cell)), ink, cell.True == cell.Predicted)
		if share(cell.Count, m.classes[m.at[cell.True]].Support) > 0.45 {
			st.Color = white
		}
		for st.Size >= smallestNum && c.Width(s, st) > 0.86*m.cell {
			st.Size--
		}
		if st.Size < smallestNum || m.cell < smallestRow {
			continue
		}
		c.Text(s, x+m.cell*(float64(m.at[cell.Predicted])+0.5), y+m.cell*(float64(m.at[cell.True])+0.5)+0.36*st.Size, 0.5, st)
	}
}

// label writes the names of the rows and, turned, of the columns.
func (m matrix) label(c *canvas, x, y float64, names []string, st drawing.Style) {
	below := y + m.side() + 10
	widest := 0.0
	for i, name := range names {
		middle := m.cell * (float64(i) + 0.5)
		c.Text(name, x-10, y+middle+0.35*st.Size, 1, st)
		widest = max(widest, c.Width(name, st))
		c.Push()
		c.RotateAbout(-math.Pi/2, x+middle, below)
		c.Text(name, x+middle, below+0.35*st.Size, 1, st)
		c.Pop()
	}
	axis := style(19, faint, true)
	c.Text("predicted", x+m.side()/2, below+widest+32, 0.5, axis)
	c.Push()
	c.RotateAbout(-math.Pi/2, 34, y+m.side()/2)
	c.Text("true", 34, y+m.side()/2, 0.5, axis)
	c.Pop()
}

// drawScale shows what the shades mean.
func (m matrix) drawScale(c *canvas, x, y float64) {
	high := min(m.side(), 320)
	for i := range int(high) {
		c.SetColor(shadeOf(1 - float64(i)/high))
		c.DrawRectangle(x, y+float64(i), 18, 1)
		c.Fill()
	}
	label := style(17, faint, false)
	c.Text("100 % of row", x+26, y+13, 0, label)
	c.Text("0 %", x+26, y+high, 0, label)
}

// shadeOf is white for 0 and goes through light to dark blue, darkening at once,
// so that a single mistake among many images shows.
func shadeOf(v float64) color.Color {
	if v <= 0 {
		return color.NRGBA{246, 248, 251, 255}
	}
	stops := [...][3]float64{{219, 234, 254}, {96, 165, 250}, {30, 64, 175}}
	at := math.Sqrt(min(v, 1)) * float64(len(stops)-1)
	i := min(int(at), len(stops)-2)
	mix := func(k int) uint8 { return uint8(math.Round(stops[i][k] + (at-float64(i))*(stops[i+1][k]-stops[i][k]))) }
	return color.NRGBA{mix(0), mix(1), mix(2), 255}
}
