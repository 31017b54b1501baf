package train

import "github.com/mobilenet-go/mobilenet/internal/kernel"

// backward computes the gradients of all parameters that are learned from that
// at the logits, [images][classes], and frees the step's activations.
func (n *network) backward(logits []float32) {
	last := len(n.layers) - 1
	features := n.head.backward(logits, n.frozen <= last)
	if n.frozen <= last {
		l := n.layers[last]
		n.takeGrad(l)
		n.eachImage(func(lane lane, image int) { n.spread(l, features, lane, image) })
	}
	for i := last; i >= n.frozen; i-- {
		l := n.layers[i]
		if i > n.frozen && l.pairs() {
			i--
			n.backwardPair(l, i > n.frozen)
		} else {
			n.backwardLayer(l, i > n.frozen)
		}
	}
	n.finishLater()
	n.release()
	if n.ranges != nil {
		n.asNumbers()
	}
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
func (n *network) spread(l *layer, features []float32, lane lane, image int) {
	for b := range l.blocks() {
		g := l.block(l.grad, image, b, 0)
		f := features[(b*n.images+image)*kernel.Block:][:kernel.Block]
		for c, v := range f {
			g[c] = v / float32(l.pixels())
			if n.ranges != nil {
				g[c] = n.spreadRounded(v, b, image, c)
			}
		}
		for p := 1; p < l.pixels(); p++ {
			copy(g[p*kernel.Block:][:kernel.Block], g[:kernel.Block])
		}
		l.norm.backward(n.set, lane, b, g, l.block(l.y, image, b, 0), nil, l.pixels(), l.ReLU6)
	}
}

// backwardLayer computes the gradients of a layer's parameters and, unless it is
// the first that is learned, the gradient at its input.
func (n *network) backwardLayer(l *layer, input bool) {
	l.finishGrad(n.threads)
	n.takeWeightGrads(l)
	if input {
		n.takeGrad(l.prev)
	}
	n.eachImage(func(lane lane, image int) {
		if l.Depthwise() {
			n.backwardDepthwise(l, lane, image, input)
		} else {
			n.backwardPointwise(l, lane, image, input)
		}
	})
	n.weightGrad(l)
	n.releaseLayer(l)
}

// releaseLayer frees what nothing needs after a layer's backward pass.
func (n *network) releaseLayer(l *layer) {
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
		if l.round != nil {
			n.buffers.put(l.skip.round.sum.grad)
			l.skip.round.sum.grad = nil
		}
	}
}

func (n *network) backwardPointwise(l *layer, lane lane, image int, input bool) {
	for p := 0; p < l.pixels(); p += l.strip {
		m := min(l.strip, l.pixels()-p)
		dy := lane.dy
		for b := range l.blocks() {
			l.inputGrad(n.set, b, dy[b*m*kernel.Block:], l.block(l.grad, image, b, p), l.block(l.y, image, b, p), m)
		}
		in, stride := lane.in, m*kernel.Block
		if !input || !l.prev.returns() {
			in, stride = n.inputStrip(l, lane, image, p, m)
		}
		if input {
			n.pointwiseInput(l, lane, image, p, m, dy)
		}
		n.addWeightGrad(l, lane, in, stride, dy, m, lane.first && p == 0)
	}
}

// addWeightGrad adds the product of a strip's inputs, blocks stride floats apart,
// and its output's gradient dy to the gradient of a pointwise layer's weights. The first
// product is written, not added.
func (n *network) addWeightGrad(l *layer, lane lane, in []float32, stride int, dy []float32, pixels int, first bool) {
	kb := kernel.Blocks(l.inputs())
	for b := range l.blocks() {
		for k := range kb {
			n.set.PointwiseGrad(kernel.PointwiseGrad{
				DW:  l.dw[lane.number][(b*kb+k)*kernel.Block*kernel.Block:],
				Src: in[k*stride:], Grad: dy[b*pixels*kernel.Block:],
				Pixels: pixels, K: min(kernel.Block, l.inputs()-k*kernel.Block), NR: kernel.NR(l.Out, b), First: first,
			})
		}
	}
}

