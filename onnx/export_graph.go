package onnx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx/internal/pb"
)

// An exporter appends the nodes and initialisers of m to g.
type exporter struct {
	m     *model.Model
	o     ExportOptions
	g     *pb.GraphProto
	size  int // height and width of the current feature map
	value int // number that torch's tracer gives to the next folded tensor
}

func (e *exporter) network(n model.Network) {
	e.size = e.o.Resolution
	e.value = e.firstFolded(n)
	e.declare(n)
	if e.o.Mode == Eval {
		e.parameter(n.Classifier.Name + ".weight")
		e.parameter(n.Classifier.Name + ".bias")
	} else {
		for _, s := range n.Specs() {
			if !s.Counter {
				e.parameter(s.Name)
			}
		}
	}
	x := e.o.Input
	if e.o.Preprocess {
		x = e.preprocess(x)
	}
	x = e.conv(n.First, x)
	for _, b := range n.Blocks {
		x = e.block(b, x)
	}
	x = e.conv(n.Last, x)
	x = e.node("GlobalAveragePool", "", []string{x})
	x = e.node("Flatten", "", []string{x}, intOf("axis", 1))
	if e.o.Mode == Train {
		x = e.dropout(x)
	}
	l := n.Classifier.Name
	x = e.node("Gemm", l, []string{x, l + ".weight", l + ".bias"}, floatOf("alpha", 1), floatOf("beta", 1), intOf("transB", 1))
	if e.o.Softmax {
		e.node("Softmax", "", []string{x}, intOf("axis", 1))
	}
	last := e.g.Node[len(e.g.Node)-1]
	last.Output[0] = e.o.Output
}

// declare names the input and output and says their shapes.
func (e *exporter) declare(n model.Network) {
	batch, height, width := fixed(e.o.Batch), fixed(e.o.Resolution), fixed(e.o.Resolution)
	if e.o.Dynamic != Fixed {
		batch = free("batch")
	}
	if e.o.Dynamic == DynamicAll {
		height, width = free("height"), free("width")
	}
	channels := fixed(n.First.In)
	if e.o.Preprocess {
		e.g.Input = []*ValueInfo{valueInfo(e.o.Input, pb.TensorProto_UINT8, batch, height, width, channels)}
	} else {
		e.g.Input = []*ValueInfo{valueInfo(e.o.Input, pb.TensorProto_FLOAT, batch, channels, height, width)}
	}
	e.g.Output = []*ValueInfo{valueInfo(e.o.Output, pb.TensorProto_FLOAT, batch, fixed(n.Classifier.Out))}
}

// preprocess computes (v/255 - mean) / std, in torchvision's order of
// operations, from 8-bit pixels [N,H,W,3].
func (e *exporter) preprocess(x string) string {
	p := e.m.Config.Preprocess
	constant := func(name string, values []float32, shape ...int) string {
		name = "preprocess." + name
		e.g.Initializer = append(e.g.Initializer, floatTensor(name, values, shape...))
		return name
	}
	x = e.node("Transpose", "preprocess", []string{x}, intsOf("perm", 0, 3, 1, 2))
	x = e.node("Cast", "preprocess", []string{x}, intOf("to", int64(pb.TensorProto_FLOAT)))
	x = e.node("Div", "preprocess", []string{x, constant("scale", []float32{255})})
	x = e.node("Sub", "preprocess", []string{x, constant("mean", p.Mean[:], 1, 3, 1, 1)})
	return e.node("Div", "preprocess", []string{x, constant("std", p.Std[:], 1, 3, 1, 1)})
}

func (e *exporter) block(b model.InvertedResidual, in string) string {
	x := in
	for _, c := range b.Convs() {
		x = e.conv(c, x)
	}
	if b.Residual() {
		x = e.node("Add", b.Name, []string{in, x})
	}
	return x
}

// conv appends a convolution, its batch normalisation, unless that is folded,
// and ReLU6, if it has one.
func (e *exporter) conv(c model.Conv, x string) string {
	inputs := []string{x, c.Name + ".weight"}
	if e.o.Mode == Eval {
		weight, bias := e.fold(c)
		inputs = []string{x, weight, bias}
	}
	x = e.node("Conv", c.Name, inputs, e.convAttributes(c)...)
	e.size = c.OutSize(e.size)
	if e.o.Mode != Eval {
		x = e.norm(c, x)
	}
	if c.ReLU6 {
		x = e.relu6(sibling(c.Norm, 1), x)
	}
	return x
}

