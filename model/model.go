package model

import (
	"math"
	"math/rand/v2"
)

// A Model is a network with weights. Its tensors are shared, not copied, by
// everything that is derived from it; treat them as read-only unless you made
// them.
type Model struct {
	Config Config
	Dict   StateDict
	Labels []string // one per class, or nil when the file has none

	// Notes say what was found in the file that the model was read from, or left out
	// of it, or assumed, where somebody might have expected something else. They are
	// for people; no file keeps them.
	Notes []string

	// Assumed says what of the input the file left open and was taken for granted.
	// Files of ours leave nothing open.
	Assumed Assumed

	// Dequantized says that this is the float32 form of a network of 8-bit integers,
	// whose activations are rounded where these are not: whoever runs it as it was
	// meant, such as ONNX Runtime, gets other answers.
	Dequantized bool

	// Unfit says why such a network does not run in 8-bit integers here: the first
	// operator of its file that does not fit. It is empty where it does.
	Unfit string
}

// New returns a model with the initialisation of torchvision's MobileNetV2:
// convolutions normal with variance 2/fan_out (kaiming_normal_, mode fan_out),
// norms 1 and 0, classifier normal with standard deviation 0.01, biases 0. The
// same seed gives the same weights on every platform.
func New(c Config, seed uint64) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	n := c.Network()
	m := &Model{Config: c, Dict: StateDict{}}
	for _, s := range n.Specs() {
		m.Dict[s.Name] = Tensor{Shape: s.Shape, Data: make([]float32, elements(s.Shape))}
	}
	rng := rand.New(rand.NewPCG(seed, 0x6d6f62696c656e74))
	for _, conv := range n.Convs() {
		fanOut := conv.Out * conv.Kernel * conv.Kernel
		fillNormal(m.Dict[conv.Name+".weight"].Data, math.Sqrt(2/float64(fanOut)), rng)
		fill(m.Dict[conv.Norm+".weight"].Data, 1)
		fill(m.Dict[conv.Norm+".running_var"].Data, 1)
	}
	for _, l := range n.Linears() {
		fillNormal(m.Dict[l.Name+".weight"].Data, 0.01, rng)
	}
	return m, nil
}

// FromDict checks that dict holds what c's network needs and returns the model.
// Missing num_batches_tracked counters are added as 0. Errors are those of
// [Config.Validate] and [Network.Check].
func FromDict(c Config, dict StateDict) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	n := c.Network()
	if err := n.Check(dict); err != nil {
		return nil, err
	}
	for _, s := range n.Specs() {
		if _, ok := dict[s.Name]; !ok {
			dict[s.Name] = Tensor{Shape: []int{}, Data: []float32{0}}
		}
	}
	return &Model{Config: c, Dict: dict}, nil
}

func fill(dst []float32, v float32) {
	for i := range dst {
		dst[i] = v
	}
}

func fillNormal(dst []float32, std float64, rng *rand.Rand) {
	for i := range dst {
		dst[i] = float32(rng.NormFloat64() * std)
	}
}
