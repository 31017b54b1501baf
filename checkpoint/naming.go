package checkpoint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/model"
)

// A Naming is what a library calls MobileNetV2's tensors.
type Naming string

// The namings that are read, and that [Save] can write: those of torchvision 0.14,
// timm 0.9 and 1.0, transformers 4.40, mmpretrain 1.2, and of two repositories whose
// checkpoints are widely used. TonyLins is also what torchvision before 0.3 called them.
const (
	Torchvision Naming = "torchvision" // torchvision.models.mobilenet_v2
	TIMM        Naming = "timm"        // timm's mobilenetv2_*
	HuggingFace Naming = "huggingface" // transformers' MobileNetV2ForImageClassification
	TonyLins    Naming = "tonylins"    // github.com/tonylins/pytorch-mobilenet-v2
	DLi14       Naming = "d-li14"      // github.com/d-li14/mobilenetv2.pytorch
	OpenMMLab   Naming = "openmmlab"   // mmpretrain's and mmcls' MobileNetV2
)

// Namings that are for files of their own, which Save does not write.
const (
	kerasNaming  Naming = "keras"  // keras.applications, in HDF5
	paddleNaming Naming = "paddle" // PaddleClas, in .pdparams
)

// Namings lists the namings that [Save] can write, the usual one first.
func Namings() []Naming { return []Naming{Torchvision, TIMM, HuggingFace, TonyLins, DLi14, OpenMMLab} }

// A scheme is the names of a naming. Names are those of modules: a convolution has a
// weight, a norm a weight, a bias and statistics.
type scheme struct {
	naming Naming

	// A file has the naming if it has all these tensors. The first is the first
	// convolution's weight; the others tell the naming from those with the same.
	has []string

	root        string // before all names but the classifier's, which is beside the network
	first, last pair   // the convolutions at the ends; a last one of %d is behind so many blocks
	classifier  string

	// prefix is what all names of block i begin with, which is so many places into a
	// stage, and blocks its convolutions: without an expansion, and with one.
	prefix func(i, stage, place int) string
	blocks [2][]pair

	kinds map[string]string // torch's name of a module's tensor, where it has another: ".running_mean"
}

// A pair is the names of a convolution and of its norm.
type pair struct{ conv, norm string }

// features is where torchvision and its kin keep block i.
func features(i, _, _ int) string { return fmt.Sprintf("features.%d.conv.", i+1) }

// flat are blocks that are a single nn.Sequential: convolution, norm, ReLU6, ...
var flat = [2][]pair{{{"0", "1"}, {"3", "4"}}, {{"0", "1"}, {"3", "4"}, {"6", "7"}}}

// schemes are tried in this order: torchvision's first convolution has other schemes,
// too.
var schemes = []scheme{
	{
		naming: DLi14, has: []string{"features.0.0.weight", "features.1.conv.0.weight", "conv.0.weight"},
		first: pair{"features.0.0", "features.0.1"}, last: pair{"conv.0", "conv.1"}, classifier: "classifier",
		prefix: features, blocks: flat,
	},
	{
		naming: TonyLins, has: []string{"features.0.0.weight", "features.1.conv.0.weight"},
		first: pair{"features.0.0", "features.0.1"}, last: pair{"features.%d.0", "features.%d.1"}, classifier: "classifier.1",
		prefix: features, blocks: flat,
	},
	{
		naming: Torchvision, has: []string{"features.0.0.weight"},
		first: pair{"features.0.0", "features.0.1"}, last: pair{"features.%d.0", "features.%d.1"}, classifier: "classifier.1",
		prefix: features,
		blocks: [2][]pair{{{"0.0", "0.1"}, {"1", "2"}}, {{"0.0", "0.1"}, {"1.0", "1.1"}, {"2", "3"}}},
	},
	{
		naming: TIMM, has: []string{"conv_stem.weight"},
		first: pair{"conv_stem", "bn1"}, last: pair{"conv_head", "bn2"}, classifier: "classifier",
		prefix: func(_, stage, place int) string { return fmt.Sprintf("blocks.%d.%d.", stage, place) },
		blocks: [2][]pair{
			{{"conv_dw", "bn1"}, {"conv_pw", "bn2"}},
			{{"conv_pw", "bn1"}, {"conv_dw", "bn2"}, {"conv_pwl", "bn3"}},
		},
	},
	{
		naming: HuggingFace, has: []string{"mobilenet_v2.conv_stem.first_conv.convolution.weight"},
		first:      transformers("mobilenet_v2.conv_stem.first_conv"),
		last:       transformers("mobilenet_v2.conv_1x1"),
		classifier: "classifier",
		prefix: func(i, _, _ int) string {
			if i == 0 {
				return "mobilenet_v2.conv_stem."
			}
			return fmt.Sprintf("mobilenet_v2.layer.%d.", i-1)
		},
		blocks: [2][]pair{
			{transformers("conv_3x3"), transformers("reduce_1x1")},
			{transformers("expand_1x1"), transformers("conv_3x3"), transformers("reduce_1x1")},
		},
	},
	{
		naming: OpenMMLab, has: []string{"conv1.conv.weight", "layer1.0.conv.0.conv.weight"},
		root:  "backbone.",
		first: openmmlab("conv1"), last: openmmlab("conv2"), classifier: "head.fc",
		prefix: func(_, stage, place int) string { return fmt.Sprintf("layer%d.%d.conv.", stage+1, place) },
		blocks: [2][]pair{
			{openmmlab("0"), openmmlab("1")},
			{openmmlab("0"), openmmlab("1"), openmmlab("2")},
		},
	},
	kerasScheme,
	{
		naming: paddleNaming, has: []string{"conv1._conv.weight", "conv2._first_block._linear_conv._conv.weight"},
		first: paddle("conv1"), last: paddle("conv9"), classifier: "out",
		prefix: func(_, stage, place int) string {
			if place == 0 {
				return fmt.Sprintf("conv%d._first_block.", stage+2)
			}
			return fmt.Sprintf("conv%d.conv%[1]d_%d.", stage+2, place+1)
		},
		blocks: [2][]pair{
			{paddle("_bottleneck_conv"), paddle("_linear_conv")},
			{paddle("_expand_conv"), paddle("_bottleneck_conv"), paddle("_linear_conv")},
		},
		kinds: map[string]string{"._mean": ".running_mean", "._variance": ".running_var"},
	},
}

