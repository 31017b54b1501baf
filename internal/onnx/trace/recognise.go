package trace

import (
	"fmt"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/onnx/pb"
	"github.com/mobilenet-go/mobilenet/model"
)

// found is a network read off layers, in the order it runs.
type found struct {
	first, last, linear *layer
	blocks              []foundBlock
	pool                *layer
}

// foundBlock is an inverted residual; expand is nil where there is none.
type foundBlock struct{ expand, depthwise, project *layer }

// recognise reads the network off the layer that makes the output, backwards:
// classifier, pool, last convolution, inverted residuals, first convolution.
func recognise(out *layer) (*found, error) {
	n := &found{linear: out}
	if out.kind == convLayer && out.kernel == 1 && out.from.kind == poolLayer {
		out.kind = linearLayer // a 1x1 convolution of one pixel
	}
	if err := out.want(linearLayer, "the classifier"); err != nil {
		return nil, err
	}
	n.pool = out.from
	if err := n.pool.want(poolLayer, "the global average pool"); err != nil {
		return nil, err
	}
	n.last = n.pool.from
	if err := n.last.wantConv("the last 1x1 convolution with ReLU6", 1, true); err != nil {
		return nil, err
	}
	at := n.last.from
	for at.kind != convLayer || at.kernel != 3 || at.groups != 1 {
		b, input, err := recogniseBlock(at)
		if err != nil {
			return nil, err
		}
		n.blocks = append(n.blocks, b)
		if len(n.blocks) > maxBlocks {
			return nil, fault.Unsupportedf("not a MobileNetV2: more than %d blocks", maxBlocks)
		}
		at = input
	}
	slices.Reverse(n.blocks)
	n.first = at
	if err := at.wantConv("the first 3x3 convolution with ReLU6", 3, true); err != nil {
		return nil, err
	}
	if at.in != 3 || at.stride != 2 || at.from.kind != inputLayer {
		return nil, unfit(at.node, "want the first convolution: 3 channels, stride 2, of the input")
	}
	return n, nil
}

// maxBlocks is more than any MobileNetV2 has, and keeps a graph that goes in a
// circle from being walked for ever.
const maxBlocks = 256

// recogniseBlock reads the inverted residual that ends at a layer and returns it
// with the layer that it takes.
func recogniseBlock(end *layer) (foundBlock, *layer, error) {
	var b foundBlock
	b.project = end
	skip := (*layer)(nil)
	if end.kind == addLayer {
		b.project, skip = end.from, end.add
		if !endsBlock(b.project) || chainInput(b.project) != skip {
			b.project, skip = skip, b.project
		}
	}
	if err := b.project.wantConv("the 1x1 projection of an inverted residual", 1, false); err != nil {
		return b, nil, err
	}
	b.depthwise = b.project.from
	if err := b.depthwise.wantConv("the depthwise 3x3 convolution of an inverted residual, with ReLU6", 3, true); err != nil {
		return b, nil, err
	}
	if d := b.depthwise; d.groups != d.out || d.in != 1 {
		return b, nil, unfit(d.node, "want a depthwise 3x3 convolution: %d groups for %d channels", d.groups, d.out)
	}
	input := b.depthwise.from
	if expands(input) {
		b.expand = input
		if err := input.wantConv("the 1x1 expansion of an inverted residual, with ReLU6", 1, true); err != nil {
			return b, nil, err
		}
		input = input.from
	}
	switch residual := b.depthwise.stride == 1 && input.out == b.project.out; {
	case skip == nil && residual:
		return b, nil, unfit(b.project.node, "want an addition behind it: the block keeps its %d channels", b.project.out)
	case skip != nil && (skip != input || !residual):
		return b, nil, unfit(end.node, "want it to add the input of the inverted residual to its output")
	}
	return b, input, nil
}

// expands tells an expansion by what a projection does not have: the ReLU6.
func expands(l *layer) bool { return l.kind == convLayer && l.kernel == 1 && l.low }

func endsBlock(l *layer) bool {
	return l.kind == convLayer && l.kernel == 1 && l.from.kind == convLayer && l.from.kernel == 3
}

// chainInput is what the block that ends at a projection takes.
func chainInput(project *layer) *layer {
	in := project.from.from
	if in != nil && expands(in) {
		return in.from
	}
	return in
}

func (l *layer) want(kind layerKind, what string) error {
	if l.kind == kind {
		return nil
	}
	if l.node == nil {
		return fault.Unsupportedf("not a MobileNetV2: the input, where %s should be", what)
	}
	return unfit(l.node, "want %s", what)
}

