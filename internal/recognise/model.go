package recognise

import (
	"fmt"
	"slices"

	"github.com/mobilenet-go/mobilenet/model"
)

// Model returns the MobileNetV2 whose output the layer out makes, its weights as
// float32 under torchvision's names. A folded batch normalisation comes back as the
// identity with a bias (see [model.Unfold]). own is what the file says of itself, nil
// if it says nothing.
func Model(out *Layer, source Source, own *model.Config) (*model.Model, error) {
	n, err := read(out, source)
	if err != nil {
		return nil, err
	}
	dict := n.dict()
	c, assumed, err := n.config(dict, own)
	if err != nil {
		return nil, err
	}
	m, err := model.FromDict(c, dict)
	if err != nil {
		return nil, err
	}
	m.Assumed, m.Notes, m.Dequantized = assumed, n.notes(), quantised(out)
	return m, nil
}

// notes say where the model is not quite the network of the graph.
func (n *network) notes() []string {
	var notes []string
	if n.pool == nil {
		notes = append(notes, "its output is a map of features: their mean is the embedding")
	}
	if n.swapped {
		notes = append(notes, "red and blue change places in it: its input is taken to be BGR, and photos are given as such")
	}
	return notes
}

// quantised reports whether something is rounded to 8 bits before out. Where only
// weights are, float32 computes the same.
func quantised(out *Layer) bool {
	seen := map[*Layer]bool{}
	for left := []*Layer{out}; len(left) > 0; {
		l := left[len(left)-1]
		left = left[:len(left)-1]
		if l == nil || seen[l] {
			continue
		}
		if l.Kind == Quantize {
			return true
		}
		seen[l] = true
		left = append(left, l.From, l.Operand)
	}
	return false
}

// dict is the network's state dict.
func (n *network) dict() model.StateDict {
	dict := model.StateDict{}
	eps := n.eps()
	put := func(u *unit, conv, norm string) {
		c := model.Conv{Name: conv, Norm: norm, In: u.In * u.Groups, Out: u.Out, Kernel: u.Kernel, Groups: u.Groups}
		u.put(dict, c, eps)
	}
	put(n.first, "features.0.0", "features.0.1")
	for i, b := range n.blocks {
		at := 0
		for _, u := range []*unit{b.expand, b.depthwise, b.project} {
			prefix := fmt.Sprintf("features.%d.conv.%d", i+1, at)
			switch {
			case u == nil:
				continue
			case u == b.project:
				put(u, prefix, fmt.Sprintf("features.%d.conv.%d", i+1, at+1))
			default:
				put(u, prefix+".0", prefix+".1")
			}
			at++
		}
	}
	prefix := fmt.Sprintf("features.%d", len(n.blocks)+1)
	put(n.last, prefix+".0", prefix+".1")
	for i, m := range n.matrices {
		bias := m.bias
		if bias == nil {
			bias = make([]float32, m.Out)
		}
		name := fmt.Sprintf("classifier.%d", 1+2*i) // a ReLU between each two
		dict[name+".weight"] = model.Tensor{Shape: []int{m.Out, m.In}, Data: m.weight}
		dict[name+".bias"] = model.Tensor{Shape: []int{m.Out}, Data: bias}
	}
	return dict
}

// eps is that of the graph's norms, or torchvision's where they are folded.
func (n *network) eps() float64 {
	if n.first.norm != nil {
		return n.first.norm.Eps
	}
	return 1e-5
}

// put adds the entries of a convolution. A norm whose epsilon is another than the
// network's has its variance moved by the difference.
func (u *unit) put(dict model.StateDict, c model.Conv, eps float64) {
	bias := u.bias
	if bias == nil {
		bias = make([]float32, u.Out)
	}
	model.Unfold(dict, c, u.weight, bias, eps)
	if u.norm == nil {
		return
	}
	set := func(part string, data []float32) {
		dict[c.Norm+part] = model.Tensor{Shape: []int{u.Out}, Data: data}
	}
	mean, variance := slices.Clone(u.norm.Mean), slices.Clone(u.norm.Variance)
	for i := range mean {
		mean[i] -= bias[i]
		if u.norm.Eps != eps {
			variance[i] = float32(float64(variance[i]) + u.norm.Eps - eps)
		}
	}
	set(".weight", u.norm.Scale)
	set(".bias", u.norm.Bias)
	set(".running_mean", mean)
	set(".running_var", variance)
}
