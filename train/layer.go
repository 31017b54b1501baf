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
// wherever it is read.
type layer struct {
	model.Conv
	norm
	weight   *Parameter
	prev     *layer // its activation is the input; nil for the first layer
	residual *layer // its x is added to this layer's x, or nil
	skip     *layer // the projection that adds this layer's input, or nil

	inSide, side int  // input and output height and width
	padBefore    int  // rows and columns of padding before the input
	strip        int  // pixels, or rows of a depthwise convolution, that are done in one go
	ends         bool // a block, so that x is stored

	y, x, grad []float32
	packed     [][]float32 // weights by output block: kernel.Pack's layout
	transposed [][]float32 // pointwise: weights by input block, for the gradient at the input
	dw         [lanes][]float32
	seen       [lanes]int // values of a channel that a lane has observed
}

func (l *layer) pixels() int    { return l.side * l.side }
func (l *layer) blocks() int    { return kernel.Blocks(l.Out) }
func (l *layer) inBlocks() int  { return kernel.Blocks(l.In) }
func (l *layer) imageSize() int { return l.blocks() * l.pixels() * kernel.Block }

// block is block b of an image's activations s, from pixel p on.
func (l *layer) block(s []float32, image, b, p int) []float32 {
	return s[(image*l.blocks()+b)*l.pixels()*kernel.Block+p*kernel.Block:][:(l.pixels()-p)*kernel.Block]
}

// activation writes pixels [p, p+n) of block b of the layer's activation to dst.
func (l *layer) activation(set *kernel.Set, dst []float32, image, b, p, n int) {
	if l.x != nil {
		copy(dst[:n*kernel.Block], l.block(l.x, image, b, p))
		return
	}
	l.affine(set, b, dst, l.block(l.y, image, b, p), nil, n, l.ReLU6)
}

// join makes x of an image.
func (l *layer) join(set *kernel.Set, image int) {
	for b := range l.blocks() {
		var add []float32
		if l.residual != nil {
			add = l.residual.block(l.residual.x, image, b, 0)
		}
		l.affine(set, b, l.block(l.x, image, b, 0), l.block(l.y, image, b, 0), add, l.pixels(), l.ReLU6)
	}
}

// inputs is K of the layer as a matrix product: for the first convolution the 27
// values under the kernel, which are laid out like a pixel's channels.
func (l *layer) inputs() int { return l.In / l.Groups * l.Kernel * l.Kernel }

// place is where input k of output o lies in the weights. The first
// convolution's inputs are ordered [row][column][channel], as photos are.
func (l *layer) place(o, k int) int {
	if l.Kernel == 3 && l.Groups == 1 {
		k = k%3*9 + k/3
	}
	return o*l.inputs() + k
}

// pack brings the weights into the kernels' layouts.
func (l *layer) pack(threads int) {
	k := l.inputs()
	if l.packed == nil {
		for b := range l.blocks() {
			l.packed = append(l.packed, kernel.Aligned(k*kernel.NR(l.Out, b)))
		}
		if l.Kernel == 1 {
			for b := range l.inBlocks() {
				l.transposed = append(l.transposed, kernel.Aligned(l.Out*kernel.NR(l.In, b)))
			}
		}
	}
	each(threads, l.blocks(), func(b int) {
		nr := kernel.NR(l.Out, b)
		for c := range min(nr, l.Out-b*kernel.Block) {
			for i := range k {
				l.packed[b][i*nr+c] = l.weight.Value[l.place(b*kernel.Block+c, i)]
			}
		}
	})
	each(threads, len(l.transposed), func(b int) {
		nr := kernel.NR(l.In, b)
		for o := range l.Out {
			row := l.weight.Value[o*l.In:][:l.In]
			copy(l.transposed[b][o*nr:][:nr], row[b*kernel.Block:])
		}
	})
}

// flipped is the kernel of block b of a depthwise convolution turned by half a
// turn: its convolution is the gradient at the input.
func (l *layer) flipped(b int) *[9 * kernel.Block]float32 {
	var w [9 * kernel.Block]float32
	nr := kernel.NR(l.Out, b)
	for t := range 9 {
		copy(w[t*nr:][:nr], l.packed[b][(8-t)*nr:])
	}
	return &w
}

// weightGrad adds up the lanes' gradients of the weights.
func (l *layer) weightGrad(threads, used int) {
	k := l.inputs()
	kb := kernel.Blocks(k)
	each(threads, l.blocks(), func(b int) {
		nr := kernel.NR(l.Out, b)
		for c := range min(nr, l.Out-b*kernel.Block) {
			for i := range k {
				var at int
				if l.Depthwise() {
					at = (b*9+i)*kernel.Block + c
				} else {
					at = (b*kb+i/kernel.Block)*kernel.Block*kernel.Block + i%kernel.Block*nr + c
				}
				var sum float32
				for _, dw := range l.dw[:used] {
					sum += dw[at]
				}
				l.weight.Grad[l.place(b*kernel.Block+c, i)] = sum
			}
		}
	})
}
