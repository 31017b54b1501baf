package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/model"
)

// SaveFolder writes m as a folder that transformers' from_pretrained takes, or with the
// naming of [TIMM] timm.create_model: model.safetensors, config.json, and for
// transformers preprocessor_config.json. Other namings have no folders. A network that
// their configs have no words for is an error, and nothing is written. The files take
// the place of those of their names together, or on an error not at all.
func SaveFolder(dir string, m *model.Model, o SaveOptions) error {
	var files map[string]any
	var err error
	switch o.Naming {
	case "", HuggingFace:
		o.Naming = HuggingFace
		files, err = transformersFiles(m)
	case TIMM:
		files, err = timmFiles(m)
	default:
		return fmt.Errorf("%s: a folder is written with the names of %s or %s, not %s", dir, HuggingFace, TIMM, o.Naming)
	}
	if err != nil {
		return fault.In(dir, err)
	}
	tensors, err := o.tensors(m)
	if err != nil {
		return fault.In(dir, err)
	}
	return writeFolder(dir, func(to string) error {
		for name, content := range files {
			text, err := json.MarshalIndent(content, "", "  ")
			if err != nil {
				return fault.In(dir, err)
			}
			err = atomicfile.Write(filepath.Join(to, name), func(w io.Writer) error {
				_, err := w.Write(append(text, '\n'))
				return err
			})
			if err != nil {
				return err
			}
		}
		return writeSafetensors(filepath.Join(to, weightsName), m, tensors, o.Metadata)
	})
}

// weightsName is what the file of the weights is called in a folder.
const weightsName = "model.safetensors"

// writeFolder has fill write the files of a model into a folder of their own in dir, and
// then puts them in the place of those in dir. The old weights go first and the new ones
// come last, so that at no moment there are weights with another model's config.
func writeFolder(dir string, fill func(to string) error) (err error) {
	made, err := makeFolders(dir)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(dir, ".saving-")
	if err == nil {
		if err = fill(work); err == nil {
			err = replaceFiles(dir, work)
		}
		os.RemoveAll(work) // what was replaced, or what was written so far
	}
	if err == nil {
		return nil
	}
	for _, folder := range made { // which stay if somebody else has put something in
		os.Remove(folder)
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok { // people don't know the folder of the work
		return &fs.PathError{Op: p.Op, Path: filepath.Join(dir, filepath.Base(p.Path)), Err: p.Err}
	}
	return err
}

// makeFolders makes dir and what it is in, and lists what was not there, the innermost first.
func makeFolders(dir string) (made []string, err error) {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, at)
	}
	return made, os.MkdirAll(dir, 0o777)
}

