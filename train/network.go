package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync/atomic"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// A network is a model in training: forward with batch statistics, backward
// through every layer.
type network struct {
	config  model.Config
	set     *kernel.Set
	threads int
	layers  []*layer
	head    *head
	params  []*parameter // that are learned: without those of frozen layers
	frozen  int          // layers, from the first, that are not learned
	buffers buffers
	later   []func()    // what nothing waits for yet: whichever thread has nothing else to do does it
	free    [][]float32 // buffers that later reads
	scratch []scratch   // by thread
	zeros   []float32
	ones    []float32 // [32]

	images int
	input  []float32 // [images][H][W][3]

	// In training for 8 bits.
	ranges  *model.Quantized
	rounded []float32 // input as integers
	pooled  []float32 // features before they are rounded, in the head's layout
}

// scratch is what a thread works in.
type scratch struct {
	in, dy, raw, between, square []float32
	rows                         [][]float32 // of a depthwise convolution
	next                         [][]float32 // kernel.Pointwise's
	work                         channels
}

// channels returns zeros for a kernel to add to.
func (s *scratch) channels() *channels {
	s.work = channels{}
	return &s.work
}

// list makes slices a kernel's Next.
func (s *scratch) list(slices ...[]float32) [][]float32 {
	s.next = append(s.next[:0], slices...)
	return s.next
}

// A lane is a share of a batch: some images one after the other, and what the thread
// that does them works in. Sums over the batch are those over the lanes, which are
// added up in their order: results don't depend on how many threads there are.
type lane struct {
	number int
	first  bool // no image of the lane has been done yet
	then   int  // the image that the thread does after this one, most likely: n.images if none
	*scratch
}

// newNetwork prepares m for training. The first frozen of torchvision's
// features.* modules stay as they are. They normalise with their running
// averages, and so do all if fixed.
func newNetwork(m *model.Model, threads, frozen int, fixed bool) (*network, error) {
	set, err := kernel.Choose("")
	if err != nil {
		return nil, err
	}
	_, params := parameters(m)
	n := &network{config: m.Config, set: set, threads: threads, scratch: make([]scratch, max(1, threads))}
	n.ones = kernel.Aligned(kernel.Block)
	for i := range n.ones {
		n.ones[i] = 1
	}
	spec := m.Config.Network()
	if frozen < 0 || frozen > len(spec.Blocks)+2 {
		return nil, fmt.Errorf("freeze %d: the network has %d features modules", frozen, len(spec.Blocks)+2)
	}
	add := func(c model.Conv, module int) *layer {
		l := n.newLayer(m, c, params)
		l.module = module
		l.norm.fixed = fixed || module < frozen
		if module < frozen {
			n.frozen = len(n.layers)
		}
		return l
	}
	first := add(spec.First, 0)
	first.ends = spec.Blocks[0].Residual() || len(spec.Blocks[0].Convs()) == 3
	for i, b := range spec.Blocks {
		input := n.layers[len(n.layers)-1]
		convs := b.Convs()
		begin := len(n.layers)
		for _, c := range convs {
			add(c, i+1)
		}
		project := n.layers[len(n.layers)-1]
		project.ends = true
		if b.Residual() {
			project.residual = input
			n.layers[begin].skip = project
		}
	}
	add(spec.Last, len(spec.Blocks)+1)
	for _, l := range n.layers[n.frozen:] {
		n.params = append(n.params, l.weight, l.gamma, l.beta)
	}
	n.head = newHead(set, threads, spec.Classifier, m, params)
	n.params = append(n.params, n.head.weight, n.head.bias)
	return n, nil
}

// slow lets every features module learn at the rate of the next one, or of the
// classifier, times decay (arXiv 1801.06146, section 3.2): what the first layers see
// is of use whatever the photos are of.
func (n *network) slow(decay float64) {
	modules := n.layers[len(n.layers)-1].module + 1
	for _, l := range n.layers {
		for _, p := range []*parameter{l.weight, l.gamma, l.beta} {
			p.Rate = math.Pow(decay, float64(modules-l.module))
		}
	}
}

func (n *network) newLayer(m *model.Model, c model.Conv, params map[string]*parameter) *layer {
	l := &layer{Conv: c, weight: params[c.Name+".weight"], inSide: m.Config.Resolution}
	if len(n.layers) > 0 {
		l.prev = n.layers[len(n.layers)-1]
		l.inSide = l.prev.side
	}
	l.side = c.OutSize(l.inSide)
	l.padBefore = m.Config.Padding.Before(l.inSide, c.Stride)
	l.norm = norm{
		name: c.Norm, gamma: params[c.Norm+".weight"], beta: params[c.Norm+".bias"],
		mean: m.Dict[c.Norm+".running_mean"].Data, variance: m.Dict[c.Norm+".running_var"].Data,
		batches: m.Dict[c.Norm+".num_batches_tracked"].Data,
		eps:     m.Config.BNEps, momentum: m.Config.BNMomentum,
	}
	l.norm.init(c.Out)
	l.plan(n)
	n.layers = append(n.layers, l)
	return l
}

// stripFloats is how much of a layer's input and output is worked on in one go:
// it stays in the second-level cache.
const stripFloats = 48 << 10

// moreFloats is how much it may be where there are more weights than that: they are read
// for every strip, and the sums of their gradients read and written. The last layers do
// whole maps of 7x7 pixels in one go.
const moreFloats = 80 << 10

