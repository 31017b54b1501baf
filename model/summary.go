package model

import "fmt"

// A Layer is one row of a [Summary]. Shapes are [C, H, W] for one image, or [C]
// behind the pool.
type Layer struct {
	Name    string // torchvision module path
	Op      string // "conv", "depthwise", "pointwise", "avgpool", "linear"
	Kernel  int    // 0 where there is none
	Stride  int
	In, Out []int
	Params  int // trained parameters, the batch normalisation's included
	MACs    int // multiply-adds for one image
}

// A Summary counts what a network holds and does for one image.
type Summary struct {
	Layers  []Layer
	Params  int
	MACs    int
	Bytes   int // of the parameters and running statistics in float32
	PeakAct int // bytes: the largest sum of tensors that are alive at once, layer by layer, in float32
}

// Summarize lists the layers of c, which must be valid, for one image of
// c.InputSize. The counts are torchvision's: params are the trained ones, MACs
// those of convolutions and the classifier.
func (c Config) Summarize() Summary {
	var s Summary
	h, w := c.InputSize()
	held := 0 // bytes of a residual's input, alive until the block's end
	add := func(v Conv) {
		outH, outW := v.OutSize(h), v.OutSize(w)
		l := Layer{
			Name: v.Name, Op: op(v), Kernel: v.Kernel, Stride: v.Stride,
			In: []int{v.In, h, w}, Out: []int{v.Out, outH, outW},
			Params: elements(v.WeightShape()) + 2*v.Out,
		}
		l.MACs = elements(v.WeightShape()) * outH * outW
		s.add(l, held)
		h, w = outH, outW
	}
	n := c.Network()
	add(n.First)
	for _, b := range n.Blocks {
		bytes := 0
		if b.Residual() {
			bytes = 4 * b.In * h * w
		}
		for i, v := range b.Convs() {
			held = bytes
			if i == 0 {
				held = 0 // the input of the first convolution is counted as its own
			}
			add(v)
		}
		held = 0
	}
	add(n.Last)
	f := n.Last.Out
	pool := Layer{Name: "avgpool", Op: "avgpool", Stride: 1, In: []int{f, h, w}, Out: []int{f}}
	if h == w {
		pool.Kernel = h // of a square; it averages everything in any case
	}
	s.add(pool, 0)
	for _, l := range n.Linears() {
		s.add(Layer{Name: l.Name, Op: "linear", In: []int{l.In}, Out: []int{l.Out}, Params: l.In*l.Out + l.Out, MACs: l.In * l.Out}, 0)
	}
	for _, spec := range n.Specs() {
		if !spec.Counter {
			s.Bytes += 4 * elements(spec.Shape)
		}
	}
	return s
}

// add appends l and keeps the totals; held is what else is alive meanwhile.
func (s *Summary) add(l Layer, held int) {
	s.Layers = append(s.Layers, l)
	s.Params += l.Params
	s.MACs += l.MACs
	s.PeakAct = max(s.PeakAct, held+4*(elements(l.In)+elements(l.Out)))
}

func op(c Conv) string {
	switch {
	case c.Depthwise():
		return "depthwise"
	case c.Kernel == 1:
		return "pointwise"
	}
	return "conv"
}

// KernelString is the kernel as a table shows it: "3x3", or "" where there is
// none.
func (l Layer) KernelString() string {
	if l.Kernel == 0 {
		return ""
	}
	return fmt.Sprintf("%dx%d", l.Kernel, l.Kernel)
}
