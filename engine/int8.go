package engine

import (
	"math"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

const int8Precision = "int8"

// program returns what an engine runs of net, which has its weights.
func (net *int8Network) program() program {
	return program{
		config: net.quantized.Config, precision: int8Precision, cpu: net.set.Name, weights: net.arena, wide: net.wide,
		row: net.row, plan: net.plan, peak: net.set.Peak,
	}
}

// plan does as network.plan does.
func (net *int8Network) plan(k planKey, threads int) *plan {
	l := int8Layout{newLayout(k, threads), net}
	first, rest := moduleOf(net.quantized.Config.Network().First), net.bottlenecks
	fused := 0
	if !l.tapped(first) {
		fused = l.fused(rest, size{(k.h + 1) / 2, (k.w + 1) / 2}, maxLevels-1)
	}
	l.strip(newInt8Strip(net, k.size, nil, rest[:fused], threads))
	l.tap(first, tapOf8(l.src, net.first.n, net.first.out))
	for rest = rest[fused:]; len(rest) > 0 && l.wanted(); rest = rest[max(1, fused):] {
		in := size{l.src.h, l.src.w}
		if fused = l.fused(rest, in, maxLevels); fused > 0 {
			l.strip(newInt8Strip(net, in, l.src, rest[:fused], threads))
		} else {
			l.bottleneck(&rest[0])
		}
	}
	if l.wanted() {
		l.head()
	}
	return l.finish()
}

// An int8Layout is a plan of an int8Network in the making.
type int8Layout struct {
	layout
	net *int8Network
}

// fused returns how many of the bottlenecks, at most limit, form a strip on an input
// of size in.
func (l *int8Layout) fused(rest []int8Bottleneck, in size, limit int) int {
	n := 0
	for n < min(len(rest), limit) && in.w >= l.net.stripWidth && l.tail == 0 && !l.tappedInside(rest[n].projection()) {
		in.w = rest[n].Depthwise.OutSize(in.w)
		n++
		if l.tapped(rest[n-1].Name) {
			break
		}
	}
	return n
}

// output returns a tensor for what b puts out, or the first convolution where b is
// nil: in float32, too, where that is wanted.
func (l *int8Layout) output(b *int8Bottleneck, images int, s size) *tensor {
	blocks, wide := l.net.first.blocks(), l.net.firstWide != nil
	if b != nil {
		blocks, wide = b.project.blocks(), b.keeps || b.wide && l.tapped(b.Name)
	}
	t := u8Tensor(images, s, blocks)
	if wide {
		t.wide = f32Tensor(images, s, blocks)
	}
	return t
}

// strip adds a strip.
func (l *int8Layout) strip(s *int8Strip) {
	last := s.levels[len(s.levels)-1]
	s.finish(l.output(last.b, 1, last.out))
	l.add(s, s.dst)
	if last.b != nil {
		l.tapBlock(last.b)
	}
}

// tapBlock taps what b puts out, which the last step has.
func (l *int8Layout) tapBlock(b *int8Bottleneck) {
	if l.src.wide != nil && b.wide {
		l.tap(b.Name, tapOf(l.src.wide, b.Out))
	} else {
		l.tap(b.Name, tapOf8(l.src, b.Out, b.out))
	}
}

// bottleneck adds the layers of b.
func (l *int8Layout) bottleneck(b *int8Bottleneck) {
	l.startTail(tailPixels)
	e := newInt8Expand(l.net, b, l.src, l.threads)
	p := newInt8Project(l.net, b, e.dst, l.src, l.threads)
	p.dst = l.output(b, e.dst.images, size{e.dst.h, e.dst.w})
	if b.Expand != nil {
		l.tap(moduleOf(*b.Expand), l.net.tapThrough(l.src, &b.expand))
	}
	l.steps = append(l.steps, e)
	l.hidden = append(l.hidden, e.dst)
	l.tap(moduleOf(b.Depthwise), tapOf8(e.dst, b.Hidden, b.depthwise.out))
	l.tap(b.projection(), l.net.tapThrough(e.dst, &b.project))
	l.add(p, p.dst)
	l.tapBlock(b)
}

// head adds all behind the last bottleneck. It takes all images in any case.
func (l *int8Layout) head() {
	l.startTail(math.MaxInt)
	last, through := moduleOf(l.net.quantized.Config.Network().Last), l.net.tapThrough(l.src, &l.net.last)
	if !l.results {
		l.tap(last, through)
		return
	}
	features := u8Tensor(l.images, size{1, 1}, l.net.last.blocks())
	l.hidden = append(l.hidden, features)
	l.steps = append(l.steps, &int8LastPool{net: l.net, src: l.src, dst: features, tap: l.within(last, through), numbers: numbersOf(l.net.last.out)}, &int8Classifier{net: l.net, src: features})
}

// tapOf8 is tapOf for a tensor of 8-bit integers.
func tapOf8(src *tensor, channels int, q model.Quantization) tap {
	numbers := numbersOf(q)
	read := func(x *exec, block, p, n int) []float32 {
		dst := x.scratch.f32()[:n*kernel.Block]
		numbers.of(dst, src.block8(x, block, p))
		return dst
	}
	return tap{src: src, channels: channels, read: read, work: tapPixels * kernel.Block * f32Bytes}
}

// tapThrough is network.tapThrough.
func (net *int8Network) tapThrough(src *tensor, l *int8Layer) tap {
	numbers := numbersOf(l.out)
	read := func(x *exec, block, p, n int) []float32 {
		n *= kernel.Block
		dst := x.scratch.f32()[:n]
		bytes := x.scratch[n*f32Bytes:][:n]
		a := l.pointwise(src.from8(x, p), src.stride(), block, n/kernel.Block)
		if l.float {
			a.Float = dst
			net.set.Pointwise(a)
			return dst
		}
		a.Dst = bytes
		net.set.Pointwise(a)
		numbers.of(dst, bytes)
		return dst
	}
	return tap{
		src: src, channels: l.n, read: read, macs: l.macs(src.h * src.w),
		work: tapPixels * kernel.Block * (f32Bytes + 1),
	}
}

// numbers are what the bytes of a tensor stand for.
type numbers [256]float32

func numbersOf(q model.Quantization) *numbers {
	var n numbers
	for b := range n {
		n[b] = q.Dequantize(uint8(b))
	}
	return &n
}

// of fills dst with the numbers of as many bytes.
func (n *numbers) of(dst []float32, bytes []uint8) {
	for i, b := range bytes[:len(dst)] {
		dst[i] = n[b]
	}
}