// plan chooses the layer's strips and makes the scratch hold them.
func (l *layer) plan(n *network) {
	var in, dy, raw, between, rows int
	switch {
	case l.Depthwise():
		row := (l.inSide + 2) * kernel.Block // two columns were padding once: other strips would round sums otherwise
		l.strip = min(l.side, max(1, (stripFloats/row-2)/l.Stride))
		l.part = l.strip * l.Stride * l.inSide
		if l.pairs() {
			l.prev.pairWith(l)
			between = l.blocks() * l.pair * l.Stride * l.inSide * kernel.Block
		}
		rows = max(l.strip, l.pair)*l.Stride + 3
		in = rows * row
		raw = in
		dy = (max(l.strip, l.pair) + 2) * (l.side + 1) * kernel.Block
		if len(n.zeros) < row {
			n.zeros = kernel.Aligned(row)
		}
	default:
		k := kernel.Blocks(l.inputs())
		strips := (l.pixels()*(k+l.blocks())*kernel.Block + stripFloats - 1) / stripFloats
		// Sums are over no more pixels than a part has, which is fixed: of other parts
		// they would be rounded otherwise.
		l.part = min(l.pixels(), max(16, (l.pixels()+strips-1)/strips))
		l.strip = l.part
		if n := (k + l.blocks()) * l.part * kernel.Block; k*l.blocks()*square > stripFloats && moreFloats/n > 1 {
			l.strip = min(l.pixels(), moreFloats/n*l.part)
		}
		in, dy = k*l.strip*kernel.Block, l.blocks()*l.strip*kernel.Block
	}
	for i := range n.scratch {
		s := &n.scratch[i]
		if len(s.rows) < rows {
			s.rows = make([][]float32, rows)
		}
		grow(&s.in, in)
		grow(&s.dy, dy)
		grow(&s.raw, raw)
		grow(&s.between, between)
		grow(&s.square, square)
	}
}

func grow(s *[]float32, n int) {
	if len(*s) < n {
		*s = kernel.Aligned(n)
	}
}

// pairWith makes l the first of a pair.
func (l *layer) pairWith(d *layer) {
	row := d.blocks() * kernel.Block * d.inSide * d.Stride
	rows := min(d.strip, max(1, pairSums/row))
	d.part = rows * d.Stride * d.inSide
	for d.pair = rows; d.pair < d.side && min(d.pair+rows, d.side)*row <= pairFloats; {
		d.pair += rows
	}
	d.pair = min(d.pair, d.side)
	l.paired = true
	if !l.fixed {
		l.gram.init(l)
	}
}

// eachImage calls f for every image, the images of a lane in their order. The last lanes
// take turns, image by image, so that no thread waits long for another that still has a lane
// to do; threads that find no image any more do what has been left for later.
func (n *network) eachImage(f func(lane lane, image int)) {
	t := n.turns()
	done := make([]atomic.Int64, n.lanes()) // images
	n.beside(t.count(), func(thread, i int) {
		number, image, m := t.at(i)
		if m == 0 { // its lane has fewer images than others
			return
		}
		begin, _ := n.share(number)
		for int(done[number].Load()) < image-begin {
			runtime.Gosched()
		}
		for j := range m {
			next := image + 1
			if j+1 == m {
				_, next, _ = t.at(i + n.threads) // most likely
			}
			f(lane{number, image == begin, next, &n.scratch[thread]}, image)
			image++
		}
		done[number].Add(int64(m))
	})
}

// turns are the order in which images are done: lanes as a whole, then of the rest of them
// an image each, again and again.
type turns struct {
	*network
	whole, others, most int // lanes, those that take turns, and the images of one of them
}

func (n *network) turns() turns {
	lanes := n.lanes()
	others := 2 * n.threads
	if others > lanes || n.threads == 1 {
		others = 0
	}
	return turns{n, lanes - others, others, (n.images + lanes - 1) / lanes}
}

func (t turns) count() int { return t.whole + t.others*t.most }

// at is the lane of task i, the first image and how many.
func (t turns) at(i int) (number, image, m int) {
	if i >= t.count() {
		return 0, t.images, 0
	}
	if i < t.whole {
		begin, end := t.share(i)
		return i, begin, end - begin
	}
	i -= t.whole
	number = t.whole + i%t.others
	begin, end := t.share(number)
	image = begin + i/t.others
	return number, image, min(1, end-image)
}

// beside calls f for 0 to count-1, and then what has been left for later.
func (n *network) beside(count int, f func(thread, i int)) {
	later := n.later
	n.later = nil
	eachOn(n.threads, count+len(later), func(thread, i int) {
		if i < count {
			f(thread, i)
		} else {
			later[i-count]()
		}
	})
	for _, s := range n.free {
		n.buffers.put(s)
	}
	n.free = nil
}

// finishLater does what has been left for later.
func (n *network) finishLater() { n.beside(0, nil) }

// lanesOf is the number of lanes of a batch, which is how many threads have work. It
// grows with the batch: 16 lanes from 32 images on, a quarter of the images from 64 on,
// at most 64. Every lane has sums of its own of a layer's gradients, so more of them
// cost time: the network of Fashion-MNIST takes 9 % longer with 64 lanes for 128 images
// than with 8.
func lanesOf(images int) int {
	return min(images, max(8, min(images/2, 16), images/4), 64)
}

func (n *network) lanes() int { return lanesOf(n.images) }

// share is the images of a lane.
func (n *network) share(lane int) (begin, end int) {
	lanes := n.lanes()
	return lane * n.images / lanes, (lane + 1) * n.images / lanes
}

// dropout returns a mask for the classifier's input [images][features]: 0 with
// probability p, otherwise 1/(1-p).
func dropout(rng *rand.Rand, n int, p float64) []float32 {
	mask := make([]float32, n)
	for i := range mask {
		if rng.Float64() >= p {
			mask[i] = float32(1 / (1 - p))
		}
	}
	return mask
}
