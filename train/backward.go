package train

import "github.com/mobilenet-go/mobilenet/internal/kernel"

// backward computes the gradients of all parameters that are learned from that
// at the logits, [images][classes], and frees the step's activations.
func (n *network) backward(logits []float32) {
	last := len(n.layers) - 1
	features := n.head.backward(logits, n.frozen <= last)
	if n.frozen <= last {
		l := n.layers[last]
		l.grad = n.buffers.take(n.images * l.imageSize())
		n.eachImage(func(lane, image int) { n.spread(l, features, lane, image) })
	}
	for i := last; i >= n.frozen; i-- {
		n.backwardLayer(n.layers[i], i > n.frozen)
	}
	n.release()
}

// release frees what is left of a step.
func (n *network) release() {
	for _, l := range n.layers {
		n.buffers.put(l.y)
		n.buffers.put(l.x)
		n.buffers.put(l.grad)
		l.y, l.x, l.grad = nil, nil, nil
	}
}

// spread is the gradient of the average pool and the last ReLU6.
func (n *network) spread(l *layer, features []float32, lane, image int) {
	for b := range l.blocks() {
		g := l.block(l.grad, image, b, 0)
		f := features[(b*n.images+image)*kernel.Block:][:kernel.Block]
		for c, v := range f {
			g[c] = v / float32(l.pixels())
		}
		for p := 1; p < l.pixels(); p++ {
			copy(g[p*kernel.Block:][:kernel.Block], g[:kernel.Block])
		}
		l.norm.backward(n.set, lane, b, g, l.block(l.y, image, b, 0), l.pixels(), l.ReLU6)
	}
}

// backwardLayer computes the gradients of a layer's parameters and, unless it is
// the first that is learned, the gradient at its input.
func (n *network) backwardLayer(l *layer, input bool) {
	l.finishGrad()
	size := l.blocks() * kernel.Blocks(l.inputs()) * kernel.Block * kernel.Block
	if l.Depthwise() {
		size = l.blocks() * 9 * kernel.Block
	}
	for lane := range n.lanes() {
		l.dw[lane] = n.buffers.take(size)
	}
	if input {
		l.prev.grad = n.buffers.take(n.images * l.prev.imageSize())
	}
	each(n.threads, n.lanes(), func(lane int) {
		clear(l.dw[lane])
		begin, end := n.share(lane)
		for image := begin; image < end; image++ {
			if l.Depthwise() {
				n.backwardDepthwise(l, lane, image, input)
			} else {
				n.backwardPointwise(l, lane, image, input)
			}
		}
	})
	l.weightGrad(n.threads, n.lanes())
	for lane := range n.lanes() {
		n.buffers.put(l.dw[lane])
		l.dw[lane] = nil
	}
	n.buffers.put(l.y)
	n.buffers.put(l.x)
	l.y, l.x = nil, nil
	if l.residual == nil { // otherwise the block's first layer reads it yet
		n.buffers.put(l.grad)
		l.grad = nil
	}
	if l.skip != nil {
		n.buffers.put(l.skip.grad)
		l.skip.grad = nil
	}
}

func (n *network) backwardPointwise(l *layer, lane, image int, input bool) {
	kb := kernel.Blocks(l.inputs())
	for p := 0; p < l.pixels(); p += l.strip {
		m := min(l.strip, l.pixels()-p)
		dy := n.scratch[lane].dy
		for b := range l.blocks() {
			l.inputGrad(n.set, b, dy[b*m*kernel.Block:], l.block(l.grad, image, b, p), l.block(l.y, image, b, p), m)
		}
		var in []float32
		var stride int
		if l.prev == nil {
			in = n.scratch[lane].in
			n.patches(l, in, image, p, m)
		} else {
			in, stride = n.inputStrip(l, lane, image, p, m)
		}
		for b := range l.blocks() {
			nr := kernel.NR(l.Out, b)
			for k := range kb {
				n.set.PointwiseGrad(kernel.PointwiseGrad{
					DW:  l.dw[lane][(b*kb+k)*kernel.Block*kernel.Block:],
					Src: in[k*stride:], Grad: dy[b*m*kernel.Block:],
					Pixels: m, K: min(kernel.Block, l.inputs()-k*kernel.Block), NR: nr,
				})
			}
		}
		if input {
			n.pointwiseInput(l, lane, image, p, m, dy)
		}
	}
}

