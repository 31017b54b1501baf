package diagram

import (
	"errors"
	"fmt"
	"math"

	"github.com/mobilenet-go/mobilenet/model"
)

// Block draws the inverted residual beside the classical residual block (arXiv
// 1801.04381, figures 3 and 4d): ResNet's bottleneck, the first block of cfg
// with a shortcut, and the first behind it that halves its input. Widths are to
// scale with the channels, heights with the rows; what a linear layer gives is
// hatched. cfg must be valid. It returns an error if no block of cfg has both
// an expansion and a shortcut or a stride of 2.
func Block(cfg model.Config) (*Drawing, error) {
	inverted := examples(cfg)
	if len(inverted) == 0 {
		return nil, errors.New("no block of the network has an expansion and either a shortcut or stride 2")
	}
	panels := append([]panel{residualBlock(inverted[0].tensors[0].side)}, inverted...)
	return &Drawing{
		graph:  blockGraph(panels),
		canvas: func() (*canvas, error) { return drawBlocks(panels), nil },
	}, nil
}

// A panel is one block: four tensors and the three convolutions between them.
type panel struct {
	title, note string
	tensors     [4]tensor
	convs       [3]model.Conv
	activation  string // behind the convolutions that have one
	shortcut    bool
	sum         string // what happens at the shortcut's end
}

// examples returns the first block of cfg with a shortcut and then, as far as
// there is one, a block with stride 2: the first one behind it, or else the
// first of all. Blocks without expansion don't count.
func examples(cfg model.Config) []panel {
	net := cfg.Network()
	side := net.First.OutSize(cfg.Resolution)
	var keep, halve []panel
	behind := false // halve lies behind keep
	for _, b := range net.Blocks {
		out := b.Depthwise.OutSize(side)
		p := panel{
			tensors:    [4]tensor{{side, b.In}, {side, b.Hidden}, {out, b.Hidden}, {out, b.Out}},
			activation: "ReLU6",
			shortcut:   b.Residual(),
		}
		side = out
		if b.Expand == nil {
			continue
		}
		p.convs = [3]model.Conv(b.Convs())
		switch {
		case b.Residual() && keep == nil:
			p.title, p.note, p.sum = "Inverted residual, stride 1", "thin, thick, thin: the shortcut joins the thin ends", "add"
			keep = []panel{p}
		case b.Stride == 2 && (halve == nil || keep != nil && !behind):
			p.title, p.note = "Inverted residual, stride 2", "height and width are halved: no shortcut"
			halve, behind = []panel{p}, keep != nil
		}
	}
	return append(keep, halve...)
}

// residualBlock is the bottleneck of ResNet-50's first stage (arXiv 1512.03385,
// figure 5) on a feature map of the given side.
func residualBlock(side int) panel {
	const thick, thin = 256, 64
	return panel{
		title: "Residual block", note: "thick, thin, thick: the shortcut joins the thick ends",
		tensors: [4]tensor{{side, thick}, {side, thin}, {side, thin}, {side, thick}},
		convs: [3]model.Conv{
			{In: thick, Out: thin, Kernel: 1, Stride: 1, Groups: 1, ReLU6: true},
			{In: thin, Out: thin, Kernel: 3, Stride: 1, Groups: 1, ReLU6: true},
			{In: thin, Out: thick, Kernel: 1, Stride: 1, Groups: 1},
		},
		activation: "ReLU", shortcut: true, sum: "add, ReLU",
	}
}

// label says what convolution i does: "1×1 conv, ReLU6".
func (p panel) label(i int) string {
	c := p.convs[i]
	s := fmt.Sprintf("%d×%d conv", c.Kernel, c.Kernel)
	if c.Depthwise() {
		s = fmt.Sprintf("%d×%d depthwise", c.Kernel, c.Kernel)
	}
	if c.Stride > 1 {
		s += fmt.Sprintf(", stride %d", c.Stride)
	}
	if c.ReLU6 {
		return s + ", " + p.activation
	}
	return s + ", linear"
}

// linear reports whether tensor i comes from a linear layer, with no activation
// behind it. The input of a block is the output of another of its kind.
func (p panel) linear(i int) bool {
	return p.activation == "ReLU6" && (i == 0 || i == 3)
}

