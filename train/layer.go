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

// join makes x of pixels [p, p+m) of an image.
func (l *layer) join(set *kernel.Set, image, p, m int) {
	for b := range l.blocks() {
		var add []float32
		if l.residual != nil {
			add = l.residual.block(l.residual.x, image, b, p)
		}
		l.affine(set, b, l.block(l.x, image, b, p), l.block(l.y, image, b, p), add, m, l.ReLU6)
		if l.round != nil {
			l.joinRounded(image, b, p, m)
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

// packLater leaves bringing a layer's weights into the kernels' layouts for later.
func (n *network) packLater(l *layer) {
	const some = 4 // blocks that are a task
	if l.round != nil {
		l.round.refresh(l.weight, l.beta)
	}
	l.makePacked()
	for begin := 0; begin < l.blocks(); begin += some {
		n.later = append(n.later, func() {
			for b := begin; b < min(l.blocks(), begin+some); b++ {
				l.packBlock(n.set, b)
			}
		})
	}
}

// makePacked makes room for the weights in the kernels' layouts.
func (l *layer) makePacked() {
	if l.packed != nil {
		return
	}
	for b := range l.blocks() {
		n := l.inputs() * kernel.NR(l.Out, b)
		l.packed = append(l.packed, kernel.Aligned(n))
		if l.paired && l.prev != nil {
			l.scaled = append(l.scaled, kernel.Aligned(n))
		}
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

// packBlock reads the weights of a block of outputs once, for both directions.
func (l *layer) packBlock(set *kernel.Set, b int) {
	k, nr := l.inputs(), kernel.NR(l.Out, b)
	first := b * kernel.Block
	rows := min(nr, l.Out-first)
	values := l.asPatches(l.values()[first*k:][:rows*k])
	set.Turn(kernel.Turn{Dst: l.packed[b], DstStride: nr, Src: values, SrcStride: k, Rows: rows, Columns: k})
	if l.paired && !l.fixed {
		for i := range rows * kernel.Blocks(k) {
			o, j := i/kernel.Blocks(k), i%kernel.Blocks(k)
			copy(l.asActivation(l.gram.w, j, first+o), values[o*k+j*kernel.Block:(o+1)*k])
		}
	}
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
// [input block][32][NR], or depthwise [block][9][32]. What is in it doesn't count.
func (n *network) takeWeightGrads(l *layer) {
	size := l.blocks() * kernel.Blocks(l.inputs()) * square
	if l.Depthwise() {
		size = l.blocks() * 9 * kernel.Block
	}
	l.dw = make([][]float32, n.lanes())
	for i := range l.dw {
		l.dw[i] = n.buffers.take(size)
	}
}

// weightGrad leaves adding up the lanes' gradients of the weights for later.
func (n *network) weightGrad(l *layer) {
	const some = 8 // squares, or blocks of a depthwise layer, that are a task
	dw, count, add := l.dw, l.blocks()*kernel.Blocks(l.inputs()), n.squareGrad
	if l.Depthwise() {
		count, add = l.blocks(), n.depthwiseGrad
	}
	for begin := 0; begin < count; begin += some {
		n.later = append(n.later, func() {
			for i := begin; i < min(count, begin+some); i++ {
				add(l, dw, i)
			}
		})
	}
	n.free = append(n.free, dw...)
	l.dw = nil
}

// squareGrad is the gradient between a block of outputs and one of inputs.
func (n *network) squareGrad(l *layer, dw [][]float32, i int) {
	k, kb := l.inputs(), kernel.Blocks(l.inputs())
	b, j := i/kb, i%kb
	first, nr := b*kernel.Block, kernel.NR(l.Out, b)
	rows, outputs := min(kernel.Block, k-j*kernel.Block), min(kernel.Block, l.Out-first)
	grad := l.weight.Grad[first*k+j*kernel.Block:]
	n.set.Turn(kernel.Turn{
		Dst: grad, DstStride: k, Src: n.addUp(dw, i*square, rows*nr), SrcStride: nr,
		Rows: rows, Columns: outputs,
	})
	for c := range outputs {
		row := grad[c*k:][:rows]
		if l.paired {
			l.completeGrad(row, first+c, j)
		}
		l.fromPatches(row)
	}
}

// depthwiseGrad is the gradient of a block of a depthwise layer.
func (n *network) depthwiseGrad(l *layer, dw [][]float32, b int) {
	sum := n.addUp(dw, b*9*kernel.Block, 9*kernel.Block)
	first := b * kernel.Block
	for c := range min(kernel.Block, l.Out-first) {
		for i := range 9 {
			l.weight.Grad[(first+c)*9+i] = sum[i*kernel.Block+c]
		}
	}
}

// addUp returns the sums over the lanes, in their order, of some floats from at on, in the
// first one's place. Up to a whole block is more than was asked for.
func (n *network) addUp(lanes [][]float32, at, floats int) []float32 {
	pixels := kernel.Blocks(floats)
	total := lanes[0][at:][:pixels*kernel.Block]
	for _, s := range lanes[1:] {
		n.set.Affine(kernel.Affine{
			Dst: total, Src: s[at:], Add: total, Scale: n.ones, Shift: n.zeros,
			Pixels: pixels, NR: kernel.Block,
		})
	}
	return total
}
