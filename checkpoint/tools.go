package checkpoint

import (
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/model"
)

// Tools that look at a network or change it leave their marks in its state dict.

// counts reports whether l counts something and is no part of a network: operations,
// for the profiler thop, or steps of torch's weight averaging.
func (l leaf) counts() bool {
	_, kind := cutLast(l.name)
	return kind == ".total_ops" || kind == ".total_params" || kind == ".n_averaged"
}

// restorePruned puts the product in the place of what torch.nn.utils.prune makes of a
// tensor: an original, NAME_orig, and a mask, NAME_mask. It returns how many there are.
func restorePruned(leaves []leaf) ([]leaf, int) {
	named := map[string]leaf{}
	for _, l := range leaves {
		named[l.name] = l
	}
	pruned := 0
	out := slices.Clone(leaves)
	for i, l := range out {
		base, ok := strings.CutSuffix(l.name, "_orig")
		mask, masked := named[base+"_mask"]
		if _, twice := named[base]; !ok || !masked || twice || !slices.Equal(mask.shape, l.shape) {
			continue
		}
		out[i] = product(base, l, mask)
		delete(named, mask.name)
		pruned++
	}
	return slices.DeleteFunc(out, func(l leaf) bool {
		_, known := named[l.name]
		return !known && strings.HasSuffix(l.name, "_mask")
	}), pruned
}

// product is the product of two tensors of one shape, under another name.
func product(name string, a, b leaf) leaf {
	out := a
	out.name = name
	out.same += " " + b.same
	out.values = func() (model.Tensor, error) {
		x, err := a.read()
		if err != nil {
			return x, err
		}
		y, err := b.read()
		if err != nil {
			return y, err
		}
		z := model.Tensor{Shape: x.Shape, Data: make([]float32, len(x.Data))}
		for i := range z.Data {
			z.Data[i] = x.Data[i] * y.Data[i]
		}
		return z, nil
	}
	return out
}
