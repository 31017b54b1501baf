package engine

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// A Tape is a run of one image that gradients can be taken of, see [Engine.Record].
type Tape struct {
	Logits []float32 // [classes]
	Output []float32 // what the module puts out, [C][H][W] as [Module.Shape] says

	engine   *Engine
	module   string
	in       size
	features []float32
	acts     map[string][]float32 // what modules that end with ReLU6 put out, [C][H][W]
}

// maxTape bounds the memory for a tape. That of the whole network takes 27 MB at
// 224x224, and 550 MB at 1024x1024.
const maxTape = 1 << 30

// Record runs an image and keeps what [Tape.Gradient] needs for gradients at what
// module puts out. Only networks in float32 have gradients: for others the error is
// errors.ErrUnsupported.
func (e *Engine) Record(ctx context.Context, in Input, module string) (*Tape, error) {
	if e.program.precision != float32Precision {
		return nil, fault.Unsupportedf("gradients of a network of 8-bit integers: it has to run in float32")
	}
	if in.N != 1 {
		return nil, fmt.Errorf("%d images to record: want 1", in.N)
	}
	n := e.program.config.Network()
	from := slices.IndexFunc(e.modules, func(m Module) bool { return m.Name == module })
	t := &Tape{
		engine: e, module: module, in: size{in.H, in.W}, acts: map[string][]float32{},
		Logits: make([]float32, n.Classifier.Out), features: make([]float32, n.Features()),
	}
	out := Output{Logits: t.Logits, Features: t.features}
	var bytes int64
	for _, m := range e.modules[max(0, from):] {
		if m.Name != module && !endsWithReLU6(n, m.Name) {
			continue
		}
		c, h, w := m.Shape(in.H, in.W)
		if bytes += f32Bytes * int64(c) * int64(h) * int64(w); bytes > maxTape {
			return nil, fault.TooLargef("gradients at %s take more than %d MiB for an input of %dx%d pixels", module, maxTape>>20, in.W, in.H)
		}
		data := make([]float32, c*h*w)
		t.acts[m.Name] = data
		out.Taps = append(out.Taps, Tap{m.Name, data})
	}
	if from < 0 {
		out.Taps = []Tap{{Module: module}} // for Run to say what there is
	}
	if err := e.Run(ctx, in, out); err != nil {
		return nil, err
	}
	t.Output = t.acts[module]
	return t, nil
}

// endsWithReLU6 reports whether a module's output has been through ReLU6: all but
// projections and blocks.
func endsWithReLU6(n model.Network, module string) bool {
	return !slices.ContainsFunc(n.Blocks, func(b model.InvertedResidual) bool { return b.Name == module || projectionOf(b) == module })
}

// Gradient returns the derivative of a class's logit by each value that the module
// puts out, [C][H][W]. As in PyTorch, that of ReLU6 is 0 at 0 and at 6.
func (t *Tape) Gradient(class int) ([]float32, error) {
	return t.gradient(class, false)
}

// MeanGradient returns the mean of [Tape.Gradient] over all pixels, [C]. It is
// faster: what is last on the way back then is a convolution of a pixel.
func (t *Tape) MeanGradient(class int) ([]float32, error) {
	return t.gradient(class, true)
}

func (t *Tape) gradient(class int, mean bool) ([]float32, error) {
	if class < 0 || class >= len(t.Logits) {
		return nil, fmt.Errorf("class %d: want 0 to %d", class, len(t.Logits)-1)
	}
	if err := t.engine.enter(); err != nil {
		return nil, err
	}
	defer t.engine.open.RUnlock()
	return t.engine.program.gradient(t, class, mean), nil
}

// A planeSet is a tensor on its way back, [C/32][H][W][32] as on its way there.
type planeSet struct {
	size
	channels int
	v        []float32
}

// block is block b of channels.
func (p planeSet) block(b int) []float32 {
	n := p.h * p.w * kernel.Block
	return p.v[b*n : (b+1)*n]
}

