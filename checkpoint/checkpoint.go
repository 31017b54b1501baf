package checkpoint

import (
	"cmp"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/foreign"
	"github.com/mobilenet-go/mobilenet/internal/half"
	"github.com/mobilenet-go/mobilenet/internal/wholefile"
	"github.com/mobilenet-go/mobilenet/model"
)

// maxFile bounds a checkpoint: a width-1.4 network with its optimiser's state
// has 75 MB.
const maxFile = 1 << 30

// Open reads the MobileNetV2 in a torch checkpoint (zip or legacy format) or a
// safetensors file, in any of the forms that the package's documentation lists. Which
// it is shows in the content. The error names the file.
func Open(path string) (*model.Model, error) {
	fsys, name := wholefile.Folder(path)
	m, err := OpenFS(fsys, name)
	return m, fault.In(path, err)
}

// OpenFS is [Open] for a file of fsys. The error doesn't name it.
func OpenFS(fsys fs.FS, name string) (*model.Model, error) {
	data, err := wholefile.Read(fsys, name, maxFile)
	if err != nil {
		return nil, err
	}
	return Parse(data)
}

// Parse reads a checkpoint as [Open] does. The model's tensors may share memory
// with data.
func Parse(data []byte) (*model.Model, error) { return ParsePart(data, "") }

// ParsePart reads the network called part of a checkpoint that holds several, as
// "state_dict_ema", the key or the names that lead to it. An empty one is for the only
// network, or the moving average (EMA) of two of the same shapes.
func ParsePart(data []byte, part string) (*model.Model, error) {
	head := data[:min(foreign.Head, len(data))]
	var f *contents
	var err error
	switch {
	case IsSafetensors(head):
		f, err = parseSafetensors(data)
	case IsTorch(head):
		f, err = parseTorch(data, true)
	case IsKeras(head):
		f, err = parseHDF5(data, "")
	default:
		if err := foreign.Check(head, "a checkpoint"); err != nil {
			return nil, err
		}
		return nil, fault.Unsupportedf("neither a torch checkpoint nor safetensors nor Keras'")
	}
	if err != nil {
		return nil, err
	}
	f.part = part
	return f.model(len(data))
}

// SaveOptions are the choices of [Save].
type SaveOptions struct {
	Naming Naming // of the tensors; empty for torchvision's
	Half   bool   // convolutions and classifier in float16, which rounds them; the rest stays float32

	// Metadata is what a .safetensors file is to say beside config and labels, see
	// [ReadMetadata]; other files have no place for it.
	Metadata map[string]string
}

// Save writes m to path: as safetensors if the name ends in .safetensors, as a state dict
// in torch's zip format if it ends in .pth or .pt, as a functional model of Keras 3 if in
// .keras, and as weights for keras.applications.MobileNetV2 if in .weights.h5, which must
// then have such a network. Each holds the
// config and the labels, too: safetensors as metadata, HDF5 as attributes, torch's archive
// in entries of their own, which torch.load passes over. A file that torch saves again has lost
// them: [InferConfig] says what is taken for granted then. The file is complete or not
// there.
func Save(path string, m *model.Model, o SaveOptions) error {
	write := func(path string, m *model.Model, tensors []namedTensor) error {
		return writeSafetensors(path, m, tensors, o.Metadata)
	}
	switch ending := strings.ToLower(filepath.Ext(path)); ending {
	case ".safetensors":
	case ".pth", ".pt":
		write = writeTorch
	case ".keras", ".h5":
		switch {
		case ending == ".h5" && !strings.HasSuffix(strings.ToLower(path), ".weights.h5"):
			return fmt.Errorf("%s: Keras' names end in .weights.h5 for weights alone; a whole model is a .keras file", path)
		case o.Naming != "" && o.Naming != Torchvision:
			return fmt.Errorf("%s: Keras has names of its own, not those of %s", path, o.Naming)
		case o.Half:
			return fmt.Errorf("%s: float16 is not for files of Keras", path)
		}
		return saveKeras(path, m)
	default:
		return fmt.Errorf("%s: write what? the name ends in none of .safetensors, .pth, .pt, .keras, .weights.h5", path)
	}
	tensors, err := o.tensors(m)
	if err != nil {
		return fault.In(path, err)
	}
	return write(path, m, tensors)
}

// tensors lists what is written of m.
func (o SaveOptions) tensors(m *model.Model) ([]namedTensor, error) {
	tensors, err := named(m, o.Naming)
	for i := range tensors {
		t := &tensors[i]
		if t.half = o.Half && len(t.tensor.Shape) > 1; t.half && !fitsHalf(t.tensor.Data) {
			return nil, fmt.Errorf("%s has values that float16 can't hold", t.name)
		}
	}
	return tensors, err
}

// fitsHalf is whether no value becomes infinite as float16.
func fitsHalf(data []float32) bool {
	return !slices.ContainsFunc(data, func(v float32) bool {
		return math.IsInf(float64(half.ToFloat32(half.FromFloat32(v))), 0) && !math.IsInf(float64(v), 0)
	})
}

// A namedTensor is an entry to write.
type namedTensor struct {
	name    string
	tensor  model.Tensor
	counter bool // an int64 scalar
	half    bool // float16
}

// named lists the tensors of m in torchvision's order under the given names.
func named(m *model.Model, naming Naming) ([]namedTensor, error) {
	n := m.Config.Network()
	if err := n.Check(m.Dict); err != nil {
		return nil, err
	}
	scheme, err := schemeOf(cmp.Or(naming, Torchvision))
	if err != nil {
		return nil, err
	}
	ours, _ := schemeOf(Torchvision)
	modules := renaming(ours.modules(ours.places(m.Config)), scheme.modules(scheme.places(m.Config)))
	if len(n.Hidden) > 0 { // no naming has names for more than one layer
		delete(modules, ours.classifier)
	}
	var out []namedTensor
	for _, s := range n.Specs() {
		t, ok := m.Dict[s.Name]
		if !ok { // a counter, see Network.Check
			t = model.Tensor{Shape: []int{}, Data: []float32{0}}
		}
		module, kind := cutLast(s.Name)
		if theirs, ok := modules[module]; ok {
			if module = theirs; module != scheme.classifier {
				module = scheme.root + module
			}
		}
		out = append(out, namedTensor{module + kind, t, s.Counter, false})
	}
	return out, nil
}