// cost counts the weights of the convolutions and their multiply-adds.
func (p panel) cost() (weights, macs int) {
	for i, c := range p.convs {
		n := c.Out * c.In / c.Groups * c.Kernel * c.Kernel
		weights += n
		macs += n * p.tensors[i+1].side * p.tensors[i+1].side
	}
	return weights, macs
}

const blockTitle = "Residual and inverted residual blocks"

func blockGraph(panels []panel) graph {
	g := graph{title: blockTitle}
	for _, p := range panels {
		first := len(g.nodes)
		g.nodes = append(g.nodes, node{name: p.title, group: tensors})
		for i, c := range p.convs {
			g.nodes = append(g.nodes, node{name: p.label(i), group: groupOf(c)})
		}
		if p.shortcut {
			g.nodes = append(g.nodes, node{name: p.sum, group: tensors})
		}
		g.nodes = append(g.nodes, node{name: p.tensors[3].String(), group: tensors})
		last := len(g.nodes) - 1
		for i := first; i < last; i++ {
			g.edges = append(g.edges, edge{from: i, to: i + 1, label: p.tensors[min(i-first, 3)].String()})
		}
		if p.shortcut {
			g.edges = append(g.edges, edge{from: first, to: last - 1, label: "shortcut"})
		}
	}
	return g
}

func groupOf(c model.Conv) group {
	if c.Depthwise() {
		return depthwise
	}
	return convolution
}

// Measures of the block picture. A panel is as wide as its slabs, between room
// for the shortcut on the left and for the words on the right.
const (
	widest     = 220.0 // of the slab with most channels
	thickSlab  = 38.0  // height of the slab with most rows
	blockTop   = 158.0 // middle of the first slab
	rowPitch   = 96.0  // between the middles of slabs
	sumRoom    = 56.0  // more before the last one, for the shortcut's end
	panelGap   = 44.0
	beforeSlab = 50.0 // for the shortcut
	beforeWord = 18.0
	wordSize   = 15.0
	indent     = 16.0 // of the operators in the column of words
)

func drawBlocks(panels []panel) *canvas {
	channels, side := 0, 0
	for _, p := range panels {
		for _, t := range p.tensors {
			channels, side = max(channels, t.channels), max(side, t.side)
		}
	}
	c := &canvas{h: blockTop + 3*rowPitch + sumRoom + 140, title: blockTitle}
	x := margin
	for _, p := range panels {
		x += c.panel(p, x, widest/float64(channels), thickSlab/float64(side))
	}
	y := c.h - 46
	c.add(text{x: margin, y: 46, s: blockTitle, size: 26, bold: true, color: ink})
	key := rect{paint{white, blue, 1.2, false}, margin, y - 12, 26, 15, 0}
	c.add(key, hatch(blue, key, 6),
		text{x: margin + 34, y: y, size: 14, color: ink, s: "output of a linear layer: a ReLU6 behind it would lose information, since the tensor is thin"})
	source := text{x: margin, y: y + 22, size: 14, color: muted,
		s: "Widths are to scale with the channels, heights with the rows. Sources: Sandler et al., arXiv 1801.04381, figures 3 and 4d; He et al., arXiv 1512.03385, figure 5."}
	c.add(source)
	c.w = max(x-panelGap, source.box().x+source.box().w) + margin
	return c
}

// panel draws p with its left end at x and returns its width.
func (c *canvas) panel(p panel, x, perChannel, perRow float64) float64 {
	var slabs [4]rect
	broad := 0.0
	for _, t := range p.tensors {
		broad = max(broad, perChannel*float64(t.channels))
	}
	cx := x + beforeSlab + broad/2
	for i, t := range p.tensors {
		w, h := perChannel*float64(t.channels), perRow*float64(t.side)
		y := blockTop + rowPitch*float64(i)
		if i == 3 {
			y += sumRoom
		}
		slabs[i] = rect{paint{"#b9d7ec", blue, 1.3, false}, cx - w/2, y - h/2, w, h, 0}
	}
	for i, conv := range p.convs {
		to := slabs[i+1].y
		if i == 2 && p.shortcut {
			to -= sumRoom
		}
		c.funnel(slabs[i], slabs[i+1], to, conv)
	}
	for i, s := range slabs {
		if p.linear(i) {
			s.fill = white
			c.add(s, hatch(blue, s, 6))
		} else {
			c.add(s)
		}
	}
	wordsAt := cx + broad/2 + beforeWord
	if p.shortcut {
		c.shortcut(slabs[0], slabs[3], x+beforeSlab-26)
		c.add(text{x: wordsAt + indent, y: slabs[3].y - sumRoom/2 + 5, s: p.sum, size: wordSize, color: ink})
	}
	end := c.words(p, slabs, wordsAt)
	weights, macs := p.cost()
	head := []text{
		{x: x, y: 92, s: p.title, size: 18, bold: true, color: ink},
		{x: x, y: 113, s: p.note, size: wordSize, color: muted},
		{x: x, y: slabs[3].y + slabs[3].h/2 + thickSlab/2 + 36, size: wordSize, color: ink,
			s: fmt.Sprintf("%s weights, %s multiply-adds", thousands(weights), amount(macs))},
	}
	for _, t := range head {
		c.add(t)
		end = max(end, t.box().x+t.box().w)
	}
	return end + panelGap - x
}

