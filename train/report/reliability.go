package report

import "fmt"

// Layout of reliability.png, in pixels.
const (
	reliabilitySide = 600
	reliabilityLeft = 100
	reliabilityTop  = 210
)

// WriteReliabilityPNG draws the reliability diagram: the accuracy of images by
// confidence. A model whose probabilities are true has all bars end on the
// diagonal; below it the model is too sure of itself. A bar is the stronger the
// more images it stands for.
func WriteReliabilityPNG(path string, e *Evaluation) error {
	c := newCanvas(reliabilityLeft+reliabilitySide+50, reliabilityTop+reliabilitySide+80)
	c.Text("Reliability", reliabilityLeft, 46, 0, style(28, ink, true))
	c.Text(fmt.Sprintf("expected calibration error %.2f %%", 100*e.ECE), reliabilityLeft, 80, 0, style(19, faint, false))
	c.reliabilityLegend(reliabilityLeft, 112)
	label := style(18, faint, false)
	const bottom = reliabilityTop + reliabilitySide
	for i := range 6 {
		at, name := float64(i)*reliabilitySide/5, fmt.Sprintf("%d %%", 20*i)
		c.line(reliabilityLeft, bottom-at, reliabilityLeft+reliabilitySide, bottom-at, 1.5, grid)
		c.Text(name, reliabilityLeft-12, bottom-at+6, 1, label)
		c.Text(name, reliabilityLeft+at, bottom+30, 0.5, label)
	}
	c.Text("confidence", reliabilityLeft+reliabilitySide/2, bottom+62, 0.5, style(19, faint, true))
	c.Text("accuracy", reliabilityLeft-12, reliabilityTop-22, 1, style(19, faint, true))
	most := 1
	for _, b := range e.Reliability {
		most = max(most, b.Images)
	}
	for _, b := range e.Reliability {
		if b.Images == 0 {
			continue
		}
		high := b.Accuracy * reliabilitySide
		c.SetColor(shadeOf(0.08 + 0.5*share(b.Images, most)))
		c.DrawRectangle(reliabilityLeft+b.From*reliabilitySide+2, bottom-high, (b.To-b.From)*reliabilitySide-4, high)
		c.Fill()
		at := reliabilityLeft + min(b.Confidence*reliabilitySide, reliabilitySide-9)
		c.line(at-9, bottom-high, at+9, bottom-high, 4, ink)
	}
	c.SetDash(8, 8)
	c.line(reliabilityLeft, bottom, reliabilityLeft+reliabilitySide, reliabilityTop, 2, orange)
	return writePNG(path, c.Image())
}

// reliabilityLegend says what the bars, marks and the line are, a line of text each.
func (c *canvas) reliabilityLegend(x, y float64) {
	const keyWidth, lineHeight = 30, 24
	text := style(17, faint, false)
	for i, what := range []string{
		"how many images of this confidence are right; darker with more images",
		"their mean confidence, by how far right it lies",
		"as often right as confident",
	} {
		middle := y + float64(i)*lineHeight
		switch i {
		case 0:
			c.SetColor(shadeOf(0.58))
			c.DrawRectangle(x, middle-7, keyWidth, 14)
			c.Fill()
		case 1:
			c.line(x+6, middle, x+24, middle, 4, ink)
		case 2:
			c.SetDash(8, 8)
			c.line(x, middle, x+keyWidth, middle, 2, orange)
			c.SetDash()
		}
		c.Text(what, x+keyWidth+10, middle+6, 0, text)
	}
}
