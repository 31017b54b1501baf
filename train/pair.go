package train

import "github.com/mobilenet-go/mobilenet/internal/kernel"

// An expansion (or the first convolution) and the depthwise convolution behind it
// are a pair: what is between the two is the largest there is in the network, and
// is computed strip by strip, forward and backward, wherever it is needed, so that
// it never leaves the cache. (The first convolution's output is kept.)
//
// What is in the way is the expansion's batch normalisation. Forward, the mean and
// variance of its output are known from the covariance of its input (see gram).
// Backward, the gradient dy at the convolution's output y = Wx is linear in the
// gradient g at the normalised output,
//
//	dy = a*g + b*(y-mean) + c
//
// but b and c are known only after g has been summed over the whole batch. So one
// pass over the images sums up Σ gx', from which follows
//
//	dW = Σ dy x' = a*Σ gx' + b*W*Σ(x-mean)(x-mean)' + c*(Σx)'
//	dx = W'dy    = (aW)'g + (W'bW)x + W'(c - bW*mean(x))
//
// It writes (aW)'g, and a second pass adds the rest: x has a sixth of the channels
// of y.

// pairFloats is how much of the gradient between the two is made in one go: it
// stays in a second-level cache of 1 MB. Rows that two strips share are computed twice, so
// that half as much took 1.5 % more of a step's time.
const pairFloats = 130 << 10

// pairSums is how much of it sums go over in float32. Others would be rounded otherwise.
const pairSums = 64 << 10

// pairs is whether depthwise l and the layer before it are a pair.
func (l *layer) pairs() bool {
	return l.Depthwise() && (l.prev.prev == nil || !l.prev.ends)
}

// joins is whether forwardExpansion can make the x of the layer before l: it has to look at
// all of it in any case.
func (l *layer) joins() bool { return l.paired && l.prev != nil && !l.fixed }

// forwardExpansion prepares the normalisation of an expansion, and if join makes its input.
func (n *network) forwardExpansion(e *layer, join bool) error {
	if !e.fixed {
		if join {
			e.prev.x = n.buffers.take(n.images * e.prev.imageSize())
		}
		n.eachImage(func(lane lane, image int) {
			for p := 0; p < e.pixels(); p += gramPixels {
				m := min(gramPixels, e.pixels()-p)
				if join {
					e.prev.join(n.set, image, p, m)
				}
				x, stride := n.inputStrip(e, lane, image, p, m)
				n.addGram(e, lane, x, stride, m, lane.first && p == 0)
			}
		})
	}
	if err := n.finishForward(e); err != nil {
		return err
	}
	if e.fixed && e.round == nil {
		each(n.threads, e.blocks(), e.scaleBlock)
	}
	return nil
}

// scaleBlock makes an expansion's weights of block b of outputs with the normalisation.
func (l *layer) scaleBlock(b int) {
	nr := kernel.NR(l.Out, b)
	scale := l.scale[b*kernel.Block:][:nr]
	for i := range l.inputs() {
		from, to := l.packed[b][i*nr:][:nr], l.scaled[b][i*nr:][:nr]
		for c, s := range scale {
			to[c] = from[c] * s
		}
	}
}

// packScaled makes the weights for the input's gradient those of aW.
func (l *layer) packScaled(threads int) {
	k := l.In
	each(threads, l.blocks(), func(b int) {
		for o := b * kernel.Block; o < min(l.Out, (b+1)*kernel.Block); o++ {
			a := float32(float64(l.gamma.Value[o]) * l.invStd[o])
			row := l.values()[o*k:][:k]
			for i, dst := range l.transposed {
				nr := kernel.NR(k, i)
				from := row[i*kernel.Block : min(k, (i+1)*kernel.Block)]
				to := dst[o*nr:][:len(from)]
				for c, w := range from {
					to[c] = a * w
				}
			}
		}
	})
}

// backwardPair computes the gradients of the parameters of depthwise d and of the
// layer before it and, if wanted, the gradient at the input of the two.
func (n *network) backwardPair(d *layer, input bool) {
	e := d.prev
	d.finishGrad(n.threads)
	n.takeWeightGrads(d)
	n.takeWeightGrads(e)
	if input {
		n.takeGrad(e.prev)
		e.packScaled(n.threads)
	}
	n.eachImage(func(lane lane, image int) { n.pairImage(d, lane, image, input) })
	n.weightGrad(d)
	e.finishGrad(n.threads)
	n.weightGrad(e)
	if input {
		n.pairInput(e)
	}
	n.releaseLayer(d)
	n.releaseLayer(e)
}

