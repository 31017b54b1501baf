package checkpoint

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/hdf5"
	"github.com/mobilenet-go/mobilenet/model"
)

// IsKeras reports whether a file with these first bytes may be of Keras: it is an HDF5
// file. A .keras file is a zip archive with one in it, see [IsTorch].
func IsKeras(head []byte) bool { return hdf5.Match(head) }

// The entries of a .keras file.
const (
	kerasConfigEntry  = "config.json"
	kerasWeightsEntry = "model.weights.h5"
)

// isKeras reports whether a zip archive is a .keras file.
func (a *archive) isKeras() bool {
	return a.files[kerasConfigEntry] != nil && a.files[kerasWeightsEntry] != nil
}

// keras reads a .keras file.
func (a *archive) keras() (*contents, error) {
	config, err := a.read(kerasConfigEntry)
	if err != nil {
		return nil, err
	}
	weights, err := a.read(kerasWeightsEntry)
	if err != nil {
		return nil, err
	}
	f, err := parseHDF5(weights, string(config))
	return f, inEntry(kerasWeightsEntry, err)
}

// inEntry says in which entry of an archive the place of an error is.
func inEntry(entry string, err error) error {
	if e, ok := err.(*fault.Error); ok && e.Place != "" {
		placed := *e
		placed.Place = entry + ", " + e.Place
		return &placed
	}
	return about(entry, err)
}

// parseHDF5 reads the weights that Keras keeps in HDF5, of a whole model (.h5, with its
// config as an attribute) or alone (.weights.h5, with config from elsewhere or none).
// Their names become those of keras.applications, with the kinds and the shapes that
// torch has, so that what follows is that of any other naming.
func parseHDF5(data []byte, config string) (*contents, error) {
	h, err := hdf5.Parse(data)
	if err != nil {
		return nil, err
	}
	f := &contents{what: "an HDF5 file", metadata: map[string]string{}}
	for _, key := range []string{model.ConfigKey, model.LabelsKey} {
		if text := h.Text("", key); len(text) == 1 {
			f.metadata[key] = text[0]
		}
	}
	if text := h.Text("", "model_config"); config == "" && len(text) == 1 {
		config = text[0]
	}
	layers := kerasLayers(h)
	if config != "" {
		if f.keras, err = parseKerasConfig(config); err != nil {
			return nil, err
		}
		f.keras.nameLayers(layers)
	} else {
		nameByNumber(layers)
	}
	for _, l := range layers {
		f.leaves = append(f.leaves, l.leaves()...)
	}
	return f, nil
}

// A kerasLayer is a layer of an HDF5 file with weights.
type kerasLayer struct {
	container string // the names of the models around it, with dots
	group     string // what Keras 3 calls its group, after its class: "conv2d_1"; its name in older files
	name      string
	weights   []kerasWeight
}

// A kerasWeight is one of a layer's arrays: kernel, gamma, ...
type kerasWeight struct {
	kind string
	data *hdf5.Dataset
}

// key is what a config calls the layer.
func (l *kerasLayer) key() string { return join(l.container, l.group) }

func join(container, name string) string {
	if container == "" {
		return name
	}
	return container + "." + name
}

// notWeights are groups beside and in layers that a network's answer does not need.
var notWeights = []string{"optimizer", "optimizer_weights", "metrics", "_metrics", "compile_metrics", "loss_tracker", "seed_generator"}

// kerasLayers groups the arrays of a file by their layers.
func kerasLayers(h *hdf5.File) []*kerasLayer {
	var layers []*kerasLayer
	known := map[string]*kerasLayer{}
	for _, d := range h.Datasets {
		path := strings.Split(strings.TrimPrefix(d.Path, "model_weights/"), "/")
		if slices.ContainsFunc(path, func(part string) bool { return slices.Contains(notWeights, part) }) {
			continue
		}
		l, kind := kerasLayerAt(h, path)
		key := l.key()
		if known[key] == nil {
			known[key] = &l
			layers = append(layers, &l)
		}
		known[key].weights = append(known[key].weights, kerasWeight{kind, d})
	}
	return layers
}

// kerasLayerAt takes an array's path apart: layers/functional/layers/conv2d/vars/0 in
// Keras 3, mobilenetv2_1.00_224/Conv1/kernel:0 or Conv1/Conv1/kernel:0 before.
func kerasLayerAt(h *hdf5.File, path []string) (l kerasLayer, kind string) {
	last := len(path) - 1
	if number, err := strconv.Atoi(path[last]); err == nil && last > 1 && path[last-1] == "vars" {
		groups := slices.DeleteFunc(slices.Clone(path[:last-1]), func(part string) bool {
			return part == "layers" || part == "_layer_checkpoint_dependencies"
		})
		if n := len(groups); n > 0 {
			l.container, l.group = strings.Join(groups[:n-1], "."), groups[n-1]
		}
		l.name = l.group
		if text := h.Text(strings.Join(path[:last], "/"), "name"); len(text) == 1 {
			l.name = text[0]
		}
		class, _ := l.numbered()
		return l, kindOf(class, number)
	}
	if last > 0 {
		l.group = path[last-1]
	}
	if l.name = l.group; last > 0 && path[0] != l.name {
		l.container = path[0]
	}
	kind, _, _ = strings.Cut(path[last], ":")
	return l, kind
}

// numbered takes apart what Keras 3 calls a layer's group: conv2d, conv2d_1, ...
func (l *kerasLayer) numbered() (class string, number int) {
	class, number = cutNumber(l.group)
	if class, ok := strings.CutSuffix(class, "_"); ok && number > 0 {
		return class, number
	}
	return l.group, 0
}

