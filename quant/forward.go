package quant

import (
	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A forward computes a model in float32 tensor by tensor, with every one whole in
// memory, so that any of them can be changed and all behind it computed anew. The
// engine, which is faster, has most of them nowhere.
type forward struct {
	set    *kernel.Set
	config model.Config
	steps  []step
}

// A step makes a tensor of others. The first one is the image, which nothing makes.
type step struct {
	kind    stepKind
	in, add int // the steps whose tensors it reads; add of a sum alone
	conv    model.Conv
	weights packed
	c, h, w int // of its tensor
	exact   *tensor
}

type stepKind int

const (
	imageStep stepKind = iota
	convStep
	sumStep
	poolStep
	linearStep
)

// packed is a layer's weights as the kernels read them, by block of output channels.
type packed struct{ w, bias [][]float32 }

func pack(w, bias []float32) packed {
	var p packed
	k := len(w) / len(bias)
	for b := range kernel.Blocks(len(bias)) {
		nr := kernel.NR(len(bias), b)
		pw, pb := make([]float32, k*nr), make([]float32, nr)
		kernel.Pack(pw, pb, w, bias, b)
		p.w, p.bias = append(p.w, pw), append(p.bias, pb)
	}
	return p
}

// packConv is pack for a convolution's weights in the order OIHW. Those of the first
// one go with interleaved pixels.
func packConv(c model.Conv, w, bias []float32) packed {
	if c.Kernel == 3 && !c.Depthwise() {
		by := make([]float32, len(w))
		for o := range c.Out {
			for colour := range 3 {
				for tap := range 9 {
					by[o*27+tap*3+colour] = w[o*27+colour*9+tap]
				}
			}
		}
		w = by
	}
	return pack(w, bias)
}

// newForward returns the steps of m, with what n saw of their tensors. The weights are
// m's own: n's are scaled.
func newForward(m *model.Model, n *network) (*forward, error) {
	set, err := kernel.Choose("")
	if err != nil {
		return nil, err
	}
	h, w := m.Config.InputSize()
	f := &forward{set: set, config: m.Config}
	add := func(s step) int {
		f.steps = append(f.steps, s)
		return len(f.steps) - 1
	}
	conv := func(in int, l *layer) int {
		from := f.steps[in]
		weights, bias := m.Fold(l.Conv)
		return add(step{
			kind: convStep, in: in, conv: l.Conv, weights: packConv(l.Conv, weights, bias),
			c: l.Out, h: l.OutSize(from.h), w: l.OutSize(from.w), exact: l.out,
		})
	}
	x := conv(add(step{kind: imageStep, c: 3, h: h, w: w, exact: &n.input}), &n.convs[0])
	for _, b := range n.blocks {
		in := x
		for _, l := range b.layers {
			x = conv(x, l)
		}
		if b.Residual() {
			s := f.steps[x]
			s.kind, s.in, s.add, s.exact = sumStep, x, in, b.sum
			x = add(s)
		}
	}
	x = conv(x, &n.convs[len(n.convs)-1])
	x = add(step{kind: poolStep, in: x, c: f.steps[x].c, h: 1, w: 1, exact: &n.pool})
	name := n.linear.Name
	add(step{kind: linearStep, in: x, c: n.linear.Out, h: 1, w: 1, weights: pack(m.Dict[name+".weight"].Data, m.Dict[name+".bias"].Data)})
	return f, nil
}

// size is how many floats a tensor has: blocks of 32 channels, or for the image RGB.
func (s *step) size() int {
	if s.kind == imageStep {
		return 3 * s.h * s.w
	}
	return kernel.Blocks(s.c) * s.block()
}

// block is how many floats a block of channels has.
func (s *step) block() int { return s.h * s.w * kernel.Block }

// image returns a photo's normalised pixels.
func (f *forward) image(photo *vision.Image) []float32 {
	levels := f.config.Preprocess.Levels()
	x := make([]float32, len(photo.Pix))
	for i, v := range photo.Pix {
		x[i] = levels[i%3][v]
	}
	return x
}

// run computes the tensor of step i into dst, from those that of returns, with the
// weights given.
func (f *forward) run(i int, dst []float32, weights packed, of func(int) []float32) {
	s := &f.steps[i]
	switch {
	case s.kind == sumStep:
		a, b := of(s.in), of(s.add)
		for j := range dst {
			dst[j] = a[j] + b[j]
		}
	case s.kind == poolStep:
		from := &f.steps[s.in]
		for b := range kernel.Blocks(s.c) {
			f.set.Pool(kernel.Pool{Dst: dst[b*kernel.Block:][:kernel.Block], Src: of(s.in)[b*from.block():][:from.block()], Pixels: from.h * from.w})
		}
	case s.kind == convStep && s.conv.Depthwise():
		f.depthwise(s, dst, weights, of(s.in))
	case s.kind == convStep && s.conv.Kernel == 3:
		f.first(s, dst, weights, of(s.in))
	default:
		f.pointwise(s, dst, weights, of(s.in))
	}
}

// pointwise is that of a 1x1 convolution, or of the classifier.
func (f *forward) pointwise(s *step, dst []float32, weights packed, src []float32) {
	from := &f.steps[s.in]
	for b := range weights.w {
		f.set.Pointwise(kernel.Pointwise{
			Dst: dst[b*s.block():][:s.block()], Src: src, SrcStride: from.block(),
			W: weights.w[b], Bias: weights.bias[b], NR: kernel.NR(s.c, b), K: from.c,
			Pixels: s.h * s.w, ReLU6: s.conv.ReLU6,
		})
	}
}

func (f *forward) depthwise(s *step, dst []float32, weights packed, src []float32) {
	from := &f.steps[s.in]
	top := f.config.Padding.Before(from.h, s.conv.Stride)
	row := from.w * kernel.Block
	zeros, rows := make([]float32, row), make([][]float32, s.conv.Stride*(s.h-1)+3)
	for b := range weights.w {
		for j := range rows {
			rows[j] = zeros
			if in := j - top; in >= 0 && in < from.h {
				rows[j] = src[b*from.block()+in*row:][:row]
			}
		}
		f.set.Depthwise(kernel.Depthwise{
			Dst: dst[b*s.block():][:s.block()], Rows: rows,
			W: weights.w[b], Bias: weights.bias[b], NR: kernel.NR(s.c, b), Width: from.w,
			Stride: s.conv.Stride, Left: f.config.Padding.Before(from.w, s.conv.Stride), ReLU6: s.conv.ReLU6,
		})
	}
}

func (f *forward) first(s *step, dst []float32, weights packed, src []float32) {
	from := &f.steps[s.in]
	top, left := f.config.Padding.Before(from.h, s.conv.Stride), f.config.Padding.Before(from.w, s.conv.Stride)
	var rows [3][]float32
	for j := range rows {
		rows[j] = make([]float32, 6*s.w+6)
	}
	for y := range s.h {
		for j, row := range rows {
			clear(row)
			if in := 2*y - top + j; in >= 0 && in < from.h {
				copy(row[3*left:], src[in*3*from.w:][:3*from.w])
			}
		}
		for b := range weights.w {
			f.set.First(kernel.First{
				Dst: dst[b*s.block()+y*s.w*kernel.Block:][:s.w*kernel.Block], Rows: rows,
				W: weights.w[b], Bias: weights.bias[b], NR: kernel.NR(s.c, b), Width: s.w,
			})
		}
	}
}
