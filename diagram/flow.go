package diagram

import (
	"math"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
)

// Measures of a node's box and of the page.
const (
	nameSize   = 12.5
	lineSize   = 11.0
	lineHeight = 15.0
	headHeight = 22.0
	padding    = 9.0
	narrowest  = 84.0
	broadest   = 240.0
	flowTop    = 112.0
	stripGap   = 48.0
	wideness   = 1.6 // of the whole picture, where a long graph is broken up
)

// A flow is a graph being drawn from top to bottom as Netron does: a box for
// every node, its name on the colour of its group, and the shape of a tensor as
// a word on its way. A long graph is broken into strips side by side.
type flow struct {
	*layering
	graph  *graph
	labels []string // of the layering's nodes behind the graph's
	links  []edge   // between the layering's nodes
	strips []strip
	of     []int // the strip of each layer
}

// A strip is a run of layers and where its top left corner goes.
type strip struct {
	first, last    int
	x, left, width float64 // on the page; in the layering
	top, height    float64 // in the layering
}

func drawGraph(g *graph, subtitle, note string) (*canvas, error) {
	if len(g.nodes) == 0 {
		return nil, fault.Unsupportedf("there is nothing to draw: no input, operator or output")
	}
	f := &flow{graph: g}
	f.labelEdges()
	var sizes []point
	for _, n := range g.nodes {
		sizes = append(sizes, boxSize(n))
	}
	for _, s := range f.labels {
		size := point{}
		if s != "" {
			size = point{textWidth(s, lineSize, false), lineSize + 3}
		}
		sizes = append(sizes, size)
	}
	l, err := newLayering(sizes, f.links)
	if err != nil {
		return nil, err
	}
	f.layering = l
	f.breakUp()
	return f.draw(subtitle, note), nil
}

// labelEdges gives each output of a node that has a label, or several readers,
// a place of its own that the edges from it pass. So the layout keeps labels
// clear of everything else, and a long graph can be cut behind an output.
func (f *flow) labelEdges() {
	readers, place := map[output]int{}, map[output]int{}
	for _, e := range f.graph.edges {
		readers[output{e.from, e.output}]++
	}
	for _, e := range f.graph.edges {
		out := output{e.from, e.output}
		if e.label == "" && readers[out] == 1 {
			f.links = append(f.links, e)
			continue
		}
		at, ok := place[out]
		if !ok {
			at = len(f.graph.nodes) + len(f.labels)
			place[out] = at
			f.labels = append(f.labels, fit(clean(e.label), broadest, lineSize, false))
			f.links = append(f.links, edge{from: e.from, to: at})
		}
		f.links = append(f.links, edge{from: at, to: e.to})
	}
}

// boxSize is the size of a node's box.
func boxSize(n node) point {
	w := textWidth(clean(n.name), nameSize, true)
	for _, s := range n.lines {
		w = max(w, textWidth(clean(s), lineSize, false))
	}
	h := headHeight
	if len(n.lines) > 0 {
		h += lineHeight*float64(len(n.lines)) + padding
	}
	return point{min(max(w+2*padding, narrowest), broadest), h}
}

// breakUp cuts the layers into strips, of the height that best fills a page as
// wide as it should be.
func (f *flow) breakUp() {
	best := math.Inf(1)
	const tries, most = 200, 40.0
	for i := range tries {
		strips := f.cut((f.bottom(len(f.layers)-1) - f.top(0)) / math.Pow(most, float64(i)/tries))
		high, used := 0.0, 0.0
		for _, s := range strips {
			high = max(high, s.height)
			used += s.height * (s.width + stripGap)
		}
		last := strips[len(strips)-1]
		wide := last.x + last.width
		if off := math.Abs(math.Log(wide/high/wideness)) - used/(wide*high); off < best {
			best, f.strips = off, strips
		}
	}
	f.of = make([]int, len(f.layers))
	for i, s := range f.strips {
		for k := s.first; k <= s.last; k++ {
			f.of[k] = i
		}
	}
}

// cut cuts the layers, where a single edge leads on, into strips not higher
// than that if possible.
func (f *flow) cut(height float64) []strip {
	var strips []strip
	x, first, cut := margin, 0, -1 // where it can last be cut
	end := func(last int) {
		left, right := f.extent(first, last)
		s := strip{first: first, last: last, x: x, left: left, width: right - left, top: f.top(first)}
		s.height = f.bottom(last) - s.top
		strips = append(strips, s)
		x += s.width + stripGap
		first, cut = last+1, -1
	}
	for k := range f.layers {
		if cut >= first && f.bottom(k)-f.top(first) > height {
			end(cut)
		}
		if k+1 < len(f.layers) && len(f.layers[k]) == 1 && len(f.layers[k+1]) == 1 {
			cut = k
		}
	}
	end(len(f.layers) - 1)
	return strips
}

// top and bottom are the extent of a layer, and extent is that of several to
// the sides.
func (f *flow) top(layer int) float64 {
	y := math.Inf(1)
	for _, i := range f.layers[layer] {
		y = min(y, f.items[i].y)
	}
	return y
}

func (f *flow) bottom(layer int) float64 {
	y := math.Inf(-1)
	for _, i := range f.layers[layer] {
		y = max(y, f.items[i].y+f.items[i].h)
	}
	return y
}

func (f *flow) extent(first, last int) (left, right float64) {
	left, right = math.Inf(1), math.Inf(-1)
	for _, layer := range f.layers[first : last+1] {
		for _, i := range layer {
			left = min(left, f.items[i].x-f.items[i].w/2)
			right = max(right, f.items[i].x+f.items[i].w/2)
		}
	}
	return left, right
}