// pointwiseInput computes pixels [p, p+m) of the gradient at a pointwise layer's
// input, and in lane.in the input itself where that comes with it.
func (n *network) pointwiseInput(l *layer, lane lane, image, p, m int, dy []float32) {
	for b := range l.inBlocks() {
		g := l.prev.block(l.prev.grad, image, b, p)
		a := kernel.Pointwise{
			Dst: g, Src: dy, W: l.transposed[b], Bias: n.zeros,
			Pixels: m, K: l.Out, SrcStride: m * kernel.Block, NR: kernel.NR(l.In, b),
		}
		a.Next = n.nextOutputs(l, lane, image, b, p, m)
		if l.skip != nil {
			a.Add = l.skip.block(l.skip.skipGrad(), image, b, p)
		}
		n.set.Pointwise(a)
		y := l.prev.block(l.prev.y, image, b, p)
		var h []float32
		if l.prev.returns() {
			h = lane.in[b*m*kernel.Block:][:m*kernel.Block]
		}
		for i := 0; i < m; i += l.part {
			at := i * kernel.Block
			n.backNorm(l.prev, lane, image, b, g[at:], y[at:], h[min(len(h), at):], p+i, min(l.part, m-i))
		}
	}
}

// nextOutputs is what pointwiseInput can fetch while it computes block b of the strip from
// pixel p on: what it writes to next, and its share of what the strip behind that reads.
func (n *network) nextOutputs(l *layer, lane lane, image, b, p, m int) [][]float32 {
	next := lane.next[:0]
	left := l.inBlocks() - 1 - b
	if left > 0 {
		next = append(next, l.prev.block(l.prev.grad, image, b+1, p)[:m*kernel.Block])
	}
	if image, p, m := n.nextStrip(l, lane, image, p); m > 0 {
		next = append(next, l.prev.block(l.prev.y, image, b, p)[:m*kernel.Block])
		if left < l.blocks() {
			next = append(next, l.block(l.grad, image, left, p)[:m*kernel.Block], l.block(l.y, image, left, p)[:m*kernel.Block])
		}
	}
	lane.next = next
	return next
}

// backwardDepthwise is for the depthwise convolutions that are not the second of
// a pair.
func (n *network) backwardDepthwise(l *layer, lane lane, image int, input bool) {
	for b := range l.blocks() {
		for y := 0; y < l.side; y += l.strip {
			s := l.rows(y, l.strip)
			var g []float32
			if input {
				g = l.prev.block(l.prev.grad, image, b, s.pixel)[:s.pixels*kernel.Block]
			}
			n.depthwiseGrads(l, lane, image, b, s, g)
		}
	}
}

// A rowStrip is some output rows of a depthwise convolution and what belongs to
// them.
type rowStrip struct {
	y, m          int // output rows [y, y+m)
	begin, end    int // and those before and behind, which count for the input's gradient
	above, below  int // input rows [above, below) under the kernel
	pixel, pixels int // input pixels that the strip lies over, Stride rows for each: the first, and how many
}

// rows is the strip of up to m rows from output row y on.
func (l *layer) rows(y, m int) rowStrip {
	m = min(m, l.side-y)
	s := rowStrip{y: y, m: m, begin: max(0, y-1), end: min(l.side, y+m+1)}
	s.above = max(0, y*l.Stride-l.padBefore)
	s.below = min(l.inSide, (y+m-1)*l.Stride-l.padBefore+3)
	first, last := y*l.Stride, min(l.inSide, (y+m)*l.Stride)
	s.pixel, s.pixels = first*l.inSide, (last-first)*l.inSide
	return s
}

// gradRow is a row of the gradient at a depthwise convolution's output, in floats. At
// stride 2 a column of zeros is behind it, see kernel.DepthwiseTransposed.
func (l *layer) gradRow() int { return (l.side + l.Stride - 1) * kernel.Block }

