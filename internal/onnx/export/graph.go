package export

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
	"github.com/mobilenet-go/mobilenet/model"
)

// An exporter appends the nodes and initialisers of m to g.
type exporter struct {
	m     *model.Model
	o     Options
	g     *pb.GraphProto
	h, w  int // of the current feature map
	value int // number that torch's tracer gives to the next folded tensor
}

func (e *exporter) network(n model.Network) {
	e.h, e.w = e.m.Config.InputSize()
	e.value = e.firstFolded(n)
	e.declare(n)
	if e.o.Fold {
		for _, l := range n.Linears() {
			e.parameter(l.Name + ".weight")
			e.parameter(l.Name + ".bias")
		}
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
	if e.turned() {
		x = e.turn(x)
	}
	x = e.conv(n.First, x)
	for _, b := range n.Blocks {
		x = e.block(b, x)
	}
	x = e.conv(n.Last, x)
	x = e.node("GlobalAveragePool", "", []string{x})
	x = e.node("Flatten", "", []string{x}, ir.IntOf("axis", 1))
	if e.o.Train && n.Classifier.Out > 0 {
		x = e.dropout(x)
	}
	for i, l := range n.Linears() {
		if i > 0 {
			x = e.node("Relu", sibling(l.Name, -1), []string{x})
		}
		x = e.node("Gemm", l.Name, []string{x, l.Name + ".weight", l.Name + ".bias"}, ir.FloatOf("alpha", 1), ir.FloatOf("beta", 1), ir.IntOf("transB", 1))
	}
	switch {
	case !e.o.Softmax:
	case e.m.Config.Head.Sigmoid:
		e.node("Sigmoid", "", []string{x})
	default:
		e.node("Softmax", "", []string{x}, ir.IntOf("axis", 1))
	}
	last := e.g.Node[len(e.g.Node)-1]
	last.Output[0] = e.o.Output
}

// declare names the input and output and says their shapes.
func (e *exporter) declare(n model.Network) {
	batch, height, width := ir.Fixed(e.o.Batch), ir.Fixed(e.h), ir.Fixed(e.w)
	if e.o.FreeBatch {
		batch = ir.Free("batch")
	}
	if e.o.FreeSize {
		height, width = ir.Free("height"), ir.Free("width")
	}
	channels := ir.Fixed(n.First.In)
	if e.o.Preprocess {
		e.g.Input = []*ir.ValueInfo{ir.NewValueInfo(e.o.Input, pb.TensorProto_UINT8, batch, height, width, channels)}
	} else {
		e.g.Input = []*ir.ValueInfo{ir.NewValueInfo(e.o.Input, pb.TensorProto_FLOAT, batch, channels, height, width)}
	}
	outputs := n.Features()
	if linears := n.Linears(); len(linears) > 0 {
		outputs = linears[len(linears)-1].Out
	}
	e.g.Output = []*ir.ValueInfo{ir.NewValueInfo(e.o.Output, pb.TensorProto_FLOAT, batch, ir.Fixed(outputs))}
}

// preprocess computes (v/255 - mean) / std, in torchvision's order of
// operations, from 8-bit pixels [N,H,W,3].
func (e *exporter) preprocess(x string) string {
	p := e.m.Config.Preprocess
	constant := func(name string, values []float32, shape ...int) string {
		name = "preprocess." + name
		e.g.Initializer = append(e.g.Initializer, ir.FloatTensor(name, values, shape...))
		return name
	}
	x = e.node("Transpose", "preprocess", []string{x}, ir.IntsOf("perm", 0, 3, 1, 2))
	x = e.node("Cast", "preprocess", []string{x}, ir.IntOf("to", int64(pb.TensorProto_FLOAT)))
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
	inputs := []string{x, e.named3x3(c.Name+".weight", c.Kernel)}
	if e.o.Fold {
		weight, bias := e.fold(c)
		inputs = []string{x, weight, bias}
	}
	x = e.node("Conv", c.Name, inputs, e.convAttributes(c)...)
	e.h, e.w = c.OutSize(e.h), c.OutSize(e.w)
	if !e.o.Fold {
		x = e.norm(c, x)
	}
	if c.ReLU6 {
		x = e.relu6(sibling(c.Norm, 1), x)
	}
	return x
}

func (e *exporter) convAttributes(c model.Conv) []*ir.Attribute {
	attrs := []*ir.Attribute{ir.IntsOf("dilations", 1, 1), ir.IntOf("group", int64(c.Groups)), ir.IntsOf("kernel_shape", int64(c.Kernel), int64(c.Kernel))}
	strides := ir.IntsOf("strides", int64(c.Stride), int64(c.Stride))
	if e.o.FreeSize && e.m.Config.Padding == model.PadSame && c.Stride == 2 && !e.turned() {
		// How much padding there is at either end depends on the size.
		return append([]*ir.Attribute{ir.StringOf("auto_pad", "SAME_UPPER")}, append(attrs, strides)...)
	}
	top, bottom := e.pads(c, e.h)
	left, right := e.pads(c, e.w)
	return append(attrs, ir.IntsOf("pads", top, left, bottom, right), strides)
}

// pads returns how much c pads n rows, or columns, at either end.
func (e *exporter) pads(c model.Conv, n int) (before, after int64) {
	switch {
	case c.Kernel != 3:
		return 0, 0
	case e.turned():
		return 1, 1
	}
	p := e.m.Config.Padding
	first := p.Before(n, c.Stride)
	if p != model.PadSame {
		return int64(first), 1
	}
	return int64(first), int64((c.OutSize(n)-1)*c.Stride + c.Kernel - n - first)
}

// norm appends a BatchNormalization. In training it has more outputs: running
// mean and variance, and before opset 14 the batch's own, too.
func (e *exporter) norm(c model.Conv, x string) string {
	inputs := []string{x, c.Norm + ".weight", c.Norm + ".bias", c.Norm + ".running_mean", c.Norm + ".running_var"}
	attrs := []*ir.Attribute{ir.FloatOf("epsilon", float32(e.m.Config.BNEps)), ir.FloatOf("momentum", float32(1-e.m.Config.BNMomentum))}
	training, outputs := int64(0), 1
	if e.o.Train {
		training, outputs = 1, 3
	}
	if e.o.Opset >= 14 {
		attrs = append(attrs, ir.IntOf("training_mode", training))
	} else if e.o.Train {
		outputs = 5
	}
	x = e.node("BatchNormalization", c.Norm, inputs, attrs...)
	e.moreOutputs(outputs)
	return x
}

func (e *exporter) relu6(path, x string) string {
	if e.o.Opset < 11 {
		return e.node("Clip", path, []string{x}, ir.FloatOf("max", 6), ir.FloatOf("min", 0))
	}
	low := e.constant(path, "Constant", ir.FloatTensor("", []float32{0}))
	high := e.constant(path, "Constant_1", ir.FloatTensor("", []float32{6}))
	return e.node("Clip", path, []string{x, low, high})
}

// dropout appends the Dropout before the classifier; from opset 12 the ratio is an
// input, and so is whether it trains.
func (e *exporter) dropout(x string) string {
	path := sibling(e.m.Config.Network().Linears()[0].Name, -1)
	ratio := float32(e.m.Config.Dropout)
	if e.o.Opset < 12 {
		x = e.node("Dropout", path, []string{x}, ir.FloatOf("ratio", ratio))
	} else {
		r := e.constant(path, "Constant", ir.FloatTensor("", []float32{ratio}))
		training := e.constant(path, "Constant_1", &ir.Tensor{DataType: int32(pb.TensorProto_BOOL), RawData: []byte{1}})
		x = e.node("Dropout", path, []string{x, r, training})
	}
	e.moreOutputs(2)
	return x
}

// node appends a node of the module at path and returns its output. Its name is
// torch's: the module's scope and the operator, with a number from the second of
// its kind on.
func (e *exporter) node(op, path string, inputs []string, attrs ...*ir.Attribute) string {
	name := scope(path) + "/" + op
	for i := 1; e.named(name); i++ {
		name = fmt.Sprintf("%s/%s_%d", scope(path), op, i)
	}
	n := &ir.Node{OpType: op, Name: name, Input: inputs, Output: []string{name + "_output_0"}, Attribute: attrs}
	e.g.Node = append(e.g.Node, n)
	return n.Output[0]
}

// named reports whether one of the last nodes, those of the same module, is
// called name.
func (e *exporter) named(name string) bool {
	recent := e.g.Node[max(0, len(e.g.Node)-8):]
	return slices.ContainsFunc(recent, func(n *ir.Node) bool { return n.Name == name })
}

// moreOutputs names the outputs of the last node, count in all.
func (e *exporter) moreOutputs(count int) {
	n := e.g.Node[len(e.g.Node)-1]
	for i := 1; i < count; i++ {
		n.Output = append(n.Output, fmt.Sprintf("%s_output_%d", n.Name, i))
	}
}

func (e *exporter) constant(path, op string, t *ir.Tensor) string {
	name := scope(path) + "/" + op
	out := name + "_output_0"
	a := &ir.Attribute{Name: "value", Type: pb.AttributeProto_TENSOR, T: t}
	e.g.Node = append(e.g.Node, &ir.Node{OpType: "Constant", Name: name, Output: []string{out}, Attribute: []*ir.Attribute{a}})
	return out
}

// turned reports whether the network sees its input turned by 180 degrees, by kernels
// that are turned, too. TensorFlow's padding at stride 2 has its one pixel behind rows
// of an even number and pixels at both ends of others: where the number is free, no pads
// say that. But windows always end one pixel behind the last. On the turned input they
// begin one pixel before the first, which is what pads of 1 are, and all else in the
// network does not see the difference. (auto_pad says it, too, but OpenCV 5 takes
// SAME_UPPER for pads of 1.) Slice has steps from opset 10 on.
func (e *exporter) turned() bool {
	return e.o.FreeSize && e.m.Config.Padding == model.PadSame && e.o.Opset >= 10
}

// turn appends a Slice that turns x.
func (e *exporter) turn(x string) string {
	inputs := []string{x}
	for _, part := range []struct {
		name string
		each int64
	}{{"starts", -1}, {"ends", -math.MaxInt64}, {"axes", 2}, {"steps", -1}} {
		list := []int64{part.each, part.each}
		if part.name == "axes" {
			list = []int64{2, 3}
		}
		inputs = append(inputs, "turn."+part.name)
		e.g.Initializer = append(e.g.Initializer, ir.IntTensor("turn."+part.name, list, 2))
	}
	return e.node("Slice", "turn", inputs)
}

// turnedKernel is a kernel as it is for a turned input: a copy.
func turnedKernel(w []float32) []float32 {
	t := make([]float32, len(w))
	for i := range t {
		t[i] = w[i/9*9+8-i%9]
	}
	return t
}

// parameter appends an entry of the state dict as an initialiser.
func (e *exporter) parameter(name string) {
	t := e.m.Dict[name]
	data := t.Data
	if len(t.Shape) == 4 && t.Shape[2] == 3 {
		if name = e.named3x3(name, 3); e.turned() {
			data = turnedKernel(data)
		}
	}
	e.g.Initializer = append(e.g.Initializer, ir.FloatTensor(name, data, t.Shape...))
}

// named3x3 is the name of a kernel: another one where it is not the state dict's.
func (e *exporter) named3x3(name string, kernel int) string {
	if kernel == 3 && e.turned() {
		return name + ".turned"
	}
	return name
}

// fold appends the weight and bias of c, its batch normalisation folded in, and
// returns their names.
func (e *exporter) fold(c model.Conv) (weight, bias string) {
	w, b := e.m.Fold(c)
	if c.Kernel == 3 && e.turned() {
		w = turnedKernel(w)
	}
	weight, bias = fmt.Sprintf("onnx::Conv_%d", e.value), fmt.Sprintf("onnx::Conv_%d", e.value+1)
	e.value += 3 // the third is the convolution's output, before it gets its name
	e.g.Initializer = append(e.g.Initializer, ir.FloatTensor(weight, w, c.WeightShape()...), ir.FloatTensor(bias, b, c.Out))
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