func (l *layer) wantConv(what string, kernel int, relu6 bool) error {
	if err := l.want(convLayer, what); err != nil {
		return err
	}
	channels := l.in * l.groups
	switch {
	case l.kernel != kernel || kernel == 1 && (l.stride != 1 || l.groups != 1) || l.stride != 1 && l.stride != 2:
		return unfit(l.node, "a %dx%d convolution with stride %d and %d groups: want %s", l.kernel, l.kernel, l.stride, l.groups, what)
	case l.low != relu6 || l.high != relu6:
		return unfit(l.node, "clipped below %v, above %v: want %s", l.low, l.high, what)
	case l.from.kind != inputLayer && l.from.out != channels:
		return unfit(l.node, "it takes %d channels of %d", channels, l.from.out)
	case len(l.weight) != l.out*l.in*kernel*kernel:
		return unfit(l.node, "%d weights for %d channels of %d", len(l.weight), l.out, l.in)
	}
	return l.wantPadding()
}

// wantPadding accepts no padding for 1x1 kernels, one pixel around for 3x3 ones,
// and at stride 2 TensorFlow's as well.
func (l *layer) wantPadding() error {
	around := [4]int64{1, 1, 1, 1}
	switch {
	case l.kernel == 1 && l.pads == [4]int64{}:
	case l.kernel == 3 && (l.pads == around || l.same):
	case l.kernel == 3 && l.stride == 2 && l.pads == [4]int64{0, 0, 1, 1}:
		l.same = true
	default:
		return unfit(l.node, "padding %v for a %dx%d kernel at stride %d", l.pads, l.kernel, l.kernel, l.stride)
	}
	return nil
}

// model turns the network into a Model.
func (n *found) model(p *ir.Proto, in *ir.ValueInfo) (*model.Model, error) {
	dict := model.StateDict{}
	eps := n.eps()
	put := func(l *layer, conv, norm string) {
		c := model.Conv{Name: conv, Norm: norm, In: l.in * l.groups, Out: l.out, Kernel: l.kernel, Groups: l.groups}
		l.put(dict, c, eps)
	}
	put(n.first, "features.0.0", "features.0.1")
	for i, b := range n.blocks {
		at := 0
		for _, l := range []*layer{b.expand, b.depthwise, b.project} {
			prefix := fmt.Sprintf("features.%d.conv.%d", i+1, at)
			switch {
			case l == nil:
				continue
			case l == b.project:
				put(l, prefix, fmt.Sprintf("features.%d.conv.%d", i+1, at+1))
			default:
				put(l, prefix+".0", prefix+".1")
			}
			at++
		}
	}
	prefix := fmt.Sprintf("features.%d", len(n.blocks)+1)
	put(n.last, prefix+".0", prefix+".1")
	l := n.linear
	dict["classifier.1.weight"] = model.Tensor{Shape: []int{l.out, l.in}, Data: l.weight}
	bias := l.bias
	if bias == nil {
		bias = make([]float32, l.out)
	}
	dict["classifier.1.bias"] = model.Tensor{Shape: []int{l.out}, Data: bias}
	c, err := n.config(dict, p, in)
	if err != nil {
		return nil, err
	}
	m, err := model.FromDict(c, dict)
	if err != nil {
		return nil, err
	}
	m.Labels, err = model.MetadataLabels(ir.Metadata(p), c.Classes)
	return m, err
}

// eps is that of the graph's norms, or torchvision's where they are folded.
func (n *found) eps() float64 {
	if n.first.norm != nil {
		return n.first.norm.eps
	}
	return 1e-5
}

// put adds the entries of a convolution. A norm whose epsilon is another than
// the network's has its variance moved by the difference.
func (l *layer) put(dict model.StateDict, c model.Conv, eps float64) {
	bias := l.bias
	if bias == nil {
		bias = make([]float32, l.out)
	}
	model.Unfold(dict, c, l.weight, bias, eps)
	if l.norm == nil {
		return
	}
	set := func(part string, data []float32) {
		dict[c.Norm+part] = model.Tensor{Shape: []int{l.out}, Data: data}
	}
	mean, variance := slices.Clone(l.norm.mean), slices.Clone(l.norm.variance)
	for i := range mean {
		mean[i] -= bias[i]
		if l.norm.eps != eps {
			variance[i] = float32(float64(variance[i]) + l.norm.eps - eps)
		}
	}
	set(".weight", l.norm.weight)
	set(".bias", l.norm.bias)
	set(".running_mean", mean)
	set(".running_var", variance)
}