// at is the middle of the top of an item on the page.
func (f *flow) at(i int) point {
	s := f.strips[f.of[f.items[i].layer]]
	return point{f.items[i].x - s.left + s.x, f.items[i].y - s.top + flowTop}
}

func (f *flow) draw(subtitle, note string) *canvas {
	c := &canvas{title: clean(f.graph.title)}
	head := []text{
		{x: margin, y: 46, s: c.title, size: 26, bold: true, color: ink},
		{x: margin, y: 70, s: clean(subtitle), size: 15, color: muted},
		{x: margin, size: 14, s: note, color: muted},
	}
	high := 0.0
	for _, s := range f.strips {
		high = max(high, s.height)
	}
	last := f.strips[len(f.strips)-1]
	c.w, c.h = last.x+last.width+margin, flowTop+high+72
	head[2].y = c.h - 28
	for _, t := range head {
		c.add(t)
		c.w = max(c.w, t.box().w+2*margin)
	}
	for _, route := range f.routes {
		f.route(c, route)
	}
	for i, n := range f.graph.nodes {
		f.box(c, n, f.at(i), f.items[i].w, f.items[i].h)
	}
	for k, s := range f.labels {
		if s == "" {
			continue
		}
		p := f.at(len(f.graph.nodes) + k)
		c.add(text{x: p.x, y: p.y + lineSize, s: s, size: lineSize, align: center, color: ink})
	}
	return c
}

// box draws a node with the middle of its top at p.
func (f *flow) box(c *canvas, n node, p point, w, h float64) {
	const radius = 5
	x := p.x - w/2
	frame := rect{paint{n.group.dark, n.group.dark, 1, false}, x, p.y, w, h, radius}
	c.add(frame)
	c.add(text{x: p.x, y: p.y + 15.5, s: fit(clean(n.name), w-padding, nameSize, true), size: nameSize, bold: true, align: center, color: white})
	if len(n.lines) == 0 {
		return
	}
	top, bottom := p.y+headHeight, p.y+h
	c.add(path{paint{fill: n.group.pale}, "MLLCLCZ", []point{
		{x, top}, {x + w, top}, {x + w, bottom - radius}, {x + w, bottom}, {x + w, bottom}, {x + w - radius, bottom},
		{x + radius, bottom}, {x, bottom}, {x, bottom}, {x, bottom - radius},
	}})
	frame.fill = ""
	c.add(frame)
	for i, s := range n.lines {
		s = fit(clean(s), w-2*padding, lineSize, false)
		name, value, _ := strings.Cut(s, " ")
		y := top + padding/2 + lineHeight*float64(i) + 11.5
		c.add(text{x: x + padding, y: y, s: name, size: lineSize, color: muted})
		if value != "" {
			c.add(text{x: x + padding + textWidth(name+" ", lineSize, false), y: y, s: value, size: lineSize, color: ink})
		}
	}
}

// route draws an edge through the items it visits. Between layers it may bend;
// within one it goes straight, since there may be boxes on both sides.
func (f *flow) route(c *canvas, route []int) {
	p := path{paint: paint{stroke: muted, width: 1.2}}
	to := func(verb string, at ...point) { p.verbs += verb; p.at = append(p.at, at...) }
	last := route[len(route)-1]
	arrow := last < len(f.graph.nodes)
	for k, i := range route {
		it, at := f.items[i], f.at(i)
		shift := at.y - it.y
		enter := at
		if arrow && i == last {
			enter.y -= 6
		}
		if k == 0 {
			to("M", point{at.x, at.y + it.h})
		} else {
			before := route[k-1]
			from := p.at[len(p.at)-1]
			top := point{at.x, min(it.row+shift, enter.y)}
			switch a, b := f.of[f.items[before].layer], f.of[it.layer]; {
			case a != b:
				f.turn(&p, f.strips[a], from, top)
			case math.Abs(from.x-top.x) >= 0.01:
				middle := (from.y + top.y) / 2
				to("C", point{from.x, middle}, point{top.x, middle}, top)
			}
			p.down(enter.y)
		}
		if i != last {
			p.down(it.low + shift)
		}
	}
	c.add(p)
	if arrow {
		tip := f.at(last)
		c.add(arrowHead(muted, point{tip.x, tip.y - 1}, 0, 1))
	}
}

// down draws a vertical line from the pen to y.
func (p *path) down(y float64) {
	if end := &p.at[len(p.at)-1]; strings.HasSuffix(p.verbs, "L") {
		end.y = y
	} else {
		p.verbs += "L"
		p.at = append(p.at, point{end.x, y})
	}
}

// turn continues p from the end of a strip to the start of the next one: down,
// up between the two, and down again.
func (f *flow) turn(p *path, s strip, from, to point) {
	const bend = 8
	between := s.x + s.width + stripGap/2
	low, high := from.y+2*bend, flowTop-3*bend
	p.verbs += "LCLCLCLCL"
	p.at = append(p.at,
		point{from.x, low - bend}, point{from.x, low}, point{from.x, low}, point{from.x + bend, low},
		point{between - bend, low}, point{between, low}, point{between, low}, point{between, low - bend},
		point{between, high + bend}, point{between, high}, point{between, high}, point{between + bend, high},
		point{to.x - bend, high}, point{to.x, high}, point{to.x, high}, point{to.x, high + bend},
		to)
}
