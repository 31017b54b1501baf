package train

import (
	"cmp"
	"fmt"
	"math"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// A norm is batch normalisation in training (arXiv 1502.03167; PyTorch's
// BatchNorm2d): statistics of the batch, running averages with the config's
// momentum, of the unbiased variance.
type norm struct {
	name           string
	channels       int
	gamma, beta    *parameter
	mean, variance []float32 // running averages: in the state dict
	batches        []float32 // num_batches_tracked
	eps, momentum  float64
	fixed          bool      // uses the running averages, as in evaluation
	round          *rounding // in training for 8 bits, in place of the normalisation

	// Of the batch. The slices are as long as the blocks that hold the channels.
	scale, shift, center []float32 // y*scale + shift; center is the mean
	invStd               []float64
	a, b, c              []float32 // of kernel.NormGrad
	count                int       // values of a channel
	moments              []moments // by lane
	sums                 []sums    // by lane
	total, dot           []float64 // sums over the lanes
	linear               []linear  // by channel
}

// moments are the count, mean and sum of squared differences from the mean of a
// lane's values.
type moments struct {
	n        float64
	mean, m2 []float64
}

// linear is the gradient at the norm's input: a*g + b*(y-mean) + c where g is the gradient
// at its output.
type linear struct{ a, b, c float64 }

// channels are what a kernel sums up of a block.
type channels [3][kernel.Block]float32

// sums are a lane's sums of gradients, and of gradients times the distance from
// the mean.
type sums struct{ sum, dot []float64 }

func (n *norm) init(channels int) {
	n.channels = channels
	padded := kernel.Blocks(channels) * kernel.Block
	for _, s := range []*[]float32{&n.scale, &n.shift, &n.center, &n.a, &n.b, &n.c} {
		*s = kernel.Aligned(padded)
	}
	n.invStd, n.total, n.dot = make([]float64, channels), make([]float64, channels), make([]float64, channels)
	n.linear = make([]linear, channels)
}

// begin clears the sums of so many lanes. Those that there are for larger batches stay
// empty.
func (n *norm) begin(lanes int) {
	for len(n.sums) < lanes {
		n.sums = append(n.sums, sums{sum: make([]float64, len(n.scale)), dot: make([]float64, len(n.scale))})
	}
	for _, s := range n.sums {
		clear(s.sum)
		clear(s.dot)
	}
}

// beginMoments clears their moments.
func (n *norm) beginMoments(lanes int) {
	for len(n.moments) < lanes {
		n.moments = append(n.moments, moments{mean: make([]float64, len(n.scale)), m2: make([]float64, len(n.scale))})
	}
	for i := range n.moments {
		n.moments[i].n = 0
		clear(n.moments[i].mean)
		clear(n.moments[i].m2)
	}
}

// observe adds the values of channel block b in y, pixels of them, to a lane's
// moments. seen is how many values of the block the lane has had before.
func (n *norm) observe(set *kernel.Set, lane lane, b int, y []float32, pixels, seen int) {
	w := lane.channels()
	center, sum, squares := w[0][:], w[1][:], w[2][:]
	copy(center, y)
	nr := kernel.NR(n.channels, b)
	set.Moments(kernel.Moments{Src: y, Center: center, Sum: sum, Squares: squares, Pixels: pixels, NR: nr})
	m := &n.moments[lane.number]
	at := b * kernel.Block
	for c := range nr {
		k := float64(pixels)
		mean := float64(sum[c]) / k
		m2 := max(0, float64(squares[c])-mean*float64(sum[c]))
		m.mean[at+c], m.m2[at+c] = merge(float64(seen), m.mean[at+c], m.m2[at+c], k, mean+float64(center[c]), m2)
	}
}

// merge joins the moments of two groups of values (Chan, Golub and LeVeque 1979).
func merge(n, mean, m2, k, mean2, m22 float64) (float64, float64) {
	d := mean2 - mean
	t := n + k
	return mean + d*k/t, m2 + m22 + d*d*n*k/t
}

// merged is the mean and the sum of squared differences from it over all lanes.
func (n *norm) merged(c int) (mean, m2 float64) {
	var seen float64
	for l := range n.moments {
		if m := &n.moments[l]; m.n > 0 {
			mean, m2 = merge(seen, mean, m2, m.n, m.mean[c], m.m2[c])
			seen += m.n
		}
	}
	return mean, m2
}

// finish ends the forward pass over a batch with count values of each channel.
// observed returns the mean of channel c and the sum of squared differences from
// it.
func (n *norm) finish(threads, count int, observed func(c int) (mean, m2 float64)) error {
	return n.finishBlocks(threads, count, func(b int) error { return n.finishBlock(b, count, observed) })
}

// finishBlocks calls f for every block, which calls finishBlock.
func (n *norm) finishBlocks(threads, count int, f func(b int) error) error {
	if count < 2 {
		return fmt.Errorf("%s: batch normalisation of a single value: the batch must have at least 2 images", n.name)
	}
	n.count = count
	n.batches[0]++
	errs := make([]error, kernel.Blocks(n.channels))
	each(threads, len(errs), func(b int) { errs[b] = f(b) })
	return cmp.Or(errs...)
}

func (n *norm) finishBlock(b, count int, observed func(c int) (mean, m2 float64)) (err error) {
	for c := b * kernel.Block; c < min(n.channels, (b+1)*kernel.Block); c++ {
		mean, m2 := observed(c)
		variance := m2 / float64(count)
		if math.IsNaN(mean) || math.IsInf(mean, 0) || math.IsNaN(variance) || math.IsInf(variance, 0) {
			err = fmt.Errorf("%s: the batch's mean or variance of channel %d is not finite: %w", n.name, c, report.ErrDiverged)
			continue
		}
		n.mean[c] += float32(n.momentum * (mean - float64(n.mean[c])))
		n.variance[c] += float32(n.momentum * (m2/float64(count-1) - float64(n.variance[c])))
		n.set(c, mean, variance)
	}
	return err
}

// eachChannel calls f for every channel, with the blocks shared among threads: with
// many lanes, what is left to do for each channel of a batch is no trifle.
func (n *norm) eachChannel(threads int, f func(c int)) {
	each(threads, kernel.Blocks(n.channels), func(b int) {
		for c := b * kernel.Block; c < min(n.channels, (b+1)*kernel.Block); c++ {
			f(c)
		}
	})
}

// fix prepares for a forward pass with the running averages.
func (n *norm) fix() {
	if n.round != nil {
		n.round.fix(n)
		return
	}
	for c := range n.channels {
		n.set(c, float64(n.mean[c]), float64(n.variance[c]))
	}
}

func (n *norm) set(c int, mean, variance float64) {
	n.invStd[c] = 1 / math.Sqrt(variance+n.eps)
	scale := float64(n.gamma.Value[c]) * n.invStd[c]
	n.center[c] = float32(mean)
	n.scale[c] = float32(scale)
	n.shift[c] = float32(float64(n.beta.Value[c]) - mean*scale)
}

// backward masks the gradient g of channel block b in place where ReLU6 is flat,
// and adds it to a lane's sums. y is the convolution's output; unless h is nil it gets the
// activation.
func (n *norm) backward(set *kernel.Set, lane lane, b int, g, y, h []float32, pixels int, relu6 bool) {
	w := lane.channels()
	n.mask(set, w, b, g, y, h, pixels, relu6)
	n.addSums(lane, w, b)
}

// mask is the first half of backward, of some pixels: w has the sums of those before them.
func (n *norm) mask(set *kernel.Set, w *channels, b int, g, y, h []float32, pixels int, relu6 bool) {
	at := b * kernel.Block
	set.AffineGrad(kernel.AffineGrad{
		Grad: g, Src: y, Activation: h, Scale: n.scale[at:], Shift: n.shift[at:], Mean: n.center[at:], Sum: w[0][:], Dot: w[1][:],
		Pixels: pixels, NR: kernel.NR(n.channels, b), ReLU6: relu6 || n.round != nil, // whose bounds fix has made those of ReLU6
	})
}

// addSums is the second half.
func (n *norm) addSums(lane lane, w *channels, b int) {
	s := &n.sums[lane.number]
	for c := range kernel.Block {
		s.sum[b*kernel.Block+c] += float64(w[0][c])
		s.dot[b*kernel.Block+c] += float64(w[1][c])
	}
}

// finishGrad computes the gradients of gamma and beta, and what the gradient at
// the norm's input needs.
func (n *norm) finishGrad(threads int) {
	n.eachChannel(threads, func(c int) {
		n.total[c], n.dot[c] = 0, 0
		for l := range n.sums {
			n.total[c] += n.sums[l].sum[c]
			n.dot[c] += n.sums[l].dot[c]
		}
		n.beta.Grad[c] = float32(n.total[c])
		n.gamma.Grad[c] = float32(n.dot[c] * n.invStd[c])
		k := n.coefficients(c)
		n.linear[c] = k
		n.a[c], n.b[c], n.c[c] = float32(k.a), float32(k.b), float32(k.c-k.b*float64(n.center[c]))
	})
}

// coefficients makes the linear of a channel of its sums.
func (n *norm) coefficients(channel int) linear {
	a := float64(n.gamma.Value[channel]) * n.invStd[channel]
	if n.fixed {
		return linear{a: a}
	}
	b := -a * n.invStd[channel] * n.invStd[channel] * n.dot[channel] / float64(n.count)
	return linear{a, b, -a * n.total[channel] / float64(n.count)}
}

// affine writes the normalised block b of y to dst.
func (n *norm) affine(set *kernel.Set, b int, dst, y, add []float32, pixels int, relu6 bool) {
	if n.round != nil {
		n.round.apply(dst, y, b, pixels) // without what is added, see joinRounded
		return
	}
	at := b * kernel.Block
	set.Affine(kernel.Affine{
		Dst: dst, Src: y, Add: add, Scale: n.scale[at:], Shift: n.shift[at:],
		Pixels: pixels, NR: kernel.NR(n.channels, b), ReLU6: relu6,
	})
}

// inputGrad writes the gradient at the norm's input to dst.
func (n *norm) inputGrad(set *kernel.Set, b int, dst, g, y []float32, pixels int) {
	at := b * kernel.Block
	set.NormGrad(kernel.NormGrad{
		Dst: dst, Grad: g, Src: y, A: n.a[at:], B: n.b[at:], C: n.c[at:],
		Pixels: pixels, NR: kernel.NR(n.channels, b),
	})
}
