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
	first      weights // k is 27
	blocks     []block
	last       weights
	classifier weights
	stripWidth int // input columns from which on a block runs in strips
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
	w    [][]float32 // per block [k][NR]
	bias [][]float32 // per block [NR]
}

func (w weights) blocks() int { return len(w.w) }

// nr is the row length of output block b.
func (w weights) nr(b int) int { return kernel.NR(w.n, b) }

// pack folds and packs the layers of m, all at the same time: a quarter of a
// cold start otherwise.
func pack(m *model.Model, set *kernel.Set) network {
	n := m.Config.Network()
	net := network{set: set, padding: m.Config.Padding, stripWidth: stripWidth, blocks: make([]block, len(n.Blocks))}
	var wg sync.WaitGroup
	conv := func(dst *weights, c model.Conv) {
		wg.Go(func() {
			w, bias := m.Fold(c)
			k := len(w) / c.Out
			if c.Kernel == 3 && !c.Depthwise() {
				w = interleave(w, c.Out)
			}
			*dst = packLayer(w, bias, c.Out, k)
		})
	}
	wg.Go(func() {
		l := n.Classifier
		net.classifier = packLayer(m.Dict[l.Name+".weight"].Data, m.Dict[l.Name+".bias"].Data, l.Out, l.In)
	})
	conv(&net.last, n.Last)
	for i, b := range n.Blocks {
		p := &net.blocks[i]
		p.InvertedResidual = b
		if b.Expand != nil {
			conv(&p.expand, *b.Expand)
		}
		conv(&p.depthwise, b.Depthwise)
		conv(&p.project, b.Project)
	}
	conv(&net.first, n.First)
	wg.Wait()
	return net
}

// packLayer packs weights [n][k] and a bias [n].
func packLayer(w, bias []float32, n, k int) weights {
	p := weights{n: n, k: k}
	for b := range kernel.Blocks(n) {
		pw, pb := kernel.Pack(w, bias, n, k, b)
		p.w = append(p.w, pw)
		p.bias = append(p.bias, pb)
	}
	return p
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
