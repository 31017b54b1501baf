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

// restoreFeatures gives the tensors of torchvision's model.features, saved alone, the
// names that they have in the model: features.0.0.weight for 0.0.weight. It returns nil
// if there are none.
func restoreFeatures(leaves []leaf) []leaf {
	names := map[string]bool{}
	for _, l := range leaves {
		names[l.name] = true
	}
	for _, l := range leaves {
		root, ok := strings.CutSuffix(l.name, "0.0.weight")
		if !ok || !names[root+"1.conv.0.0.weight"] && !names[root+"1.conv.0.weight"] {
			continue
		}
		out := slices.Clone(leaves)
		for i := range out {
			if name, ok := strings.CutPrefix(out[i].name, root); ok && out[i].scope == l.scope {
				out[i].name = root + "features." + name
			}
		}
		return out
	}
	return nil
}
