package recognise

import "slices"

// A network is read off layers, in the order it runs.
type network struct {
	first, last *unit
	blocks      []block
	head
	source Source
	colours
}

// A block is an inverted residual; expand is nil where there is none.
type block struct {
	expand, depthwise, project *unit
	residual                   bool
	add                        *Layer // nil without a residual
	swapped                    bool   // add takes the projection first, and then the block's input
}

// read reads the network off the layer that makes the output, backwards: classifier,
// pool, last convolution, inverted residuals, first convolution, what is done to the
// pixels.
func read(out *Layer, source Source) (*network, error) {
	n := &network{source: source}
	var err error
	if n.head, err = readHead(out); err != nil {
		return nil, err
	}
	if n.last, err = wantConv(n.end, "the last 1x1 convolution with ReLU6", 1, true); err != nil {
		return nil, err
	}
	at := n.last.input
	for !isFirst(at) {
		b, input, err := readBlock(at)
		if err != nil {
			return nil, err
		}
		n.blocks = append(n.blocks, b)
		if len(n.blocks) > maxBlocks {
			return nil, at.unfit("more than %d blocks", maxBlocks)
		}
		at = input
	}
	if len(n.blocks) == 0 {
		return nil, at.unfit("want inverted residuals between the first and the last convolution")
	}
	slices.Reverse(n.blocks)
	for i, b := range n.blocks {
		// Hugging Face's first block has none, whatever its channels.
		if !b.residual && b.keepsShape() && i > 0 {
			return nil, b.project.unfit("want an addition behind it: the block keeps its %d channels", b.project.Out)
		}
	}
	if n.first, err = wantConv(at, "the first 3x3 convolution with ReLU6", 3, true); err != nil {
		return nil, err
	}
	if n.first.Stride != 2 {
		return nil, n.first.unfit("the first convolution has stride %d, want 2", n.first.Stride)
	}
	if n.first.In != 3 {
		return nil, n.first.unsupported("an input of %d channels: only photos in colour, of 3, are supported", n.first.In)
	}
	if n.colours, err = readColours(n.first.input); err != nil {
		return nil, err
	}
	if n.turned {
		if err := n.turnBack(); err != nil {
			return nil, err
		}
	}
	return n, n.connected()
}

// turnBack makes of a network that sees photos turned by 180 degrees one that sees them
// as they are: its kernels are turned. One pixel of padding around stays as it is at
// stride 1. At stride 2 windows begin at the last pixel now, which is TensorFlow's
// padding, whatever the size.
func (n *network) turnBack() error {
	for _, u := range n.units() {
		if u.Kernel != 3 {
			continue
		}
		if u.same {
			return u.unfit("padding %v of a photo that is turned", u.Pads)
		}
		u.same = u.Stride == 2
		turned := make([]float32, len(u.weight))
		for at := range turned {
			turned[at] = u.weight[at/9*9+8-at%9]
		}
		u.weight = turned
	}
	return nil
}

// maxBlocks is more than any MobileNetV2 has.
const maxBlocks = 256

// isFirst tells the first convolution by its kernel that sees all channels.
func isFirst(l *Layer) bool {
	c := core(l)
	return c.Kind == Conv && c.Kernel == 3 && c.Groups == 1
}

// readBlock reads the inverted residual that ends at a layer and returns it with the
// layer that it takes.
func readBlock(end *Layer) (b block, input *Layer, err error) {
	end = bare(end)
	project, skip := end, (*Layer)(nil)
	if end.Kind == Add {
		b.add, b.swapped = end, true
		project, skip = end.From, end.Operand
		if blockInput(project) != bare(skip) {
			project, skip, b.swapped = skip, project, false
		}
	}
	if b.project, err = wantConv(project, "the 1x1 projection of an inverted residual", 1, false); err != nil {
		return b, nil, err
	}
	if b.depthwise, err = wantConv(b.project.input, "the depthwise 3x3 convolution of an inverted residual, with ReLU6", 3, true); err != nil {
		return b, nil, err
	}
	if d := b.depthwise; d.Groups != d.Out || d.In != 1 {
		return b, nil, d.unfit("want a depthwise 3x3 convolution: %d groups for %d channels", d.Groups, d.Out)
	}
	input = b.depthwise.input
	if expands(input) {
		if b.expand, err = wantConv(input, "the 1x1 expansion of an inverted residual, with ReLU6", 1, true); err != nil {
			return b, nil, err
		}
		input = b.expand.input
	}
	b.residual = skip != nil
	if b.residual && (bare(skip) != bare(input) || !b.keepsShape()) {
		return b, nil, end.unfit("want it to add the input of the inverted residual to its output")
	}
	return b, input, nil
}