// openmmlab is what mmcv calls a convolution and its norm.
func openmmlab(layer string) pair { return pair{layer + ".conv", layer + ".bn"} }

// paddle is what PaddleClas calls a convolution and its norm.
func paddle(layer string) pair { return pair{layer + "._conv", layer + "._batch_norm"} }

// kerasScheme is keras.applications'.
var kerasScheme = scheme{
	naming: kerasNaming, has: []string{"Conv1.weight"},
	first: pair{"Conv1", "bn_Conv1"}, last: pair{"Conv_1", "Conv_1_bn"}, classifier: "predictions",
	prefix: func(i, _, _ int) string {
		if i == 0 {
			return "expanded_conv_"
		}
		return fmt.Sprintf("block_%d_", i)
	},
	blocks: [2][]pair{
		{keras("depthwise"), keras("project")},
		{keras("expand"), keras("depthwise"), keras("project")},
	}}

// keras is what keras.applications calls a convolution of a block, and its norm.
func keras(layer string) pair { return pair{layer, layer + "_BN"} }

// transformers is what Hugging Face calls a convolution and its norm.
func transformers(layer string) pair { return pair{layer + ".convolution", layer + ".normalization"} }

// schemeOf returns the scheme of a naming.
func schemeOf(n Naming) (scheme, error) {
	for _, s := range schemes {
		if s.naming == n && slices.Contains(Namings(), n) {
			return s, nil
		}
	}
	var names []string
	for _, n := range Namings() {
		names = append(names, string(n))
	}
	return scheme{}, fmt.Errorf("names %q: want one of %s", n, strings.Join(names, ", "))
}

// schemeIn returns the scheme that names are of. has reports whether there is a name.
func schemeIn(has func(name string) bool) (scheme, bool) {
	for _, s := range schemes {
		all := true
		for _, name := range s.has {
			all = all && has(name)
		}
		if all {
			return s, true
		}
	}
	return scheme{}, false
}

// A place is where a naming keeps a block.
type place struct {
	prefix string // of all its names
	expand bool   // it has an expansion
}

// places returns where the naming keeps the blocks of c.
func (s scheme) places(c model.Config) []place {
	var out []place
	for stage, row := range c.Table {
		for i := range row.N {
			out = append(out, place{s.prefix(len(out), stage, i), row.T != 1 || row.Expand})
		}
	}
	return out
}

// find returns where a file of the naming, whose tensors have these shapes, keeps its
// blocks.
func (s scheme) find(shapes map[string][]int) []place {
	// kernels is how many of a block's convolutions there are.
	kernels := func(prefix string, block []pair) int {
		n := 0
		for _, p := range block {
			if len(shapes[prefix+p.conv+".weight"]) == 4 {
				n++
			}
		}
		return n
	}
	var out []place
	for stage, at := 0, 0; ; {
		prefix := s.prefix(len(out), stage, at)
		plain, expanded := kernels(prefix, s.blocks[0]), kernels(prefix, s.blocks[1])
		switch {
		case plain+expanded > 0:
			out = append(out, place{prefix, expanded > plain})
			at++
		case at > 0 && s.prefix(len(out), stage+1, 0) != prefix: // a naming that counts stages
			stage, at = stage+1, 0
		default:
			return out
		}
	}
}

// modules lists the names of all modules with tensors, in an order that is the same
// for all namings.
func (s scheme) modules(blocks []place) []string {
	out := []string{s.first.conv, s.first.norm}
	for _, b := range blocks {
		convs := s.blocks[0]
		if b.expand {
			convs = s.blocks[1]
		}
		for _, c := range convs {
			out = append(out, b.prefix+c.conv, b.prefix+c.norm)
		}
	}
	last := func(name string) string {
		return strings.ReplaceAll(name, "%d", fmt.Sprint(len(blocks)+1))
	}
	return append(out, last(s.last.conv), last(s.last.norm), s.classifier)
}

// renaming maps the names of the modules of one naming to those of another.
func renaming(from, to []string) map[string]string {
	names := map[string]string{}
	for i, module := range from {
		names[module] = to[i]
	}
	return names
}

// toTorchvision maps the modules of a file of the naming, whose tensors have these
// shapes, to torchvision's names.
func (s scheme) toTorchvision(shapes map[string][]int) map[string]string {
	tv, _ := schemeOf(Torchvision)
	blocks := s.find(shapes)
	ours := make([]place, len(blocks))
	for i, b := range blocks {
		ours[i] = place{tv.prefix(i, 0, 0), b.expand}
	}
	return renaming(s.modules(blocks), tv.modules(ours))
}
