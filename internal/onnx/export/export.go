// Package export writes a model as the graph that torch.onnx.export makes of it.
package export

import (
	"fmt"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
	"github.com/mobilenet-go/mobilenet/model"
)

// Options are onnx.ExportOptions, complete, as what the exporter does.
type Options struct {
	Opset      int
	Fold       bool // batch normalisation goes into the convolutions
	Train      bool // batch normalisation and dropout as in training
	FreeBatch  bool // the number of images is not fixed
	FreeSize   bool // nor are height and width
	Batch      int
	Input      string
	Output     string
	Softmax    bool
	Preprocess bool
	Half       bool
}

// MinOpset is the first opset that is written.
const MinOpset = 9

// irVersions is the version of the file format that came with each opset from
// MinOpset on (onnx/docs/Versioning.md).
var irVersions = [...]int64{4, 5, 6, 7, 7, 7, 8, 8, 8, 8, 9, 9, 10, 10, 11}

// Graph returns m as an ONNX model, which shares memory with it.
func Graph(m *model.Model, o Options) (*ir.Proto, error) {
	network := m.Config.Network()
	if err := network.Check(m.Dict); err != nil {
		return nil, err
	}
	e := exporter{m: m, o: o, g: &pb.GraphProto{Name: "torch_jit"}}
	e.network(network)
	if name, ok := madeTwice(e.g); ok {
		return nil, fmt.Errorf("the graph has a value called %q already: choose another name for the input or output", name)
	}
	if !o.Train { // in training the shared tensors would be trained apart
		shareEqual(e.g)
	}
	if o.Half {
		storeHalf(e.g)
	}
	metadata, err := metadataOf(m)
	if err != nil {
		return nil, err
	}
	return &ir.Proto{
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