func (e *exporter) convAttributes(c model.Conv) []*Attribute {
	attrs := []*Attribute{intsOf("dilations", 1, 1), intOf("group", int64(c.Groups)), intsOf("kernel_shape", int64(c.Kernel), int64(c.Kernel))}
	strides := intsOf("strides", int64(c.Stride), int64(c.Stride))
	if e.o.Dynamic == DynamicAll && e.m.Config.Padding == model.PadSame && c.Stride == 2 {
		// How much padding there is at either end depends on the size.
		return append([]*Attribute{stringOf("auto_pad", "SAME_UPPER")}, append(attrs, strides)...)
	}
	before, after := 0, 0
	if c.Kernel == 3 {
		before = e.m.Config.Padding.Before(e.size, c.Stride)
		after = 1
		if e.m.Config.Padding == model.PadSame {
			after = (c.OutSize(e.size)-1)*c.Stride + c.Kernel - e.size - before
		}
	}
	b, a := int64(before), int64(after)
	return append(attrs, intsOf("pads", b, b, a, a), strides)
}

// norm appends a BatchNormalization. In training it has more outputs: running
// mean and variance, and before opset 14 the batch's own, too.
func (e *exporter) norm(c model.Conv, x string) string {
	inputs := []string{x, c.Norm + ".weight", c.Norm + ".bias", c.Norm + ".running_mean", c.Norm + ".running_var"}
	attrs := []*Attribute{floatOf("epsilon", float32(e.m.Config.BNEps)), floatOf("momentum", float32(1-e.m.Config.BNMomentum))}
	training, outputs := int64(0), 1
	if e.o.Mode == Train {
		training, outputs = 1, 3
	}
	if e.o.Opset >= 14 {
		attrs = append(attrs, intOf("training_mode", training))
	} else if e.o.Mode == Train {
		outputs = 5
	}
	x = e.node("BatchNormalization", c.Norm, inputs, attrs...)
	e.moreOutputs(outputs)
	return x
}

func (e *exporter) relu6(path, x string) string {
	if e.o.Opset < 11 {
		return e.node("Clip", path, []string{x}, floatOf("max", 6), floatOf("min", 0))
	}
	low := e.constant(path, "Constant", floatTensor("", []float32{0}))
	high := e.constant(path, "Constant_1", floatTensor("", []float32{6}))
	return e.node("Clip", path, []string{x, low, high})
}

// dropout appends the Dropout before the classifier; from opset 12 the ratio is an
// input, and so is whether it trains.
func (e *exporter) dropout(x string) string {
	path := sibling(e.m.Config.Network().Classifier.Name, -1)
	ratio := float32(e.m.Config.Dropout)
	if e.o.Opset < 12 {
		x = e.node("Dropout", path, []string{x}, floatOf("ratio", ratio))
	} else {
		r := e.constant(path, "Constant", floatTensor("", []float32{ratio}))
		training := e.constant(path, "Constant_1", &Tensor{DataType: int32(pb.TensorProto_BOOL), RawData: []byte{1}})
		x = e.node("Dropout", path, []string{x, r, training})
	}
	e.moreOutputs(2)
	return x
}

// node appends a node of the module at path and returns its output. Its name is
// torch's: the module's scope and the operator, with a number from the second of
// its kind on.
func (e *exporter) node(op, path string, inputs []string, attrs ...*Attribute) string {
	name := scope(path) + "/" + op
	for i := 1; e.named(name); i++ {
		name = fmt.Sprintf("%s/%s_%d", scope(path), op, i)
	}
	n := &Node{OpType: op, Name: name, Input: inputs, Output: []string{name + "_output_0"}, Attribute: attrs}
	e.g.Node = append(e.g.Node, n)
	return n.Output[0]
}

// named reports whether one of the last nodes, those of the same module, is
// called name.
func (e *exporter) named(name string) bool {
	recent := e.g.Node[max(0, len(e.g.Node)-8):]
	return slices.ContainsFunc(recent, func(n *Node) bool { return n.Name == name })
}

// moreOutputs names the outputs of the last node, count in all.
func (e *exporter) moreOutputs(count int) {
	n := e.g.Node[len(e.g.Node)-1]
	for i := 1; i < count; i++ {
		n.Output = append(n.Output, fmt.Sprintf("%s_output_%d", n.Name, i))
	}
}

func (e *exporter) constant(path, op string, t *Tensor) string {
	name := scope(path) + "/" + op
	out := name + "_output_0"
	a := &Attribute{Name: "value", Type: pb.AttributeProto_TENSOR, T: t}
	e.g.Node = append(e.g.Node, &Node{OpType: "Constant", Name: name, Output: []string{out}, Attribute: []*Attribute{a}})
	return out
}

// parameter appends an entry of the state dict as an initialiser.
func (e *exporter) parameter(name string) {
	t := e.m.Dict[name]
	e.g.Initializer = append(e.g.Initializer, floatTensor(name, t.Data, t.Shape...))
}

// fold appends the weight and bias of c, its batch normalisation folded in, and
// returns their names.
func (e *exporter) fold(c model.Conv) (weight, bias string) {
	w, b := e.m.Fold(c)
	weight, bias = fmt.Sprintf("onnx::Conv_%d", e.value), fmt.Sprintf("onnx::Conv_%d", e.value+1)
	e.value += 3 // the third is the convolution's output, before it gets its name
	e.g.Initializer = append(e.g.Initializer, floatTensor(weight, w, c.WeightShape()...), floatTensor(bias, b, c.Out))
	return weight, bias
}

