package engine

import (
	"errors"
	"fmt"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// ErrNotLinear is about a network that has not one linear layer behind the global
// average pool: none, or hidden ones before the classifier.
var ErrNotLinear = errors.New("the network has not exactly one linear layer behind its pool")

// ClassWeights writes the weights of a class to dst, one for each of the features, and
// returns its bias. Up to float32's rounding, and that of pool and logits to bytes in
// networks of 8-bit integers, the class's logit is
//
//	bias + Σ dst[k] * feature[k]
//
// and as the features are means over the pixels of the last map, so is the logit: the
// mean of Σ dst[k] * map[k][pixel], and the bias. That is the class activation map of
// Zhou et al. (arXiv 1512.04150). The error is [ErrNotLinear] where that isn't so.
func (e *Engine) ClassWeights(class int, dst []float32) (bias float32, err error) {
	if err := e.enter(); err != nil {
		return 0, err
	}
	defer e.open.RUnlock()
	c := e.program.config
	switch {
	case c.Classes == 0 || len(c.Head.Hidden) > 0:
		return 0, ErrNotLinear
	case class < 0 || class >= c.Classes:
		return 0, fmt.Errorf("class %d: want 0 to %d", class, c.Classes-1)
	case len(dst) != e.features:
		return 0, fmt.Errorf("room for %d weights, and there are %d features", len(dst), e.features)
	}
	return e.program.row(class, dst), nil
}

func (net *network) row(o int, dst []float32) float32 {
	return net.linears[len(net.linears)-1].row(o, dst)
}

// row writes the weights of output o to dst, [k], and returns its bias.
func (w *weights) row(o int, dst []float32) float32 {
	b, c := o/kernel.Block, o%kernel.Block
	nr := w.nr(b)
	for k := range dst {
		dst[k] = w.w[b][k*nr+c]
	}
	return w.bias[b][c]
}

func (net *int8Network) row(o int, dst []float32) float32 {
	l := &net.classifier
	f, c := l.filters[o/kernel.Block], o%kernel.Block
	bias := net.set.Channel(f, c, l.in.Zero, dst)
	if f.Float == nil {
		m := f.M[c] // sx*sw, or where the logits are bytes sx*sw/sy
		if !l.float {
			m *= l.out.Scale
		}
		for k := range dst {
			dst[k] *= m / l.in.Scale
		}
		bias *= m
	}
	if b := net.quantized.ClassBias; b != nil {
		bias += b.Of.Dequantize(b.Bytes[o])
	}
	return bias
}