// keepsShape reports whether b puts out what it takes in shape, so that the two can be
// added.
func (b block) keepsShape() bool { return b.depthwise.Stride == 1 && b.in() == b.project.Out }

// in is the number of channels that b takes.
func (b block) in() int {
	if b.expand != nil {
		return b.expand.In
	}
	return b.depthwise.Groups
}

// expands tells an expansion by what a projection does not have: the ReLU6.
func expands(l *Layer) bool {
	u, err := convAt(l, "")
	return err == nil && u.Kernel == 1 && u.low
}

// blockInput is what the block that ends at a projection takes, nil if it is no block.
func blockInput(project *Layer) *Layer {
	at := core(project)
	for _, kernel := range []int{1, 3} {
		if at.Kind != Conv || at.Kernel != kernel {
			return nil
		}
		project, at = at, core(at.From)
	}
	input := unpad(project.From)
	if expands(input) {
		input = core(input).From
	}
	return bare(input)
}

// wantConv returns the convolution that ends at a layer, if it is the one that is
// wanted there.
func wantConv(end *Layer, what string, kernel int, relu6 bool) (*unit, error) {
	u, err := convAt(end, what)
	if err != nil {
		return nil, err
	}
	switch {
	case u.Kernel != kernel || kernel == 1 && (u.Stride != 1 || u.Groups != 1) || u.Stride != 1 && u.Stride != 2:
		return nil, u.unfit("a %dx%d convolution with stride %d and %d groups: want %s", u.Kernel, u.Kernel, u.Stride, u.Groups, what)
	case u.low != relu6 || u.high != relu6:
		return nil, u.unfit("clipped below %v, above %v: want %s", u.low, u.high, what)
	case u.Groups < 1 || len(u.Weight) != u.Out*u.In*kernel*kernel:
		return nil, u.unfit("%d weights for %d channels of %d", len(u.Weight), u.Out, u.In)
	case u.Bias != nil && len(u.Bias) != u.Out:
		return nil, u.unfit("a bias of %d values for %d channels", len(u.Bias), u.Out)
	}
	u.settle()
	return u, u.padding()
}

// padding accepts no padding for 1x1 kernels, one pixel around for 3x3 ones, and at
// stride 2 TensorFlow's as well; layers that pad are part of it.
func (u *unit) padding() error {
	pads := u.Pads
	for end := unpad(u.input); u.input != end; u.input = u.input.From {
		for i, p := range u.input.Pads {
			pads[i] += p
		}
	}
	switch none, around := [4]int64{}, [4]int64{1, 1, 1, 1}; {
	case pads == none && (u.Kernel == 1 || u.same):
	case u.Kernel == 3 && pads == around && !u.same:
	case u.Kernel == 3 && u.Stride == 2 && pads == [4]int64{0, 0, 1, 1}:
		u.same = true
	default:
		return u.unfit("padding %v for a %dx%d kernel at stride %d", pads, u.Kernel, u.Kernel, u.Stride)
	}
	return nil
}

// connected checks that each convolution takes as many channels as there are.
func (n *network) connected() error {
	channels := 3
	for _, u := range n.units() {
		if in := u.In * u.Groups; in != channels {
			return u.unfit("it takes %d channels of %d", in, channels)
		}
		channels = u.Out
	}
	for _, m := range n.matrices {
		if m.In != channels {
			return m.unfit("a matrix of %d by %d for %d channels", m.Out, m.In, channels)
		}
		channels = m.Out
	}
	return nil
}

// units are the convolutions in the order they run.
func (n *network) units() []*unit {
	units := []*unit{n.first}
	for _, b := range n.blocks {
		for _, u := range []*unit{b.expand, b.depthwise, b.project} {
			if u != nil {
				units = append(units, u)
			}
		}
	}
	return append(units, n.last)
}
