package engine

import (
	"slices"
	"strings"
)

// A layout is a plan in the making: what is the same for every type of network.
type layout struct {
	*plan
	taps    []string // modules whose output is asked for, in the network's order
	left    int      // how many of them have no step yet
	results bool     // features or logits are asked for, too

	src           *tensor   // what the next step reads
	chain, hidden []*tensor // what goes from step to step, and within a bottleneck
}

func newLayout(k planKey, threads int) layout {
	taps := strings.Fields(k.taps)
	return layout{plan: &plan{images: k.images, threads: threads}, taps: taps, left: len(taps), results: k.results}
}

// wanted reports whether anything that has no step yet is asked for.
func (l *layout) wanted() bool { return l.results || l.left > 0 }

// tapped reports whether the output of a module is asked for.
func (l *layout) tapped(module string) bool { return slices.Contains(l.taps, module) }

// tappedInside reports whether the output of a bottleneck's projection, or of a
// module inside of it, is asked for.
func (l *layout) tappedInside(projection string) bool {
	return slices.ContainsFunc(l.taps, func(module string) bool { return strings.HasPrefix(module, projection) })
}

// add adds a step that puts out what the next one reads.
func (l *layout) add(s step, dst *tensor) {
	l.steps = append(l.steps, s)
	l.chain = append(l.chain, dst)
	l.src = dst
}

// tap adds a step for the output of module, if it is asked for.
func (l *layout) tap(module string, t tap) {
	if s := l.within(module, t); s != nil {
		l.steps = append(l.steps, s)
	}
}

// within returns the tap of module for a step that computes its output in any case; nil
// if it is not asked for.
func (l *layout) within(module string, t tap) *tap {
	if !l.tapped(module) {
		return nil
	}
	t.module, t.at, t.images = module, slices.Index(l.taps, module), 1
	if l.tail > 0 {
		t.images = l.images
	}
	l.left--
	return &t
}

// startTail has the steps from here on take all images, if the maps have at most
// so many pixels: what they read then has room for them all.
func (l *layout) startTail(pixels int) {
	if l.tail == 0 && l.src.h*l.src.w <= pixels {
		l.tail = len(l.steps)
		l.src.collect(l.images)
	}
}

// finish returns the plan with its tensors laid out: those of the chain take turns
// in two regions, the hidden ones share the third. What the tail begins with
// collects the images while the steps before it run again for the next, so that it
// has the fourth to itself.
func (l *layout) finish() *plan {
	if l.tail == 0 {
		l.tail = len(l.steps)
	}
	var regions [4][]*tensor
	for i, t := range l.chain {
		r := i % 2
		if t.images > 1 && regions[3] == nil {
			r = 3
		}
		regions[r] = append(regions[r], t)
	}
	regions[2] = l.hidden
	for _, tensors := range regions {
		end := l.act
		for _, t := range tensors {
			end = max(end, t.place(l.act))
		}
		l.act = end
	}
	for _, s := range l.steps {
		l.scratch = max(l.scratch, s.scratch())
	}
	return l.plan
}
