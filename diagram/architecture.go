package diagram

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/model"
)

// Architecture draws the network of cfg, which must be valid, as the paper's
// Table 2 (arXiv 1801.04381): every operator with its expansion t, channels c,
// repeats n and stride s, and between them the tensors [height, width,
// channels] of one image. A tensor is drawn with the square roots of its
// dimensions: to scale, 1280 channels would hide 3.
func Architecture(cfg model.Config) *Drawing {
	ops := operators(cfg)
	input := tensor{cfg.Resolution, 3}
	title := fmt.Sprintf("MobileNetV2, width %s, %s input", multiplier(cfg.Width), input)
	return &Drawing{
		graph:  architectureGraph(title, input, ops),
		canvas: func() (*canvas, error) { return drawArchitecture(title, cfg, input, ops), nil },
	}
}

// multiplier writes a width multiplier as it is usually quoted: 1.0, 0.75.
func multiplier(w float64) string {
	if w == math.Trunc(w) {
		return fmt.Sprintf("%.1f", w)
	}
	return fmt.Sprint(w)
}

// A tensor is a square feature map, [side, side, channels].
type tensor struct{ side, channels int }

func (t tensor) String() string { return fmt.Sprintf("%d×%d×%d", t.side, t.side, t.channels) }

// An operator is a row of Table 2.
type operator struct {
	name   string
	values []string // "t 6", "c 24", "n 2", "s 2" as far as they apply
	repeat int
	group  group
	out    tensor
}

// operators lists the rows of Table 2 for cfg.
func operators(cfg model.Config) []operator {
	net := cfg.Network()
	at := tensor{net.First.OutSize(cfg.Resolution), net.First.Out}
	ops := []operator{{
		name: "conv 3×3", values: []string{fmt.Sprint("c ", at.channels), fmt.Sprint("s ", net.First.Stride)},
		repeat: 1, group: convolution, out: at,
	}}
	blocks := net.Blocks
	for _, s := range cfg.Table {
		at = tensor{blocks[0].Depthwise.OutSize(at.side), blocks[0].Out}
		ops = append(ops, operator{
			name:   "bottleneck",
			values: []string{fmt.Sprint("t ", s.T), fmt.Sprint("c ", at.channels), fmt.Sprint("n ", s.N), fmt.Sprint("s ", s.S)},
			repeat: s.N, group: bottleneck, out: at,
		})
		blocks = blocks[s.N:]
	}
	last := net.Last.Out
	return append(ops,
		operator{name: "conv 1×1", values: []string{fmt.Sprint("c ", last), "s 1"}, repeat: 1, group: convolution, out: tensor{at.side, last}},
		operator{name: "avgpool", values: []string{fmt.Sprintf("%d×%d", at.side, at.side)}, repeat: 1, group: pooling, out: tensor{1, last}},
		operator{name: "classifier", values: []string{"linear", fmt.Sprint("c ", cfg.Classes)}, repeat: 1, group: linear, out: tensor{1, cfg.Classes}})
}

func architectureGraph(title string, input tensor, ops []operator) graph {
	g := graph{title: title, nodes: []node{{name: "input", group: tensors}}}
	label := input
	for i, op := range ops {
		g.nodes = append(g.nodes, node{name: op.name, lines: []string{strings.Join(op.values, ", ")}, group: op.group})
		g.edges = append(g.edges, edge{from: i, to: i + 1, label: label.String()})
		label = op.out
	}
	g.nodes = append(g.nodes, node{name: "output", group: tensors})
	g.edges = append(g.edges, edge{from: len(ops), to: len(ops) + 1, label: label.String()})
	return g
}

// Measures of the architecture picture. A column holds a tensor; the operators
// stand between columns.
const (
	pitch     = 104.0 // between columns
	margin    = 30.0
	tallest   = 190.0 // side of the largest tensor
	thickest  = 44.0  // of the tensor with most channels
	axis      = 212.0 // y of the tensors' middle
	boxTop    = 370.0
	boxWidth  = 88.0
	boxHeight = 74.0
)