// config is the one in the metadata, if it describes this network, or is read off
// the graph.
func (n *found) config(dict model.StateDict, p *ir.Proto, in *ir.ValueInfo) (model.Config, error) {
	c, err := n.graphConfig(dict, in)
	if err != nil {
		return c, err
	}
	own, ok, err := model.MetadataConfig(ir.Metadata(p))
	if !ok || err != nil || own.Padding != c.Padding || !n.describedBy(own) {
		return c, err
	}
	own.Resolution, own.BNEps = c.Resolution, c.BNEps
	return own, nil
}

// describedBy reports whether c's blocks have the channels and strides found.
func (n *found) describedBy(c model.Config) bool {
	network := c.Network()
	ok := len(network.Blocks) == len(n.blocks) && network.First.Out == n.first.out &&
		network.Last.Out == n.last.out && c.Classes == n.linear.out
	for i := 0; ok && i < len(n.blocks); i++ {
		b, f := network.Blocks[i], n.blocks[i]
		ok = b.Hidden == f.depthwise.out && b.Out == f.project.out && b.Stride == f.depthwise.stride &&
			(b.Expand != nil) == (f.expand != nil)
	}
	return ok
}

// graphConfig infers the config from the channels, and takes strides, padding
// and input from the graph.
func (n *found) graphConfig(dict model.StateDict, in *ir.ValueInfo) (model.Config, error) {
	c, err := checkpoint.InferConfig(dict)
	if err != nil {
		return c, err
	}
	c.BNEps = n.eps()
	for i, b := range c.Network().Blocks {
		if b.Stride != n.blocks[i].depthwise.stride {
			c = n.exactTable(c)
			break
		}
	}
	if n.same() {
		c.Padding, c.Preprocess = model.PadSame, model.TFPreprocess(256)
	}
	if side := inputSide(in); side >= model.MinResolution {
		c.Resolution = side
	} else if n.pool.kernel > 0 {
		c.Resolution = 32 * n.pool.kernel
	}
	if err := n.preprocess(&c, in); err != nil {
		return c, err
	}
	if k := n.pool.kernel; k > 0 {
		if s := (c.Resolution + 31) / 32; s != k {
			return c, unfit(n.pool.node, "it averages %dx%d of %dx%d pixels", k, k, s, s)
		}
	}
	return c, c.Validate()
}

// same reports whether the convolutions with stride 2 pad as TensorFlow does.
func (n *found) same() bool {
	for _, b := range n.blocks {
		if b.depthwise.same {
			return true
		}
	}
	return n.first.same
}

// exactTable writes the blocks down one by one, with the strides they have.
func (n *found) exactTable(c model.Config) model.Config {
	c.Width, c.RoundTo, c.FirstChannels, c.LastChannels = 1, 1, n.first.out, n.last.out
	c.Table = nil
	in := n.first.out
	for _, b := range n.blocks {
		s := model.Stage{T: float64(b.depthwise.out) / float64(in), C: b.project.out, N: 1, S: b.depthwise.stride}
		last := len(c.Table) - 1
		if last >= 0 && s.S == 1 && in == s.C && c.Table[last].T == s.T {
			c.Table[last].N++
		} else {
			c.Table = append(c.Table, s)
		}
		in = b.project.out
	}
	return c
}

// preprocess takes mean and standard deviation from what the graph does to its
// input. Bytes, and constants as small as 1/255, mean levels from 0 to 255.
func (n *found) preprocess(c *model.Config, in *ir.ValueInfo) error {
	input := n.first.from
	if input.scale == nil {
		return nil
	}
	levels := 1.0
	if ir.DataType(in.GetType().GetTensorType().GetElemType()) == pb.TensorProto_UINT8 || input.scale[0] < 0.1 {
		levels = 255
	}
	for i := range 3 {
		std := 1 / (levels * float64(input.scale[i]))
		c.Preprocess.Std[i] = float32(std)
		c.Preprocess.Mean[i] = float32(-float64(input.offset[i]) * std)
		if math.IsNaN(std) || math.IsInf(std, 0) || std <= 0 {
			return unfit(n.first.node, "its input is scaled by %v", input.scale)
		}
	}
	return nil
}

// inputSide is the height and width of a square input of fixed size, else 0.
func inputSide(in *ir.ValueInfo) int {
	dims := in.GetType().GetTensorType().GetShape().GetDim()
	if len(dims) != 4 {
		return 0
	}
	var v [4]int64
	for i, d := range dims {
		v[i] = d.GetDimValue()
	}
	switch {
	case v[2] == v[3]:
		return int(v[2])
	case v[1] == v[2]:
		return int(v[1])
	}
	return 0
}