// pointwiseInput computes pixels [p, p+m) of the gradient at a pointwise layer's
// input.
func (n *network) pointwiseInput(l *layer, lane, image, p, m int, dy []float32) {
	for b := range l.inBlocks() {
		g := l.prev.block(l.prev.grad, image, b, p)
		a := kernel.Pointwise{
			Dst: g, Src: dy, W: l.transposed[b], Bias: n.zeros,
			Pixels: m, K: l.Out, SrcStride: m * kernel.Block, NR: kernel.NR(l.In, b),
		}
		if l.skip != nil {
			a.Add = l.skip.block(l.skip.grad, image, b, p)
		}
		n.set.Pointwise(a)
		l.prev.norm.backward(n.set, lane, b, g, l.prev.block(l.prev.y, image, b, p), m, l.prev.ReLU6)
	}
}

func (n *network) backwardDepthwise(l *layer, lane, image int, input bool) {
	for b := range l.blocks() {
		flipped := l.flipped(b)
		for y := 0; y < l.side; y += l.strip {
			m := min(l.strip, l.side-y)
			// The rows before and behind the strip count for the input's gradient.
			begin, end := max(0, y-1), min(l.side, y+m+1)
			dy := n.scratch[lane].dy
			l.inputGrad(n.set, b, dy, l.block(l.grad, image, b, begin*l.side), l.block(l.y, image, b, begin*l.side), (end-begin)*l.side)
			row := l.side * kernel.Block
			rows := n.inputRows(l, lane, image, b, y, m)
			for i := range m {
				a := kernel.DepthwiseGrad{
					DW: l.dw[lane][b*9*kernel.Block:], Grad: dy[(y+i-begin)*row:][:row],
					Width: l.side, Stride: l.Stride, NR: kernel.NR(l.Out, b),
				}
				for j := range a.Rows {
					a.Rows[j] = rows(i*l.Stride + j)[(1-l.padBefore)*kernel.Block:]
				}
				n.set.DepthwiseGrad(a)
			}
			if input {
				n.depthwiseInput(l, lane, image, b, flipped[:], dy, begin, end, y, m)
			}
		}
	}
}

// depthwiseInput computes the gradient at the input rows under output rows
// [y, y+m): the convolution of the output's gradient, rows [begin, end) in dy,
// with the flipped kernel. At stride 2 the gradient is spread out first, with
// zeros between.
func (n *network) depthwiseInput(l *layer, lane, image, b int, flipped, dy []float32, begin, end, y, m int) {
	row := l.inSide * kernel.Block
	from, shift := dy, 0
	if l.Stride == 2 {
		from, shift = n.scratch[lane].dilated, 1-l.padBefore
		l.dilate(from, dy, end-begin, shift)
	}
	at := func(r int) []float32 {
		r -= shift
		if r%l.Stride != 0 || r < begin*l.Stride || r >= end*l.Stride {
			return n.zeros[:row]
		}
		return from[(r/l.Stride-begin)*row:][:row]
	}
	first, last := y*l.Stride, min(l.inSide, (y+m)*l.Stride)
	for r := first; r < last; r++ {
		n.set.Depthwise(kernel.Depthwise{
			Dst:  l.prev.block(l.prev.grad, image, b, r*l.inSide),
			Rows: [3][]float32{at(r - 1), at(r), at(r + 1)},
			W:    flipped, Bias: n.zeros, Width: l.inSide, Stride: 1, Left: 1, NR: kernel.NR(l.Out, b),
		})
	}
	g, pixels := l.prev.block(l.prev.grad, image, b, first*l.inSide), (last-first)*l.inSide
	if l.skip != nil {
		for i, v := range l.skip.block(l.skip.grad, image, b, first*l.inSide)[:pixels*kernel.Block] {
			g[i] += v
		}
	}
	l.prev.norm.backward(n.set, lane, b, g, l.prev.block(l.prev.y, image, b, first*l.inSide), pixels, l.prev.ReLU6)
}

// dilate writes rows of dy with zeros between the pixels.
func (l *layer) dilate(dst, dy []float32, rows, shift int) {
	row := l.inSide * kernel.Block
	for i := range rows {
		to := dst[i*row:][:row]
		clear(to)
		for x := range l.side {
			if at := 2*x + shift; at < l.inSide {
				copy(to[at*kernel.Block:][:kernel.Block], dy[(i*l.side+x)*kernel.Block:])
			}
		}
	}
}