// words names p's tensors and the operators between them, in a column from x
// on. It returns the column's right end.
func (c *canvas) words(p panel, slabs [4]rect, x float64) float64 {
	end := x
	add := func(t text) {
		c.add(t)
		end = max(end, t.box().x+t.box().w)
	}
	for i, s := range slabs {
		y := s.y + s.h/2
		add(text{x: x, y: y + 5, s: p.tensors[i].String(), size: 16, bold: true, color: ink})
		if i == 0 {
			continue
		}
		above := slabs[i-1].y + slabs[i-1].h/2
		if i == 3 && p.shortcut {
			y -= sumRoom
		}
		tone, middle := groupOf(p.convs[i-1]).dark, (above+y)/2
		c.add(line(paint{stroke: tone, width: 1.4}, point{x + 5, middle - 14}, point{x + 5, middle + 8}),
			arrowHead(tone, point{x + 5, middle + 14}, 0, 1))
		add(text{x: x + indent, y: middle + 5, s: p.label(i - 1), size: wordSize, color: tone})
	}
	return end
}

// funnel shades what flows from one slab to y = to above the next, and for a
// depthwise convolution the channels that stay apart.
func (c *canvas) funnel(from, next rect, to float64, conv model.Conv) {
	y := from.y + from.h
	c.add(polygon(paint{fill: groupOf(conv).pale},
		point{from.x, y}, point{from.x + from.w, y}, point{next.x + next.w, to}, point{next.x, to}))
	if !conv.Depthwise() {
		return
	}
	const lines = 12
	for i := 1; i < lines; i++ {
		x := from.x + from.w*float64(i)/lines
		c.add(line(paint{stroke: groupOf(conv).dark, width: 0.8}, point{x, y + 4}, point{x, to - 4}))
	}
}

// shortcut draws the way of the input around the block, by way of x, into a
// circled plus above the output.
func (c *canvas) shortcut(in, out rect, x float64) {
	const radius, bend = 12, 12
	cx, y := out.x+out.w/2, out.y-sumRoom/2
	start := in.y + in.h/2
	pen := paint{stroke: ink, width: 1.6}
	c.add(
		path{pen, "MLCLCL", []point{
			{in.x, start}, {x + bend, start}, {x, start}, {x, start}, {x, start + bend},
			{x, y - bend}, {x, y}, {x, y}, {x + bend, y}, {cx - radius - 6, y},
		}},
		arrowHead(ink, point{cx - radius - 1, y}, 1, 0),
		line(pen, point{cx, out.y - sumRoom}, point{cx, out.y - 6}),
		arrowHead(ink, point{cx, out.y - 1}, 0, 1),
		rect{paint{white, ink, 1.6, false}, cx - radius, y - radius, 2 * radius, 2 * radius, radius},
		line(pen, point{cx - 6, y}, point{cx + 6, y}),
		line(pen, point{cx, y - 6}, point{cx, y + 6}))
}

// thousands writes n with commas between groups of three digits.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// amount writes n in words, to three digits from a million on.
func amount(n int) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e12, "trillion"}, {1e9, "billion"}, {1e6, "million"}} {
		if v := float64(n) / unit.size; v >= 1 {
			digits := max(0, 2-int(math.Log10(v)))
			return fmt.Sprintf("%.*f %s", digits, v, unit.name)
		}
	}
	return thousands(n)
}
