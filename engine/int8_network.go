package engine

import (
	"sync"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// An int8Network is a network of 8-bit integers: its layers with weights in the
// kernels' layout, and what the bytes between them stand for.
type int8Network struct {
	set         *kernel.Int8
	quantized   model.Quantized // without weights
	levels      *[3][256]uint8  // what each level of each channel, normalised, is as a byte
	first       int8Layer
	firstWide   *numbers // what the first convolution's bytes stand for, where a wide network's first block adds it
	bottlenecks []int8Bottleneck
	last        int8Layer
	classifier  int8Layer
	classBias   sum                // of logits and what is added to them, if something is
	logits      model.Quantization // what they stand for where they are bytes
	stripWidth  int                // as in network

	arena arena  // where all weights are, in the order of each
	wide  []bool // of each filter, whether its weights have 16 bits
}

// int8StripWidth is stripWidth.
const int8StripWidth = 40

// An int8Layer is a convolution or the classifier.
type int8Layer struct {
	kind    kind
	n, k    int // output channels, and what each sums over
	in, out model.Quantization
	bytes   kernel.Range // of what it puts out
	float   bool         // it puts out float32(sum) * float32(sx*sw) instead
	kept    bool         // it was kept in float32: its filters are their own and not the arena's
	filters []*kernel.Filter
}

// A kind of layer is what kernel it is for.
type kind int

const (
	pointwise kind = iota
	depthwise
	first
)

// An int8Bottleneck is an inverted residual.
type int8Bottleneck struct {
	model.InvertedResidual
	expand    int8Layer // no channels when the expand ratio is 1
	depthwise int8Layer
	project   int8Layer
	sum       sum                // of a residual of bytes
	out       model.Quantization // of what the block puts out

	// In a wide network, whether the projection's sums leave as float32, and whether
	// the next block adds what this one puts out: see [model.Quantized].
	wide, keeps bool
}

func (b *int8Bottleneck) projection() string { return projectionOf(b.InvertedResidual) }

// bytes is the range of what the block puts out, and by what numbers become bytes.
func (b *int8Bottleneck) bytes() (r kernel.Range, m float32) {
	r = b.project.bytes
	if b.Residual() {
		r = rangeOf(b.out, 0, 255)
	}
	return r, 1 / b.out.Scale
}

func (l *int8Layer) blocks() int { return kernel.Blocks(l.n) }

// nr is the row length of the filter of output block b.
func (l *int8Layer) nr(b int) int {
	if l.kind == depthwise {
		return kernel.Block
	}
	return kernel.NR(l.n, b)
}

// filterK is the K of the layer's filters.
func (l *int8Layer) filterK() int {
	switch l.kind {
	case depthwise:
		return kernel.DepthwiseK
	case first:
		return kernel.FirstK
	}
	return l.k
}

func (l *int8Layer) macs(pixels int) int { return l.n * l.k * pixels }

func rangeOf(q model.Quantization, low, high uint8) kernel.Range {
	return kernel.Range{Zero: int32(q.Zero), Min: int32(low), Max: int32(high)}
}

func scaleOf(q model.Quantization) kernel.Scale { return kernel.Scale{Scale: q.Scale, Zero: q.Zero} }

// newInt8Network returns the layers of q, which must be valid, without their weights.
func newInt8Network(q *model.Quantized, set *kernel.Int8) *int8Network {
	n := q.Config.Network()
	net := &int8Network{set: set, quantized: *q, levels: levelBytes(q), stripWidth: int8StripWidth}
	net.quantized.Convs, net.quantized.Classifier = nil, model.QuantizedLayer{}
	inputs, _ := q.Inputs()
	at := 0
	conv := func(c model.Conv) int8Layer {
		from := &q.Convs[at]
		l := int8Layer{
			n: c.Out, k: c.In / c.Groups * c.Kernel * c.Kernel, in: inputs[at],
			out: from.Out, bytes: rangeOf(from.Out, from.Min, from.Max), kept: from.Float != nil,
		}
		switch {
		case c.Depthwise():
			l.kind = depthwise
		case c.Kernel == 3:
			l.kind = first
		}
		at++
		return l
	}
	net.first = conv(n.First)
	if q.Wide && n.Blocks[0].Residual() {
		net.firstWide = numbersOf(net.first.out)
	}
	for i, b := range n.Blocks {
		p := int8Bottleneck{InvertedResidual: b}
		if b.Expand != nil {
			p.expand = conv(*b.Expand)
		}
		p.depthwise, p.project = conv(b.Depthwise), conv(b.Project)
		p.out = p.project.out
		if b.Residual() {
			in := inputs[at-len(b.Convs())]
			p.out = q.Sums[i].Quantization
			p.sum = net.newSum(in, p.project.out, q.Sums[i])
		}
		p.keeps = q.Wide && i+1 < len(n.Blocks) && n.Blocks[i+1].Residual()
		p.wide = p.keeps || q.Wide && b.Residual()
		p.project.float = p.wide
		net.bottlenecks = append(net.bottlenecks, p)
	}
	net.last = conv(n.Last)
	c := &q.Classifier
	net.classifier = int8Layer{
		n: n.Classifier.Out, k: n.Classifier.In, in: q.Pool,
		out: c.Out, bytes: rangeOf(c.Out, c.Min, c.Max), float: !q.Logits, kept: c.Float != nil,
	}
	net.logits = c.Out
	if b := q.ClassBias; b != nil {
		net.classBias, net.logits = net.newSum(c.Out, b.Of, b.Sum), b.Sum.Quantization
	}
	return net
}

// newSum returns the sum of bytes that stand for a and b.
func (net *int8Network) newSum(a, b model.Quantization, s model.QuantizedSum) sum {
	if net.quantized.LiteRT {
		fixed, ok := kernel.NewAddFixedInt8(scaleOf(a), scaleOf(b), scaleOf(s.Quantization))
		if !ok {
			panic("a sum that Quantized.ValidateActivations refuses")
		}
		return sum{fixed: &fixed}
	}
	if net.quantized.QNNPACK {
		fixed, table := kernel.NewAddQNNPACK(scaleOf(a), scaleOf(b), scaleOf(s.Quantization))
		return sum{fixed: fixed, table: table}
	}
	origin := uint8(0)
	if net.quantized.Signed {
		origin = 128
	}
	if s.Swapped {
		a, b = b, a
	}
	return sum{float: kernel.NewAddInt8(scaleOf(a), scaleOf(b), scaleOf(s.Quantization), origin), swapped: s.Swapped}
}

// A sum is the constants of a sum of bytes.
type sum struct {
	float   kernel.AddInt8
	swapped bool
	fixed   *kernel.AddFixedInt8 // in place of float
	table   *kernel.AddTable     // in place of both
}

// add makes dst the sum of a and b.
func (s *sum) add(set *kernel.Int8, dst, a, b []uint8) {
	if s.table != nil {
		s.table.Add(dst, a, b)
		return
	}
	if s.fixed != nil {
		sum := *s.fixed
		sum.Dst, sum.A, sum.B = dst, a, b
		set.AddFixed(sum)
		return
	}
	sum := s.float
	sum.Dst, sum.A, sum.B = dst, a, b
	if s.swapped {
		sum.A, sum.B = b, a
	}
	set.Add(sum)
}

// levelBytes are the levels of the preprocessing, quantised.
func levelBytes(q *model.Quantized) *[3][256]uint8 {
	var bytes [3][256]uint8
	for c, levels := range q.Config.Preprocess.Levels() {
		for i, v := range levels {
			bytes[c][i] = q.InputByte(v)
		}
	}
	return &bytes
}

// pack packs the weights of q, all layers at the same time.
func (net *int8Network) pack(q *model.Quantized) {
	var wg sync.WaitGroup
	at := 0
	net.each(func(l *int8Layer) {
		from := &q.Classifier
		if at < len(q.Convs) {
			from = &q.Convs[at]
		}
		at++
		wg.Go(func() { l.pack(net, from) })
	})
	wg.Wait()
	var packed []*kernel.Filter
	net.eachRounded(func(l *int8Layer) { packed = append(packed, l.filters...) })
	for _, f := range packed {
		net.wide = append(net.wide, f.Wide())
	}
	net.allocate()
	net.eachRounded(func(l *int8Layer) {
		for _, f := range l.filters {
			f.Copy(packed[0])
			packed = packed[1:]
		}
	})
}

func (l *int8Layer) pack(net *int8Network, from *model.QuantizedLayer) {
	if l.kept {
		l.packFloat(from.Float)
		return
	}
	w := kernel.Weights{W: from.Weight, Bias: from.Bias, M: make([]float32, l.n), N: l.n, K: l.k, Zero: l.in.Zero}
	for o := range w.M {
		w.M[o] = net.quantized.Multiplier(from, o, l.in.Scale, !l.float)
	}
	set := net.set
	pack := set.PackPointwise
	switch l.kind {
	case depthwise:
		pack = set.PackDepthwise
	case first:
		pack = set.PackFirst
		w.W = interleave(w.W, l.n)
	}
	for b := range l.blocks() {
		l.filters = append(l.filters, pack(w, b))
	}
}

func (l *int8Layer) packFloat(from *model.FloatLayer) {
	w := from.Weight
	if l.kind == first {
		w = interleave(w, l.n)
	}
	for b := range l.blocks() {
		l.filters = append(l.filters, kernel.PackFloat(w, from.Bias, b, scaleOf(l.in), l.out.Scale))
	}
}

// each calls do for every layer in a fixed order, that of [model.Network.Convs] and
// then the classifier.
func (net *int8Network) each(do func(*int8Layer)) {
	do(&net.first)
	for i := range net.bottlenecks {
		b := &net.bottlenecks[i]
		if b.Expand != nil {
			do(&b.expand)
		}
		do(&b.depthwise)
		do(&b.project)
	}
	do(&net.last)
	do(&net.classifier)
}

// eachRounded is each without layers that were kept in float32.
func (net *int8Network) eachRounded(do func(*int8Layer)) {
	net.each(func(l *int8Layer) {
		if !l.kept {
			do(l)
		}
	})
}

// filters is the number of filters in the arena.
func (net *int8Network) filters() (n int) {
	net.eachRounded(func(l *int8Layer) { n += l.blocks() })
	return n
}

// bytes is the length of the arena.
func (net *int8Network) bytes() (n int64) {
	net.eachFilter(func(l *int8Layer, b, bytes int, wide bool) { n += int64(bytes) })
	return n
}

// allocate makes the arena and filters in it.
func (net *int8Network) allocate() {
	net.arena = kernel.HugeBytes(int(net.bytes()))
	rest := net.arena
	net.eachRounded(func(l *int8Layer) { l.filters = nil })
	net.eachFilter(func(l *int8Layer, b, bytes int, wide bool) {
		l.filters = append(l.filters, kernel.NewFilter(l.filterK(), l.nr(b), wide, rest[:bytes]))
		rest = rest[bytes:]
	})
}

// eachFilter calls do for every filter in the arena: its layer and block, its bytes, and whether
// its weights have 16 bits.
func (net *int8Network) eachFilter(do func(l *int8Layer, b, bytes int, wide bool)) {
	wide := net.wide
	net.eachRounded(func(l *int8Layer) {
		for b := range l.blocks() {
			do(l, b, kernel.FilterBytes(l.filterK(), l.nr(b), wide[0]), wide[0])
			wide = wide[1:]
		}
	})
}
