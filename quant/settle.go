package quant

import (
	"runtime"
	"sync"
)

const (
	// settlePasses is how often all weights of a row are looked at. A third pass changes
	// next to nothing.
	settlePasses = 2
	// ridge is how much a weight's own error counts beside that of the sums, which is
	// known of some samples only: as much as if the inputs had nothing in common.
	ridge = 1
	// settleSamples is how many samples are enough. They take most of the time.
	settleSamples = 1024
	// fewSamples tell nothing of what inputs have in common.
	fewSamples = 16
)

// settle decides which of its two neighbours each weight of a layer is rounded to; q has
// the nearest ones. For a weight alone these are best. What matters is the error of the
// sum, though, and the inputs of a sum have much in common: weights change to the other
// neighbour, one by one, where that makes the sums' error less. It is coordinate descent
// on the objective of AdaRound (Nagel et al., arXiv 2004.10568), which needs no gradients
// as the objective is quadratic. It is worth 0.9 dB, a third of that in the first layer.
//
// Products are rounded (the conversions say so), so that every CPU decides alike.
//
// xs are samples of what each weight of a row is multiplied by. Rows don't depend on
// each other, so that the result doesn't depend on the number of threads.
func (l *layer) settle(q []int16, scales []float32, xs [][]float64, threads int) {
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	per := l.per()
	power := make([]float64, per) // of each input, over the samples
	for k, x := range xs {
		power[k] = dot(x, x)
	}
	rows := make(chan int)
	var wg sync.WaitGroup
	for range threads {
		wg.Go(func() {
			off := make([]float64, len(xs[0]))
			for o := range rows {
				settleRow(q[o*per:(o+1)*per], l.w[o*per:(o+1)*per], float64(scales[o]), xs, power, off)
			}
		})
	}
	for o := range l.b {
		rows <- o
	}
	close(rows)
	wg.Wait()
}

// settleRow is settle of an output channel. off has room for the error of each sample's
// sum.
func settleRow(q []int16, w []float64, scale float64, xs [][]float64, power, off []float64) {
	clear(off)
	for k, x := range xs {
		addTimes(off, float64(float64(q[k])*scale)-w[k], x)
	}
	for range settlePasses {
		for k, x := range xs {
			wrong := float64(float64(q[k])*scale) - w[k]
			step := int16(1)
			if wrong > 0 {
				step = -1
			}
			if r := q[k] + step; r < -largest || r > largest {
				continue
			}
			change := float64(step) * scale
			// What it adds to Σ off², and to the weight's own error.
			together := float64(change * (2*dot(off, x) + float64(change*power[k])))
			alone := float64(change * (2*wrong + change) * power[k])
			if together+ridge*alone < 0 {
				q[k] += step
				addTimes(off, change, x)
			}
		}
	}
}

// samples returns what was seen of what each weight of a row is multiplied by, less its
// mean, for which the bias makes good; nil where that is too little. Depthwise
// convolutions, whose windows are not kept, cost next to nothing.
func (l *layer) samples() [][]float64 {
	if l.Groups != 1 || l.Kernel > 1 && l.in.windows == nil {
		return nil
	}
	seen, factor := make([][]float32, l.per()), make([]float64, l.per())
	for k := range seen {
		c := &l.in.channels[l.reads(0, k)]
		seen[k], factor[k] = c.samples, c.factor
		if l.Kernel > 1 {
			seen[k] = l.in.windows[k]
		}
	}
	n := min(len(seen[0]), settleSamples)
	if n < fewSamples {
		return nil
	}
	xs := make([][]float64, len(seen))
	for k, v := range seen {
		x := make([]float64, n)
		mean := 0.0
		for i := range x {
			x[i] = float64(v[i*len(v)/n]) * factor[k]
			mean += x[i] / float64(n)
		}
		for i := range x {
			x[i] -= mean
		}
		xs[k] = x
	}
	return xs
}

// dot is Σ a*b, in four sums that don't wait for each other.
func dot(a, b []float64) float64 {
	b = b[:len(a)]
	var s [4]float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s[0] += float64(a[i] * b[i])
		s[1] += float64(a[i+1] * b[i+1])
		s[2] += float64(a[i+2] * b[i+2])
		s[3] += float64(a[i+3] * b[i+3])
	}
	for ; i < len(a); i++ {
		s[0] += float64(a[i] * b[i])
	}
	return s[0] + s[1] + s[2] + s[3]
}

// addTimes adds f*x to dst.
func addTimes(dst []float64, f float64, x []float64) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += float64(f * x[i])
	}
}

// windowsPerPhoto is how many windows of the image are kept for the first convolution.
const windowsPerPhoto = 64

// addWindows keeps windows of plane c of an image: [3][3][3][samples] of them all, in the
// order of the first convolution's weights. All planes have the same ones.
func (t *tensor) addWindows(c int, plane []float32, w, h int) {
	if t.windows == nil {
		t.windows = make([][]float32, 27)
	}
	places := max(0, w-2) * max(0, h-2)
	step := max(1, places/windowsPerPhoto) | 1
	for at, kept := step/2, 0; at < places && kept < windowsPerPhoto; at, kept = at+step, kept+1 {
		y, x := at/(w-2), at%(w-2)
		for tap := range 9 {
			k := 9*c + tap
			t.windows[k] = append(t.windows[k], plane[(y+tap/3)*w+x+tap%3])
		}
	}
}
