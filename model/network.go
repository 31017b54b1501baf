package model

import (
	"fmt"
	"math"
	"slices"
)

// MinResolution is the smallest input side, in pixels: the network halves it
// five times.
const MinResolution = 32

// A Conv is a convolution without bias, the batch normalisation behind it, and
// perhaps a ReLU6: torchvision's Conv2dNormActivation, or the linear
// bottleneck's conv and norm.
type Conv struct {
	Name    string // module path of the convolution: Name+".weight" is a key of the state dict
	Norm    string // module path of the batch normalisation
	In, Out int    // channels
	Kernel  int    // 1 or 3
	Stride  int    // 1 or 2
	Groups  int    // 1, or In for a depthwise convolution
	ReLU6   bool   // false for the linear bottleneck
}

// Depthwise reports whether every channel is convolved on its own.
func (c Conv) Depthwise() bool { return c.Kernel == 3 && c.Groups == c.In }

// WeightShape is the shape of the convolution's weight: [out, in/groups,
// kernel, kernel].
func (c Conv) WeightShape() []int {
	return []int{c.Out, c.In / c.Groups, c.Kernel, c.Kernel}
}

// OutSize is the output height (or width) for an input of n rows.
func (c Conv) OutSize(n int) int { return (n + c.Stride - 1) / c.Stride }

// An InvertedResidual is one block: expand (pointwise, ReLU6), depthwise 3x3
// (ReLU6), project (pointwise, linear), and the input added to the output where
// their shapes agree (paper section 3.3; torchvision's InvertedResidual).
type InvertedResidual struct {
	Name            string // torchvision module path, such as "features.3"
	In, Hidden, Out int    // channels
	Stride          int    // 1 or 2
	Expand          *Conv  // nil when the expand ratio is 1, unless [Stage.Expand] says otherwise
	NoResidual      bool   // even where the shapes agree
	Depthwise       Conv
	Project         Conv
}

// Residual reports whether the block adds its input to its output.
func (b InvertedResidual) Residual() bool {
	return b.Stride == 1 && b.In == b.Out && !b.NoResidual
}

// Convs returns the convolutions of b in the order they run.
func (b InvertedResidual) Convs() []Conv {
	if b.Expand == nil {
		return []Conv{b.Depthwise, b.Project}
	}
	return []Conv{*b.Expand, b.Depthwise, b.Project}
}

// A Linear is the classifier, or a hidden layer before it: weight [Out, In] and bias
// [Out].
type Linear struct {
	Name    string
	In, Out int
}

// A Network is a Config spelled out: the layers in the order they run, with
// torchvision's module paths. Behind Last stands the global average pool and, in
// training, dropout. The names behind it are those of
//
//	nn.Sequential(Dropout, Linear, ReLU, Linear, ...)
type Network struct {
	First      Conv // 3x3, stride 2, from 3 channels
	Blocks     []InvertedResidual
	Last       Conv     // 1x1
	Hidden     []Linear // each with ReLU behind it; none in torchvision's network
	Classifier Linear   // Out is 0 where there is none
}

// Network returns the layers of c, which must be valid.
func (c Config) Network() Network {
	first, last := c.FirstChannels, c.LastChannels
	if first == 0 {
		first = c.channels(32, c.Width)
	}
	if last == 0 {
		last = c.channels(1280, max(1, c.Width))
	}
	n := Network{First: Conv{
		Name: "features.0.0", Norm: "features.0.1",
		In: 3, Out: first, Kernel: 3, Stride: 2, Groups: 1, ReLU6: true,
	}}
	in := first
	for _, s := range c.Table {
		out := c.channels(s.C, c.Width)
		for i := range s.N {
			stride := 1
			if i == 0 {
				stride = s.S
			}
			name := fmt.Sprintf("features.%d", len(n.Blocks)+1)
			n.Blocks = append(n.Blocks, newBlock(name, in, out, stride, s))
			in = out
		}
	}
	name := fmt.Sprintf("features.%d", len(n.Blocks)+1)
	n.Last = Conv{Name: name + ".0", Norm: name + ".1", In: in, Out: last, Kernel: 1, Stride: 1, Groups: 1, ReLU6: true}
	if len(n.Blocks) > 0 {
		n.Blocks[0].NoResidual = c.NoStemResidual
	}
	at := 1
	for _, out := range c.Head.Hidden {
		n.Hidden = append(n.Hidden, Linear{Name: fmt.Sprintf("classifier.%d", at), In: last, Out: out})
		last = out
		at += 2 // past the ReLU
	}
	n.Classifier = Linear{Name: fmt.Sprintf("classifier.%d", at), In: last, Out: c.Classes}
	return n
}

func newBlock(name string, in, out, stride int, s Stage) InvertedResidual {
	hidden := max(1, int(math.RoundToEven(float64(in)*s.T)))
	b := InvertedResidual{Name: name, In: in, Hidden: hidden, Out: out, Stride: stride}
	at := 0 // index within torchvision's nn.Sequential "conv"
	if s.T != 1 || s.Expand {
		p := fmt.Sprintf("%s.conv.%d", name, at)
		b.Expand = &Conv{Name: p + ".0", Norm: p + ".1", In: in, Out: hidden, Kernel: 1, Stride: 1, Groups: 1, ReLU6: true}
		at++
	}
	p := fmt.Sprintf("%s.conv.%d", name, at)
	b.Depthwise = Conv{Name: p + ".0", Norm: p + ".1", In: hidden, Out: hidden, Kernel: 3, Stride: stride, Groups: hidden, ReLU6: true}
	b.Project = Conv{
		Name: fmt.Sprintf("%s.conv.%d", name, at+1), Norm: fmt.Sprintf("%s.conv.%d", name, at+2),
		In: hidden, Out: out, Kernel: 1, Stride: 1, Groups: 1,
	}
	return b
}

// Features is how many values the global average pool puts out.
func (n Network) Features() int { return n.Last.Out }

// Linears returns the linear layers behind the pool in the order they run: none, the
// classifier, or hidden ones and the classifier.
func (n Network) Linears() []Linear {
	if n.Classifier.Out == 0 {
		return nil
	}
	return append(slices.Clone(n.Hidden), n.Classifier)
}

// Convs returns every convolution of the network in the order they run.
func (n Network) Convs() []Conv {
	convs := []Conv{n.First}
	for _, b := range n.Blocks {
		convs = append(convs, b.Convs()...)
	}
	return append(convs, n.Last)
}

// channels scales c by the width multiplier and rounds it to a multiple of
// RoundTo, never below 90 % of the scaled value (torchvision's
// _make_divisible).
func (c Config) channels(n int, width float64) int {
	v, d := float64(n)*width, c.RoundTo
	r := max(d, int(v+float64(d)/2)/d*d)
	if float64(r) < 0.9*v {
		r += d
	}
	return r
}