// kindOf is what number stands for in a group of Keras 3, which has no names.
func kindOf(class string, number int) string {
	kinds := map[string][]string{
		"conv2d": {"kernel", "bias"}, "depthwise_conv2d": {"depthwise_kernel", "bias"}, "dense": {"kernel", "bias"},
		"batch_normalization": {"gamma", "beta", "moving_mean", "moving_variance"},
	}[class]
	if number < 0 || number >= len(kinds) {
		return strconv.Itoa(number)
	}
	return kinds[number]
}

// nameByNumber gives the layers of each model that lacks Keras' names theirs, by the
// order that their groups have: convolutions, depthwise ones and norms are numbered in
// the order that they run in. The first block is taken to have no expansion, as always.
func nameByNumber(layers []*kerasLayer) {
	models := map[string]map[string][]*kerasLayer{}
	for _, l := range layers {
		if models[l.container] == nil {
			models[l.container] = map[string][]*kerasLayer{}
		}
		class, _ := l.numbered()
		models[l.container][class] = append(models[l.container][class], l)
	}
	for _, classes := range models {
		for _, l := range classes {
			slices.SortFunc(l, func(a, b *kerasLayer) int {
				_, x := a.numbered()
				_, y := b.numbered()
				return cmp.Compare(x, y)
			})
		}
		convs, depthwise, norms := classes["conv2d"], classes["depthwise_conv2d"], classes["batch_normalization"]
		blocks := len(depthwise)
		named := slices.ContainsFunc(convs, func(l *kerasLayer) bool { return l.name == "Conv1" })
		if named || blocks == 0 || len(convs) != 2*blocks+1 || len(norms) != 3*blocks+1 {
			continue
		}
		expands := make([]bool, blocks)
		for i := range expands {
			expands[i] = i > 0
		}
		for i, pair := range kerasOrder(expands) {
			from := &convs
			if strings.HasSuffix(pair.conv, "depthwise") {
				from = &depthwise
			}
			(*from)[0].name, norms[i].name = pair.conv, pair.norm
			*from = (*from)[1:]
		}
	}
}

// kerasOrder lists Keras' names for the convolutions of a network in the order that they
// run in, where expands says which blocks have an expansion.
func kerasOrder(expands []bool) []pair {
	s := kerasScheme
	var blocks []place
	for i, e := range expands {
		blocks = append(blocks, place{s.prefix(i, 0, 0), e})
	}
	names := s.modules(blocks)
	var out []pair
	for i := 0; i+1 < len(names); i += 2 {
		out = append(out, pair{names[i], names[i+1]})
	}
	return out
}

// leaves are the arrays of a layer as torch has them: kernels HWIO become OIHW, those of
// depthwise convolutions HWCM become CHW with as many channels, matrices are transposed.
func (l *kerasLayer) leaves() []leaf {
	var out []leaf
	for _, w := range l.weights {
		kind, order := w.kind, []int(nil)
		switch shape := w.data.Shape; w.kind {
		case "kernel", "depthwise_kernel":
			kind = "weight"
			switch {
			case len(shape) == 4 && (w.kind == "depthwise_kernel" || shape[3] == 1 && shape[0] == 3):
				order = []int{2, 3, 0, 1} // [C, M, H, W], and M is 1
			case len(shape) == 4:
				order = []int{3, 2, 0, 1}
			case len(shape) == 2:
				order = []int{1, 0}
			}
		case "gamma":
			kind = "weight"
		case "beta":
			kind = "bias"
		case "moving_mean":
			kind = "running_mean"
		case "moving_variance":
			kind = "running_var"
		}
		out = append(out, kerasLeaf(join(l.container, l.name)+"."+kind, w.data, order))
	}
	return out
}

// kerasLeaf is an array with its dimensions in another order, if that is not nil.
func kerasLeaf(name string, d *hdf5.Dataset, order []int) leaf {
	l := leaf{name: name, shape: d.Shape, same: d.Path}
	t, ok := dtypes[d.Type]
	if !ok {
		l.err = fault.Unsupportedf("values of this type are not read")
		if _, err := d.Bytes(); err != nil {
			l.err = err
		}
	}
	if order != nil {
		l.shape = make([]int, len(order))
		for i, from := range order {
			l.shape[i] = d.Shape[from]
		}
	}
	l.values = func() (model.Tensor, error) {
		raw, err := d.Bytes()
		if err != nil {
			return model.Tensor{}, err
		}
		data := floats(raw, t)
		if order != nil {
			data = permute(data, d.Shape, order)
		}
		return model.Tensor{Shape: l.shape, Data: data}, nil
	}
	return l
}

// permute puts the dimensions of an array in another order: dimension i of the result is
// order[i] of the array.
func permute(data []float32, shape, order []int) []float32 {
	strides := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = n
		n *= shape[i]
	}
	out := make([]float32, 0, len(data))
	index := make([]int, len(order))
	at := 0
	for range data {
		out = append(out, data[at])
		for i := len(order) - 1; i >= 0; i-- {
			index[i]++
			if at += strides[order[i]]; index[i] < shape[order[i]] {
				break
			}
			at -= index[i] * strides[order[i]]
			index[i] = 0
		}
	}
	return out
}

// where a config's layer is, for errors.
func layerPlace(name string) string { return fmt.Sprintf("layer %s", fault.Shown(name)) }
