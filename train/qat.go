package train

import (
	"context"
	"fmt"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/quant"
)

// Training for 8 bits (quantisation-aware, arXiv 1712.05877) begins with a network that
// was calibrated: its norms are folded, its channels equalised, and the ranges of its
// activations stay what they are. From there the forward pass computes what the 8-bit
// engine does: activations are bytes less their zero point and weights are integers,
// both in float32, where sums of them are exact up to 2^24, and they are rounded and
// bounded as model.Quantized says. So validation, which runs the 8-bit engine, measures
// just the function that is trained.
//
// The backward pass takes rounding for the identity, and what is cut off for a constant
// (straight-through; PyTorch's fake_quantize). It computes gradients with respect to the
// integers; asNumbers turns them into those of weights and biases.

// calibrated makes the run one of 8 bits: o.Model becomes the calibrated network.
func (o *Options) calibrated(ctx context.Context) (err error) {
	if o.ranges, o.calibration, err = o.calibrate(ctx, o.Model); err != nil {
		return fmt.Errorf("qat: %w", err)
	}
	o.Model = o.ranges.Dequantize()
	o.Model.Dequantized = false // from now on its weights are numbers that are learned
	return nil
}

// withWeights is the 8-bit network of the ranges of q and the weights of m, which has no
// norms but for biases.
func withWeights(q *model.Quantized, m *model.Model) *model.Quantized {
	out := *q
	out.Config, out.Labels = m.Config, m.Labels
	out.Convs = slices.Clone(q.Convs)
	spec := m.Config.Network()
	inputs, _ := q.Inputs()
	for i, c := range spec.Convs() {
		l := quant.RoundLayer(c, m.Dict[c.Name+".weight"].Data, m.Dict[c.Norm+".bias"].Data, inputs[i])
		l.Out, l.Min, l.Max = q.Convs[i].Out, q.Convs[i].Min, q.Convs[i].Max
		out.Convs[i] = l
	}
	name := spec.Classifier.Name
	l := quant.RoundLayer(quant.ClassifierConv(spec.Classifier), m.Dict[name+".weight"].Data, m.Dict[name+".bias"].Data, q.Pool)
	l.Out, l.Min, l.Max = q.Classifier.Out, q.Classifier.Min, q.Classifier.Max
	out.Classifier = l
	return &out
}

// A rounding is what 8 bits make of a layer.
type rounding struct {
	conv      model.Conv
	in, out   model.Quantization
	low, high float32 // bounds of what it puts out, less the zero point
	sum       *roundedSum

	// Of the weights of the step.
	weights []float32 // integers, in the layout of the parameter
	scales  []float32 // [out]: of the weights
	bias    []float32 // integers; padded to whole blocks, as factors are
	factors []float32 // sx*sw/sy, or sx*sw for logits
}

// quantise makes n compute with bytes of q's ranges.
func (n *network) quantise(q *model.Quantized) {
	inputs, residuals := q.Inputs()
	n.ranges = q
	norms := map[*parameter]bool{} // there are none any more
	for i, l := range n.layers {
		c := q.Convs[i]
		zero := float32(c.Out.Zero)
		l.round = &rounding{conv: l.Conv, in: inputs[i], out: c.Out, low: float32(c.Min) - zero, high: float32(c.Max) - zero}
		norms[l.gamma] = true
	}
	at := 0
	for i, b := range q.Config.Network().Blocks {
		at += len(b.Convs())
		if b.Residual() {
			l := n.layers[at]
			l.round.sum = newRoundedSum(residuals[i], l.round.out, q.Sums[i].Quantization)
		}
	}
	n.head.round = &rounding{conv: quant.ClassifierConv(n.head.Linear), in: q.Pool}
	n.params = slices.DeleteFunc(n.params, func(p *parameter) bool { return norms[p] })
}

// refresh rounds the weights of the step.
func (r *rounding) refresh(weight, bias *parameter) {
	l := quant.RoundLayer(r.conv, weight.Value, bias.Value, r.in)
	l.Out = r.out
	padded := kernel.Blocks(r.conv.Out) * kernel.Block
	if r.weights == nil {
		r.weights, r.bias, r.factors = make([]float32, len(l.Weight)), make([]float32, padded), make([]float32, padded)
	}
	for i, w := range l.Weight {
		r.weights[i] = float32(w)
	}
	for o, b := range l.Bias {
		r.bias[o] = float32(b)
		r.factors[o] = l.Multiplier(o, r.in.Scale, r.out.Scale > 0)
	}
	r.scales = l.Scale
}

