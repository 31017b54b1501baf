package kernel

import "sync"

// A FloatFilter is the weights of one block of output channels in float32, for a
// convolution between bytes.
type FloatFilter struct {
	W     []float32 // [K][NR], as Pack returns it
	Bias  []float32 // [NR]
	In    Scale     // of the bytes that it reads
	Scale float32   // of the bytes that it puts out
}

// With returns the set for networks of which some filters have a Float: those run with
// the kernels of f. The bytes that they read count as the numbers that these stand
// for, and the sums, float32's and rounded as f does, leave as bytes as those of a
// wide network do (QuantizeInt8), or where a convolution's Float is given as
//
//	Float[p][n] = sum + Add[p][n]
func (s *Int8) With(f *Set) *Int8 {
	both := *s
	both.Pointwise = func(a PointwiseInt8) {
		if a.Filter.Float == nil {
			s.Pointwise(a)
			return
		}
		w := takeWork()
		defer w.give()
		w.pointwise(s, f, a)
	}
	both.Depthwise = func(a DepthwiseInt8) {
		if a.Filter.Float == nil {
			s.Depthwise(a)
			return
		}
		w := takeWork()
		defer w.give()
		w.depthwise(s, f, a)
	}
	both.First = func(a FirstInt8) {
		if a.Filter.Float == nil {
			s.First(a)
			return
		}
		w := takeWork()
		defer w.give()
		w.first(s, f, a)
	}
	return &both
}

// PackFloat returns a filter with block b of n channels of weights w [n][K] in the
// order that the kernels of float32 have them, and their biases.
func PackFloat(w, bias []float32, b int, in Scale, out float32) *Filter {
	k, nr := len(w)/len(bias), NR(len(bias), b)
	f := &FloatFilter{W: make([]float32, k*nr), Bias: make([]float32, nr), In: in, Scale: out}
	Pack(f.W, f.Bias, w, bias, b)
	return &Filter{K: k, NR: nr, Float: f}
}

// floatWork is where the inputs of a filter of float32 are, as numbers, and its sums.
type floatWork struct {
	in, sums []float32
	rows     [3][]float32 // of in
	numbers  [256]float32
}

// spareWork keeps them from one call to the next: a run allocates nothing.
var spareWork = sync.Pool{New: func() any { return new(floatWork) }}

func takeWork() *floatWork { return spareWork.Get().(*floatWork) }

func (w *floatWork) give() { spareWork.Put(w) }

// of prepares for a filter, and for so many inputs and sums at a time.
func (w *floatWork) of(f *FloatFilter, in, sums int) {
	if len(w.in) < in {
		w.in = make([]float32, in)
	}
	if len(w.sums) < sums {
		w.sums = make([]float32, sums)
	}
	for b := range w.numbers {
		w.numbers[b] = float32(b-int(f.In.Zero)) * f.In.Scale
	}
}

// widen makes numbers of bytes.
func (w *floatWork) widen(dst []float32, src []uint8) {
	for i, b := range src[:len(dst)] {
		dst[i] = w.numbers[b]
	}
}

// leave puts out sums as bytes.
func (w *floatWork) leave(s *Int8, f *FloatFilter, r Range, dst []uint8) {
	s.Quantize(QuantizeInt8{Dst: dst, Src: w.sums[:len(dst)], M: 1 / f.Scale, Range: r})
}

// floatPixels is how many pixels become numbers at a time: of 960 channels they fit in
// the second-level cache.
const floatPixels = 42

func (w *floatWork) pointwise(s *Int8, f *Set, a PointwiseInt8) {
	filter := a.Filter.Float
	blocks := Blocks(a.Filter.K)
	w.of(filter, blocks*floatPixels*Block, floatPixels*Block)
	for p := 0; p < a.Pixels; p += floatPixels {
		pixels := min(floatPixels, a.Pixels-p)
		n := pixels * Block
		for b := range blocks {
			w.widen(w.in[b*n:][:n], a.Src[b*a.SrcStride+p*Block:])
		}
		f.Pointwise(Pointwise{
			Dst: w.sums[:n], Src: w.in[:blocks*n], SrcStride: n,
			W: filter.W, Bias: filter.Bias, K: a.Filter.K, NR: a.Filter.NR, Pixels: pixels,
		})
		switch {
		case a.Float == nil:
			w.leave(s, filter, a.Range, a.Dst[p*Block:][:n])
		case a.Add == nil:
			copy(a.Float[p*Block:], w.sums[:n])
		default:
			dst, add := a.Float[p*Block:][:n], a.Add[p*Block:][:n]
			for i, v := range w.sums[:n] {
				dst[i] = v + add[i]
			}
		}
	}
}

func (w *floatWork) depthwise(s *Int8, f *Set, a DepthwiseInt8) {
	filter := a.Filter.Float
	row, out := a.Width*Block, a.OutWidth()*Block
	w.of(filter, len(a.Rows)*row, out)
	b := Depthwise{
		Dst: w.sums[:out], W: filter.W, Bias: filter.Bias, NR: a.Filter.NR,
		Width: a.Width, Stride: a.Stride, Left: a.Left, Rows: w.rows[:],
	}
	for y := range 1 + a.More {
		for j := range b.Rows {
			b.Rows[j] = w.in[j*row:][:row]
			w.widen(b.Rows[j], a.Rows[j][y*a.Stride*row:])
		}
		f.Depthwise(b)
		w.leave(s, filter, a.Range, a.Dst[y*out:][:out])
	}
}

// first goes through ReLU6, as f's kernel does. That changes nothing where a byte
// stands for at most 6 and the bytes begin at 0.
func (w *floatWork) first(s *Int8, f *Set, a FirstInt8) {
	filter := a.Filter.Float
	n, out := 6*a.Width+6, a.Width*Block
	w.of(filter, len(a.Rows)*n, out)
	b := First{Dst: w.sums[:out], W: filter.W, Bias: filter.Bias, Width: a.Width, NR: a.Filter.NR}
	for j := range b.Rows {
		b.Rows[j] = w.in[j*n:][:n]
		w.widen(b.Rows[j], a.Rows[j])
	}
	f.First(b)
	w.leave(s, filter, a.Range, a.Dst[:out])
}
