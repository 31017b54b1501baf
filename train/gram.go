package train

import "github.com/mobilenet-go/mobilenet/internal/kernel"

// A gram is what an expansion knows of its input x over the batch: means and
// covariances of the channels. The mean and variance of every output channel of
// y = Wx follow from them, so that the outputs, six times as many, need not be
// there all at once.
type gram struct {
	sum        []float64   // Σ x, [K]
	w          []float32   // W as activations: [K/32][output][32]
	wc         []float32   // W*Σ(x-mean)(x-mean)', likewise
	mean, m2   []float64   // of y: the mean, and Σ(y-mean)²
	products   [][]float64 // by lane
	sums       [][]float64 // by lane
	covariance []float32   // Σ(x-mean)(x-mean)' in Pack's layout, [block][K][NR]
}

// square is the size of a product of two blocks of channels.
const square = kernel.Block * kernel.Block

// gramPixels is how many pixels are multiplied in float32 before they are added
// to the float64 sums.
const gramPixels = 1024

func (g *gram) init(l *layer) {
	kb := kernel.Blocks(l.inputs())
	g.sum = make([]float64, l.inputs())
	g.w, g.wc = kernel.Aligned(kb*l.Out*kernel.Block), kernel.Aligned(kb*l.Out*kernel.Block)
	g.mean, g.m2 = make([]float64, l.Out), make([]float64, l.Out)
	g.covariance = kernel.Aligned(kb * kb * square)
}

// begin makes room for what so many lanes gather.
func (g *gram) begin(lanes int) {
	for len(g.products) < lanes {
		g.products = append(g.products, make([]float64, len(g.covariance)))
		g.sums = append(g.sums, make([]float64, kernel.Blocks(len(g.sum))*kernel.Block))
	}
}

// addGram adds pixels of l's input x, blocks stride floats apart, to a lane's
// sums of xx' and x, or writes them if they are the first. The products are symmetric,
// and only those of blocks i <= j are added up.
func (n *network) addGram(l *layer, lane lane, x []float32, stride, pixels int, first bool) {
	k := l.inputs()
	kb := kernel.Blocks(k)
	product := lane.square
	for j := range kb {
		nr := kernel.NR(k, j)
		for i := range j + 1 {
			rows := min(kernel.Block, k-i*kernel.Block)
			n.set.PointwiseGrad(kernel.PointwiseGrad{
				DW: product, Src: x[i*stride:], Grad: x[j*stride:], Pixels: pixels, K: rows, NR: nr, First: true,
			})
			sums := l.gram.products[lane.number][(j*kb+i)*square:][:rows*nr]
			if first {
				clear(sums)
			}
			for at := range sums {
				sums[at] += float64(product[at])
			}
		}
		w := lane.channels()
		n.set.Moments(kernel.Moments{
			Src: x[j*stride:], Center: n.zeros, Sum: w[0][:], Squares: w[1][:], Pixels: pixels, NR: nr,
		})
		if first {
			clear(l.gram.sums[lane.number][j*kernel.Block:][:nr])
		}
		for c := range nr {
			l.gram.sums[lane.number][j*kernel.Block+c] += float64(w[0][c])
		}
	}
}

// finishGram ends the forward pass of l's convolution over a batch with count
// pixels: it adds up the lanes' sums and observes y, block by block, and makes the weights
// of an expansion with the normalisation.
func (n *network) finishGram(l *layer, count int) error {
	g := &l.gram
	for i := range g.sum {
		g.sum[i] = 0
		for _, s := range g.sums[:n.lanes()] {
			g.sum[i] += s[i]
		}
	}
	n.covariances(l, count)
	return l.finishBlocks(n.threads, count, func(b int) error {
		n.observeProduct(l, b, count)
		if err := l.finishBlock(b, count, func(o int) (mean, m2 float64) { return g.mean[o], g.m2[o] }); err != nil {
			return err
		}
		if l.prev != nil {
			l.scaleBlock(b)
		}
		return nil
	})
}

// covariances adds up the lanes' products: some rows of a block of columns are a task.
func (n *network) covariances(l *layer, count int) {
	const rows = 8
	g, k := &l.gram, l.inputs()
	kb := kernel.Blocks(k)
	groups := (k + rows - 1) / rows
	each(n.threads, kb*groups, func(task int) {
		bj, begin := task/groups, task%groups*rows
		left, nj := bj*kernel.Block, kernel.NR(k, bj)
		for i := begin; i < min(k, begin+rows, left+kernel.Block); i++ { // those below are the same
			var row [kernel.Block]float64
			first, end := max(i, left)-left, min(k, left+kernel.Block)-left
			for c := first; c < end; c++ {
				row[c] = -g.sum[i] * g.sum[left+c] / float64(count)
			}
			at := bj*kb*square + i/kernel.Block*square + i%kernel.Block*nj
			for _, p := range g.products[:n.lanes()] {
				for c, v := range p[at+first : at+end] {
					row[first+c] += v
				}
			}
			bi, ni := i/kernel.Block, kernel.NR(k, i/kernel.Block)
			for c := first; c < end; c++ {
				g.covariance[bj*kb*square+i*nj+c] = float32(row[c])
				g.covariance[bi*kb*square+(left+c)*ni+i%kernel.Block] = float32(row[c])
			}
		}
	})
}

// observeProduct computes the mean of y and Σ(y-mean)² for block b of the outputs.
func (n *network) observeProduct(l *layer, b, count int) {
	g, k := &l.gram, l.inputs()
	kb := kernel.Blocks(k)
	first := b * kernel.Block
	outputs := min(kernel.Block, l.Out-first)
	for j := range kb {
		n.set.Pointwise(kernel.Pointwise{
			Dst: g.wc[(j*l.Out+first)*kernel.Block:], Src: g.w[first*kernel.Block:], W: g.covariance[j*kb*square:], Bias: n.zeros,
			Pixels: outputs, K: k, SrcStride: l.Out * kernel.Block, NR: kernel.NR(k, j),
		})
	}
	for o := first; o < first+outputs; o++ {
		var mean, m2 float64
		for j := range kb {
			w, wc, sum := l.asActivation(g.w, j, o), l.asActivation(g.wc, j, o), g.sum[j*kernel.Block:]
			for i, v := range w[:min(kernel.Block, len(sum))] {
				mean += float64(v) * sum[i]
				m2 += float64(v) * float64(wc[i])
			}
		}
		g.mean[o], g.m2[o] = mean/float64(count), max(0, m2)
	}
}

// asActivation is block b of output o in gram.w or wc.
func (l *layer) asActivation(w []float32, b, o int) []float32 {
	return w[(b*l.Out+o)*kernel.Block:][:kernel.Block]
}
