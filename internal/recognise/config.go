package recognise

import (
	"maps"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/model"
)

// colours is what is done to the levels of red, green and blue before the first
// convolution: level*scale + offset.
type colours struct {
	scale, offset [3]float32
	prepared      bool  // there is something that is done
	swapped       bool  // the channels change places
	turned        bool  // rows and columns are in the opposite order
	held          Range // what an input that is rounded to 8 bits holds; empty for others
}

// readColours reads from what the first convolution takes to the input. Where the
// channels change places, what is given is taken to be BGR, as OpenCV has it, and a
// Model takes RGB: nothing is left of the change but that what comes before it counts
// from blue.
func readColours(l *Layer) (colours, error) {
	var before []*Layer // the last one first
	for ; l.Kind != Input; l = l.From {
		switch l.Kind {
		case Affine, Norm, Swap, Turn, Quantize:
			before = append(before, l)
		default:
			return colours{}, l.want("the input of the network")
		}
	}
	c := colours{scale: [3]float32{1, 1, 1}}
	for i := len(before) - 1; i >= 0; i-- {
		if err := c.then(before[i]); err != nil {
			return c, err
		}
	}
	return c, nil
}

// then takes in the next layer.
func (c *colours) then(l *Layer) error {
	next := affine{l.Scale, l.Offset}
	switch l.Kind {
	case Turn:
		c.turned = !c.turned
		return nil
	case Swap:
		c.swapped = !c.swapped
		c.scale[0], c.scale[2] = c.scale[2], c.scale[0]
		c.offset[0], c.offset[2] = c.offset[2], c.offset[0]
		return nil
	case Quantize:
		if !c.prepared {
			c.held = l.Range
		}
		return nil
	case Norm:
		if !l.Norm.fit(3) {
			return l.unfit("a batch normalisation of %d values for an input of 3 colours", len(l.Norm.Scale))
		}
		next = l.Norm.affine()
	}
	c.prepared = true
	if !fits(next.scale, 3) || !fits(next.offset, 3) {
		return l.unfit("%d constants for an input of 3 colours", max(len(next.scale), len(next.offset)))
	}
	for i := range 3 {
		scale := at(next.scale, i, 1)
		c.scale[i] = float32(float64(c.scale[i]) * scale)
		c.offset[i] = float32(float64(float64(c.offset[i])*scale) + at(next.offset, i, 0))
	}
	return nil
}

// config is own, what the file says of itself, if it describes this network, or is
// read off the layers; assumed is what neither says. The resolution is that of the
// layers, where they have one.
func (n *network) config(dict model.StateDict, own *model.Config) (c model.Config, assumed model.Assumed, err error) {
	c, assumed, err = n.layersConfig(dict)
	if err != nil || own == nil || own.Padding != c.Padding || !n.describedBy(*own) {
		return c, assumed, err
	}
	kept := *own
	kept.BNEps = c.BNEps
	if !assumed.Resolution {
		kept.SetInput(c.InputSize())
	}
	return kept, model.Assumed{}, kept.Validate()
}

// describedBy reports whether c's blocks have the channels and strides found.
func (n *network) describedBy(c model.Config) bool {
	network := c.Network()
	ok := len(network.Blocks) == len(n.blocks) && network.First.Out == n.first.Out &&
		network.Last.Out == n.last.Out && c.Classes == n.classes() && slices.Equal(c.Head.Hidden, n.hidden()) &&
		(c.Head.Sigmoid || !n.sigmoid) && !(c.Head.Sigmoid && n.softmax)
	for i := 0; ok && i < len(n.blocks); i++ {
		b, f := network.Blocks[i], n.blocks[i]
		ok = b.Hidden == f.depthwise.Out && b.Out == f.project.Out && b.Stride == f.depthwise.Stride &&
			(b.Expand != nil) == (f.expand != nil) && b.Residual() == f.residual
	}
	return ok
}