// replaceFiles moves the files of a model from work to dir. Those that were there move
// into work, and back if there is an error.
func replaceFiles(dir, work string) (err error) {
	old := filepath.Join(work, "old")
	if err := os.Mkdir(old, 0o700); err != nil {
		return err
	}
	names := append([]string{weightsName}, Sidecars...)
	var moved, placed []string
	defer func() {
		if err == nil {
			return
		}
		for _, name := range placed {
			os.Remove(filepath.Join(dir, name))
		}
		for _, name := range slices.Backward(moved) {
			os.Rename(filepath.Join(old, name), filepath.Join(dir, name))
		}
	}()
	for _, name := range names {
		switch err := move(name, dir, old); {
		case err == nil:
			moved = append(moved, name)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	for _, name := range slices.Backward(names) { // timm has one sidecar only
		switch err := move(name, work, dir); {
		case err == nil:
			placed = append(placed, name)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}

// move moves a file to another folder. A folder of its name is no file to move.
func move(name, from, to string) error {
	path := filepath.Join(from, name)
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return &fs.PathError{Op: "replace", Path: path, Err: syscall.EISDIR}
	}
	err := os.Rename(path, filepath.Join(to, name))
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return &fs.PathError{Op: "write", Path: path, Err: l.Err}
	}
	return err
}

// cantSay is an error about what a library's config has no words for.
func cantSay(library, format string, args ...any) error {
	return fault.Unsupportedf("%s has no config for this network: %s", library, fmt.Sprintf(format, args...))
}

// sameNetwork returns an error unless c, but for its input and its head, is a network of
// the paper's table at a width.
func sameNetwork(library string, c, want model.Config) error {
	if len(c.Head.Hidden) > 0 {
		return cantSay(library, "hidden layers in the head")
	}
	got, table := c.Network().Convs(), want.Network().Convs()
	if !slices.Equal(got, table) {
		return cantSay(library, "it is not the paper's table at a width of %v", c.Width)
	}
	return nil
}

// transformersFiles are the sidecars of MobileNetV2ForImageClassification.
func transformersFiles(m *model.Model) (map[string]any, error) {
	const library = "transformers"
	c := m.Config
	// transformers rounds channels as ours do, but first to whole ones.
	want := model.Default()
	want.Width = c.Width
	for _, n := range append([]model.Stage{{C: 32}}, want.Table...) {
		if math.Abs(float64(n.C)*c.Width-math.Round(float64(n.C)*c.Width)) > 0.01 {
			whole := model.Default()
			whole.Width = math.Round(float64(n.C)*c.Width) / float64(n.C)
			if channelOf(whole, n.C) != channelOf(c, n.C) {
				return nil, cantSay(library, "it rounds %d channels at width %v to others", n.C, c.Width)
			}
		}
	}
	if err := sameNetwork(library, c, want); err != nil {
		return nil, err
	}
	if c.Network().Blocks[0].Residual() {
		return nil, cantSay(library, "a residual around the first block")
	}
	h, w := c.InputSize()
	config := map[string]any{
		"architectures": []string{"MobileNetV2ForImageClassification"}, "model_type": "mobilenet_v2",
		"num_channels": 3, "image_size": h, "depth_multiplier": c.Width, "depth_divisible_by": 8, "min_depth": 8,
		"expand_ratio": 6.0, "output_stride": 32, "first_layer_is_expansion": true, "finegrained_output": true,
		"hidden_act": "relu6", "tf_padding": c.Padding == model.PadSame, "classifier_dropout_prob": c.Dropout,
		"layer_norm_eps": c.BNEps, "torch_dtype": "float32",
	}
	labels := m.Labels
	if c.Classes > 0 && len(labels) != c.Classes { // one logit has two outcomes, and no names here
		labels = nil
		for i := range c.Classes {
			labels = append(labels, "LABEL_"+strconv.Itoa(i))
		}
	}
	names, numbers := map[string]string{}, map[string]int{}
	for i, label := range labels {
		names[strconv.Itoa(i)], numbers[label] = label, i
	}
	config["id2label"], config["label2id"] = names, numbers
	switch {
	case c.Classes == 0:
		config["architectures"] = []string{"MobileNetV2Model"}
		delete(config, "id2label")
		delete(config, "label2id")
	case c.Head.Sigmoid:
		config["problem_type"] = multiLabel
	}
	p := c.Preprocess
	processor := map[string]any{
		"image_processor_type": "MobileNetV2ImageProcessor",
		"do_resize":            true, "size": map[string]int{"shortest_edge": p.Resize}, "resample": resampling[p.Interpolation],
		"do_center_crop": true, "crop_size": map[string]int{"height": h, "width": w},
		"do_rescale": true, "rescale_factor": 1. / 255,
		"do_normalize": true, "image_mean": p.Mean, "image_std": p.Std,
	}
	if p.Squash {
		processor["size"], processor["do_center_crop"] = map[string]int{"height": h, "width": w}, false
	}
	return map[string]any{"config.json": config, "preprocessor_config.json": processor}, nil
}

// multiLabel is transformers' problem_type of a head with a sigmoid.
const multiLabel = "multi_label_classification"

// resampling are Pillow's numbers of filters.
var resampling = map[model.Interpolation]int{model.Bilinear: 2, model.Bicubic: 3}

// channelOf is what c makes of a number of channels.
func channelOf(c model.Config, channels int) int {
	c.Table = []model.Stage{{T: 1, C: channels, N: 1, S: 1}}
	c.FirstChannels, c.LastChannels = 0, 0
	return c.Network().Blocks[0].Out
}

// timmVariants are timm's mobilenetv2_* by width and depth multiplier.
var timmVariants = []struct {
	name         string
	width, depth float64
}{
	{"mobilenetv2_100", 1, 1}, {"mobilenetv2_035", 0.35, 1}, {"mobilenetv2_050", 0.5, 1}, {"mobilenetv2_075", 0.75, 1},
	{"mobilenetv2_140", 1.4, 1}, {"mobilenetv2_110d", 1.1, 1.2}, {"mobilenetv2_120d", 1.2, 1.4},
}

// timmFiles is the config.json of a timm model.
func timmFiles(m *model.Model) (map[string]any, error) {
	const library = "timm"
	c := m.Config
	name := ""
	for _, v := range timmVariants {
		want := model.Default()
		want.Width, want.Table = v.width, deeper(v.depth)
		if v.depth > 1 { // timm leaves the ends of the deeper ones as they are at width 1
			want.FirstChannels, want.LastChannels = 32, 1280
		}
		if sameNetwork(library, c, want) == nil {
			name = v.name
		}
	}
	switch {
	case name == "":
		return nil, cantSay(library, "none of its mobilenetv2_* has these layers")
	case c.Head.Sigmoid:
		return nil, cantSay(library, "the sigmoid of its head")
	}
	h, w := c.InputSize()
	p := c.Preprocess
	cfg := map[string]any{
		"input_size": []int{3, h, w}, "fixed_input_size": false, "interpolation": p.Interpolation, "crop_mode": "center",
		"crop_pct": cropShare(max(h, w), p.Resize), "mean": p.Mean, "std": p.Std, "num_classes": c.Classes,
		"pool_size": []int{(h + 31) / 32, (w + 31) / 32}, "first_conv": "conv_stem", "classifier": "classifier",
	}
	if p.Squash {
		cfg["crop_mode"], cfg["crop_pct"] = "squash", 1.0
	}
	if c.Classes > 0 && len(m.Labels) == c.Classes {
		cfg["label_names"] = m.Labels
	}
	config := map[string]any{
		"architecture": name, "num_classes": c.Classes, "num_features": c.Network().Features(), "pretrained_cfg": cfg,
	}
	args := map[string]any{}
	if c.Padding == model.PadSame {
		args["pad_type"] = "same"
	}
	if c.BNEps != 1e-5 {
		args["bn_eps"] = c.BNEps
	}
	if len(args) > 0 {
		config["model_args"] = args
	}
	return map[string]any{"config.json": config}, nil
}

// cropShare is a crop_pct of which timm makes this resize, by rounding side/share down.
func cropShare(side, resize int) float64 {
	share := float64(side) / float64(resize)
	if int(float64(side)/share) != resize {
		share = float64(side) / (float64(resize) + 0.5)
	}
	return share
}
