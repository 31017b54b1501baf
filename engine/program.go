package engine

import (
	"errors"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// A program is what an engine runs: the weights of a model, packed for one set of
// kernels, and the plans that compute with them. Engine, plan and team know
// nothing of the type of weights and activations; a program for another one
// brings its own steps.
type program struct {
	config    model.Config
	precision string          // of weights and activations
	cpu       string          // the kernel set
	choices   []kernel.Choice // of its kernels, if it has them from several instruction sets
	weights   arena
	wide      []bool // see packedHeader

	// row writes the weights of output o of the last linear layer, one for each of its
	// inputs, as numbers, and returns the bias.
	row func(o int, dst []float32) (bias float32)
	// gradient is [Tape.Gradient]; nil where there is none.
	gradient func(t *Tape, class int, mean bool) []float32
	// plan lays out the steps for some size, images and outputs.
	plan func(k planKey, threads int) *plan
	// peak multiplies and adds as fast as a core can.
	peak func(iterations int) (flops int)
}

// A compiled network has packed weights, or none yet.
type compiled interface {
	bytes() int64     // of the weights
	allocate()        // makes place for the weights, all zero
	program() program // of the network with its weights
}

// A Source is what an engine is compiled from: one of the two.
type Source struct {
	Model     *model.Model     // float32
	Quantized *model.Quantized // 8-bit integers
}

// Config is that of either.
func (s Source) Config() model.Config {
	if s.Quantized != nil {
		return s.Quantized.Config
	}
	return s.Model.Config
}

// Labels are the names of the classes, or nil.
func (s Source) Labels() []string {
	if s.Quantized != nil {
		return s.Quantized.Labels
	}
	return s.Model.Labels
}

// head returns s without its weights.
func (s Source) head() Source {
	if s.Model != nil {
		m := *s.Model
		m.Dict = nil
		return Source{Model: &m}
	}
	q := *s.Quantized
	q.Convs = slices.Clone(q.Convs)
	for i := range q.Convs {
		q.Convs[i] = withoutWeights(q.Convs[i])
	}
	q.Classifier = withoutWeights(q.Classifier)
	return Source{Quantized: &q}
}

func withoutWeights(l model.QuantizedLayer) model.QuantizedLayer {
	l.Weight, l.Scale, l.Bias, l.Float = nil, nil, nil, nil
	return l
}

// pack checks s and packs its weights.
func (s Source) pack(k kernels) (compiled, error) {
	switch m, q := s.Model, s.Quantized; {
	case m != nil && q != nil:
		return nil, errors.New("two models to compile")
	case m != nil:
		if err := m.Config.Validate(); err != nil {
			return nil, err
		}
		if err := m.Config.Network().Check(m.Dict); err != nil {
			return nil, err
		}
		net := newNetwork(m.Config, k.float32)
		net.pack(m)
		return net, nil
	case q != nil:
		if err := q.Validate(); err != nil {
			return nil, err
		}
		set := k.int8
		if _, kept := q.KeptFloat(); kept {
			set = set.With(k.float32)
		}
		net := newInt8Network(q, set)
		net.pack(q)
		return net, nil
	}
	return nil, errors.New("no model to compile")
}

// kernels are the sets of one name, for networks of each precision.
type kernels struct {
	float32 *kernel.Set
	int8    *kernel.Int8
}

// chooseKernels returns what [Options.CPU] names.
func chooseKernels(cpu string) (k kernels, err error) {
	if k.float32, err = kernel.Choose(cpu); err != nil {
		return k, err
	}
	k.int8, err = kernel.ChooseInt8(cpu)
	return k, err
}