// pairImage is the first pass over an image.
func (n *network) pairImage(d *layer, lane lane, image int, input bool) {
	e := d.prev
	g := lane.between
	for y := 0; y < d.side; y += d.pair {
		s := d.rows(y, d.pair)
		stride := s.pixels * kernel.Block
		for b := range d.blocks() {
			n.depthwiseGrads(d, lane, image, b, s, g[b*stride:][:stride])
		}
		x, xStride := n.inputStrip(e, lane, image, s.pixel, s.pixels)
		n.addWeightGrad(e, lane, x, xStride, g, s.pixels, lane.first && y == 0)
		if !input {
			continue
		}
		for b := range e.inBlocks() {
			a := kernel.Pointwise{
				Dst: e.prev.block(e.prev.grad, image, b, s.pixel), Src: g, W: e.transposed[b], Bias: n.zeros,
				Pixels: s.pixels, K: e.Out, SrcStride: stride, NR: kernel.NR(e.In, b),
				Next: lane.list(n.nextExpanded(d, lane, image, b, s, d.pair)),
			}
			if e.skip != nil {
				a.Add = e.skip.block(e.skip.skipGrad(), image, b, s.pixel)
			}
			n.set.Pointwise(a)
		}
	}
}

// completeGrad makes the gradient between output o and block j of inputs out of Σ gx', in
// place.
func (l *layer) completeGrad(row []float32, o, j int) {
	k := l.linear[o]
	if l.fixed {
		for i, v := range row {
			row[i] = float32(k.a * float64(v))
		}
		return
	}
	wc, sum := l.asActivation(l.gram.wc, j, o)[:len(row)], l.gram.sum[j*kernel.Block:][:len(row)]
	for i, v := range row {
		dw := k.a * float64(v)
		dw += k.b*float64(wc[i]) + k.c*sum[i]
		row[i] = float32(dw)
	}
}

// correctPixels is how much of the second pass is done in one go: it stays in the
// second-level cache.
const correctPixels = 1024

// pairInput is the second pass, over all images.
func (n *network) pairInput(e *layer) {
	kb := e.inBlocks()
	var m, bias []float32
	if !e.fixed {
		m, bias = n.inputCorrection(e)
	}
	prev := e.prev
	n.eachImage(func(lane lane, image int) {
		for b := range kb {
			w := lane.channels()
			for p := 0; p < prev.pixels(); p += correctPixels {
				pixels := min(correctPixels, prev.pixels()-p)
				g, y := prev.block(prev.grad, image, b, p), prev.block(prev.y, image, b, p)[:pixels*kernel.Block]
				if !e.fixed {
					n.set.Pointwise(kernel.Pointwise{
						Dst: g, Src: prev.x[image*prev.imageSize()+p*kernel.Block:], Add: g,
						W: m[b*kb*square:], Bias: bias[b*kernel.Block:],
						Pixels: pixels, K: e.In, SrcStride: prev.pixels() * kernel.Block, NR: kernel.NR(e.In, b),
						Next: n.nextCorrected(e, lane, image, b, p, y),
					})
				}
				prev.splitSum(g, image, b, p, pixels)
				prev.mask(n.set, w, b, g, y, nil, pixels, prev.ReLU6)
			}
			prev.addSums(lane, w, b)
		}
	})
	n.buffers.put(m)
}

// nextCorrected is y, which is read after pixels from p on of block b are corrected, and what
// is corrected then.
func (n *network) nextCorrected(e *layer, lane lane, image, b, p int, y []float32) [][]float32 {
	prev := e.prev
	if p += correctPixels; p >= prev.pixels() {
		b, p = b+1, 0
	}
	if b == e.inBlocks() {
		if image = lane.then; image == n.images {
			return lane.list(y)
		}
		b = 0
	}
	m := min(correctPixels, prev.pixels()-p) * kernel.Block
	return lane.list(y, prev.block(prev.grad, image, b, p)[:m], prev.block(prev.x, image, b, p)[:m])
}

// inputCorrection returns what the input's gradient lacks: the matrix W'bW in
// Pack's layout, [block][K][NR], times x, and a bias.
func (n *network) inputCorrection(e *layer) (m, bias []float32) {
	kb := e.inBlocks()
	bw := n.buffers.take(len(e.gram.w))
	m = n.buffers.take(kb * kb * square)
	bias = make([]float32, kb*kernel.Block)
	// Some channels of a block are a task, and a product of two blocks: blocks are few.
	const some = 8
	each(n.threads, kb*kernel.Block/some, func(task int) {
		j, first := task*some/kernel.Block, task*some%kernel.Block
		var sums [some]float64
		for o := range e.Out {
			k := e.linear[o]
			c := k.c - k.b*e.gram.mean[o]
			from, to := e.asActivation(e.gram.w, j, o)[first:][:some], e.asActivation(bw, j, o)[first:][:some]
			for i, w := range from {
				sums[i] += float64(w) * c
				to[i] = float32(k.b) * w
			}
		}
		for i, v := range sums {
			bias[j*kernel.Block+first+i] = float32(v)
		}
	})
	each(n.threads, kb*kb, func(task int) {
		j, i := task/kb, task%kb
		nr := kernel.NR(e.In, j)
		n.set.PointwiseGrad(kernel.PointwiseGrad{
			DW:  m[j*kb*square+i*kernel.Block*nr:],
			Src: e.gram.w[i*e.Out*kernel.Block:], Grad: bw[j*e.Out*kernel.Block:],
			Pixels: e.Out, K: min(kernel.Block, e.In-i*kernel.Block), NR: nr, First: true,
		})
	})
	n.buffers.put(bw)
	return m, bias
}