// gradient goes back from the logit of a class to the tape's module.
func (net *network) gradient(t *Tape, class int, mean bool) []float32 {
	spare, _ := net.spare.Get().(*[][]float32)
	if spare == nil {
		spare = new([][]float32)
	}
	defer net.spare.Put(spare)
	b := backward{net, t, mean, spare}
	g := b.run(class)
	if mean {
		g = b.averaged(g)
	}
	defer b.give(g)
	return g.planar()
}

// planar returns p as [C][H][W].
func (p planeSet) planar() []float32 {
	pixels := p.h * p.w
	out := make([]float32, p.channels*pixels)
	for c := range p.channels {
		from := p.block(c / kernel.Block)[c%kernel.Block:]
		for i := range pixels {
			out[c*pixels+i] = from[i*kernel.Block]
		}
	}
	return out
}

// backward is the way back of a tape.
type backward struct {
	net   *network
	tape  *Tape
	mean  bool         // only the mean over the pixels is wanted
	spare *[][]float32 // memory of planes that nobody needs any more
}

// take returns planes for somebody to write to: what is in them is no matter.
func (b backward) take(s size, channels int) planeSet {
	n := kernel.Blocks(channels) * s.h * s.w * kernel.Block
	for i, v := range *b.spare {
		if cap(v) >= n {
			*b.spare = slices.Delete(*b.spare, i, i+1)
			return planeSet{s, channels, v[:n]}
		}
	}
	return planeSet{s, channels, kernel.Aligned(n)}
}

// give says that planes are needed no more. They may be larger than what is taken next.
func (b backward) give(p planeSet) { *b.spare = append(*b.spare, p.v) }

// run stops at the module, of which it returns the gradient.
func (b backward) run(class int) planeSet {
	n := b.net.config.Network()
	last := moduleOf(n.Last)
	g := b.pool(class)
	if last == b.tape.module {
		return g
	}
	b.relu6(g, last)
	g = b.through(&b.net.last, b.nearly(g, len(b.net.bottlenecks)))
	for i := len(b.net.bottlenecks) - 1; i >= 0; i-- {
		if b.net.bottlenecks[i].Name == b.tape.module {
			return g
		}
		in, done := b.bottleneck(i, g)
		if done {
			return in
		}
		b.give(g)
		g = in
	}
	return g // at the first convolution
}

// nearly averages g where what is in front of bottleneck i is the tape's module, and only
// the mean is wanted there: the mean of a 1x1 convolution is that of its input, convolved.
func (b backward) nearly(g planeSet, i int) planeSet {
	if !b.mean || i == 0 || b.net.bottlenecks[i-1].Name != b.tape.module {
		return g
	}
	return b.averaged(g)
}

// averaged is the mean over the pixels of g.
func (b backward) averaged(g planeSet) planeSet {
	mean := b.take(size{1, 1}, g.channels)
	for block := range kernel.Blocks(g.channels) {
		var sum [kernel.Block]float32
		for from := g.block(block); len(from) > 0; from = from[kernel.Block:] {
			for c, v := range from[:kernel.Block] {
				sum[c] += v
			}
		}
		for c, v := range sum {
			mean.block(block)[c] = v / float32(g.h*g.w)
		}
	}
	return mean
}

// bottleneck goes from what bottleneck i puts out to what it takes, or, done, to the module
// inside of it.
func (b backward) bottleneck(i int, out planeSet) (g planeSet, done bool) {
	k := &b.net.bottlenecks[i]
	if b.tape.module == k.projection() {
		return out, true
	}
	g = b.pointwise(&k.project, out)
	depthwise := moduleOf(k.Depthwise)
	if b.tape.module == depthwise {
		return g, true
	}
	b.relu6(g, depthwise)
	in := b.depthwise(k, g)
	b.give(g)
	g = in
	if k.Expand != nil {
		expand := moduleOf(*k.Expand)
		if b.tape.module == expand {
			return g, true
		}
		b.relu6(g, expand)
		g, out = b.through(&k.expand, b.nearly(g, i)), b.nearly(out, i)
	}
	if k.Residual() {
		for i, v := range out.v {
			g.v[i] += v
		}
	}
	return g, false
}

