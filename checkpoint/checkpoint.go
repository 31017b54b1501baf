package checkpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mobilenet-go/mobilenet/model"
)

// maxFile bounds a checkpoint: a width-1.4 network with its optimiser's state
// has 75 MB.
const maxFile = 1 << 30

// Open reads a torch checkpoint (zip or legacy format) or a safetensors file
// with the weights of a MobileNetV2 under torchvision's, timm's or Hugging
// Face's names. Which it is shows in the content. The error names the file.
func Open(path string) (*model.Model, error) {
	m, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func open(path string) (*model.Model, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, reason(err)
	case info.IsDir():
		return nil, &UnsupportedError{"a folder, not a checkpoint"}
	case info.Size() > maxFile:
		return nil, &UnsupportedError{fmt.Sprintf("%d bytes, more than the limit of %d", info.Size(), maxFile)}
	case info.Size() == 0:
		return nil, &FormatError{0, "empty file"}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, reason(err)
	}
	return Parse(data)
}

// reason drops the path that os puts in its errors: Open names the file.
func reason(err error) error {
	if e, ok := err.(*os.PathError); ok {
		return e.Err
	}
	return err
}

// Parse reads a checkpoint as [Open] does. The model's tensors may share memory
// with data.
func Parse(data []byte) (*model.Model, error) {
	if isSafetensors(data) {
		f, err := parseSafetensors(data)
		if err != nil {
			return nil, err
		}
		return f.model()
	}
	dict, err := parseTorch(data)
	if err != nil {
		return nil, err
	}
	return fromDict(dict)
}

// fromDict makes a model of a state dict in any naming, with a config inferred
// from the shapes and the naming.
func fromDict(dict model.StateDict) (*model.Model, error) {
	dict, names := toTorchvision(dict)
	c, err := Infer(dict)
	if err != nil {
		return nil, err
	}
	switch names {
	case TIMM: // timm's default_cfg of mobilenetv2_*: crop_pct 0.875, bicubic
		c.Preprocess.Interpolation = model.Bicubic
	case HuggingFace: // MobileNetV2Config and MobileNetV2ImageProcessor
		c.Padding, c.BNEps, c.Dropout = model.PadSame, 1e-3, 0.8
		c.Preprocess = model.TFPreprocess(256)
	}
	return model.FromDict(c, dict)
}

// SaveOptions are the choices of [Save].
type SaveOptions struct {
	Names Names // of the tensors; empty for torchvision's
}

// Save writes m to path: as safetensors, with config and labels in its metadata,
// if the name ends in .safetensors, and as a state dict in torch's zip format,
// which has no place for either, if it ends in .pth or .pt. The file is complete
// or not there.
func Save(path string, m *model.Model, o SaveOptions) error {
	write := writeSafetensors
	switch strings.ToLower(filepath.Ext(path)) {
	case ".safetensors":
	case ".pth", ".pt":
		write = writeTorch
	default:
		return fmt.Errorf("%s: write what? the name ends in none of .safetensors, .pth, .pt", path)
	}
	tensors, err := named(m, o.Names)
	if err != nil {
		return err
	}
	return write(path, m, tensors)
}

// A namedTensor is an entry to write.
type namedTensor struct {
	name    string
	tensor  model.Tensor
	counter bool // an int64 scalar
}

// named lists the tensors of m in torchvision's order under the given names.
func named(m *model.Model, names Names) ([]namedTensor, error) {
	n := m.Config.Network()
	if err := n.Check(m.Dict); err != nil {
		return nil, err
	}
	if names == "" {
		names = Torchvision
	}
	if names != Torchvision && names != TIMM && names != HuggingFace {
		return nil, fmt.Errorf("names %q: want %s, %s or %s", names, Torchvision, TIMM, HuggingFace)
	}
	ours, theirs := Torchvision.modules(Torchvision.paths(m.Config)), names.modules(names.paths(m.Config))
	modules := map[string]string{}
	for i, module := range ours {
		modules[module] = theirs[i]
	}
	var out []namedTensor
	for _, s := range n.Specs() {
		t, ok := m.Dict[s.Name]
		if !ok { // a counter, see Network.Check
			t = model.Tensor{Shape: []int{}, Data: []float32{0}}
		}
		dot := strings.LastIndexByte(s.Name, '.')
		out = append(out, namedTensor{modules[s.Name[:dot]] + s.Name[dot:], t, s.Counter})
	}
	return out, nil
}
