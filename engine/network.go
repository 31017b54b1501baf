package engine

import (
	"sync"
	"unsafe"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// A network is a model in float32: its layers with folded weights in the kernels'
// layout.
type network struct {
	set         *kernel.Set
	config      model.Config
	levels      *model.Levels // what pixels are normalised to
	first       weights       // k is 27
	bottlenecks []bottleneck
	last        weights
	linears     []weights // the head's: hidden ones and the classifier, or none
	stripWidth  int       // input columns from which on a bottleneck runs in strips

	arena arena // where all weights are, in the order of each

	backMu sync.Mutex
	back   map[*weights]*weights // what gradients have needed of them, see transposed
	spare  sync.Pool             // of *[][]float32: memory of gradients
}

// stripWidth: below it a bottleneck's tensors fit the caches whole, and longer
// runs of pixels suit the kernels better than rows do.
const stripWidth = 40

// A bottleneck is an inverted residual. (A block here is 32 channels.)
type bottleneck struct {
	model.InvertedResidual
	expand    weights // no channels when the expand ratio is 1
	depthwise weights // k is 9
	project   weights
}

// projection names what is between the bottleneck's input and the sum, as
// [Module] says.
func (b *bottleneck) projection() string { return projectionOf(b.InvertedResidual) }

// weights are those of one layer, packed by blocks of output channels.
type weights struct {
	n, k int         // output channels, and what each sums over
	w    [][]float32 // per block [k][NR], each at the start of a cache line
	bias [][]float32 // per block [NR], likewise
}

func (w *weights) blocks() int { return kernel.Blocks(w.n) }

// nr is the row length of output block b.
func (w *weights) nr(b int) int { return kernel.NR(w.n, b) }

// newNetwork returns the layers of c without room for their weights.
func newNetwork(c model.Config, set *kernel.Set) *network {
	n := c.Network()
	conv := func(c model.Conv) weights {
		return weights{n: c.Out, k: c.In / c.Groups * c.Kernel * c.Kernel}
	}
	net := &network{
		set: set, config: c, levels: c.Preprocess.Levels(), stripWidth: stripWidth,
		first: conv(n.First), last: conv(n.Last),
	}
	for _, l := range n.Linears() {
		net.linears = append(net.linears, weights{n: l.Out, k: l.In})
	}
	for _, b := range n.Blocks {
		p := bottleneck{InvertedResidual: b, depthwise: conv(b.Depthwise), project: conv(b.Project)}
		if b.Expand != nil {
			p.expand = conv(*b.Expand)
		}
		net.bottlenecks = append(net.bottlenecks, p)
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
	for i, l := range n.Linears() {
		wg.Go(func() { net.linears[i].pack(m.Dict[l.Name+".weight"].Data, m.Dict[l.Name+".bias"].Data) })
	}
	conv(&net.last, n.Last)
	for i, b := range n.Blocks {
		p := &net.bottlenecks[i]
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
func interleave[T float32 | int16](w []T, n int) []T {
	out := make([]T, len(w))
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
	for i := range net.bottlenecks {
		b := &net.bottlenecks[i]
		do(&b.expand)
		do(&b.depthwise)
		do(&b.project)
	}
	do(&net.last)
	for i := range net.linears {
		do(&net.linears[i])
	}
}

// bytes is the length of the arena. It counts in 64 bits because a config from a
// file may ask for more than there is.
func (net *network) bytes() (n int64) {
	net.each(func(w *weights) {
		for b := range w.blocks() {
			n += wholeLines(4*w.k*w.nr(b)) + wholeLines(4*w.nr(b))
		}
	})
	return n
}

// allocate makes the arena and points the layers' weights into it.
func (net *network) allocate() {
	net.arena = kernel.HugeBytes(int(net.bytes()))
	rest := net.arena
	take := func(floats int) []float32 {
		v := rest[:4*floats].f32()
		rest = rest[wholeLines(4*floats):]
		return v
	}
	net.each(func(w *weights) {
		for b := range w.blocks() {
			w.w = append(w.w, take(w.k*w.nr(b)))
			w.bias = append(w.bias, take(w.nr(b)))
		}
	})
}

// An arena is memory that is divided among values of several types. It begins at
// a cache line.
type arena []byte

// f32 returns the arena as floats.
func (a arena) f32() []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(a))), len(a)/4)
}

// wholeLines rounds so many bytes up to cache lines.
func wholeLines(bytes int) int64 { return (int64(bytes) + 63) / 64 * 64 }
