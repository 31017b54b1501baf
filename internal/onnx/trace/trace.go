// Package trace says what the nodes of an ONNX graph are as layers of a network, for
// package recognise.
//
//	trace.go      the graph, node by node
//	constant.go   what is known before the graph runs
//	activation.go operators on activations
//	matrix.go     convolutions and matrices
//	integer.go    the quantised forms of all these
package trace

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ops"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
	"github.com/mobilenet-go/mobilenet/internal/recognise"
	"github.com/mobilenet-go/mobilenet/model"
)

// Network recognises the MobileNetV2 in a graph. Where that is one of 8-bit integers, q
// has them, or m says why not.
func Network(p *ir.Proto) (m *model.Model, q *model.Quantized, err error) {
	metadata := ir.Metadata(p)
	config, ok, err := model.MetadataConfig(metadata)
	if err != nil {
		return nil, nil, err
	}
	own := &config
	if !ok {
		own = nil
	}
	t := &tracer{opset: ir.Opset(p), values: map[string]value{}, folder: ops.NewFolder(p)}
	outputs, err := t.trace(p)
	if err != nil {
		return nil, nil, err
	}
	m, out, err := firstModel(outputs, t.source, own)
	if err != nil {
		return nil, nil, err
	}
	if m.Labels, err = model.MetadataLabels(metadata, m.Config.Outcomes()); err != nil || !m.Dequantized {
		return m, nil, err
	}
	q, err = recognise.Quantized(out, t.source, m)
	if errors.Is(err, errors.ErrUnsupported) {
		m.Unfit, q, err = err.Error(), nil, nil
	}
	return m, q, err
}

