package train

import (
	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// A layer is a convolution with the batch normalisation behind it, and the state
// of a step. Activations are [image][C/32][H][W][32].
//
// Stored are the convolution's output y and, at the end of the first layer and
// of every block, the activation x: the normalised y, plus the block's input
// where it is residual. Within a block the activation is computed again from y
// wherever it is read, and an expansion's y too (see pairs).
type layer struct {
	model.Conv
	norm
	module   int // of torchvision's features.*
	weight   *parameter
	prev     *layer // its activation is the input; nil for the first layer
	residual *layer // its x is added to this layer's x, or nil
	skip     *layer // the projection that adds this layer's input, or nil

	inSide, side int  // input and output height and width
	padBefore    int  // rows and columns of padding before the input
	strip        int  // pixels, or rows of a depthwise convolution, that are done in one go
	part         int  // pixels of a strip that float32 sums go over, see plan
	pair         int  // output rows that backwardPair does in one go: some times those of a part
	paired       bool // with the depthwise convolution behind it
	ends         bool // a block, so that x is stored

	y, x, grad []float32
	packed     [][]float32 // weights by output block: kernel.Pack's layout
	transposed [][]float32 // weights for the gradient at the input: pointwise by input block, depthwise at stride 1 turned by half a turn
	scaled     [][]float32 // an expansion's packed weights with its normalisation
	dw         [][]float32 // by lane
	gram       gram        // of a paired layer
	seen       []int       // by lane: values of a channel that it has observed
}

func (l *layer) pixels() int    { return l.side * l.side }
func (l *layer) blocks() int    { return kernel.Blocks(l.Out) }
func (l *layer) inBlocks() int  { return kernel.Blocks(l.In) }
func (l *layer) imageSize() int { return l.blocks() * l.pixels() * kernel.Block }

// block is block b of an image's activations s, from pixel p on.
func (l *layer) block(s []float32, image, b, p int) []float32 {
	return s[(image*l.blocks()+b)*l.pixels()*kernel.Block+p*kernel.Block:][:(l.pixels()-p)*kernel.Block]
}

// activation computes pixels [p, p+n) of block b of the activation of a layer that
// stores y and not x.
func (l *layer) activation(set *kernel.Set, dst []float32, image, b, p, n int) {
	l.affine(set, b, dst, l.block(l.y, image, b, p), nil, n, l.ReLU6)
}

// returns is whether the gradient at what the layer puts out comes with the activation
// itself, which then need not be computed again on the way back.
func (l *layer) returns() bool { return l.x == nil && l.ReLU6 && l.round == nil }

// join makes x of an image.
func (l *layer) join(set *kernel.Set, image int) {
	for b := range l.blocks() {
		var add []float32
		if l.residual != nil {
			add = l.residual.block(l.residual.x, image, b, 0)
		}
		l.affine(set, b, l.block(l.x, image, b, 0), l.block(l.y, image, b, 0), add, l.pixels(), l.ReLU6)
		if l.round != nil {
			l.joinRounded(image, b)
		}
	}
}

// inputs is K of the layer as a matrix product: for the first convolution the 27
// values under the kernel, which are laid out like a pixel's channels.
func (l *layer) inputs() int { return l.In / l.Groups * l.Kernel * l.Kernel }

// asPatches brings the weights of some outputs into the order of the kernels'
// inputs. They differ for the first convolution, whose inputs are ordered
// [row][column][channel], as photos are.
func (l *layer) asPatches(weights []float32) []float32 {
	if l.prev != nil {
		return weights
	}
	out := make([]float32, len(weights))
	for i, v := range weights {
		o, k := i/27, i%27
		out[o*27+k%9*3+k/9] = v
	}
	return out
}

// fromPatches brings the gradient of an output's weights into their order.
func (l *layer) fromPatches(row []float32) {
	if l.prev != nil {
		return
	}
	var out [27]float32
	for k := range out {
		out[k] = row[k%9*3+k/9]
	}
	copy(row, out[:])
}

// begin prepares a step's sums by lane.
func (l *layer) begin(lanes int) {
	l.norm.begin(lanes)
	switch {
	case l.fixed:
	case l.paired:
		l.gram.begin(lanes)
	default:
		l.norm.beginMoments(lanes)
	}
	l.seen = make([]int, max(lanes, len(l.moments)))
}

// output is the weights of output o in the order of the kernels' inputs.
func (l *layer) output(o int) []float32 {
	return l.asPatches(l.values()[o*l.inputs():][:l.inputs()])
}

// pack brings the weights into the kernels' layouts.
func (l *layer) pack(set *kernel.Set, threads int) {
	k := l.inputs()
	if l.packed == nil {
		for b := range l.blocks() {
			l.packed = append(l.packed, kernel.Aligned(k*kernel.NR(l.Out, b)))
		}
		for b := range l.inBlocks() {
			switch {
			case l.Kernel == 1:
				l.transposed = append(l.transposed, kernel.Aligned(l.Out*kernel.NR(l.In, b)))
			case l.Depthwise() && l.Stride == 1:
				l.transposed = append(l.transposed, kernel.Aligned(9*kernel.NR(l.Out, b)))
			}
		}
	}
	each(threads, l.blocks(), func(b int) { l.packBlock(set, b) })
}

// packBlock reads the weights of a block of outputs once, for both directions.
func (l *layer) packBlock(set *kernel.Set, b int) {
	k, nr := l.inputs(), kernel.NR(l.Out, b)
	first := b * kernel.Block
	rows := min(nr, l.Out-first)
	values := l.asPatches(l.values()[first*k:][:rows*k])
	set.Turn(kernel.Turn{Dst: l.packed[b], DstStride: nr, Src: values, SrcStride: k, Rows: rows, Columns: k})
	switch {
	case len(l.transposed) == 0:
	case l.Depthwise():
		for t := range 9 {
			copy(l.transposed[b][t*nr:][:nr], l.packed[b][(8-t)*nr:])
		}
	case !l.paired: // otherwise packScaled does it
		for o := range rows {
			row := values[o*k:][:k]
			for i, dst := range l.transposed {
				nr := kernel.NR(k, i)
				copy(dst[(first+o)*nr:][:nr], row[i*kernel.Block:])
			}
		}
	}
}

// takeWeightGrads gives every lane a gradient of the layer's weights: [output block]
// [input block][32][NR] to write first, or depthwise [block][9][32] to add to.
func (n *network) takeWeightGrads(l *layer) {
	size := l.blocks() * kernel.Blocks(l.inputs()) * square
	if l.Depthwise() {
		size = l.blocks() * 9 * kernel.Block
	}
	l.dw = make([][]float32, n.lanes())
	for i := range l.dw {
		l.dw[i] = n.buffers.take(size)
		if l.Depthwise() {
			clear(l.dw[i])
		}
	}
}

// addUp returns the sum over the lanes, in their order, in the first one's place,
// and frees the others.
func (n *network) addUp(sums [][]float32) []float32 {
	const share = 1 << 12
	total, others := sums[0], sums[1:]
	each(n.threads, (len(total)+share-1)/share, func(i int) {
		begin, end := i*share, min(len(total), (i+1)*share)
		for _, s := range others {
			n.set.Affine(kernel.Affine{
				Dst: total[begin:end], Src: s[begin:end], Add: total[begin:end], Scale: n.ones, Shift: n.zeros,
				Pixels: (end - begin) / kernel.Block, NR: kernel.Block,
			})
		}
	})
	for _, s := range others {
		n.buffers.put(s)
	}
	return total
}

// weightGrad adds up the lanes' gradients of the weights.
func (n *network) weightGrad(l *layer) {
	dw := n.addUp(l.dw)
	l.dw = nil
	k, kb := l.inputs(), kernel.Blocks(l.inputs())
	each(n.threads, l.blocks(), func(b int) {
		first := b * kernel.Block
		outputs := min(kernel.Block, l.Out-first)
		if l.Depthwise() {
			for c := range outputs {
				for i := range 9 {
					l.weight.Grad[(first+c)*9+i] = dw[(b*9+i)*kernel.Block+c]
				}
			}
			return
		}
		for j := range kb {
			n.set.Turn(kernel.Turn{
				Dst: l.weight.Grad[first*k+j*kernel.Block:], DstStride: k,
				Src: dw[(b*kb+j)*square:], SrcStride: kernel.NR(l.Out, b),
				Rows: min(kernel.Block, k-j*kernel.Block), Columns: outputs,
			})
		}
		for c := range outputs {
			row := l.weight.Grad[(first+c)*k:][:k]
			if l.paired {
				l.completeGrad(row, first+c)
			}
			l.fromPatches(row)
		}
	})
	n.buffers.put(dw)
}
