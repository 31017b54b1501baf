package onnx

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx/internal/pb"
)

// Versions of the standard operators that [Export] writes.
const (
	MinOpset     = 9
	MaxOpset     = 23
	DefaultOpset = 13
)

// A Mode says in which form the exported graph holds batch normalisation and
// dropout; the names are those of torch.onnx.TrainingMode.
type Mode string

const (
	// Eval folds batch normalisation into the convolutions.
	Eval Mode = "eval"
	// Train keeps batch normalisation and dropout, as training computes them.
	Train Mode = "train"
	// Preserve keeps batch normalisation, as inference computes it.
	Preserve Mode = "preserve"
)

// A Dynamic says which axes of the input have no fixed size.
type Dynamic string

const (
	Fixed        Dynamic = ""      // none
	DynamicBatch Dynamic = "batch" // the number of images
	DynamicAll   Dynamic = "all"   // that, and height and width
)

// ExportOptions says what [Export] writes. The zero value is the field's custom:
// an inference graph of opset 13, one image of the model's resolution, its input
// called images and its output called output.
type ExportOptions struct {
	Opset      int     // version of the standard operators; 0 is DefaultOpset
	Mode       Mode    // "" is Eval
	Dynamic    Dynamic // axes without a fixed size
	Resolution int     // height and width, pixels; 0 is the model's
	Batch      int     // images; 0 is 1
	Input      string  // name of the input; "" is "images"
	Output     string  // name of the output; "" is "output"
	Softmax    bool    // the output is probabilities, not logits
	Preprocess bool    // the input is [N,H,W,3] of 8-bit pixels, normalised in the graph
	Half       bool    // matrices and kernels are stored as float16 and cast when the graph is loaded
}

// complete puts the defaults in and returns an error that says what cannot be.
func (o ExportOptions) complete(c model.Config) (ExportOptions, error) {
	o.Opset = cmp.Or(o.Opset, DefaultOpset)
	o.Mode = cmp.Or(o.Mode, Eval)
	o.Resolution = cmp.Or(o.Resolution, c.Resolution)
	o.Batch = cmp.Or(o.Batch, 1)
	o.Input = cmp.Or(o.Input, "images")
	o.Output = cmp.Or(o.Output, "output")
	c.Resolution = o.Resolution
	switch {
	case o.Opset < MinOpset || o.Opset > MaxOpset:
		return o, fmt.Errorf("opset %d: want %d to %d", o.Opset, MinOpset, MaxOpset)
	case !slices.Contains([]Mode{Eval, Train, Preserve}, o.Mode):
		return o, fmt.Errorf("mode %q: want %q, %q or %q", o.Mode, Eval, Train, Preserve)
	case !slices.Contains([]Dynamic{Fixed, DynamicBatch, DynamicAll}, o.Dynamic):
		return o, fmt.Errorf("dynamic axes %q: want %q or %q", o.Dynamic, DynamicBatch, DynamicAll)
	case o.Batch < 0:
		return o, fmt.Errorf("batch of %d images", o.Batch)
	case o.Input == o.Output:
		return o, fmt.Errorf("input and output are both called %q", o.Input)
	}
	return o, c.Validate()
}

// irVersions is the version of the file format that came with each opset from
// MinOpset on (onnx/docs/Versioning.md).
var irVersions = [...]int64{4, 5, 6, 7, 7, 7, 8, 8, 8, 8, 9, 9, 10, 10, 11}

// Export returns m as an ONNX graph: node for node, name for name what
// torch.onnx.export of torch 1.13 makes of torchvision's mobilenet_v2, with the
// differences that the package's documentation lists. Its tensors share memory with
// m's.
func Export(m *model.Model, o ExportOptions) (*Proto, error) {
	o, err := o.complete(m.Config)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	network := m.Config.Network()
	if err := network.Check(m.Dict); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	e := exporter{m: m, o: o, g: &pb.GraphProto{Name: "torch_jit"}}
	e.network(network)
	if name, ok := madeTwice(e.g); ok {
		return nil, fmt.Errorf("export: the graph has a value called %q already: choose another name for the input or output", name)
	}
	if o.Mode != Train { // in training the shared tensors would be trained apart
		shareEqual(e.g)
	}
	if o.Half {
		storeHalf(e.g)
	}
	metadata, err := metadataOf(m)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return &Proto{
		IrVersion:       irVersions[o.Opset-MinOpset],
		ProducerName:    producer,
		ProducerVersion: producerVersion,
		Graph:           e.g,
		OpsetImport:     []*pb.OperatorSetIdProto{{Version: int64(o.Opset)}},
		MetadataProps:   metadata,
	}, nil
}

// madeTwice returns a name that more than one value of g has.
func madeTwice(g *pb.GraphProto) (string, bool) {
	var names []string
	for _, v := range g.Input {
		names = append(names, v.Name)
	}
	for _, t := range g.Initializer {
		names = append(names, t.Name)
	}
	for _, n := range g.Node {
		names = append(names, n.Output...)
	}
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			return name, true
		}
		seen[name] = true
	}
	return "", false
}