// layersConfig infers the config from the channels, and takes strides, padding and
// input from the layers.
func (n *network) layersConfig(dict model.StateDict) (model.Config, model.Assumed, error) {
	assumed := model.AllAssumed
	shapes := maps.Clone(dict) // with torchvision's head, whatever the network's is
	shapes["classifier.1.weight"] = model.Tensor{Shape: []int{1, n.last.Out}}
	c, err := checkpoint.InferConfig(shapes)
	if err != nil {
		return c, assumed, err
	}
	c.Classes, c.Head.Hidden = n.classes(), n.hidden()
	c.Head.Sigmoid = n.sigmoid || n.classes() == 1
	c.NoStemResidual = n.blocks[0].keepsShape() && !n.blocks[0].residual
	c.BNEps = n.eps()
	for i, b := range c.Network().Blocks {
		if b.Stride != n.blocks[i].depthwise.Stride {
			c = n.exactTable(c)
			break
		}
	}
	if n.same() {
		c.Padding, c.Preprocess = model.PadSame, model.TFPreprocess(model.DefaultResize(c.Resolution))
	}
	if assumed.Resolution, err = n.size(&c); err != nil {
		return c, assumed, err
	}
	if assumed.Norm, err = n.preprocess(&c); err != nil {
		return c, assumed, err
	}
	return c, assumed, c.Validate()
}

// size takes the resolution from the input, or else from the pool; assumed is true
// where neither has it.
func (n *network) size(c *model.Config) (assumed bool, err error) {
	s, k := n.source, 0
	if n.pool != nil {
		k = n.pool.Kernel
	}
	switch {
	case s.Height > 0 && s.Width > 0:
		c.SetInput(s.Height, s.Width)
	case k > 0:
		c.SetInput(32*k, 32*k)
	default:
		return true, nil
	}
	h, w := c.InputSize()
	if rows, columns := (h+31)/32, (w+31)/32; k > 0 && (rows != k || columns != k) {
		return false, n.pool.unfit("it averages %dx%d of %dx%d pixels", k, k, rows, columns)
	}
	return false, nil
}

// same reports whether the convolutions with stride 2 pad as TensorFlow does.
func (n *network) same() bool {
	for _, b := range n.blocks {
		if b.depthwise.same {
			return true
		}
	}
	return n.first.same
}

// exactTable writes the blocks down one by one, with the strides they have.
func (n *network) exactTable(c model.Config) model.Config {
	c.Width, c.RoundTo, c.FirstChannels, c.LastChannels = 1, 1, n.first.Out, n.last.Out
	c.Table = nil
	in := n.first.Out
	for _, b := range n.blocks {
		s := model.Stage{T: float64(b.depthwise.Out) / float64(in), C: b.project.Out, N: 1, S: b.depthwise.Stride}
		s.Expand = s.T == 1 && b.expand != nil
		last := len(c.Table) - 1
		if last >= 0 && s.S == 1 && in == s.C && c.Table[last].T == s.T && c.Table[last].Expand == s.Expand {
			c.Table[last].N++
		} else {
			c.Table = append(c.Table, s)
		}
		in = b.project.Out
	}
	return c
}

// preprocess takes mean and standard deviation from what is done to the input, or from
// what an input of 8 bits holds; assumed is true where neither has them. Bytes, and
// constants as small as 1/255, mean levels from 0 to 255.
func (n *network) preprocess(c *model.Config) (assumed bool, err error) {
	if !n.prepared {
		p, ok := n.held.Preprocess()
		if ok {
			c.Preprocess.Mean, c.Preprocess.Std = p.Mean, p.Std
		}
		return !ok, nil
	}
	levels := 1.0
	if n.source.Levels || n.scale[0] < 0.1 {
		levels = 255
	}
	for i := range 3 {
		std := 1 / (levels * float64(n.scale[i]))
		c.Preprocess.Std[i] = float32(std)
		c.Preprocess.Mean[i] = float32(-float64(n.offset[i]) * std)
		if math.IsNaN(std) || math.IsInf(std, 0) || std <= 0 {
			return false, n.first.unfit("its input is scaled by %v", n.scale)
		}
	}
	return false, nil
}

// Preprocess is the usual preparation whose numbers, from black to white, are those of
// r, if there is one: that of photos which some quantiser has seen. Every tenth of the
// width is one too many.
func (r Range) Preprocess() (model.Preprocess, bool) {
	plain := model.Preprocess{Std: [3]float32{1, 1, 1}}
	levels := model.Preprocess{Std: [3]float32{1. / 255, 1. / 255, 1. / 255}}
	for _, p := range []model.Preprocess{model.ImageNetPreprocess(256), model.TFPreprocess(256), plain, levels} {
		low, high := math.Inf(1), math.Inf(-1)
		for i := range 3 {
			low = min(low, float64(-p.Mean[i]/p.Std[i]))
			high = max(high, float64((1-p.Mean[i])/p.Std[i]))
		}
		off := max(math.Abs(float64(r.Low)-low), math.Abs(float64(r.High)-high))
		if off < (high-low)/10 {
			return p, true
		}
	}
	return model.Preprocess{}, false
}
