package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Layout of results.png, in pixels.
const (
	panelW, panelH      = 700, 520
	plotLeft, plotRight = 96, 32
	plotTop, plotBottom = 104, 64
	maxDots             = 50 // epochs; more would hide the line
)

// A curve is a quantity by epoch; NaN where it was not measured.
type curve struct {
	name, color string
	of          func(Epoch) float64
	always      float64 // a value that says nothing if it is that in every epoch; 0 for none
}

// dull reports whether the curve is always what says nothing.
func (k curve) dull(epochs []Epoch) bool {
	return k.always != 0 && !slices.ContainsFunc(epochs, func(e Epoch) bool { return k.of(e) != k.always })
}

// A panel is one of the plots beside each other.
type panel struct {
	title  string
	curves []curve
	format func(v float64) string // of the labels of the vertical axis
	best   *curve                 // its value at the best epoch is pointed out
	most   float64                // that a value can be; 0 for any
}

func panels(epochs []Epoch) []panel {
	rate := curve{color: blue, of: func(e Epoch) float64 { return e.LR }}
	if len(epochs) > 1 && epochs[0].Epoch == 0 {
		// The classifier alone learns a hundred times faster: on its axis all that
		// follows would lie on the floor.
		rate.name = strings.TrimPrefix(epochs[1].Phase+", from epoch 1", ", ")
		rate.of = func(e Epoch) float64 {
			if e.Epoch == 0 {
				return math.NaN()
			}
			return e.LR
		}
	}
	top1 := curve{name: "validation top-1", color: orange, of: func(e Epoch) float64 { return e.ValAcc1 }}
	return []panel{
		{title: "Loss", format: plain, curves: []curve{ // two things: smoothed labels and a teacher are in one alone
			{name: "training (as minimised)", color: blue, of: func(e Epoch) float64 { return e.TrainLoss }},
			{name: "validation (cross-entropy)", color: orange, of: func(e Epoch) float64 { return e.ValLoss }},
		}},
		{title: "Accuracy", format: func(v float64) string { return plain(100*v) + " %" }, best: &top1, most: 1, curves: []curve{
			{name: "training", color: blue, of: func(e Epoch) float64 { return e.TrainAcc }},
			top1,
			// Of five classes and fewer it is always 1.
			{name: "validation top-5", color: green, of: func(e Epoch) float64 { return e.ValAcc5 }, always: 1},
		}},
		{title: "Learning rate", format: plain, curves: []curve{rate}},
	}
}

