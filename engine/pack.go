package engine

import (
	"sync"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// A network is a model's layers with folded weights in the kernels' layout.
type network struct {
	set        *kernel.Set
	padding    model.Padding
	levels     *[3][256]float32 // what each level of each channel is normalised to
	first      weights          // k is 27
	blocks     []block
	last       weights
	classifier weights
	stripWidth int // input columns from which on a block runs in strips

	arena []float32 // where all weights are, in the order of each
}

// stripWidth: below it a block's tensors fit the caches whole, and longer runs
// of pixels suit the kernels better than rows do.
const stripWidth = 40

// A block is an inverted residual.
type block struct {
	model.InvertedResidual
	expand    weights // no channels when the expand ratio is 1
	depthwise weights // k is 9
	project   weights
}

// weights are those of one layer, packed by blocks of output channels.
type weights struct {
	n, k int         // output channels, and what each sums over
	w    [][]float32 // per block [k][NR], each at the start of a cache line
	bias [][]float32 // per block [NR], likewise
}

func (w *weights) blocks() int { return kernel.Blocks(w.n) }

// nr is the row length of output block b.
func (w *weights) nr(b int) int { return kernel.NR(w.n, b) }

// layers returns the layers of c without room for their weights.
func layers(c model.Config, set *kernel.Set) network {
	n := c.Network()
	conv := func(c model.Conv) weights {
		return weights{n: c.Out, k: c.In / c.Groups * c.Kernel * c.Kernel}
	}
	net := network{
		set: set, padding: c.Padding, levels: c.Preprocess.Levels(), stripWidth: stripWidth,
		first: conv(n.First), last: conv(n.Last),
		classifier: weights{n: n.Classifier.Out, k: n.Classifier.In},
	}
	for _, b := range n.Blocks {
		p := block{InvertedResidual: b, depthwise: conv(b.Depthwise), project: conv(b.Project)}
		if b.Expand != nil {
			p.expand = conv(*b.Expand)
		}
		net.blocks = append(net.blocks, p)
	}
	return net
}

// pack folds and packs the weights of m, all layers at the same time: they are
// a good part of a cold start.
func (net *network) pack(m *model.Model) {
	net.allocate()
	n := m.Config.Network()
	var wg sync.WaitGroup
	conv := func(dst *weights, c model.Conv) {
		wg.Go(func() {
			w, bias := m.Fold(c)
			if c.Kernel == 3 && !c.Depthwise() {
				w = interleave(w, c.Out)
			}
			dst.pack(w, bias)
		})
	}
	wg.Go(func() {
		l := n.Classifier
		net.classifier.pack(m.Dict[l.Name+".weight"].Data, m.Dict[l.Name+".bias"].Data)
	})
	conv(&net.last, n.Last)
	for i, b := range n.Blocks {
		p := &net.blocks[i]
		if b.Expand != nil {
			conv(&p.expand, *b.Expand)
		}
		conv(&p.depthwise, b.Depthwise)
		conv(&p.project, b.Project)
	}
	conv(&net.first, n.First)
	wg.Wait()
}

// pack packs weights [n][k] and a bias [n].
func (w *weights) pack(src, bias []float32) {
	for b := range w.blocks() {
		kernel.Pack(w.w[b], w.bias[b], src, bias, b)
	}
}

// interleave turns the first convolution's weights [n][3][3][3] from OIHW, which
// has the colours apart, to the order of interleaved pixels.
func interleave(w []float32, n int) []float32 {
	out := make([]float32, len(w))
	for o := range n {
		for colour := range 3 {
			for tap := range 9 {
				out[o*27+tap*3+colour] = w[o*27+colour*9+tap]
			}
		}
	}
	return out
}

// each calls do for the weights of every layer in a fixed order.
func (net *network) each(do func(*weights)) {
	do(&net.first)
	for i := range net.blocks {
		b := &net.blocks[i]
		do(&b.expand)
		do(&b.depthwise)
		do(&b.project)
	}
	do(&net.last)
	do(&net.classifier)
}

// floats is the length of the arena. It counts in 64 bits because a config from
// a file may ask for more than there is.
func (net *network) floats() (n int64) {
	net.each(func(w *weights) {
		for b := range w.blocks() {
			n += wholeLines(w.k*w.nr(b)) + wholeLines(w.nr(b))
		}
	})
	return n
}

// allocate makes the arena and points the layers' weights into it.
func (net *network) allocate() {
	net.arena = kernel.AlignedHuge(int(net.floats()))
	rest := net.arena
	take := func(n int) []float32 {
		v := rest[:n:n]
		rest = rest[wholeLines(n):]
		return v
	}
	net.each(func(w *weights) {
		for b := range w.blocks() {
			w.w = append(w.w, take(w.k*w.nr(b)))
			w.bias = append(w.bias, take(w.nr(b)))
		}
	})
}

// wholeLines rounds so many floats up to cache lines.
func wholeLines(floats int) int64 { return (int64(floats) + 15) / 16 * 16 }
