package train

import (
	"fmt"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// forward computes the logits [images][classes] of a batch, input [images][H][W][3].
// mask multiplies the classifier's input, [images][features]; nil for none.
func (n *network) forward(input []float32, images int, mask []float32) ([]float32, error) {
	n.images, n.input = images, input
	if n.ranges != nil {
		n.input = n.roundInput(input)
	}
	if err := n.forwardLayers(n.layers); err != nil {
		return nil, err
	}
	n.pool()
	return n.head.forward(images, mask), nil
}

// forwardLayers runs layer after layer over the whole batch, not image after image:
// the statistics of a layer are known only when all images have been through it.
func (n *network) forwardLayers(layers []*layer) error {
	n.later = nil // of a step that failed
	for i, l := range layers {
		if i == 0 {
			n.packLater(l) // the weights have changed since the last step
		}
		n.finishLater()
		if i+1 < len(layers) {
			n.packLater(layers[i+1])
		}
		l.begin(n.lanes())
		if err := n.forwardLayer(l, i > 0 && l.joins()); err != nil {
			return fmt.Errorf("layer %w", err)
		}
		if l.ends && (i+1 == len(layers) || !layers[i+1].joins()) {
			l.x = n.buffers.take(n.images * l.imageSize())
			n.eachImage(func(_ lane, image int) { l.join(n.set, image, 0, l.pixels()) })
		}
	}
	return nil
}

// forwardLayer leaves l.y and its normalisation, and if join the x of the layer before it.
func (n *network) forwardLayer(l *layer, join bool) error {
	if l.paired && l.prev != nil {
		return n.forwardExpansion(l, join) // which is not stored at all, see pairs
	}
	l.y = n.buffers.take(n.images * l.imageSize())
	n.eachImage(func(lane lane, image int) {
		switch {
		case l.prev == nil:
			n.forwardFirst(l, lane, image)
		case l.Depthwise():
			n.forwardDepthwise(l, lane, image)
		default:
			n.forwardPointwise(l, lane, image)
		}
	})
	return n.finishForward(l)
}

// finishForward makes the normalisation out of what the lanes have observed.
func (n *network) finishForward(l *layer) error {
	count := n.images * l.pixels()
	switch {
	case l.fixed:
		l.fix()
		return nil
	case l.paired:
		return n.finishGram(l, count)
	}
	for i := range l.moments {
		l.moments[i].n = float64(l.seen[i])
	}
	return l.finish(n.threads, count, l.merged)
}

// observeAll adds all blocks of pixels [p, p+m) of an image's y to the moments, part by
// part.
func (l *layer) observeAll(set *kernel.Set, lane lane, image, p, m int) {
	if l.fixed {
		return
	}
	for end := p + m; p < end; p += l.part {
		m := min(l.part, end-p)
		for b := range l.blocks() {
			l.observe(set, lane, b, l.block(l.y, image, b, p), m, l.seen[lane.number])
		}
		l.seen[lane.number] += m
	}
}

// forwardFirst gathers 3x3 patches, so that the first convolution is a matrix product
// like the pointwise ones: 27 inputs are too few for a kernel of its own.
func (n *network) forwardFirst(l *layer, lane lane, image int) {
	for p := 0; p < l.pixels(); p += l.strip {
		m := min(l.strip, l.pixels()-p)
		in, stride := n.inputStrip(l, lane, image, p, m)
		n.multiply(l, lane, in, stride, image, p, m)
		if !l.paired {
			l.observeAll(n.set, lane, image, p, m)
		} else if !l.fixed {
			n.addGram(l, lane, in, stride, m, lane.first && p == 0)
		}
	}
}

// patches writes the 27 values under the kernel at output pixels [p, p+m) to
// dst, [m][32].
func (n *network) patches(l *layer, dst []float32, image, p, m int) {
	side := l.inSide
	photo := n.input[image*side*side*3:][:side*side*3]
	oy, ox := p/l.side, p%l.side
	for i := range m {
		patch := (*[27]float32)(dst[i*kernel.Block:])
		y, x := oy*l.Stride-l.padBefore, ox*l.Stride-l.padBefore
		if y >= 0 && x >= 0 && y+3 <= side && x+3 <= side {
			at := (y*side + x) * 3
			copyNine((*[9]float32)(patch[0:]), (*[9]float32)(photo[at:]))
			copyNine((*[9]float32)(patch[9:]), (*[9]float32)(photo[at+3*side:]))
			copyNine((*[9]float32)(patch[18:]), (*[9]float32)(photo[at+6*side:]))
		} else {
			edgePatch(patch, photo, side, y, x)
		}
		if ox++; ox == l.side {
			oy, ox = oy+1, 0
		}
	}
}

// copyNine goes one by one: arrays and slices of 9, which might overlap, are copied by a
// call that takes three times as long.
func copyNine(to, from *[9]float32) {
	to[0], to[1], to[2] = from[0], from[1], from[2]
	to[3], to[4], to[5] = from[3], from[4], from[5]
	to[6], to[7], to[8] = from[6], from[7], from[8]
}

// edgePatch is the patch from row y and column x of a photo on, with zeros outside.
func edgePatch(patch *[27]float32, photo []float32, side, y, x int) {
	clear(patch[:])
	begin, end := max(0, x), min(side, x+3)
	for j := max(0, -y); j < min(3, side-y); j++ {
		copy(patch[9*j+3*(begin-x):], photo[((y+j)*side+begin)*3:((y+j)*side+end)*3])
	}
}

// multiply is the matrix product of pixels [p, p+m) for all output blocks.
func (n *network) multiply(l *layer, lane lane, in []float32, stride, image, p, m int) {
	for b := range l.blocks() {
		n.set.Pointwise(kernel.Pointwise{
			Dst: l.block(l.y, image, b, p), Src: in, W: l.packed[b], Bias: n.zeros,
			Pixels: m, K: l.inputs(), SrcStride: stride, NR: kernel.NR(l.Out, b),
			Next: n.nextInputs(l, lane, image, b, p),
		})
	}
}

// nextInputs is what output block b's product can fetch of the strip behind that from
// pixel p on: its share of the input's blocks.
func (n *network) nextInputs(l *layer, lane lane, image, b, p int) [][]float32 {
	image, p, m := n.nextStrip(l, lane, image, p)
	if l.prev == nil || m == 0 {
		return nil
	}
	from := l.prev.x
	if from == nil {
		from = l.prev.y
	}
	next := lane.next[:0]
	for i := b * l.inBlocks() / l.blocks(); i < (b+1)*l.inBlocks()/l.blocks(); i++ {
		next = append(next, l.prev.block(from, image, i, p)[:m*kernel.Block])
	}
	lane.next = next
	return next
}

// nextStrip is the strip behind that from pixel p on, which may be the next image's
// first: m pixels, or none.
func (n *network) nextStrip(l *layer, lane lane, image, p int) (nextImage, next, m int) {
	if p += l.strip; p >= l.pixels() {
		image, p = lane.then, 0
	}
	if image >= n.images {
		return 0, 0, 0
	}
	return image, p, min(l.strip, l.pixels()-p)
}

// forwardPointwise observes what it has just computed, while it is in the cache.
func (n *network) forwardPointwise(l *layer, lane lane, image int) {
	for p := 0; p < l.pixels(); p += l.strip {
		m := min(l.strip, l.pixels()-p)
		in, stride := n.inputStrip(l, lane, image, p, m)
		n.multiply(l, lane, in, stride, image, p, m)
		l.observeAll(n.set, lane, image, p, m)
	}
}

// inputStrip returns pixels [p, p+m) of the input of a layer that is no depthwise
// one, blocks stride floats apart.
func (n *network) inputStrip(l *layer, lane lane, image, p, m int) (in []float32, stride int) {
	in = lane.in
	if l.prev == nil {
		n.patches(l, in, image, p, m)
		return in, 0
	}
	if l.prev.x != nil { // stored: no copy
		return l.prev.x[image*l.prev.imageSize()+p*kernel.Block:], l.prev.pixels() * kernel.Block
	}
	stride = m * kernel.Block
	for b := range l.inBlocks() {
		l.prev.activation(n.set, in[b*stride:], image, b, p, m)
	}
	return in, stride
}

// forwardDepthwise works block by block within a strip of rows, so that the rows that
// three output rows share are normalised once.
func (n *network) forwardDepthwise(l *layer, lane lane, image int) {
	for y := 0; y < l.side; y += l.strip {
		s := l.rows(y, l.strip)
		for b := range l.blocks() {
			rows := n.underRows(l, lane, s, n.activationRows(l, lane, image, b, s))
			n.set.Depthwise(kernel.Depthwise{
				Dst: l.block(l.y, image, b, y*l.side), Rows: rows, W: l.packed[b], Bias: n.zeros,
				Width: l.inSide, Stride: l.Stride, Left: l.padBefore, NR: kernel.NR(l.Out, b),
			})
			if !l.fixed {
				l.observe(n.set, lane, b, l.block(l.y, image, b, y*l.side), s.m*l.side, l.seen[lane.number])
			}
		}
		l.seen[lane.number] += s.m * l.side
	}
}

// activationRows returns block b of the input of depthwise l under a strip.
func (n *network) activationRows(l *layer, lane lane, image, b int, s rowStrip) []float32 {
	e, dst := l.prev, lane.in
	p, m := s.above*l.inSide, (s.below-s.above)*l.inSide
	switch {
	case e.x != nil:
		return e.block(e.x, image, b, p)
	case e.y != nil:
		e.activation(n.set, dst, image, b, p, m)
	case e.round != nil:
		raw, from := n.rawRows(l, lane, image, b, s)
		e.affine(n.set, b, dst, raw[(s.above-from)*l.inSide*kernel.Block:], nil, m, e.ReLU6)
	default: // an expansion of a pair: computed again from the block's input, which is less to read
		n.set.Pointwise(kernel.Pointwise{
			Dst: dst, Src: e.prev.x[image*e.prev.imageSize()+p*kernel.Block:], W: e.scaled[b], Bias: e.shift[b*kernel.Block:],
			Pixels: m, K: e.In, SrcStride: e.prev.pixels() * kernel.Block, NR: kernel.NR(e.Out, b), ReLU6: e.ReLU6,
			Next: n.nextExpansion(l, lane, image, b, s),
		})
	}
	return dst
}

// nextExpansion is what is written behind block b of an expansion, and its share of the
// input of the strip behind that.
func (n *network) nextExpansion(l *layer, lane lane, image, b int, s rowStrip) [][]float32 {
	next := append(lane.next[:0], l.block(l.y, image, b, s.y*l.side)[:s.m*l.side*kernel.Block])
	kb := l.prev.inBlocks()
	for i := b * kb / l.blocks(); i < (b+1)*kb/l.blocks(); i++ {
		next = append(next, n.nextExpanded(l, lane, image, i, s, l.strip))
	}
	lane.next = next
	return next
}

// pool averages the last layer's activation into the head's input.
func (n *network) pool() {
	l := n.layers[len(n.layers)-1]
	n.head.begin(n.images)
	if n.ranges != nil {
		grow(&n.pooled, l.blocks()*n.images*kernel.Block)
	}
	// Strip by strip: the activation of a whole map does not fit into a lane's scratch.
	n.eachImage(func(lane lane, image int) {
		var sum [kernel.Block]float32
		for b := range l.blocks() {
			if n.ranges != nil {
				n.poolRounded(l, image, b, lane.in)
				continue
			}
			dst := n.head.feature(b, image)
			clear(dst)
			for p := 0; p < l.pixels(); p += l.part {
				m := min(l.part, l.pixels()-p)
				h := lane.in
				l.activation(n.set, h, image, b, p, m)
				n.set.Pool(kernel.Pool{Dst: sum[:], Src: h, Pixels: m})
				for c, v := range sum {
					dst[c] += v * float32(m) / float32(l.pixels())
				}
			}
		}
	})
}