func plain(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// WriteResultsPNG draws results.png: losses, accuracies and the learning rate by
// epoch.
func WriteResultsPNG(path string, epochs []Epoch) error {
	all := panels(epochs)
	c := newCanvas(panelW*len(all), panelH)
	for i, p := range all {
		p.draw(c, float64(i*panelW), epochs)
	}
	return writePNG(path, c.Image())
}

// draw paints the panel with its left edge at x.
func (p panel) draw(c *canvas, x float64, epochs []Epoch) {
	curves := slices.DeleteFunc(slices.Clone(p.curves), func(k curve) bool { return len(k.points(epochs)) == 0 || k.dull(epochs) })
	c.Text(p.title, x+plotLeft, 44, 0, style(26, ink, true))
	p.legend(c, x+plotLeft, curves)
	var values []float64
	for _, k := range curves {
		for _, at := range k.points(epochs) {
			values = append(values, at.v)
		}
	}
	if len(values) == 0 {
		c.Text("nothing measured", x+panelW/2, panelH/2, 0.5, style(20, faint, false))
		return
	}
	a := axes{
		x: x + plotLeft, y: plotTop, w: panelW - plotLeft - plotRight, h: panelH - plotTop - plotBottom,
		first: epochs[0].Epoch, last: epochs[len(epochs)-1].Epoch,
	}
	a.low, a.high, a.step = p.scale(slices.Min(values), slices.Max(values))
	a.draw(c, p.format)
	for _, k := range curves {
		a.curve(c, k, k.points(epochs))
	}
	if p.best != nil {
		a.best(c, *p.best, epochs)
	}
}

// scale is scale, but the axis ends where values do: around a constant it goes beyond.
func (p panel) scale(low, high float64) (from, to, step float64) {
	from, to, step = scale(low, high)
	if p.most > 0 {
		to = min(to, p.most)
	}
	return from, to, step
}

func (p panel) legend(c *canvas, x float64, curves []curve) {
	for _, k := range curves {
		if k.name == "" {
			continue
		}
		st := style(19, faint, false)
		c.line(x, 71, x+26, 71, 4, k.color)
		c.Text(k.name, x+34, 78, 0, st)
		x += 34 + c.Width(k.name, st) + 26
	}
}

// A mark is a value of a curve.
type mark struct {
	epoch int
	v     float64
}

// Values beyond these can't be drawn: an axis over them would overflow, or its lines
// would be closer than numbers are.
const (
	tiniest = 1e-290
	hugest  = 1e290
)

// points are the values that were measured and can be drawn.
func (k curve) points(epochs []Epoch) []mark {
	var points []mark
	for _, e := range epochs {
		v := k.of(e)
		if math.Abs(v) < tiniest {
			v = 0
		}
		if math.Abs(v) < hugest { // so no NaN
			points = append(points, mark{e.Epoch, v})
		}
	}
	return points
}

// axes map epochs and values to a rectangle of the canvas.
type axes struct {
	x, y, w, h      float64
	first, last     int     // epochs
	low, high, step float64 // values
}

func (a axes) at(m mark) (x, y float64) {
	along := 0.5 // of a single epoch
	if a.last > a.first {
		along = float64(m.epoch-a.first) / float64(a.last-a.first)
	}
	return a.x + a.w*along, a.y + a.h*(a.high-m.v)/(a.high-a.low)
}

func (a axes) draw(c *canvas, format func(float64) string) {
	label := style(18, faint, false)
	for i := 0; ; i++ {
		v := a.low + float64(i)*a.step
		if v > a.high+a.step/2 {
			break
		}
		_, y := a.at(mark{a.first, v})
		c.line(a.x, y, a.x+a.w, y, 1.5, grid)
		c.Text(format(v), a.x-12, y+6, 1, label)
	}
	step := max(1, int(niceStep(float64(max(1, a.last-a.first))/8)))
	for epoch := a.first; epoch <= a.last; epoch++ {
		if epoch != a.first && (epoch%step != 0 || epoch-a.first < step/2) {
			continue
		}
		x, _ := a.at(mark{epoch, a.low})
		c.Text(strconv.Itoa(epoch), x, a.y+a.h+30, 0.5, label)
	}
	name := "epoch"
	if a.first == 0 {
		name = "epoch (0: the classifier alone)"
	}
	c.Text(name, a.x+a.w/2, a.y+a.h+54, 0.5, label)
}

func (a axes) curve(c *canvas, k curve, points []mark) {
	c.SetHexColor(k.color)
	c.SetLineWidth(3.5)
	c.SetLineJoinRound()
	for _, m := range points {
		c.LineTo(a.at(m))
	}
	c.Stroke()
	if a.last-a.first > maxDots {
		return
	}
	for _, m := range points {
		x, y := a.at(m)
		c.DrawCircle(x, y, 4.5)
		c.Fill()
	}
}

// best rings the value at the best epoch and says at the top what it is.
func (a axes) best(c *canvas, k curve, epochs []Epoch) {
	points := k.points([]Epoch{Best(epochs)})
	if len(points) == 0 {
		return
	}
	top := points[0]
	x, y := a.at(top)
	c.SetHexColor(k.color)
	c.SetLineWidth(3)
	c.DrawCircle(x, y, 10)
	c.Stroke()
	// Beside the title, where no curve is.
	c.Text(fmt.Sprintf("best %.2f %% (epoch %d)", 100*top.v, top.epoch), a.x+a.w, 44, 1, style(19, k.color, true))
}

// scale returns the ends of an axis that holds low to high, and the distance of
// its lines. It starts at 0 where that costs little room.
func scale(low, high float64) (from, to, step float64) {
	if low >= 0 && low < 0.4*high {
		low = 0
	}
	if high-low < 1e-9*max(math.Abs(high), 1e-9) { // a constant
		low, high = low-math.Abs(low)/2, high+math.Abs(high)/2
		if low == high {
			high = 1
		}
	}
	step = niceStep((high - low) / 5)
	return step * math.Floor(low/step+1e-9), step * math.Ceil(high/step-1e-9), step
}

// niceStep is the smallest of 1, 2 and 5 times a power of ten that is at least v.
func niceStep(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}