// nearest rounds to the nearest integer, ties to even, a number within 2^22 of 0: at
// this distance from 0 float32 has no other numbers.
func nearest(v float32) float32 {
	const far = 3 << 22
	return (v + far) - far
}

// apply makes integers of pixels of block b of a convolution's output y.
func (r *rounding) apply(dst, y []float32, b, pixels int) {
	at, nr := b*kernel.Block, kernel.NR(r.conv.Out, b)
	bias, factors := r.bias[at:][:nr], r.factors[at:][:nr]
	for p := range pixels {
		from, to := y[p*kernel.Block:][:nr], dst[p*kernel.Block:][:nr]
		for c, v := range from {
			to[c] = nearest(min(max((v+bias[c])*factors[c], r.low), r.high))
		}
	}
}

// fix prepares a layer's backward pass: the gradient is cleared where the output was
// cut off, below low-1/2 and above high+1/2, which scale and shift move to 0 and 6.
func (r *rounding) fix(n *norm) {
	k := 6 / float64(r.high-r.low+1)
	for c := range n.channels {
		factor := float64(r.factors[c])
		n.invStd[c] = factor // gamma is 1
		n.scale[c] = float32(factor * k)
		n.shift[c] = float32((float64(r.bias[c])*factor - float64(r.low) + 0.5) * k)
	}
}

// outside reports whether the integer nearest to v is cut off.
func outside(v, low, high float32) bool {
	i := nearest(min(max(v, low-1), high+1))
	return i < low || i > high
}

// A roundedSum is a residual sum of bytes.
type roundedSum struct {
	kernel.AddInt8 // constants; a is the block's input, b the projection's output
	a, b, sum      float32
	grad           []float32 // at the block's input, [image][C/32][H][W][32]
}

func newRoundedSum(a, b, sum model.Quantization) *roundedSum {
	of := func(q model.Quantization) kernel.Scale { return kernel.Scale{Scale: q.Scale, Zero: q.Zero} }
	return &roundedSum{AddInt8: kernel.NewAddInt8(of(a), of(b), of(sum), 0), a: float32(a.Zero), b: float32(b.Zero), sum: float32(sum.Zero)}
}

// exact is the sum before it is rounded, as a byte. Products and sums of bytes and
// scales are exact in float64, so that each line rounds once, as fma does.
func (s *roundedSum) exact(a, b float32) float32 {
	rest := float32(float64(b+s.b)*float64(s.ScaleB) + float64(s.Offset))
	return float32(float64(a+s.a)*float64(s.ScaleA) + float64(rest))
}

// add adds the block's input a to the projection's output in dst.
func (s *roundedSum) add(dst, a []float32, nr int) {
	for p := 0; p < len(dst); p += kernel.Block {
		from, to := a[p:][:nr], dst[p:][:nr]
		for c, b := range to {
			to[c] = nearest(min(max(s.exact(from[c], b), 0), 255)) - s.sum
		}
	}
}

// joinRounded adds the residual to pixels [p, p+m) of block b of an image's x, if there is one.
func (l *layer) joinRounded(image, b, p, m int) {
	if s := l.round.sum; s != nil {
		s.add(l.block(l.x, image, b, p)[:m*kernel.Block], l.residual.block(l.residual.x, image, b, p), kernel.NR(l.Out, b))
	}
}

// split divides the gradient g at pixels [p, p+pixels) of block b of a residual sum
// into that at the block's input, which is kept, and that at the projection's output,
// in place.
func (l *layer) split(g []float32, image, b, p, pixels int) {
	s, nr := l.round.sum, kernel.NR(l.Out, b)
	input, skip := l.residual.block(l.residual.x, image, b, p), l.block(s.grad, image, b, p)
	y := l.block(l.y, image, b, p)
	var out [kernel.Block]float32
	for i := range pixels {
		at := i * kernel.Block
		l.round.apply(out[:], y[at:], b, 1)
		for c := range nr {
			v := g[at+c]
			if outside(s.exact(input[at+c], out[c]), 0, 255) {
				v = 0
			}
			skip[at+c], g[at+c] = v*s.ScaleA, v*s.ScaleB
		}
	}
}

