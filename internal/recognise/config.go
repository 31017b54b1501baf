package recognise

import (
	"math"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/model"
)

// colours is what is done to the levels of red, green and blue before the first
// convolution: level*scale + offset.
type colours struct {
	scale, offset [3]float32
	prepared      bool  // there is something that is done
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
		case Affine, Norm, Swap, Quantize:
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
	case Swap:
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
// read off the layers. The resolution is that of the layers, where they have one.
func (n *network) config(dict model.StateDict, own *model.Config) (model.Config, error) {
	c, err := n.layersConfig(dict)
	if err != nil || own == nil || own.Padding != c.Padding || !n.describedBy(*own) {
		return c, err
	}
	kept := *own
	kept.BNEps = c.BNEps
	if n.sized() && kept.Resolution != c.Resolution {
		kept.Preprocess.Resize = scaled(kept.Preprocess.Resize, c.Resolution, kept.Resolution)
		kept.Resolution = c.Resolution
	}
	return kept, nil
}

// sized reports whether the layers say what the resolution is.
func (n *network) sized() bool { return n.source.Height > 0 || n.pool.Kernel > 0 }

// scaled is resize, which goes with a resolution of from pixels, for one of to.
func scaled(resize, to, from int) int {
	return int(math.Round(float64(resize) * float64(to) / float64(from)))
}

// describedBy reports whether c's blocks have the channels and strides found.
func (n *network) describedBy(c model.Config) bool {
	network := c.Network()
	ok := len(network.Blocks) == len(n.blocks) && network.First.Out == n.first.Out &&
		network.Last.Out == n.last.Out && c.Classes == n.classifier.Out
	for i := 0; ok && i < len(n.blocks); i++ {
		b, f := network.Blocks[i], n.blocks[i]
		ok = b.Hidden == f.depthwise.Out && b.Out == f.project.Out && b.Stride == f.depthwise.Stride &&
			(b.Expand != nil) == (f.expand != nil)
	}
	return ok
}

// layersConfig infers the config from the channels, and takes strides, padding and
// input from the layers. Resize is to the resolution as ImageNet's 256 is to 224.
func (n *network) layersConfig(dict model.StateDict) (model.Config, error) {
	c, err := checkpoint.InferConfig(dict)
	if err != nil {
		return c, err
	}
	c.BNEps = n.eps()
	for i, b := range c.Network().Blocks {
		if b.Stride != n.blocks[i].depthwise.Stride {
			c = n.exactTable(c)
			break
		}
	}
	if n.same() {
		c.Padding, c.Preprocess = model.PadSame, model.TFPreprocess(256)
	}
	if err := n.size(&c); err != nil {
		return c, err
	}
	c.Preprocess.Resize = scaled(256, c.Resolution, 224)
	if err := n.preprocess(&c); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// size takes the resolution from the input, or else from the pool.
func (n *network) size(c *model.Config) error {
	s, k := n.source, n.pool.Kernel
	switch {
	case s.Height != s.Width:
		return (&Layer{Place: s.Place}).unsupported("%d pixels high and %d wide: only square inputs are supported", s.Height, s.Width)
	case s.Height >= model.MinResolution:
		c.Resolution = s.Height
	case k > 0:
		c.Resolution = 32 * k
	}
	if pixels := (c.Resolution + 31) / 32; k > 0 && pixels != k {
		return n.pool.unfit("it averages %dx%d of %dx%d pixels", k, k, pixels, pixels)
	}
	return nil
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

// preprocess takes mean and standard deviation from what is done to the input. Bytes,
// and constants as small as 1/255, mean levels from 0 to 255.
func (n *network) preprocess(c *model.Config) error {
	if !n.prepared {
		if p, ok := n.held.preprocess(); ok {
			c.Preprocess.Mean, c.Preprocess.Std = p.Mean, p.Std
		}
		return nil
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
			return n.first.unfit("its input is scaled by %v", n.scale)
		}
	}
	return nil
}

// preprocess is the usual preparation whose numbers, from black to white, are those of
// r, if there is one: that of photos which some quantiser has seen. Every tenth of the
// width is one too many.
func (r Range) preprocess() (model.Preprocess, bool) {
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
