package train

import "github.com/mobilenet-go/mobilenet/internal/kernel"

// A gram is what an expansion knows of its input x over the batch: means and
// covariances of the channels. The mean and variance of every output channel of
// y = Wx follow from them, so that the outputs, six times as many, need not be
// there all at once.
type gram struct {
	sum        []float64 // Σ x, [K]
	w          []float32 // W as activations: [K/32][output][32]
	wc         []float32 // W*Σ(x-mean)(x-mean)', likewise
	products   [lanes][]float64
	sums       [lanes][]float64
	covariance []float32 // Σ(x-mean)(x-mean)' in Pack's layout, [block][K][NR]
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
	g.covariance = kernel.Aligned(kb * kb * square)
	for lane := range lanes {
		g.products[lane] = make([]float64, kb*kb*square)
		g.sums[lane] = make([]float64, kb*kernel.Block)
	}
}

func (g *gram) reset() {
	for lane := range lanes {
		clear(g.products[lane])
		clear(g.sums[lane])
	}
}

// addGram adds pixels of l's input x, blocks stride floats apart, to a lane's
// sums of xx' and x. The products are symmetric, and only those of blocks i <= j
// are added up.
func (n *network) addGram(l *layer, lane int, x []float32, stride, pixels int) {
	k := l.inputs()
	kb := kernel.Blocks(k)
	product := n.scratch[lane].square
	for j := range kb {
		nr := kernel.NR(k, j)
		for i := range j + 1 {
			rows := min(kernel.Block, k-i*kernel.Block)
			clear(product)
			n.set.PointwiseGrad(kernel.PointwiseGrad{
				DW: product, Src: x[i*stride:], Grad: x[j*stride:], Pixels: pixels, K: rows, NR: nr,
			})
			sums := l.gram.products[lane][(j*kb+i)*square:][:rows*nr]
			for at := range sums {
				sums[at] += float64(product[at])
			}
		}
		var sum, squares [kernel.Block]float32
		n.set.Moments(kernel.Moments{
			Src: x[j*stride:], Center: n.zeros, Sum: sum[:], Squares: squares[:], Pixels: pixels, NR: nr,
		})
		for c := range nr {
			l.gram.sums[lane][j*kernel.Block+c] += float64(sum[c])
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
		for lane := range lanes {
			g.sum[i] += g.sums[lane][i]
		}
	}
	each(n.threads, k, func(j int) {
		bj, nj := j/kernel.Block, kernel.NR(k, j/kernel.Block)
		for i := range j + 1 {
			bi, ni := i/kernel.Block, kernel.NR(k, i/kernel.Block)
			v := -g.sum[i] * g.sum[j] / float64(count)
			for lane := range lanes {
				v += g.products[lane][(bj*kb+bi)*square+i%kernel.Block*nj+j%kernel.Block]
			}
			g.covariance[bj*kb*square+i*nj+j%kernel.Block] = float32(v)
			g.covariance[bi*kb*square+j*ni+i%kernel.Block] = float32(v)
		}
	})
	for o := range l.Out {
		for i := range k {
			g.w[l.asActivation(o, i)] = l.weight.Value[l.place(o, i)]
		}
	}
	each(n.threads, kb, func(b int) {
		n.set.Pointwise(kernel.Pointwise{
			Dst: g.wc[b*l.Out*kernel.Block:], Src: g.w, W: g.covariance[b*kb*square:], Bias: n.zeros,
			Pixels: l.Out, K: k, SrcStride: l.Out * kernel.Block, NR: kernel.NR(k, b),
		})
	})
	return l.finish(count, func(o int) (mean, m2 float64) {
		for i := range k {
			w := float64(l.weight.Value[l.place(o, i)])
			mean += w * g.sum[i] / float64(count)
			m2 += w * float64(g.wc[l.asActivation(o, i)])
		}
		return mean, max(0, m2)
	})
}

// asActivation is where the weight of output o for input k lies in gram.w.
func (l *layer) asActivation(o, k int) int {
	return (k/kernel.Block*l.Out+o)*kernel.Block + k%kernel.Block
}
