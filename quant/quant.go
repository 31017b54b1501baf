package quant

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"math"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// A Network is the result of [Calibrate]: see [model.Quantized].
type Network = model.Quantized

// Options are the choices of [Calibrate].
type Options struct {
	Threads int // 0 means all cores; the result doesn't depend on it

	// Wide keeps residual sums in float32: more exact, a little slower, and for this
	// engine alone. See [model.Quantized].
	Wide bool

	// Symmetric gives all activations the zero point 0 of signed bytes, and ranges as
	// far below 0 as above, which is all that TensorRT takes: half of the bytes of what
	// is never negative are not used.
	Symmetric bool

	// KeepFloat are layers that keep their weights in float32, by module path: a
	// convolution ("features.3.conv.0.0"), the classifier, or a module with several
	// of them ("features.3"). What flows between layers is bytes all the same. See
	// [model.QuantizedLayer].
	KeepFloat []string

	// Progress is called after every photo; may be nil.
	Progress func(photos int)
}

// maxPhotos is more than is of use: from 128 on the ranges hardly change.
const maxPhotos = 4096

// Calibrate returns m as a network of 8-bit integers, with ranges that suit the
// photos: 32 to 512 of the kind that the network will see. They need no labels. An
// error among them ends it.
//
// The same photos in the same order give the same network to the bit, whatever the
// machine's number of cores. m does not change. A model whose weights or outputs are
// not finite is a *[fault.Error].
func Calibrate(ctx context.Context, m *model.Model, photos iter.Seq2[image.Image, error], o Options) (*Network, error) {
	c, err := Observe(ctx, m, photos, o)
	if err != nil {
		return nil, err
	}
	return c.Network, nil
}

// A Calibration is a model and the network that was made of it, with what is needed
// to say which part of it costs how much: see [Calibration.Sensitivity].
type Calibration struct {
	Model   *model.Model
	Network *Network
	made    *network
}

// Observe is [Calibrate] for who wants to know more than the network.
func Observe(ctx context.Context, m *model.Model, photos iter.Seq2[image.Image, error], o Options) (*Calibration, error) {
	if m == nil {
		return nil, errors.New("no model to quantise")
	}
	if !m.Config.Head.Plain() || m.Config.Classes == 0 {
		return nil, fault.Unsupportedf("only a head of one linear layer with a softmax is quantised")
	}
	n, err := newNetwork(m)
	if err != nil {
		return nil, err
	}
	if o.Symmetric {
		n.fit = symmetric
	}
	if err := n.keep(o.KeepFloat); err != nil {
		return nil, err
	}
	seen, err := n.observe(ctx, m, photos, o)
	if err != nil {
		return nil, err
	}
	if seen == 0 {
		return nil, errors.New("no photos to calibrate with")
	}
	n.equalise()
	q, err := n.round(ctx, m, o.Threads)
	if err != nil {
		return nil, err
	}
	q.Wide, q.Signed = o.Wide, o.Symmetric
	if err := q.Validate(); err != nil {
		return nil, err
	}
	return &Calibration{m, q, n}, nil
}

// A network is a model in the making: folded layers, what their outputs hold, and by
// what the outputs' channels are scaled.
type network struct {
	config model.Config
	input  tensor
	convs  []layer // in the order of model.Network.Convs
	blocks []block
	pool   tensor
	linear layer                                      // the classifier
	fit    func(low, high float64) model.Quantization // of numbers in that range
	logits tensor                                     // what it puts out
}

// A layer is a convolution or the classifier, with its norm folded in. Its weights are
// scaled with the channels on either side.
type layer struct {
	model.Conv
	in  *tensor
	out *tensor
	w   []float64 // [Out][In/Groups*Kernel*Kernel]
	b   []float64 // [Out]

	float bool // it stays in float32
}

// per is how many weights an output channel has.
func (l *layer) per() int { return len(l.w) / len(l.b) }

// A block is an inverted residual: its layers, and the sum behind them.
type block struct {
	model.InvertedResidual
	layers []*layer
	sum    *tensor // what the block puts out; without a residual the last layer's output
}

// newNetwork folds m's norms, in float64.
func newNetwork(m *model.Model) (*network, error) {
	spec := m.Config.Network()
	if err := spec.Check(m.Dict); err != nil {
		return nil, err
	}
	n := &network{config: m.Config, input: newTensor("", 3), fit: quantization}
	convs := spec.Convs()
	n.convs = make([]layer, len(convs))
	in := &n.input
	at := 0
	add := func(module string) *layer {
		l := &n.convs[at]
		l.Conv, l.in = convs[at], in
		l.w, l.b = fold(m, l.Conv)
		out := newTensor(module, l.Out)
		l.out = &out
		in = l.out
		at++
		return l
	}
	add("features.0")
	for _, b := range spec.Blocks {
		kept := block{InvertedResidual: b}
		for i := range b.Convs() {
			module := fmt.Sprintf("%s.conv.%d", b.Name, i)
			if i == len(b.Convs())-1 {
				module = b.Name + ".conv"
			}
			kept.layers = append(kept.layers, add(module))
		}
		kept.sum = in
		if b.Residual() {
			sum := newTensor(b.Name, b.Out)
			kept.sum, in = &sum, &sum
		}
		n.blocks = append(n.blocks, kept)
	}
	add(fmt.Sprintf("features.%d", len(spec.Blocks)+1))
	n.pool = newTensor("", spec.Last.Out)
	l := spec.Classifier
	n.linear = layer{
		Conv: ClassifierConv(l), in: &n.pool,
		w: widened(m.Dict[l.Name+".weight"].Data), b: widened(m.Dict[l.Name+".bias"].Data),
	}
	n.logits = newTensor("", l.Out)
	for i := range n.convs {
		if err := n.convs[i].finite(); err != nil {
			return nil, err
		}
	}
	return n, n.linear.finite()
}

// fold is model.Fold without its rounding to float32.
func fold(m *model.Model, c model.Conv) (w, b []float64) {
	part := func(name string) []float32 { return m.Dict[c.Norm+name].Data }
	gamma, beta, mean, variance := part(".weight"), part(".bias"), part(".running_mean"), part(".running_var")
	w = widened(m.Dict[c.Name+".weight"].Data)
	b = make([]float64, c.Out)
	per := len(w) / c.Out
	for o := range b {
		scale := float64(gamma[o]) / math.Sqrt(float64(variance[o])+m.Config.BNEps)
		for i := o * per; i < (o+1)*per; i++ {
			w[i] *= scale
		}
		b[o] = float64(beta[o]) - float64(mean[o])*scale
	}
	return w, b
}

func widened(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

func narrowed(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// finite wants numbers for weights.
func (l *layer) finite() error {
	for _, v := range [][]float64{l.w, l.b} {
		for _, x := range v {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return &fault.Error{Kind: fault.Broken, Place: l.Name, Reason: fmt.Sprintf("a weight is %v with its norm folded in", x)}
			}
		}
	}
	return nil
}
