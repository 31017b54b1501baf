package checkpoint

import (
	"fmt"
	"strings"

	"github.com/mobilenet-go/mobilenet/model"
)

// A Naming is what a library calls MobileNetV2's tensors.
type Naming string

// The namings that are read, and that [Save] can write. They are those of
// torchvision 0.14, timm 0.9 and 1.0, and transformers 4.40.
const (
	Torchvision Naming = "torchvision" // torchvision.models.mobilenet_v2
	TIMM        Naming = "timm"        // timm's mobilenetv2_*
	HuggingFace Naming = "huggingface" // transformers' MobileNetV2ForImageClassification
)

// namingOf tells a naming by the first convolution. has reports whether a state
// dict has a name.
func namingOf(has func(name string) bool) (Naming, bool) {
	for name, key := range map[Naming]string{
		Torchvision: "features.0.0.weight",
		TIMM:        "conv_stem.weight",
		HuggingFace: "mobilenet_v2.conv_stem.first_conv.convolution.weight",
	} {
		if has(key) {
			return name, true
		}
	}
	return Torchvision, false
}

// A path is where a naming keeps a block: what all its names begin with.
type path struct {
	prefix string
	expand bool // it has an expansion
}

// paths returns where the naming keeps the blocks of c.
func (names Naming) paths(c model.Config) []path {
	var out []path
	for stage, s := range c.Table {
		for place := range s.N {
			out = append(out, path{names.prefix(len(out), stage, place), s.T != 1 || s.Expand})
		}
	}
	return out
}

// prefix is that of block i, which is so many places into a stage.
func (names Naming) prefix(i, stage, place int) string {
	switch {
	case names == TIMM:
		return fmt.Sprintf("blocks.%d.%d.", stage, place)
	case names == HuggingFace && i == 0:
		return "mobilenet_v2.conv_stem."
	case names == HuggingFace:
		return fmt.Sprintf("mobilenet_v2.layer.%d.", i-1)
	}
	return fmt.Sprintf("features.%d.conv.", i+1)
}

// find returns where dict, in the naming, keeps its blocks.
func (names Naming) find(dict model.StateDict) []path {
	var out []path
	has := func(prefix, name string) bool { _, ok := dict[prefix+name+".weight"]; return ok }
	depthwise, expand := names.block(true)[1].conv, names.block(true)[0].conv
	for stage, place := 0, 0; ; {
		p := names.prefix(len(out), stage, place)
		switch {
		case has(p, depthwise) || has(p, names.block(false)[0].conv):
			out = append(out, path{p, names.hasExpand(dict, p, expand)})
			place++
		case place > 0 && names == TIMM:
			stage, place = stage+1, 0
		default:
			return out
		}
	}
}

// hasExpand tells a block with an expansion: in torchvision's naming by the
// third convolution, since the first has the same name either way.
func (names Naming) hasExpand(dict model.StateDict, prefix, expand string) bool {
	if names == Torchvision {
		return len(dict[prefix+"2.weight"].Shape) == 4
	}
	// timm calls the projection of a block without expansion conv_pw, too.
	_, ok := dict[prefix+expand+".weight"]
	_, third := dict[prefix+names.block(true)[2].conv+".weight"]
	return ok && third
}

// A pair is the names of a convolution and of its norm.
type pair struct{ conv, norm string }

// block returns the convolutions of a block in the order they run.
func (names Naming) block(expand bool) []pair {
	all := map[Naming][2][]pair{
		Torchvision: {
			{{"0.0", "0.1"}, {"1", "2"}},
			{{"0.0", "0.1"}, {"1.0", "1.1"}, {"2", "3"}},
		},
		TIMM: {
			{{"conv_dw", "bn1"}, {"conv_pw", "bn2"}},
			{{"conv_pw", "bn1"}, {"conv_dw", "bn2"}, {"conv_pwl", "bn3"}},
		},
		HuggingFace: {
			{{"conv_3x3.convolution", "conv_3x3.normalization"}, {"reduce_1x1.convolution", "reduce_1x1.normalization"}},
			{{"expand_1x1.convolution", "expand_1x1.normalization"}, {"conv_3x3.convolution", "conv_3x3.normalization"}, {"reduce_1x1.convolution", "reduce_1x1.normalization"}},
		},
	}
	if expand {
		return all[names][1]
	}
	return all[names][0]
}

// ends returns the first convolution, the last one of a network with so many
// blocks, and the classifier.
func (names Naming) ends(blocks int) (first, last pair, classifier string) {
	switch names {
	case TIMM:
		return pair{"conv_stem", "bn1"}, pair{"conv_head", "bn2"}, "classifier"
	case HuggingFace:
		const first, last = "mobilenet_v2.conv_stem.first_conv", "mobilenet_v2.conv_1x1"
		return pair{first + ".convolution", first + ".normalization"}, pair{last + ".convolution", last + ".normalization"}, "classifier"
	}
	p := fmt.Sprintf("features.%d.", blocks+1)
	return pair{"features.0.0", "features.0.1"}, pair{p + "0", p + "1"}, "classifier.1"
}

// modules lists the module names of blocks kept at paths, in an order that is
// the same for all namings.
func (names Naming) modules(paths []path) []string {
	first, last, classifier := names.ends(len(paths))
	out := []string{first.conv, first.norm}
	for _, p := range paths {
		for _, c := range names.block(p.expand) {
			out = append(out, p.prefix+c.conv, p.prefix+c.norm)
		}
	}
	return append(out, last.conv, last.norm, classifier)
}

// rename returns dict with the module names of one naming replaced by those of
// another. Names that are no module's are kept, for an error to list them.
func rename(dict model.StateDict, from, to []string) model.StateDict {
	names := map[string]string{}
	for i, module := range from {
		names[module] = to[i]
	}
	out := model.StateDict{}
	for name, t := range dict {
		dot := max(0, strings.LastIndexByte(name, '.'))
		if module, ok := names[name[:dot]]; ok {
			name = module + name[dot:]
		}
		out[name] = t
	}
	return out
}

// toTorchvision renames a state dict in any naming.
func toTorchvision(dict model.StateDict) (model.StateDict, Naming) {
	names, ok := namingOf(func(name string) bool { _, ok := dict[name]; return ok })
	if !ok || names == Torchvision {
		return dict, Torchvision
	}
	blocks := names.find(dict)
	ours := make([]path, len(blocks))
	for i, b := range blocks {
		ours[i] = path{Torchvision.prefix(i, 0, 0), b.expand}
	}
	return rename(dict, names.modules(blocks), Torchvision.modules(ours)), names
}
