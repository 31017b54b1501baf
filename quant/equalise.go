package quant

import (
	"math"
)

// top is where ReLU6 cuts off.
const top = 6

const (
	// margin is by how much a channel may exceed what was seen of it before it is cut
	// off. Without it, what a few photos did not show is lost.
	margin = 1.1
	// share is how far equalisation goes where the weights behind pay for it: halfway,
	// on a logarithmic scale, between leaving the channels alone and making them all
	// equally wide (Nagel et al., arXiv 1906.04721, has the idea).
	share = 0.5
)

// equalise scales channels so that the one scale that a tensor has suits them all. The
// function does not change: what a layer's output is multiplied by, the weights of the
// next one are divided by.
//
// A channel behind ReLU6 is scaled up only, to at most 6. So the largest byte stands
// for at most 6 in every channel, and that bytes end at 255 is the ReLU6.
func (n *network) equalise() {
	for i := range n.convs {
		l := &n.convs[i]
		if !l.ReLU6 {
			continue
		}
		part := share
		if n.feedsDepthwise(i) {
			part = 1 // its weights have a scale a channel anyway, so that this costs nothing
		}
		for c := range l.out.channels {
			ch := &l.out.channels[c]
			if limit := min(top, ch.max*margin); limit > 1e-6 { // less is a dead channel
				ch.factor = math.Pow(top/limit, part)
			}
		}
	}
	for _, chain := range n.chains() {
		if chain[0] == n.convs[0].out { // has its factors already
			for _, t := range chain[1:] {
				t.follow(chain[0])
			}
		} else {
			equaliseChain(chain)
		}
	}
	n.rescale()
}

// feedsDepthwise reports whether the output of convolution i is a depthwise one's
// input, and nothing else's.
func (n *network) feedsDepthwise(i int) bool {
	return i+1 < len(n.convs) && n.convs[i+1].Depthwise() && n.convs[i+1].in == n.convs[i].out
}

// chains lists the tensors that residuals tie together: their channels have the same
// factors. The first convolution's output belongs to none.
func (n *network) chains() [][]*tensor {
	var chains [][]*tensor
	for _, b := range n.blocks {
		out := b.layers[len(b.layers)-1].out
		if b.Residual() && len(chains) > 0 {
			last := len(chains) - 1
			chains[last] = append(chains[last], out, b.sum)
		} else if b.Residual() { // around the first block: tied to what ReLU6 made
			chains = append(chains, []*tensor{n.convs[0].out, out, b.sum})
		} else {
			chains = append(chains, []*tensor{out})
		}
	}
	return chains
}

// equaliseChain gives the channels of a chain their factors.
func equaliseChain(chain []*tensor) {
	channels := len(chain[0].channels)
	widest := make([]float64, channels)
	all := 0.0
	for c := range channels {
		for _, t := range chain {
			widest[c] = max(widest[c], -t.channels[c].min, t.channels[c].max)
		}
		all = max(all, widest[c])
	}
	for c := range channels {
		factor := 1.0
		if widest[c] > 1e-6*all {
			factor = math.Pow(all/widest[c], share)
		}
		chain[0].channels[c].factor = factor
	}
	for _, t := range chain[1:] {
		t.follow(chain[0])
	}
}

// follow gives t's channels the factors of another tensor's.
func (t *tensor) follow(other *tensor) {
	for c := range t.channels {
		t.channels[c].factor = other.channels[c].factor
	}
}

// rescale applies the factors to the weights.
func (n *network) rescale() {
	// The pool is a mean: it has its input's factors.
	n.pool.follow(n.convs[len(n.convs)-1].out)
	for i := range n.convs {
		n.convs[i].rescale()
	}
	n.linear.rescale()
}

func (l *layer) rescale() {
	per := l.per()
	for o := range l.b {
		out := l.factor(o)
		for i := range per {
			l.w[o*per+i] *= out / l.in.channels[l.reads(o, i)].factor
		}
		l.b[o] *= out
	}
}

// factor is what output channel o is scaled by.
func (l *layer) factor(o int) float64 {
	if l.out == nil {
		return 1
	}
	return l.out.channels[o].factor
}

// reads is the input channel that weight i of output channel o is for.
func (l *layer) reads(o, i int) int {
	if l.Groups == 1 {
		return i / (l.Kernel * l.Kernel)
	}
	return o // of a depthwise convolution
}
