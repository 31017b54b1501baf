package onnx

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/mobilenet-go/mobilenet/internal/onnx/export"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/model"
)

// Versions of the standard operators that [Export] writes.
const (
	MinOpset     = export.MinOpset
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

// ExportOptions says what [Export] writes. The zero value gives what is usual:
// an inference graph of opset 13, one image of the model's resolution, its input
// called images and its output called output.
type ExportOptions struct {
	Opset      int     // version of the standard operators; 0 is DefaultOpset
	Mode       Mode    // "" is Eval
	Dynamic    Dynamic // axes without a fixed size
	Resolution int     // height and width, pixels; 0 is the model's. The preprocessing in the metadata follows it
	Batch      int     // images; 0 is 1
	Input      string  // name of the input; "" is "images"
	Output     string  // name of the output; "" is "output"
	Softmax    bool    // the output is probabilities, not logits: their softmax, or sigmoid if the model's head has that
	Preprocess bool    // the input is [N,H,W,3] of 8-bit pixels, normalised in the graph
	Half       bool    // matrices and kernels are stored as float16 and cast when the graph is loaded
}

// complete puts the defaults in and returns an error that says what cannot be.
func (o ExportOptions) complete(c model.Config) (ExportOptions, error) {
	o.Opset = cmp.Or(o.Opset, DefaultOpset)
	o.Mode = cmp.Or(o.Mode, Eval)
	o.Batch = cmp.Or(o.Batch, 1)
	o.Input = cmp.Or(o.Input, "images")
	o.Output = cmp.Or(o.Output, "output")
	switch {
	case o.Opset < MinOpset || o.Opset > MaxOpset:
		return o, fmt.Errorf("opset %d: want %d to %d", o.Opset, MinOpset, MaxOpset)
	case !slices.Contains([]Mode{Eval, Train, Preserve}, o.Mode):
		return o, fmt.Errorf("mode %q: want %q, %q or %q", o.Mode, Eval, Train, Preserve)
	case !slices.Contains([]Dynamic{Fixed, DynamicBatch, DynamicAll}, o.Dynamic):
		return o, fmt.Errorf("dynamic axes %q: want %q or %q", o.Dynamic, DynamicBatch, DynamicAll)
	case o.Softmax && c.Classes == 0:
		return o, errors.New("probabilities of a network without classes")
	case o.Batch < 0:
		return o, fmt.Errorf("batch of %d images", o.Batch)
	case o.Input == o.Output:
		return o, fmt.Errorf("input and output are both called %q", o.Input)
	}
	return o, c.Validate()
}

// internal returns complete options as the exporter takes them.
func (o ExportOptions) internal() export.Options {
	return export.Options{
		Opset:      o.Opset,
		Fold:       o.Mode == Eval,
		Train:      o.Mode == Train,
		FreeBatch:  o.Dynamic != Fixed,
		FreeSize:   o.Dynamic == DynamicAll,
		Batch:      o.Batch,
		Input:      o.Input,
		Output:     o.Output,
		Softmax:    o.Softmax,
		Preprocess: o.Preprocess,
		Half:       o.Half,
	}
}

// Export returns m as an ONNX graph: node for node, name for name what
// torch.onnx.export of torch 1.13 makes of torchvision's mobilenet_v2, with the
// differences that the package's documentation lists. The graph shares memory with
// m's tensors.
func Export(m *model.Model, o ExportOptions) (*Graph, error) {
	if m == nil {
		return nil, errors.New("export: no model")
	}
	own := *m
	if o.Resolution != 0 {
		own.Config.SetInput(o.Resolution, o.Resolution)
	}
	o, err := o.complete(own.Config)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	p, err := export.Graph(&own, o.internal())
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return ir.Wrap(p), nil
}