// firstFolded is the number torch gives to the first folded tensor. Its tracer
// numbers every value: the input, the state dict's entries, the outputs of the
// nodes as they are before folding, and what the model returns.
func (e *exporter) firstFolded(n model.Network) int {
	clip := 1
	if e.o.Opset >= 11 {
		clip = 3 // with its two constants
	}
	count := 1 + len(n.Specs())
	for _, c := range n.Convs() {
		count += 2 // Conv, BatchNormalization
		if c.ReLU6 {
			count += clip
		}
	}
	for _, b := range n.Blocks {
		if b.Residual() {
			count++
		}
	}
	return count + 4 // GlobalAveragePool, Flatten, Gemm, and the result
}

// scope is the path of a module as torch's tracer writes it, each level with the
// levels of the attribute that it is an item of: features.1.conv.0 becomes
// /features/features.1/conv/conv.0.
func scope(path string) string {
	var b strings.Builder
	last := ""
	for part := range strings.SplitSeq(path, ".") {
		switch {
		case part == "":
			continue
		case part[0] >= '0' && part[0] <= '9':
			last += "." + part
		default:
			last = part
		}
		b.WriteString("/" + last)
	}
	return b.String()
}

// sibling is the module by places after the one at path in the same Sequential.
func sibling(path string, by int) string {
	dot := strings.LastIndexByte(path, '.') + 1
	at := 0
	fmt.Sscan(path[dot:], &at)
	return fmt.Sprintf("%s%d", path[:dot], at+by)
}

// shareEqual makes one initialiser of those that are equal; the others become
// Identity nodes before all others, the last one first.
func shareEqual(g *pb.GraphProto) {
	kept := map[string][]*Tensor{} // by shape and the first bytes
	var unique []*Tensor
	var identities []*Node
	for _, t := range g.Initializer {
		key := fmt.Sprint(t.Dims, t.RawData[:min(8, len(t.RawData))])
		same := slices.IndexFunc(kept[key], func(k *Tensor) bool { return bytes.Equal(k.RawData, t.RawData) })
		if same < 0 {
			kept[key] = append(kept[key], t)
			unique = append(unique, t)
			continue
		}
		identities = append(identities, &Node{OpType: "Identity", Input: []string{kept[key][same].Name}, Output: []string{t.Name}})
	}
	slices.Reverse(identities)
	for i, n := range identities {
		n.Name = fmt.Sprintf("Identity_%d", i)
	}
	g.Initializer, g.Node = unique, append(identities, g.Node...)
}

// storeHalf stores initialisers of two and more dimensions as float16, each behind
// a Cast that gives the float32 tensor its name back. Biases and norms, a hundredth
// of the bytes, stay as they are.
func storeHalf(g *pb.GraphProto) {
	var casts []*Node
	for i, t := range g.Initializer {
		if len(t.Dims) < 2 || t.Name == "preprocess.mean" || t.Name == "preprocess.std" {
			continue
		}
		values := make([]float32, len(t.RawData)/4)
		for j := range values {
			values[j] = math.Float32frombits(binary.LittleEndian.Uint32(t.RawData[4*j:]))
		}
		h := halfTensor(t.Name+".half", values)
		h.Dims = t.Dims
		g.Initializer[i] = h
		casts = append(casts, &Node{
			OpType: "Cast", Name: t.Name + "/Cast", Input: []string{h.Name}, Output: []string{t.Name},
			Attribute: []*Attribute{intOf("to", int64(pb.TensorProto_FLOAT))},
		})
	}
	g.Node = append(casts, g.Node...)
}

func intOf(name string, v int64) *Attribute {
	return &Attribute{Name: name, Type: pb.AttributeProto_INT, I: &v}
}

func floatOf(name string, v float32) *Attribute {
	return &Attribute{Name: name, Type: pb.AttributeProto_FLOAT, F: &v}
}

func intsOf(name string, v ...int64) *Attribute {
	return &Attribute{Name: name, Type: pb.AttributeProto_INTS, Ints: v}
}

func stringOf(name, v string) *Attribute {
	return &Attribute{Name: name, Type: pb.AttributeProto_STRING, S: []byte(v)}
}

func fixed(n int) *pb.TensorShapeProto_Dimension {
	return &pb.TensorShapeProto_Dimension{Value: &pb.TensorShapeProto_Dimension_DimValue{DimValue: int64(n)}}
}

func free(name string) *pb.TensorShapeProto_Dimension {
	return &pb.TensorShapeProto_Dimension{Value: &pb.TensorShapeProto_Dimension_DimParam{DimParam: name}}
}

func valueInfo(name string, typ DataType, shape ...*pb.TensorShapeProto_Dimension) *ValueInfo {
	tensor := &pb.TypeProto_Tensor{ElemType: int32(typ), Shape: &pb.TensorShapeProto{Dim: shape}}
	return &ValueInfo{Name: name, Type: &pb.TypeProto{Value: &pb.TypeProto_TensorType{TensorType: tensor}}}
}
