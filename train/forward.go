package train

import (
	"fmt"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// forward computes the logits [images][classes] of a batch, input [images][H][W][3].
// mask multiplies the classifier's input, [images][features]; nil for none.
func (n *network) forward(input []float32, images int, mask []float32) ([]float32, error) {
	n.images, n.input = images, input
	for _, l := range n.layers {
		l.pack(n.threads)
		l.y = n.buffers.take(images * l.imageSize())
		l.norm.reset()
		clear(l.seen[:])
		n.eachImage(func(lane, image int) {
			switch {
			case l.prev == nil:
				n.forwardFirst(l, lane, image)
			case l.Depthwise():
				n.forwardDepthwise(l, lane, image)
			default:
				n.forwardPointwise(l, lane, image)
			}
		})
		if err := l.finishForward(images); err != nil {
			return nil, err
		}
		if l.ends {
			l.x = n.buffers.take(images * l.imageSize())
			n.eachImage(func(_, image int) { l.join(n.set, image) })
		}
	}
	n.pool()
	return n.head.forward(images, mask), nil
}

func (l *layer) finishForward(images int) error {
	if l.fixed {
		l.fix()
		return nil
	}
	for lane := range lanes {
		l.moments[lane].n = float64(l.seen[lane])
	}
	if err := l.finish(images * l.pixels()); err != nil {
		return fmt.Errorf("layer %w", err)
	}
	return nil
}

// observeAll adds all blocks of pixels [p, p+m) of an image's y to the moments.
func (l *layer) observeAll(set *kernel.Set, lane, image, p, m int) {
	if l.fixed {
		return
	}
	for b := range l.blocks() {
		l.observe(set, lane, b, l.block(l.y, image, b, p), m, l.seen[lane])
	}
	l.seen[lane] += m
}

func (n *network) forwardFirst(l *layer, lane, image int) {
	in := n.scratch[lane].in
	for p := 0; p < l.pixels(); p += l.strip {
		m := min(l.strip, l.pixels()-p)
		n.patches(l, in, image, p, m)
		n.multiply(l, in, 0, image, p, m)
		l.observeAll(n.set, lane, image, p, m)
	}
}

// patches writes the 27 values under the kernel at output pixels [p, p+m) to
// dst, [m][32].
func (n *network) patches(l *layer, dst []float32, image, p, m int) {
	side := l.inSide
	photo := n.input[image*side*side*3:][:side*side*3]
	for i := range m {
		oy, ox := (p+i)/l.side, (p+i)%l.side
		patch := dst[i*kernel.Block:][:27]
		x := ox*l.Stride - l.padBefore
		for j := range 3 {
			y := oy*l.Stride - l.padBefore + j
			row := patch[9*j:][:9]
			if y < 0 || y >= side {
				clear(row)
				continue
			}
			begin, end := max(0, x), min(side, x+3)
			if end-begin < 3 {
				clear(row)
			}
			copy(row[3*(begin-x):], photo[(y*side+begin)*3:(y*side+end)*3])
		}
	}
}

// multiply is the matrix product of pixels [p, p+m) for all output blocks.
func (n *network) multiply(l *layer, in []float32, stride, image, p, m int) {
	for b := range l.blocks() {
		n.set.Pointwise(kernel.Pointwise{
			Dst: l.block(l.y, image, b, p), Src: in, W: l.packed[b], Bias: n.zeros,
			Pixels: m, K: l.inputs(), SrcStride: stride, NR: kernel.NR(l.Out, b),
		})
	}
}

func (n *network) forwardPointwise(l *layer, lane, image int) {
	for p := 0; p < l.pixels(); p += l.strip {
		m := min(l.strip, l.pixels()-p)
		in, stride := n.inputStrip(l, lane, image, p, m)
		n.multiply(l, in, stride, image, p, m)
		l.observeAll(n.set, lane, image, p, m)
	}
}

// inputStrip returns pixels [p, p+m) of a pointwise layer's input, blocks stride
// floats apart.
func (n *network) inputStrip(l *layer, lane, image, p, m int) (in []float32, stride int) {
	if l.prev.x != nil {
		return l.prev.x[image*l.prev.imageSize()+p*kernel.Block:], l.prev.pixels() * kernel.Block
	}
	in, stride = n.scratch[lane].in, m*kernel.Block
	for b := range l.inBlocks() {
		l.prev.activation(n.set, in[b*stride:], image, b, p, m)
	}
	return in, stride
}

func (n *network) forwardDepthwise(l *layer, lane, image int) {
	for b := range l.blocks() {
		a := kernel.Depthwise{
			W: l.packed[b], Bias: n.zeros, NR: kernel.NR(l.Out, b),
			Width: l.inSide, Stride: l.Stride, Left: l.padBefore,
		}
		for y := 0; y < l.side; y += l.strip {
			m := min(l.strip, l.side-y)
			rows := n.inputRows(l, lane, image, b, y, m)
			for i := range m {
				for j := range a.Rows {
					a.Rows[j] = rows(i*l.Stride + j)[kernel.Block:]
				}
				a.Dst = l.block(l.y, image, b, (y+i)*l.side)
				n.set.Depthwise(a)
			}
			if !l.fixed {
				l.observe(n.set, lane, b, l.block(l.y, image, b, y*l.side), m*l.side, l.seen[lane]+y*l.side)
			}
		}
	}
	l.seen[lane] += l.pixels()
}

// inputRows computes the input rows that output rows [y, y+m) of block b need,
// with a column of zeros on either side, and returns a function from the row's
// number, the first being y*Stride-padBefore, to the row.
func (n *network) inputRows(l *layer, lane, image, b, y, m int) func(i int) []float32 {
	row := (l.inSide + 2) * kernel.Block
	in := n.scratch[lane].in
	first := y*l.Stride - l.padBefore
	for i := range (m-1)*l.Stride + 3 {
		if at := first + i; at >= 0 && at < l.inSide {
			r := in[i*row:][:row]
			clear(r[:kernel.Block])
			clear(r[row-kernel.Block:])
			l.prev.activation(n.set, r[kernel.Block:], image, b, at*l.inSide, l.inSide)
		}
	}
	return func(i int) []float32 {
		if at := first + i; at < 0 || at >= l.inSide {
			return n.zeros[:row]
		}
		return in[i*row:][:row]
	}
}

// pool averages the last layer's activation into the head's input.
func (n *network) pool() {
	l := n.layers[len(n.layers)-1]
	n.head.begin(n.images)
	n.eachImage(func(lane, image int) {
		var sum [kernel.Block]float32
		for b := range l.blocks() {
			dst := n.head.feature(b, image)
			clear(dst)
			for p := 0; p < l.pixels(); p += l.strip {
				m := min(l.strip, l.pixels()-p)
				h := n.scratch[lane].in
				l.activation(n.set, h, image, b, p, m)
				n.set.Pool(kernel.Pool{Dst: sum[:], Src: h, Pixels: m})
				for c, v := range sum {
					dst[c] += v * float32(m) / float32(l.pixels())
				}
			}
		}
	})
}
