package recognise

import (
	"slices"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A head is what stands behind the last map of features.
type head struct {
	end      *Layer  // the last map, or what is behind it
	pool     *Layer  // nil where the map is the output
	matrices []*unit // in the order they run: hidden ones and the classifier; none where features are the output
	sigmoid  bool
	softmax  bool
}

// readHead reads from the output back to the last map. Behind the classifier there may
// be a softmax, and what picks the best of the classes: a Model knows both itself.
func readHead(out *Layer) (head, error) {
	var h head
	l := out
	for ; l.Kind == Choice || l.Kind == Reshape || l.Kind == Quantize || l.Kind == Activation; l = l.From {
		switch {
		case l.Kind != Activation:
		case l.Reason == "Softmax", l.Reason == "LogSoftmax":
			h.softmax = true
		case l.Reason == "Sigmoid" && !h.sigmoid:
			h.sigmoid = true
		default:
			return h, l.unsupported("the output passes %s: want Softmax, Sigmoid or neither", l.Reason)
		}
	}
	for {
		switch at := headCore(l); {
		case at.Kind == Linear, at.seesOnePixel():
			u, err := unitAt(l, true)
			if err != nil {
				return h, err
			}
			h.matrices = append(h.matrices, u)
			l = u.input
		case at.Kind == Pool:
			h.pool = at
			slices.Reverse(h.matrices)
			return h, h.complete(l)
		case len(h.matrices) == 0 && at.Kind == Conv && at.Kernel == 1:
			h.end = l
			return h, nil
		case len(h.matrices) == 0:
			return h, at.want("the classifier")
		default:
			return h, at.want("the global average pool")
		}
	}
}

// classes is how many the network has, 0 for a network of features alone.
func (h *head) classes() int {
	if len(h.matrices) == 0 {
		return 0
	}
	return h.matrices[len(h.matrices)-1].Out
}

// hidden are the outputs of the matrices before the classifier.
func (h *head) hidden() []int {
	var sizes []int
	for _, m := range h.matrices[:max(0, len(h.matrices)-1)] {
		sizes = append(sizes, m.Out)
	}
	return sizes
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

// complete checks the matrices and takes in what stands between the pool and input,
// which the first of them takes.
func (h *head) complete(input *Layer) error {
	h.end = h.pool.From
	last := len(h.matrices) - 1
	for i, m := range h.matrices {
		switch {
		case len(m.Weight) != m.Out*m.In || m.Bias != nil && len(m.Bias) != m.Out:
			return m.unfit("%d weights and %d biases for %d outputs and %d inputs", len(m.Weight), len(m.Bias), m.Out, m.In)
		case i == last && (m.low || m.high):
			return m.unsupported("the classes' numbers are clipped")
		case i < last && m.high:
			return m.unsupported("a hidden layer with ReLU6 in the head: ReLU is supported")
		case i < last && !m.low && !m.rectified:
			return m.unsupported("two matrices of the head, %d by %d and %d by %d, with no ReLU between them", m.Out, m.In, h.matrices[i+1].Out, h.matrices[i+1].In)
		}
		m.settle()
	}
	if last < 0 && (h.softmax || h.sigmoid) {
		return h.pool.unfit("want the classifier behind it")
	}
	if h.softmax && h.classes() == 1 {
		return h.matrices[last].unsupported("one class behind a Softmax: its probability is always 1")
	}
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
	if layers == nil {
		return nil
	}
	if len(h.matrices) == 0 {
		return layers[0].unsupported("the features pass more than the pool: want a classifier behind that, or the pool alone")
	}
	first := h.matrices[0]
	var before affine
	for _, l := range slices.Backward(layers) {
		next := affine{l.Scale, l.Offset}
		if l.Kind == Norm {
			if !l.Norm.fit(first.In) {
				return l.unfit("a batch normalisation of %d values for %d channels", len(l.Norm.Scale), first.In)
			}
			next = l.Norm.affine()
		}
		if !fits(next.scale, first.In) || !fits(next.offset, first.In) {
			return l.unfit("a constant of %d values for %d channels", max(len(next.scale), len(next.offset)), first.In)
		}
		before.then(next.scale, next.offset, first.In)
	}
	first.takeIn(before)
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