// firstModel is that of the first output which a MobileNetV2 makes: some graphs have
// labels or features beside the classes. The error is that of the first output.
func firstModel(outputs []*recognise.Layer, source recognise.Source, own *model.Config) (m *model.Model, out *recognise.Layer, first error) {
	for _, out := range outputs {
		m, err := recognise.Model(out, source, own)
		if err == nil {
			return m, out, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, nil, first
}

// A value is what is known of one of the graph's values. The zero value is one that no
// network is made of, such as the shape of another.
type value struct {
	layer    *recognise.Layer
	layout   layout
	constant *constant
	scale    []float64 // that of rounded, which is computed as the graph runs, times these
	rounded  *recognise.Layer
	integer  bool // layer's numbers still have to be multiplied with such a scale
	pooled   bool // layer's maps have one pixel, or none are left

	bytes *recognise.Bytes // what the value is the integers of; nil for numbers

	averaged *recognise.Layer // what layer, which takes the mean over rows or columns alone, is made of
}

// A layout says where an activation of four dimensions has its channels.
type layout int

const (
	anyLayout     layout = iota // it is not known yet
	channelsFirst               // [N,C,H,W]
	channelsLast                // [N,H,W,C]
)

// A tracer follows the values of a graph in the order of its nodes.
type tracer struct {
	opset  int64
	values map[string]value
	folder *ops.Folder
	shapes *ops.Inference
	source recognise.Source
	signed bool // the graph's input is signed bytes
}

// trace returns the layers that make the graph's outputs.
func (t *tracer) trace(p *ir.Proto) ([]*recognise.Layer, error) {
	for _, c := range p.Graph.GetInitializer() {
		if c.DataLocation == pb.TensorProto_EXTERNAL {
			_, err := ir.Elements(c) // says so
			return nil, err
		}
		t.values[c.Name] = value{constant: &constant{tensor: c}}
	}
	inputs := ir.FreeInputs(p)
	switch {
	case len(inputs) == 0 || len(p.Graph.Output) == 0:
		return nil, fault.Unsupportedf("not a MobileNetV2: a graph without input or output")
	case len(inputs) > 1:
		return nil, fault.Unsupportedf("not a MobileNetV2: it has the inputs %s and %s", ir.Quote(inputs[0].Name), ir.Quote(inputs[1].Name))
	}
	t.input(inputs[0])
	t.shapes, _ = ops.InferShapes(p) // what came before an error holds
	for _, n := range p.Graph.Node {
		t.node(n)
	}
	var outputs []*recognise.Layer
	for _, o := range p.Graph.Output {
		v, ok := t.values[o.Name]
		switch {
		case v.layer != nil:
			outputs = append(outputs, v.layer)
		case !ok:
			return nil, fault.Unsupportedf("not a MobileNetV2: no node makes the output %s", ir.Quote(o.Name))
		}
	}
	if outputs == nil {
		return nil, fault.Unsupportedf("not a MobileNetV2: its outputs do not depend on its input")
	}
	return outputs, nil
}

// input notes what the file states of the graph's input.
func (t *tracer) input(in *ir.ValueInfo) {
	place := "input " + ir.Quote(in.Name)
	v := value{layer: &recognise.Layer{Kind: recognise.Input, Place: place}}
	typ := ops.Declared(in)
	t.signed = typ.Elem == pb.TensorProto_INT8
	t.source = recognise.Source{Place: place, Levels: typ.Elem == pb.TensorProto_UINT8}
	if len(typ.Shape) == 4 {
		size := func(i int) int { return int(max(0, typ.Shape[i].N)) }
		colours := func(i int) bool { return size(i) == 3 || size(i) == 1 }
		channels, height, width := 1, 2, 3
		switch {
		case colours(1):
			v.layout = channelsFirst
		case colours(3):
			v.layout, channels, height, width = channelsLast, 3, 1, 2
		}
		t.source.Channels, t.source.Height, t.source.Width = size(channels), size(height), size(width)
	}
	t.values[in.Name] = v
}

// node notes what n makes.
func (t *tracer) node(n *ir.Node) {
	if len(n.Output) == 0 {
		return
	}
	for _, name := range n.Output[1:] {
		t.values[name] = value{}
	}
	t.values[n.Output[0]] = t.made(n)
}

// made is the first output of n; apply may note others.
func (t *tracer) made(n *ir.Node) value {
	if c := ir.ConstantOf(n); c != nil {
		return value{constant: &constant{tensor: c}}
	}
	activations, constants := 0, 0
	for _, name := range n.Input {
		v, ok := t.values[name]
		switch {
		case name == "":
		case !ok:
			return t.other(n, "nothing before it makes its input %s", ir.Quote(name))
		case v.layer != nil, v.scale != nil:
			activations++
		case v.constant != nil:
			constants++
		default: // made of shapes: what takes it decides whether that matters
			constants = -len(n.Input)
		}
	}
	switch {
	case activations > 0 && n.OpType != "Shape" && n.OpType != "Size":
		return t.apply(n)
	case activations == 0 && constants > 0:
		return t.folded(n)
	}
	return value{}
}

// other is what n makes if no MobileNetV2 has it; it matters if the output depends on
// it.
func (t *tracer) other(n *ir.Node, format string, args ...any) value {
	return value{layer: &recognise.Layer{Kind: recognise.Other, Place: ir.Place(n), Reason: fmt.Sprintf(format, args...)}}
}

// broken is other for what can't be right.
func (t *tracer) broken(n *ir.Node, format string, args ...any) value {
	v := t.other(n, format, args...)
	v.layer.Broken = true
	return v
}

// layer is what n makes as a layer.
func (t *tracer) layer(n *ir.Node, l recognise.Layer) value {
	l.Place = ir.Place(n)
	v := value{layer: &l, pooled: l.Kind == recognise.Pool || l.Kind == recognise.Linear}
	moved := l.Kind == recognise.Reshape || l.Kind == recognise.Swap || l.Kind == recognise.Turn || l.Kind == recognise.Pad
	for _, name := range n.Input {
		if x := t.values[name]; x.layer != nil { // the first activation
			v.layout, v.pooled = x.layout, v.pooled || x.pooled
			if moved {
				v.bytes = x.bytes
			}
			break
		}
	}
	return v
}

// size is the height and width of an activation, if they are known.
func (t *tracer) size(name string) (height, width int, ok bool) {
	shape, ok := t.shapes.Types[name].Fixed()
	if !ok || len(shape) != 4 {
		return 0, 0, false
	}
	if t.values[name].layout == channelsLast {
		return shape[1], shape[2], true
	}
	return shape[2], shape[3], true
}

// pixels are the axes of height and width.
func (l layout) pixels() [2]int64 {
	if l == channelsLast {
		return [2]int64{1, 2}
	}
	return [2]int64{2, 3}
}

// channels is the axis of the channels.
func (l layout) channels() int64 {
	if l == channelsLast {
		return 3
	}
	return 1
}

// equalAxes reports whether list is want, where negative axes count from the end of four.
func equalAxes(list []int64, want ...int64) bool {
	axes := slices.Clone(list)
	for i, a := range axes {
		if a < 0 {
			axes[i] = a + 4
		}
	}
	slices.Sort(axes)
	return slices.Equal(axes, want)
}