// pool is the gradient at the last convolution: that of the head, spread over the
// pixels that the pool averages.
func (b backward) pool(class int) planeSet {
	features := b.head(class)
	m := b.tape.engine.modules
	_, h, w := m[len(m)-1].Shape(b.tape.in.h, b.tape.in.w)
	g := b.take(size{h, w}, len(features))
	for c, v := range features {
		to := g.block(c / kernel.Block)[c%kernel.Block:]
		v /= float32(h * w)
		for p := range h * w {
			to[p*kernel.Block] = v
		}
	}
	return g
}

// head is the gradient at the features. Hidden layers run again: they are small.
func (b backward) head(class int) []float32 {
	linears := b.net.linears
	x := b.tape.features
	var hidden [][]float32 // what each hidden layer puts out, behind ReLU
	for i := range linears[:len(linears)-1] {
		w := &linears[i]
		y := make([]float32, w.n)
		row := make([]float32, w.k)
		for o := range y {
			sum := w.row(o, row)
			for k, v := range row {
				sum += v * x[k]
			}
			y[o] = max(sum, 0)
		}
		hidden = append(hidden, y)
		x = y
	}
	g := make([]float32, linears[len(linears)-1].k)
	linears[len(linears)-1].row(class, g)
	for i := len(hidden) - 1; i >= 0; i-- {
		w := &linears[i]
		sum, row := make([]float32, w.k), make([]float32, w.k)
		for o, v := range hidden[i] {
			if v > 0 {
				w.row(o, row)
				for k := range row {
					sum[k] += g[o] * row[k]
				}
			}
		}
		g = sum
	}
	return g
}

// relu6 keeps the gradient where a module's output lies between 0 and 6.
func (b backward) relu6(g planeSet, module string) {
	act := b.tape.acts[module]
	pixels := g.h * g.w
	b.each(kernel.Blocks(g.channels), func(block int) {
		to := g.block(block)
		for c := range min(kernel.Block, g.channels-block*kernel.Block) {
			for p, v := range act[(block*kernel.Block+c)*pixels:][:pixels] {
				at := &to[p*kernel.Block+c]
				kept := math.Float32bits(*at)
				// The bits of numbers above 0 are in their order. Without a branch, which would be
				// foreseen wrongly half of the time.
				if math.Float32bits(v)-1 >= sixBits-1 {
					kept = 0
				}
				*at = math.Float32frombits(kept)
			}
		}
	})
}

// sixBits are those of float32(6).
const sixBits = 0x40c00000

// through is pointwise where g isn't needed any more.
func (b backward) through(w *weights, g planeSet) planeSet {
	in := b.pointwise(w, g)
	b.give(g)
	return in
}

// pointwise is the gradient at the input of a 1x1 convolution: one with the weights
// transposed.
func (b backward) pointwise(w *weights, g planeSet) planeSet {
	t := b.net.transposed(w)
	in := b.take(g.size, t.n)
	b.each(t.blocks(), func(block int) {
		b.net.set.Pointwise(kernel.Pointwise{
			Dst: in.block(block), Src: g.v, SrcStride: g.h * g.w * kernel.Block,
			W: t.w[block], Bias: t.bias[block], NR: t.nr(block), K: t.k, Pixels: g.h * g.w,
		})
	})
	return in
}

