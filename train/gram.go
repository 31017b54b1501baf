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
// pixels: it adds up the lanes' sums and observes y.
func (n *network) finishGram(l *layer, count int) error {
	g, k := &l.gram, l.inputs()
	kb := kernel.Blocks(k)
	for i := range k {
		g.sum[i] = 0
		for _, s := range g.sums[:n.lanes()] {
			g.sum[i] += s[i]
		}
	}
	each(n.threads, k, func(j int) {
		bj, nj := j/kernel.Block, kernel.NR(k, j/kernel.Block)
		for i := range j + 1 {
			bi, ni := i/kernel.Block, kernel.NR(k, i/kernel.Block)
			v := -g.sum[i] * g.sum[j] / float64(count)
			for _, p := range g.products[:n.lanes()] {
				v += p[(bj*kb+bi)*square+i%kernel.Block*nj+j%kernel.Block]
			}
			g.covariance[bj*kb*square+i*nj+j%kernel.Block] = float32(v)
			g.covariance[bi*kb*square+j*ni+i%kernel.Block] = float32(v)
		}
	})
	each(n.threads, l.Out, func(o int) {
		for b, w := 0, l.output(o); b < kb; b++ {
			copy(l.asActivation(g.w, b, o), w[b*kernel.Block:])
		}
	})
	each(n.threads, kb, func(b int) {
		n.set.Pointwise(kernel.Pointwise{
			Dst: g.wc[b*l.Out*kernel.Block:], Src: g.w, W: g.covariance[b*kb*square:], Bias: n.zeros,
			Pixels: l.Out, K: k, SrcStride: l.Out * kernel.Block, NR: kernel.NR(k, b),
		})
	})
	each(n.threads, l.Out, func(o int) {
		var mean, m2 float64
		for b := range kb {
			w, wc, sum := l.asActivation(g.w, b, o), l.asActivation(g.wc, b, o), g.sum[b*kernel.Block:]
			for i, v := range w[:min(kernel.Block, len(sum))] {
				mean += float64(v) * sum[i]
				m2 += float64(v) * float64(wc[i])
			}
		}
		g.mean[o], g.m2[o] = mean/float64(count), max(0, m2)
	})
	return l.finish(n.threads, count, func(o int) (mean, m2 float64) { return g.mean[o], g.m2[o] })
}

// asActivation is block b of output o in gram.w or wc.
func (l *layer) asActivation(w []float32, b, o int) []float32 {
	return w[(b*l.Out+o)*kernel.Block:][:kernel.Block]
}
