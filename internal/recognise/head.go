package recognise

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A head is what stands behind the last map of features.
type head struct {
	classifier *unit
	pool       *Layer
}

// readHead reads from the output back to the pool. Behind the classifier there may be
// a softmax, and what picks the best of the classes: a Model knows both itself.
func readHead(out *Layer) (head, error) {
	l := out
	for l.Kind == Choice || l.Kind == Reshape || l.Kind == Quantize || l.Kind == Activation {
		if l.Kind == Activation && !slices.Contains([]string{"Softmax", "LogSoftmax"}, l.Reason) {
			return head{}, l.unsupported("the output passes %s: only classes that exclude each other, by Softmax, are supported", l.Reason)
		}
		l = l.From
	}
	var h head
	var matrices []*unit // the last one first
	for {
		switch at := headCore(l); {
		case at.Kind == Linear, at.seesOnePixel():
			u, err := unitAt(l, true)
			if err != nil {
				return h, err
			}
			matrices = append(matrices, u)
			l = u.input
		case at.Kind == Pool:
			h.pool = at
			return h, h.complete(matrices, l)
		case len(matrices) == 0 && at.Kind == Conv && at.Kernel == 1:
			return h, l.unsupported("the output is a map of features: networks without a pool and a classifier are not supported")
		case len(matrices) == 0:
			return h, at.want("the classifier")
		default:
			return h, at.want("the global average pool")
		}
	}
}

// seesOnePixel reports whether l is a 1x1 convolution behind the pool: a matrix.
func (l *Layer) seesOnePixel() bool {
	plain := l.Kind == Conv && l.Kernel == 1 && l.Groups == 1 && l.Pads == [4]int64{}
	return plain && headCore(l.From).Kind == Pool
}

// headCore is [core] where maps have one pixel, and a shape tells nothing.
func headCore(l *Layer) *Layer {
	for l.Kind == Reshape || core(l) != l {
		if l = core(l); l.Kind == Reshape {
			l = l.From
		}
	}
	return l
}

// complete makes the classifier of the matrices between the output and the pool, and of
// what stands between pool and matrix, from input on.
func (h *head) complete(matrices []*unit, input *Layer) error {
	switch len(matrices) {
	case 0:
		return h.pool.unsupported("the output is the pooled features: networks without a classifier are not supported")
	case 1:
	default:
		var sizes []string
		for _, m := range slices.Backward(matrices) {
			sizes = append(sizes, fmt.Sprint(m.In))
		}
		sizes = append(sizes, fmt.Sprint(matrices[0].Out))
		return matrices[len(matrices)-1].unsupported("a classifier of %d matrices (%s): one is supported", len(matrices), strings.Join(sizes, ", "))
	}
	h.classifier = matrices[0]
	switch c := h.classifier; {
	case c.low || c.high:
		return c.unsupported("the classes' numbers are clipped")
	case len(c.Weight) != c.Out*c.In || c.Bias != nil && len(c.Bias) != c.Out:
		return c.unfit("%d weights and %d biases for %d classes and %d channels", len(c.Weight), len(c.Bias), c.Out, c.In)
	}
	h.classifier.settle()
	return h.betweenPoolAndMatrix(input)
}

// betweenPoolAndMatrix takes norms and constants there into the matrix.
func (h *head) betweenPoolAndMatrix(input *Layer) error {
	var layers []*Layer // the last one first
	for l := input; l != h.pool; l = l.From {
		switch l.Kind {
		case Reshape, Quantize:
		case Norm, Affine:
			layers = append(layers, l)
		default:
			return l.unfit("want the classifier behind the pool")
		}
	}
	var before affine
	for _, l := range slices.Backward(layers) {
		next := affine{l.Scale, l.Offset}
		if l.Kind == Norm {
			if !l.Norm.fit(h.classifier.In) {
				return l.unfit("a batch normalisation of %d values for %d channels", len(l.Norm.Scale), h.classifier.In)
			}
			next = l.Norm.affine()
		}
		if !fits(next.scale, h.classifier.In) || !fits(next.offset, h.classifier.In) {
			return l.unfit("a constant of %d values for %d channels", max(len(next.scale), len(next.offset)), h.classifier.In)
		}
		before.then(next.scale, next.offset, h.classifier.In)
	}
	if layers != nil {
		h.classifier.takeIn(before)
	}
	return nil
}

// takeIn takes in what is done to the input of a matrix: W(s*x+o)+b is
// (W*s)x + (W*o+b).
func (u *unit) takeIn(a affine) {
	weight, bias := make([]float32, len(u.weight)), make([]float32, u.Out)
	copy(bias, u.bias)
	for o := range u.Out {
		sum := float64(bias[o])
		for i := range u.In {
			w := float64(u.weight[o*u.In+i])
			sum += float64(w * a.offset[i])
			weight[o*u.In+i] = float32(w * a.scale[i])
		}
		bias[o] = float32(sum)
	}
	u.weight, u.bias = weight, bias
}

// unsupported is the error for a layer of a MobileNetV2 of a kind that there is no
// place for.
func (l *Layer) unsupported(format string, args ...any) error {
	e := fault.Unsupportedf(format, args...)
	e.Place = l.Place
	return e
}
