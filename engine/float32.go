package engine

import "math"

const float32Precision = "float32"

// program returns what an engine runs of net, which has its weights.
func (net *network) program() program {
	return program{
		config: net.config, precision: float32Precision, cpu: net.set.Name, choices: net.set.Choices, weights: net.arena,
		row: net.row, gradient: net.gradient, plan: net.plan, peak: net.set.Peak,
	}
}

// plan runs the first convolution and the bottlenecks on wide inputs in strips,
// and the others layer by layer. A module whose output is asked for ends its
// strip; a bottleneck that is asked for what is inside of it runs layer by layer.
// What nothing asked for depends on isn't run.
func (net *network) plan(k planKey, threads int) *plan {
	l := f32Layout{newLayout(k, threads), net}
	first, rest := moduleOf(net.config.Network().First), net.bottlenecks
	fused := 0
	if !l.tapped(first) {
		fused = l.wide(rest, size{(k.h + 1) / 2, (k.w + 1) / 2}, maxLevels-1)
	}
	l.strip(newStrip(net, k.size, nil, rest[:fused], threads))
	l.tap(first, tapOf(l.src, net.first.n))
	for rest = rest[fused:]; len(rest) > 0 && l.wanted(); rest = rest[max(1, fused):] {
		in := size{l.src.h, l.src.w}
		if fused = l.wide(rest, in, maxLevels); fused > 0 {
			l.strip(newStrip(net, in, l.src, rest[:fused], threads))
		} else {
			l.bottleneck(&rest[0])
		}
	}
	if l.wanted() {
		l.head()
	}
	return l.finish()
}

// An f32Layout is a plan of a network in the making.
type f32Layout struct {
	layout
	net *network
}

// wide returns how many of the bottlenecks, at most limit, form a strip on an
// input of size in.
func (l *f32Layout) wide(rest []bottleneck, in size, limit int) int {
	n := 0
	for n < min(len(rest), limit) && in.w >= l.net.stripWidth && l.tail == 0 && !l.tappedInside(rest[n].projection()) {
		in.w = rest[n].Depthwise.OutSize(in.w)
		n++
		if l.tapped(rest[n-1].Name) {
			break
		}
	}
	return n
}

// strip adds a strip.
func (l *f32Layout) strip(s *strip) {
	l.add(s, s.dst)
	if last := s.levels[len(s.levels)-1].b; last != nil {
		l.tap(last.Name, tapOf(s.dst, last.Out))
	}
}

// tailPixels is the largest map, in pixels, of a bottleneck that takes all images
// of a plan at once: at 224x224 the 7x7 maps, where a thread spends as long on
// fetching weights as on using them for one image.
const tailPixels = 100

// bottleneck adds the layers of b.
func (l *f32Layout) bottleneck(b *bottleneck) {
	l.startTail(tailPixels)
	e := newExpand(l.net, b, l.src, l.threads)
	p := newProject(l.net, b, e.dst, l.src, l.threads)
	if b.Expand != nil {
		l.tap(moduleOf(*b.Expand), l.net.tapThrough(l.src, &b.expand, true))
	}
	l.steps = append(l.steps, e)
	l.hidden = append(l.hidden, e.dst)
	l.tap(moduleOf(b.Depthwise), tapOf(e.dst, b.Hidden))
	l.tap(b.projection(), l.net.tapThrough(e.dst, &b.project, false))
	l.add(p, p.dst)
	l.tap(b.Name, tapOf(p.dst, b.Out))
}

// head adds all behind the last bottleneck. It takes all images in any case.
func (l *f32Layout) head() {
	l.startTail(math.MaxInt)
	last, through := moduleOf(l.net.config.Network().Last), l.net.tapThrough(l.src, &l.net.last, true)
	if !l.results {
		l.tap(last, through)
		return
	}
	features := f32Tensor(l.images, size{1, 1}, l.net.last.blocks())
	l.hidden = append(l.hidden, features)
	l.steps = append(l.steps, &lastPool{net: l.net, src: l.src, dst: features, tap: l.within(last, through)})
	l.src = features
	for i := range l.net.linears {
		s := &linear{net: l.net, w: &l.net.linears[i], src: l.src}
		if i == len(l.net.linears)-1 {
			l.steps = append(l.steps, s)
			break
		}
		s.dst = f32Tensor(l.images, size{1, 1}, s.w.blocks())
		l.add(s, s.dst)
	}
}