// depthwiseGrads adds a strip's part of the gradient of block b's weights and,
// unless g is nil, writes to it the gradient at the output of the normalisation
// before l.
func (n *network) depthwiseGrads(l *layer, lane lane, image, b int, s rowStrip, g []float32) {
	row := l.gradRow()
	dy := lane.dy
	if l.Stride == 1 {
		l.inputGrad(n.set, b, dy, l.block(l.grad, image, b, s.begin*l.side), l.block(l.y, image, b, s.begin*l.side), (s.end-s.begin)*l.side)
	} else {
		for y := s.begin; y < s.end; y++ {
			r := dy[(y-s.begin)*row:][:row]
			l.inputGrad(n.set, b, r, l.block(l.grad, image, b, y*l.side), l.block(l.y, image, b, y*l.side), l.side)
			clear(r[row-kernel.Block:])
		}
	}
	raw, from := n.rawRows(l, lane, image, b, s)
	above := raw[(s.above-from)*l.inSide*kernel.Block:]
	var in []float32
	if g == nil || !l.prev.returns() {
		in = n.activationOf(l, lane, image, b, s, above)
	} else {
		in = n.activationAround(l, lane, b, s, above)
	}
	if g != nil {
		n.depthwiseInput(l, lane, b, s, g, dy)
		if l.skip != nil {
			for i, v := range l.skip.block(l.skip.skipGrad(), image, b, s.pixel)[:len(g)] {
				g[i] += v
			}
		}
		n.stripNorm(l, lane, image, b, s, g, raw[s.pixel*kernel.Block-from*l.inSide*kernel.Block:], in)
	}
	dw := l.dw[lane.number][b*9*kernel.Block:][:9*kernel.Block]
	if lane.first && s.y == 0 {
		clear(dw)
	}
	n.set.DepthwiseGrad(kernel.DepthwiseGrad{
		DW: dw, Grad: dy[(s.y-s.begin)*row:], Pitch: row / kernel.Block,
		Rows:  n.underRows(l, lane, s, in),
		Width: l.inSide, Stride: l.Stride, Left: l.padBefore, NR: kernel.NR(l.Out, b),
	})
}

// stripNorm is backNorm for the pixels that a strip of depthwise l lies over, part by part,
// where in is the rows under its kernels.
func (n *network) stripNorm(l *layer, lane lane, image, b int, s rowStrip, g, y, in []float32) {
	var h []float32
	if l.prev.returns() {
		h = in[(s.pixel-s.above*l.inSide)*kernel.Block:]
	}
	for p := 0; p < s.pixels; p += l.part {
		at := p * kernel.Block
		n.backNorm(l.prev, lane, image, b, g[at:], y[at:], h[min(len(h), at):], s.pixel+p, min(l.part, s.pixels-p))
	}
}

// rawRows returns the rows of block b of the convolution before depthwise l that a
// strip's backward pass needs, from row from on. Unless they are stored they are
// computed again.
func (n *network) rawRows(l *layer, lane lane, image, b int, s rowStrip) (raw []float32, from int) {
	e := l.prev
	if e.y != nil {
		return e.block(e.y, image, b, 0), 0
	}
	first, last := s.pixel/l.inSide, (s.pixel+s.pixels)/l.inSide
	from, to := min(s.above, first), max(s.below, last)
	raw = lane.raw
	n.set.Pointwise(kernel.Pointwise{
		Dst: raw, Src: e.prev.x[image*e.prev.imageSize()+from*l.inSide*kernel.Block:], W: e.packed[b], Bias: n.zeros,
		Pixels: (to - from) * l.inSide, K: e.In, SrcStride: e.prev.pixels() * kernel.Block, NR: kernel.NR(e.Out, b),
		Next: n.nextGrads(l, lane, image, b, s),
	})
	return raw, from
}

// nextGrads is what inputGrad reads for the block behind b of a pair's strip.
func (n *network) nextGrads(l *layer, lane lane, image, b int, s rowStrip) [][]float32 {
	if l.grad == nil {
		return nil
	}
	if b++; b == l.blocks() {
		var ok bool
		if image, s, ok = n.nextRows(l, lane, image, s, l.pair); !ok {
			return nil
		}
		b = 0
	}
	p, m := s.begin*l.side, (s.end-s.begin)*l.side*kernel.Block
	return lane.list(l.block(l.grad, image, b, p)[:m], l.block(l.y, image, b, p)[:m])
}

// nextRows is the strip of up to m rows behind s, which may be the next image's first, if
// there is one.
func (n *network) nextRows(l *layer, lane lane, image int, s rowStrip, m int) (nextImage int, next rowStrip, ok bool) {
	y := s.y + s.m
	if y == l.side {
		image, y = lane.then, 0
	}
	if image == n.images {
		return 0, rowStrip{}, false
	}
	return image, l.rows(y, m), true
}

