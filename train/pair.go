package train

import "github.com/mobilenet-go/mobilenet/internal/kernel"

// The backward pass of an expansion (or the first convolution) and the depthwise
// convolution behind it is one pass over the images, so that the gradient between
// the two, the largest there is, never leaves the cache.
//
// What is in the way is the expansion's batch normalisation: the gradient dy at
// the convolution's output y = Wx is linear in the gradient g that comes in,
//
//	dy = a*g + b*(y-mean) + c
//
// but b and c are known only after g has been summed over the whole batch. So the
// pass sums up Σ gx', Σ xx' and Σ x, which are all that is needed:
//
//	dW = Σ dy x' = a*Σ gx' + b*W*Σ(x-mean)(x-mean)' + c*(Σx)'
//	dx = W'dy    = (aW)'g + (W'bW)x + W'(c - bW*mean(x))
//
// It writes (aW)'g, and a second pass over the images adds the rest: x has a
// sixth of the channels of y.

// A gram is what an expansion sums up of its input for the backward pass: lane by
// lane, and then over the batch.
type gram struct {
	products [lanes][]float32 // Σ xx': for each input block j and each i, [32][NR of j]
	sums     [lanes][]float32 // Σ x, by block
}

// pairFloats is how much of the gradient between the two is made in one go: it
// stays in the second-level cache.
const pairFloats = 64 << 10

// pairs is whether depthwise l does its backward pass together with the layer
// before it.
func (l *layer) pairs() bool {
	return l.Depthwise() && (l.prev.prev == nil || !l.prev.ends)
}

// backwardPair computes the gradients of the parameters of depthwise d and of the
// layer before it and, if wanted, the gradient at the input of the two.
func (n *network) backwardPair(d *layer, input bool) {
	e := d.prev
	d.finishGrad()
	n.takeWeightGrads(d)
	n.takeWeightGrads(e)
	if !e.fixed {
		n.takeGram(e)
	}
	if input {
		e.prev.grad = n.buffers.take(n.images * e.prev.imageSize())
		e.scaleTransposed(n.threads)
	}
	n.eachImage(func(lane, image int) { n.pairImage(d, lane, image, input) })
	n.weightGrad(d)
	e.finishGrad()
	n.weightGrad(e)
	var p projection
	if !e.fixed {
		p = n.correct(e)
	}
	if input {
		n.eachImage(func(lane, image int) { n.pairInput(e, lane, image, p) })
	}
	n.buffers.put(p.m)
	n.releaseLayer(d)
	n.releaseLayer(e)
}

func (n *network) takeGram(e *layer) {
	kb := kernel.Blocks(e.inputs())
	n.takeSums(&e.gram.products, kb*kb*kernel.Block*kernel.Block)
	n.takeSums(&e.gram.sums, kb*kernel.Block)
}

// scaleTransposed makes the weights for the input's gradient those of aW.
func (l *layer) scaleTransposed(threads int) {
	each(threads, len(l.transposed), func(b int) {
		nr := kernel.NR(l.In, b)
		for o := range l.Out {
			a := float32(float64(l.gamma.Value[o]) * l.invStd[o])
			row := l.transposed[b][o*nr:][:nr]
			for i := range row {
				row[i] *= a
			}
		}
	})
}

// pairImage is the first pass over an image.
func (n *network) pairImage(d *layer, lane, image int, input bool) {
	e := d.prev
	g := n.scratch[lane].between
	for y := 0; y < d.side; y += d.pair {
		s := d.rows(y, d.pair)
		stride := s.pixels * kernel.Block
		for b := range d.blocks() {
			gb := g[b*stride:][:stride]
			n.depthwiseGrads(d, lane, image, b, s, gb)
			e.norm.backward(n.set, lane, b, gb, e.block(e.y, image, b, s.pixel), s.pixels, e.ReLU6)
		}
		x, xStride := n.pairX(e, lane, image, s)
		n.addWeightGrad(e, lane, x, xStride, g, s.pixels)
		if !e.fixed {
			n.addGram(e, lane, x, xStride, s.pixels)
		}
		if !input {
			continue
		}
		for b := range e.inBlocks() {
			a := kernel.Pointwise{
				Dst: e.prev.block(e.prev.grad, image, b, s.pixel), Src: g, W: e.transposed[b], Bias: n.zeros,
				Pixels: s.pixels, K: e.Out, SrcStride: stride, NR: kernel.NR(e.In, b),
			}
			if e.skip != nil {
				a.Add = e.skip.block(e.skip.grad, image, b, s.pixel)
			}
			n.set.Pointwise(a)
		}
	}
}

// pairX is the input of e at a strip, blocks stride floats apart.
func (n *network) pairX(e *layer, lane, image int, s rowStrip) (x []float32, stride int) {
	if e.prev == nil {
		x = n.scratch[lane].in
		n.patches(e, x, image, s.pixel, s.pixels)
		return x, 0
	}
	return n.inputStrip(e, lane, image, s.pixel, s.pixels)
}

