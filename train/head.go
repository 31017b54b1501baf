package train

import (
	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// A head is the classifier in training. It is a pointwise convolution with
// images for pixels: features are [C/32][images][32].
type head struct {
	model.Linear
	set          *kernel.Set
	threads      int
	weight, bias *parameter
	round        *rounding // in training for 8 bits

	images     int
	features   []float32
	mask       []float32 // dropout, in the features' layout, or nil
	packed     [][]float32
	packedBias [][]float32
	transposed [][]float32
}

func newHead(set *kernel.Set, threads int, l model.Linear, m *model.Model, params map[string]*parameter) *head {
	h := &head{
		Linear: l, set: set, threads: threads,
		weight: params[l.Name+".weight"], bias: params[l.Name+".bias"],
	}
	for b := range kernel.Blocks(l.Out) {
		nr := kernel.NR(l.Out, b)
		h.packed = append(h.packed, kernel.Aligned(l.In*nr))
		h.packedBias = append(h.packedBias, kernel.Aligned(nr))
	}
	for b := range kernel.Blocks(l.In) {
		h.transposed = append(h.transposed, kernel.Aligned(l.Out*kernel.NR(l.In, b)))
	}
	return h
}

// begin makes room for a batch's features.
func (h *head) begin(images int) {
	h.images = images
	grow(&h.features, kernel.Blocks(h.In)*images*kernel.Block)
}

// feature is block b of an image's features.
func (h *head) feature(b, image int) []float32 {
	return h.features[(b*h.images+image)*kernel.Block:][:kernel.Block]
}

// forward returns the logits [images][classes]. mask is [images][features].
func (h *head) forward(images int, mask []float32) []float32 {
	h.images = images
	h.drop(mask)
	weights, bias := h.weight.Value, h.bias.Value
	if h.round != nil {
		h.round.refresh(h.weight, h.bias)
		weights, bias = h.round.weights, h.round.bias
	}
	h.pack(weights, bias)
	blocks := kernel.Blocks(h.Out)
	logits := make([]float32, images*h.Out)
	each(h.threads, blocks, func(b int) {
		nr := kernel.NR(h.Out, b)
		out := kernel.Aligned(images * kernel.Block)
		h.set.Pointwise(kernel.Pointwise{
			Dst: out, Src: h.features, W: h.packed[b], Bias: h.packedBias[b],
			Pixels: images, K: h.In, SrcStride: images * kernel.Block, NR: nr,
		})
		for i := range images {
			copy(logits[i*h.Out+b*kernel.Block:][:min(nr, h.Out-b*kernel.Block)], out[i*kernel.Block:])
		}
		if h.round != nil {
			for i := range images {
				for o := b * kernel.Block; o < min(h.Out, b*kernel.Block+nr); o++ {
					logits[i*h.Out+o] *= h.round.factors[o]
				}
			}
		}
	})
	return logits
}

// drop multiplies the features by the mask.
func (h *head) drop(mask []float32) {
	h.mask = nil
	if mask == nil {
		return
	}
	h.mask = make([]float32, kernel.Blocks(h.In)*h.images*kernel.Block)
	for i := range h.images {
		for c, v := range mask[i*h.In:][:h.In] {
			h.mask[(c/kernel.Block*h.images+i)*kernel.Block+c%kernel.Block] = v
		}
	}
	for i, v := range h.mask {
		h.features[i] *= v
	}
}

// pack brings weights that have just changed into the kernels' layout, for both
// directions. Blocks are independent, so each is a task.
func (h *head) pack(weights, bias []float32) {
	each(h.threads, len(h.packed), func(b int) {
		first, nr := b*kernel.Block, kernel.NR(h.Out, b)
		rows := min(nr, h.Out-first)
		copy(h.packedBias[b], bias[first:][:rows])
		h.set.Turn(kernel.Turn{
			Dst: h.packed[b], DstStride: nr, Src: weights[first*h.In:], SrcStride: h.In, Rows: rows, Columns: h.In,
		})
		for o := first; o < first+rows; o++ {
			row := weights[o*h.In:][:h.In]
			for i, dst := range h.transposed {
				nr := kernel.NR(h.In, i)
				copy(dst[o*nr:][:nr], row[i*kernel.Block:])
			}
		}
	})
}

// backward computes the gradients of weight and bias from that at the logits,
// and returns that at the features before dropout, if it is wanted.
func (h *head) backward(logits []float32, features bool) []float32 {
	blocks := kernel.Blocks(h.Out)
	grad := kernel.Aligned(blocks * h.images * kernel.Block)
	// In the order of the images on one thread: the sum is the same on any number.
	clear(h.bias.Grad)
	for i := range h.images {
		for o, v := range logits[i*h.Out:][:h.Out] {
			if h.round != nil {
				v *= h.round.factors[o]
			}
			grad[(o/kernel.Block*h.images+i)*kernel.Block+o%kernel.Block] = v
			h.bias.Grad[o] += v
		}
	}
	// A task has all images of its block of outputs, so no two add to the same gradient.
	each(h.threads, blocks, func(b int) {
		nr := kernel.NR(h.Out, b)
		dw := make([]float32, kernel.Block*nr)
		for k := range kernel.Blocks(h.In) {
			clear(dw)
			width := min(kernel.Block, h.In-k*kernel.Block)
			h.set.PointwiseGrad(kernel.PointwiseGrad{
				DW: dw, Src: h.features[k*h.images*kernel.Block:], Grad: grad[b*h.images*kernel.Block:],
				Pixels: h.images, K: width, NR: nr,
			})
			h.set.Turn(kernel.Turn{
				Dst: h.weight.Grad[b*kernel.Block*h.In+k*kernel.Block:], DstStride: h.In,
				Src: dw, SrcStride: nr, Rows: width, Columns: min(nr, h.Out-b*kernel.Block),
			})
		}
	})
	if !features {
		return nil
	}
	out := kernel.Aligned(kernel.Blocks(h.In) * h.images * kernel.Block)
	zeros := make([]float32, kernel.Block)
	each(h.threads, len(h.transposed), func(b int) {
		h.set.Pointwise(kernel.Pointwise{
			Dst: out[b*h.images*kernel.Block:], Src: grad, W: h.transposed[b], Bias: zeros,
			Pixels: h.images, K: h.Out, SrcStride: h.images * kernel.Block, NR: kernel.NR(h.In, b),
		})
	})
	for i, v := range h.mask {
		out[i] *= v
	}
	return out
}