func drawArchitecture(title string, cfg model.Config, input tensor, ops []operator) *canvas {
	all := []tensor{input}
	for _, op := range ops {
		all = append(all, op.out)
	}
	side, channels := 0, 0
	for _, t := range all {
		side, channels = max(side, t.side), max(channels, t.channels)
	}
	c := &canvas{w: 2*margin + pitch*float64(len(all)), h: 530, title: title}
	s := cfg.Summarize()
	c.add(
		text{x: margin, y: 46, s: "MobileNetV2", size: 26, bold: true, color: ink},
		text{x: margin, y: 70, s: fmt.Sprintf("width %s, %s parameters, %s multiply-adds for an image of %d×%d",
			multiplier(cfg.Width), amount(s.Params), amount(s.MACs), cfg.Resolution, cfg.Resolution), size: 15, color: muted},
	)
	labelSize := 15.0
	for _, t := range all {
		labelSize = min(labelSize, (pitch-8)/textWidth(t.String(), 1, false))
	}
	var before float64 // right edge of the tensor before
	for i, t := range all {
		x := margin + pitch*(float64(i)+0.5)
		body := cuboid{
			side:  tallest * math.Sqrt(float64(t.side)/float64(side)),
			thick: thickest * math.Sqrt(float64(t.channels)/float64(channels)),
		}
		from := x - body.width()/2
		if i > 0 {
			c.operator(ops[i-1], x-pitch/2)
			c.add(
				line(paint{stroke: ink, width: 1.4}, point{before + 5, axis}, point{from - 10, axis}),
				arrowHead(ink, point{from - 5, axis}, 1, 0))
		}
		c.cuboid(body, from)
		c.add(text{x: x, y: 338, s: t.String(), size: labelSize, align: center, color: ink})
		before = from + body.width()
	}
	c.legend(margin, 484, [][2]string{
		{"t", "expansion of the channels inside a block"}, {"c", "output channels"}, {"n", "blocks"}, {"s", "stride of the first block"},
	})
	origin := "Source: Sandler et al., arXiv 1801.04381, Table 2."
	if !slices.Equal(cfg.Table, model.Table2()) {
		origin = "The table is this network's own, not that of arXiv 1801.04381."
	}
	source := text{x: margin, y: 506, size: 14, color: muted,
		s: "Tensors are height × width × channels, drawn with the square roots of these. " + origin}
	c.add(source)
	c.w = max(c.w, source.box().w+2*margin)
	return c
}

// operator draws the box of op under the arrow at x, and what leads to it.
func (c *canvas) operator(op operator, x float64) {
	c.add(line(paint{stroke: faint, width: 1, dashed: true}, point{x, axis + 6}, point{x, boxTop}))
	box := rect{paint{op.group.pale, op.group.dark, 1.3, false}, x - boxWidth/2, boxTop, boxWidth, boxHeight, 6}
	for i := min(op.repeat, 4) - 1; i > 0; i-- { // a pile of blocks
		card := box
		card.x, card.y = box.x+3*float64(i), box.y-3*float64(i)
		c.add(card)
	}
	c.add(box)
	c.add(text{x: x, y: boxTop + 22, s: op.name, size: 14, bold: true, align: center, color: ink})
	for i, v := range op.values {
		t := text{x: x, y: boxTop + 62 + 19*(float64(i)-float64(len(op.values))/2), s: v, align: center, color: ink}
		room := boxWidth - 8
		if len(op.values) == 4 { // t and c above n and s
			t.x, t.y, t.align = x-32+31*float64(i%2), boxTop+43+19*float64(i/2), left
			room = 27 + 14*float64(i%2)
		}
		t.size = min(14, room/textWidth(v, 1, false))
		c.add(t)
	}
}

// legend writes the meaning of each sign behind it, from (x, y) on.
func (c *canvas) legend(x, y float64, entries [][2]string) {
	const size = 14
	for _, e := range entries {
		c.add(text{x: x, y: y, s: e[0], size: size, bold: true, color: ink})
		x += textWidth(e[0]+" ", size, true)
		c.add(text{x: x, y: y, s: e[1], size: size, color: ink})
		x += textWidth(e[1], size, false) + 22
	}
}

// A cuboid is a tensor seen from its left: thick is its channels, side its
// height and, going back, its width.
type cuboid struct{ side, thick float64 }

// The receding edge is drawn as (0.28, -0.16) of its length.
const backX, backY = 0.28, -0.16

func (b cuboid) width() float64 { return b.thick + backX*b.side }

// cuboid draws b with its left edge at x and its middle on the axis.
func (c *canvas) cuboid(b cuboid, x float64) {
	dx, dy := backX*b.side, backY*b.side
	top := axis - (b.side+dy)/2
	at := func(px, py float64) point { return point{x + px, top + py} }
	edge := func(fill color) paint { return paint{fill: fill, stroke: blue, width: 1} }
	c.add(
		polygon(edge("#b9d7ec"), at(0, 0), at(b.thick, 0), at(b.thick, b.side), at(0, b.side)),
		polygon(edge("#eaf3fa"), at(0, 0), at(dx, dy), at(b.thick+dx, dy), at(b.thick, 0)),
		polygon(edge(paleBlue), at(b.thick, 0), at(b.thick+dx, dy), at(b.thick+dx, b.side+dy), at(b.thick, b.side)))
}
