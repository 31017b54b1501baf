package trace

import (
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
	"github.com/mobilenet-go/mobilenet/model"
)

// Model recognises the MobileNetV2 in a graph and returns its weights as
// float32 under torchvision's names. It takes graphs of torch's exporters in
// every mode, of TensorFlow's by way of tf2onnx (transposed layouts, asymmetric
// padding), simplified, half precision and quantised ones (QLinear operators, or
// pairs of QuantizeLinear and DequantizeLinear). A folded batch normalisation
// comes back as the identity with a bias (see [model.Unfold]).
//
// It works in two steps: trace reduces the operators to convolutions,
// additions, the pool and the classifier; recognise reads the inverted residuals
// off these. The error of a graph that is something else names the first node
// that does not fit.
func Model(p *ir.Proto) (*model.Model, error) {
	if p.Graph == nil {
		return nil, fault.Unsupportedf("a model without a graph")
	}
	t := &tracer{values: map[string]*layer{}, constants: map[string]*constant{}, shapes: map[string]bool{}}
	out, err := t.trace(p)
	if err != nil {
		return nil, err
	}
	n, err := recognise(out)
	if err != nil {
		return nil, err
	}
	return n.model(p, t.input)
}

// A layer is a step of the network that the graph's operators are reduced to.
type layer struct {
	kind layerKind
	node *ir.Node // the operator it began with, for errors
	from *layer
	add  *layer // the other operand of an addition

	// A convolution, or the classifier with a 1x1 kernel.
	weight        []float32 // OIHW
	bias          []float32 // nil for none
	norm          *norm
	in, out       int // channels: in is per group
	kernel        int
	stride        int
	groups        int
	pads          [4]int64  // top, left, bottom, right; also of a padLayer
	same          bool      // padded like TensorFlow's SAME, whatever the input size
	low, high     bool      // clipped at 0, at 6
	scale, offset []float32 // of the input: what is done to it before the first convolution
}

type layerKind int

const (
	inputLayer layerKind = iota
	padLayer             // zeros for the convolution that follows
	convLayer
	addLayer
	poolLayer
	linearLayer
)

// norm is a batch normalisation that stands in the graph.
type norm struct {
	weight, bias, mean, variance []float32
	eps                          float64
}

// constant is a tensor known before the graph runs, as float32.
type constant struct {
	dims []int
	data []float32
	ints *ir.Tensor // where it is of integers, for shapes and axes
}

// tracer follows the values of a graph in the order of its nodes.
type tracer struct {
	values    map[string]*layer
	constants map[string]*constant
	shapes    map[string]bool // values made of shapes: what they say is known already
	input     *ir.ValueInfo
	graph     *ir.Index
}

// unfit is the error for a node that has no place in a MobileNetV2.
func unfit(n *ir.Node, format string, args ...any) error {
	return ir.At(n, fault.Unsupportedf("not a MobileNetV2: "+format, args...))
}

// trace returns the layer that makes the graph's output.
func (t *tracer) trace(p *ir.Proto) (*layer, error) {
	g := ir.NewIndex(p)
	t.graph = g
	for _, in := range g.Input {
		if _, ok := g.Constants[in.Name]; ok {
			continue // before IR version 4, initialisers are inputs as well
		}
		if t.input != nil {
			return nil, fault.Unsupportedf("not a MobileNetV2: inputs %q and %q", t.input.Name, in.Name)
		}
		t.input = in
		t.values[in.Name] = &layer{kind: inputLayer}
	}
	if t.input == nil || len(g.Output) == 0 {
		return nil, fault.Unsupportedf("not a MobileNetV2: a graph without input or output")
	}
	for name, c := range g.Constants {
		if err := t.addConstant(name, c); err != nil {
			return nil, err
		}
	}
	for _, n := range g.Node {
		if err := t.node(n); err != nil {
			return nil, err
		}
	}
	out := t.values[g.Output[0].Name]
	if out == nil {
		return nil, fault.Unsupportedf("not a MobileNetV2: no node makes the output %q", g.Output[0].Name)
	}
	return out, nil
}

func (t *tracer) addConstant(name string, v *ir.Tensor) error {
	c := &constant{}
	for _, d := range v.Dims {
		c.dims = append(c.dims, int(d))
	}
	switch ir.DataType(v.DataType) {
	case pb.TensorProto_FLOAT, pb.TensorProto_FLOAT16, pb.TensorProto_BFLOAT16, pb.TensorProto_DOUBLE:
		data, err := ir.Floats(v)
		if err != nil {
			return err
		}
		c.data = data
	default:
		ints, err := ir.Ints(v)
		if err != nil {
			return err
		}
		c.ints = v
		for _, i := range ints {
			c.data = append(c.data, float32(i))
		}
	}
	t.constants[name] = c
	return nil
}