// backNorm turns the gradient g at pixels [p, p+pixels) of block b of what l puts out
// into that at its normalised convolution, in place. y is the convolution there; unless h
// is nil it gets what l puts out.
func (n *network) backNorm(l *layer, lane lane, image, b int, g, y, h []float32, p, pixels int) {
	l.splitSum(g, image, b, p, pixels)
	l.norm.backward(n.set, lane, b, g, y, h, pixels, l.ReLU6)
}

// splitSum is split where l puts out a sum.
func (l *layer) splitSum(g []float32, image, b, p, pixels int) {
	if l.round != nil && l.round.sum != nil {
		l.split(g, image, b, p, pixels)
	}
}

// takeGrad makes room for the gradient at what l puts out.
func (n *network) takeGrad(l *layer) {
	l.grad = n.buffers.take(n.images * l.imageSize())
	if l.round != nil && l.round.sum != nil {
		l.round.sum.grad = n.buffers.take(n.images * l.imageSize())
	}
}

// skipGrad is the gradient that a residual hands to the input of its block.
func (l *layer) skipGrad() []float32 {
	if l.round != nil {
		return l.round.sum.grad
	}
	return l.grad
}

// values are the weights that the layer computes with.
func (l *layer) values() []float32 {
	if l.round != nil {
		return l.round.weights
	}
	return l.weight.Value
}

// roundInput makes integers of normalised pixels.
func (n *network) roundInput(input []float32) []float32 {
	grow(&n.rounded, len(input))
	q := n.ranges.Input
	each(n.threads, n.images, func(image int) {
		size := len(input) / n.images
		for i := image * size; i < (image+1)*size; i++ {
			n.rounded[i] = float32(int(q.Quantize(input[i])) - int(q.Zero))
		}
	})
	return n.rounded[:len(input)]
}

// poolFactor is what sums of a channel's integers are multiplied by.
func (n *network) poolFactor() float32 {
	l := n.layers[len(n.layers)-1]
	return l.round.out.Scale / (n.ranges.Pool.Scale * float32(l.pixels()))
}

// poolRounded averages a block of an image into the head's input. h is room for a strip.
func (n *network) poolRounded(l *layer, image, b int, h []float32) {
	var sum [kernel.Block]float32
	for p := 0; p < l.pixels(); p += l.strip {
		m := min(l.strip, l.pixels()-p)
		l.activation(n.set, h, image, b, p, m)
		for i := range m {
			for c, v := range h[i*kernel.Block:][:kernel.NR(l.Out, b)] {
				sum[c] += v
			}
		}
	}
	dst, zero := n.head.feature(b, image), float32(n.ranges.Pool.Zero)
	pooled := n.pooled[(b*n.images+image)*kernel.Block:][:kernel.Block]
	for c, v := range sum {
		pooled[c] = v * n.poolFactor()
		dst[c] = nearest(min(max(pooled[c], -zero), 255-zero))
	}
}

// spreadRounded is the gradient g at a pixel of channel c, whose pooled value has
// gradient v.
func (n *network) spreadRounded(v float32, b, image, c int) float32 {
	zero := float32(n.ranges.Pool.Zero)
	if outside(n.pooled[(b*n.images+image)*kernel.Block+c], -zero, 255-zero) {
		return 0
	}
	return v * n.poolFactor()
}

// asNumbers turns the gradients with respect to integers into those of what they stand
// for.
func (n *network) asNumbers() {
	for _, l := range n.layers[n.frozen:] {
		l.round.weightsAsNumbers(l.weight)
		for o := range l.beta.Grad {
			l.beta.Grad[o] /= l.round.out.Scale // of its norm's output, which is bytes
		}
	}
	h := n.head
	h.round.weightsAsNumbers(h.weight)
	for o := range h.bias.Grad {
		h.bias.Grad[o] /= h.round.factors[o]
	}
}

func (r *rounding) weightsAsNumbers(weight *parameter) {
	per := len(weight.Grad) / len(r.scales)
	for o, s := range r.scales {
		row := weight.Grad[o*per:][:per]
		for i := range row {
			row[i] /= s
		}
	}
}