// depthwise is the gradient at the input of the depthwise convolution of k.
func (b backward) depthwise(k *bottleneck, g planeSet) planeSet {
	_, h, w := b.shapeBefore(k)
	in := b.take(size{h, w}, g.channels)
	back := b.scattered
	if k.Depthwise.Stride == 1 {
		back = b.turned
	}
	b.each(kernel.Blocks(g.channels), func(block int) { back(k, g, in, block) })
	return in
}

// turned is a block of depthwise at stride 1: the convolution with the kernel turned by 180 degrees.
func (b backward) turned(k *bottleneck, g, in planeSet, block int) {
	weights, nr := k.depthwise.w[block], k.depthwise.nr(block)
	src, row := g.block(block), g.w*kernel.Block
	rows := [][]float32{make([]float32, row)}
	for y := range g.h {
		rows = append(rows, src[y*row:][:row])
	}
	rows = append(rows, rows[0])
	taps := make([]float32, window*window*nr)
	for tap := range window * window {
		copy(taps[tap*nr:][:nr], weights[(window*window-1-tap)*nr:])
	}
	b.net.set.Depthwise(kernel.Depthwise{
		Dst: in.block(block), Rows: rows, W: taps, Bias: make([]float32, nr), Width: g.w, Stride: 1, Left: 1, NR: nr,
	})
}

// scattered is a block of depthwise at any stride: each pixel adds to those that it came of.
func (b backward) scattered(k *bottleneck, g, in planeSet, block int) {
	weights, nr := k.depthwise.w[block], k.depthwise.nr(block)
	padding, stride := b.net.config.Padding, k.Depthwise.Stride
	top, left := padding.Before(in.h, stride), padding.Before(in.w, stride)
	src, dst := g.block(block), in.block(block)
	clear(dst)
	for p := range g.h * g.w {
		from := src[p*kernel.Block:][:nr]
		y, x := p/g.w*stride-top, p%g.w*stride-left
		for tap := range window * window {
			y, x := y+tap/window, x+tap%window
			if y < 0 || y >= in.h || x < 0 || x >= in.w {
				continue
			}
			to, by := dst[(y*in.w+x)*kernel.Block:][:nr], weights[tap*nr:][:nr]
			for c, v := range from {
				to[c] += v * by[c]
			}
		}
	}
}

// shapeBefore is the shape of what comes to the depthwise convolution of k.
func (b backward) shapeBefore(k *bottleneck) (c, h, w int) {
	modules := b.tape.engine.modules
	i := slices.IndexFunc(modules, func(m Module) bool { return m.Name == moduleOf(k.Depthwise) })
	return modules[i-1].Shape(b.tape.in.h, b.tape.in.w) // the expansion, or what is before the block
}

// each runs tasks on as many goroutines as the engine has threads.
func (b backward) each(tasks int, run func(task int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(tasks, b.tape.engine.threads) {
		wg.Go(func() {
			for task := int(next.Add(1)) - 1; task < tasks; task = int(next.Add(1)) - 1 {
				run(task)
			}
		})
	}
	wg.Wait()
}

// transposed returns the weights of a 1x1 convolution for the way back, made at the
// first use.
func (net *network) transposed(w *weights) *weights {
	net.backMu.Lock()
	defer net.backMu.Unlock()
	if t := net.back[w]; t != nil {
		return t
	}
	t := &weights{n: w.k, k: w.n}
	turned, bias, row := make([]float32, w.k*w.n), make([]float32, w.k), make([]float32, w.k)
	for o := range w.n {
		w.row(o, row)
		for k, v := range row {
			turned[k*w.n+o] = v
		}
	}
	all := kernel.Huge(t.blocks() * t.k * kernel.Block)
	for b := range t.blocks() {
		t.w, t.bias = append(t.w, all[:t.k*t.nr(b)]), append(t.bias, kernel.Aligned(t.nr(b)))
		all = all[t.k*kernel.Block:]
	}
	t.pack(turned, bias)
	if net.back == nil {
		net.back = map[*weights]*weights{}
	}
	net.back[w] = t
	return t
}