// addGram adds a strip to the sums of xx' and x. The products are symmetric, and
// only those of blocks i <= j are added up.
func (n *network) addGram(e *layer, lane int, x []float32, stride, pixels int) {
	k := e.inputs()
	kb := kernel.Blocks(k)
	var squares [kernel.Block]float32
	for j := range kb {
		nr := kernel.NR(k, j)
		for i := range j + 1 {
			n.set.PointwiseGrad(kernel.PointwiseGrad{
				DW:  e.gram.products[lane][(j*kb+i)*kernel.Block*kernel.Block:],
				Src: x[i*stride:], Grad: x[j*stride:],
				Pixels: pixels, K: min(kernel.Block, k-i*kernel.Block), NR: nr,
			})
		}
		n.set.Moments(kernel.Moments{
			Src: x[j*stride:], Center: n.zeros, Sum: e.gram.sums[lane][j*kernel.Block:], Squares: squares[:],
			Pixels: pixels, NR: nr,
		})
	}
}

// A projection is what the second pass adds to the input's gradient: m times the
// input, [block][K][NR], and bias.
type projection struct {
	m    []float32
	bias []float32
}

// correct completes the gradient of e's weights, which so far is Σ gx', and
// returns what the input's gradient lacks.
func (n *network) correct(e *layer) projection {
	k, kb := e.inputs(), kernel.Blocks(e.inputs())
	sums, covariance := n.covariance(e)
	w := n.buffers.take(kb * e.Out * kernel.Block)  // [K/32][output][32]
	bw := n.buffers.take(kb * e.Out * kernel.Block) // b*W; then W*covariance
	bias := make([]float64, kb*kernel.Block)
	clear(w)
	clear(bw)
	count := float64(e.count)
	for o := range e.Out {
		_, b, c := e.coefficients(o)
		var mean float64 // of y
		for i := range k {
			v := e.weight.Value[e.place(o, i)]
			at := (i/kernel.Block*e.Out+o)*kernel.Block + i%kernel.Block
			w[at], bw[at] = v, float32(b)*v
			mean += float64(v) * float64(sums[i]) / count
		}
		for i := range k {
			bias[i] += float64(e.weight.Value[e.place(o, i)]) * (c - b*mean)
		}
	}
	p := projection{m: n.buffers.take(kb * kb * kernel.Block * kernel.Block), bias: make([]float32, len(bias))}
	clear(p.m)
	for i, v := range bias {
		p.bias[i] = float32(v)
	}
	each(n.threads, kb, func(j int) {
		nr := kernel.NR(k, j)
		for i := range kb {
			n.set.PointwiseGrad(kernel.PointwiseGrad{
				DW:  p.m[j*kb*kernel.Block*kernel.Block+i*kernel.Block*nr:],
				Src: w[i*e.Out*kernel.Block:], Grad: bw[j*e.Out*kernel.Block:],
				Pixels: e.Out, K: min(kernel.Block, k-i*kernel.Block), NR: nr,
			})
		}
	})
	each(n.threads, kb, func(j int) {
		n.set.Pointwise(kernel.Pointwise{
			Dst: bw[j*e.Out*kernel.Block:], Src: w, W: covariance[j*kb*kernel.Block*kernel.Block:], Bias: n.zeros,
			Pixels: e.Out, K: k, SrcStride: e.Out * kernel.Block, NR: kernel.NR(k, j),
		})
	})
	for o := range e.Out {
		a, b, c := e.coefficients(o)
		for i := range k {
			dw := &e.weight.Grad[e.place(o, i)]
			wc := bw[(i/kernel.Block*e.Out+o)*kernel.Block+i%kernel.Block]
			*dw = float32(a*float64(*dw) + b*float64(wc) + c*float64(sums[i]))
		}
	}
	for _, s := range [][]float32{w, bw, covariance, sums} {
		n.buffers.put(s)
	}
	return p
}

// covariance adds up the lanes' grams: Σ x, and Σ (x-mean)(x-mean)' in Pack's
// layout, [input block j][K][NR of j].
func (n *network) covariance(e *layer) (sums, products []float32) {
	const square = kernel.Block * kernel.Block
	k, kb := e.inputs(), kernel.Blocks(e.inputs())
	sums, products = n.addUp(&e.gram.sums), n.addUp(&e.gram.products)
	out := n.buffers.take(kb * kb * square)
	for j := range k {
		bj, nj := j/kernel.Block, kernel.NR(k, j/kernel.Block)
		for i := range j + 1 {
			bi, ni := i/kernel.Block, kernel.NR(k, i/kernel.Block)
			v := products[(bj*kb+bi)*square+i%kernel.Block*nj+j%kernel.Block]
			v = float32(float64(v) - float64(sums[i])*float64(sums[j])/float64(e.count))
			out[bj*kb*square+i*nj+j%kernel.Block] = v
			out[bi*kb*square+j*ni+i%kernel.Block] = v
		}
	}
	n.buffers.put(products)
	return sums, out
}

// pairInput is the second pass over an image.
func (n *network) pairInput(e *layer, lane, image int, p projection) {
	kb := e.inBlocks()
	for b := range kb {
		g := e.prev.block(e.prev.grad, image, b, 0)
		if !e.fixed {
			n.set.Pointwise(kernel.Pointwise{
				Dst: g, Src: e.prev.x[image*e.prev.imageSize():], Add: g,
				W: p.m[b*kb*kernel.Block*kernel.Block:], Bias: p.bias[b*kernel.Block:],
				Pixels: e.prev.pixels(), K: e.In, SrcStride: e.prev.pixels() * kernel.Block, NR: kernel.NR(e.In, b),
			})
		}
		e.prev.norm.backward(n.set, lane, b, g, e.prev.block(e.prev.y, image, b, 0), e.prev.pixels(), e.prev.ReLU6)
	}
}