// nextExpanded is block b of the input of the expansion before depthwise l, for the strip
// of up to m rows behind s.
func (n *network) nextExpanded(l *layer, lane lane, image, b int, s rowStrip, m int) []float32 {
	image, s, ok := n.nextRows(l, lane, image, s, m)
	if !ok {
		return nil
	}
	x := l.prev.prev
	return x.block(x.x, image, b, s.above*l.inSide)[:(s.below-s.above)*l.inSide*kernel.Block]
}

// activationOf returns block b of the input of depthwise l under a strip, where raw is
// the convolution before l from the strip's first row on.
func (n *network) activationOf(l *layer, lane lane, image, b int, s rowStrip, raw []float32) []float32 {
	e := l.prev
	if e.x != nil {
		return e.block(e.x, image, b, s.above*l.inSide)
	}
	e.affine(n.set, b, lane.in, raw, nil, (s.below-s.above)*l.inSide, e.ReLU6)
	return lane.in
}

// activationAround is activationOf without the pixels that the strip lies over, which come
// with their gradient: those above and below, which its kernels reach.
func (n *network) activationAround(l *layer, lane lane, b int, s rowStrip, raw []float32) []float32 {
	rows := func(begin, end int) {
		begin, end = (begin-s.above*l.inSide)*kernel.Block, (end-s.above*l.inSide)*kernel.Block
		if begin < end {
			l.prev.affine(n.set, b, lane.in[begin:], raw[begin:], nil, (end-begin)/kernel.Block, l.prev.ReLU6)
		}
	}
	rows(s.above*l.inSide, s.pixel)
	rows(s.pixel+s.pixels, s.below*l.inSide)
	return lane.in
}

// underRows are the rows of in, the input of depthwise l, that are under a strip: zeros
// outside of the image.
func (n *network) underRows(l *layer, lane lane, s rowStrip, in []float32) [][]float32 {
	row := l.inSide * kernel.Block
	rows := lane.rows[:(s.m-1)*l.Stride+3]
	for j := range rows {
		rows[j] = n.zeros[:row]
		if y := s.y*l.Stride - l.padBefore + j; y >= s.above && y < s.below {
			rows[j] = in[(y-s.above)*row:][:row]
		}
	}
	return rows
}

// depthwiseInput computes the gradient g at a strip's input from that at the
// output, rows [begin, end) in dy.
func (n *network) depthwiseInput(l *layer, lane lane, b int, s rowStrip, g, dy []float32) {
	row := l.gradRow()
	at := func(y int) []float32 {
		if y < s.begin || y >= s.end {
			return n.zeros[:row]
		}
		return dy[(y-s.begin)*row:][:row]
	}
	first, count := s.pixel/l.inSide, s.pixels/l.inSide
	if l.Stride == 2 {
		for y := range count {
			n.transposedRow(l, b, first+y, g[y*l.inSide*kernel.Block:][:l.inSide*kernel.Block], at)
		}
		return
	}
	rows := lane.rows[:count+2]
	for j := range rows {
		rows[j] = at(first - 1 + j)
	}
	n.set.Depthwise(kernel.Depthwise{
		Dst: g, Rows: rows, W: l.transposed[b], Bias: n.zeros,
		Width: l.inSide, Stride: 1, Left: 1, NR: kernel.NR(l.Out, b),
	})
}

// transposedRow is row y of the gradient at the input of a convolution at stride
// 2. Rows under the middle of the kernel belong to one output row, those between
// to two.
func (n *network) transposedRow(l *layer, b, y int, dst []float32, at func(y int) []float32) {
	nr := kernel.NR(l.Out, b)
	w := func(row int) []float32 { return l.packed[b][3*row*nr:][:3*nr] }
	y += l.padBefore - 1
	a := kernel.DepthwiseTransposed{Width: l.inSide - 1 + l.padBefore, NR: nr}
	if y%2 == 0 {
		a.Rows, a.W = [2][]float32{at(y / 2), n.zeros}, [2][]float32{w(1), w(1)}
	} else {
		above := (y+1)/2 - 1
		a.Rows, a.W = [2][]float32{at(above), at(above + 1)}, [2][]float32{w(2), w(0)}
	}
	if l.padBefore == 0 { // the first column is none under the middle
		for c := range nr {
			dst[c] = a.Rows[0][c]*a.W[0][c] + a.Rows[1][c]*a.W[1][c]
		}
		dst = dst[kernel.Block:]
	}
	a.Dst = dst
	n.set.DepthwiseTransposed(a)
}
