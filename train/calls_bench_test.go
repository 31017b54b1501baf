package train

import (
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// BenchmarkCalls says where the time of a step goes, on one thread, at width 1.0 and batch
// 16: for every call of a kernel, and for what is between it and the one before, the least
// time of all steps, added up by kernel. What others do on the machine meanwhile is hardly in
// it; the clock itself is, twice a call.
func BenchmarkCalls(b *testing.B) {
	const images = 16
	m, err := model.New(model.Default(), 1)
	if err != nil {
		b.Fatal(err)
	}
	n, err := newNetwork(m, 1, 0, false)
	if err != nil {
		b.Fatal(err)
	}
	o, err := newOptimizer(hyper{rule: SGD, momentum: 0.9}, n.params)
	if err != nil {
		b.Fatal(err)
	}
	c := clock{}
	set := *n.set
	n.set = &kernel.Set{
		Name: set.Name, First: set.First, Pool: set.Pool,
		Pointwise: timed(&c, "pointwise", set.Pointwise),
		Depthwise: timed(&c, "depthwise", set.Depthwise),
		Training: kernel.Training{
			Affine:              timed(&c, "affine", set.Affine),
			Moments:             timed(&c, "moments", set.Moments),
			AffineGrad:          timed(&c, "affine-grad", set.AffineGrad),
			NormGrad:            timed(&c, "norm-grad", set.NormGrad),
			PointwiseGrad:       timed(&c, "pointwise-grad", set.PointwiseGrad),
			DepthwiseGrad:       timed(&c, "depthwise-grad", set.DepthwiseGrad),
			DepthwiseTransposed: timed(&c, "depthwise-transposed", set.DepthwiseTransposed),
			Turn:                timed(&c, "turn", set.Turn),
		},
	}
	side := m.Config.Resolution
	input := make([]float32, images*side*side*3)
	for i := range input {
		input[i] = float32(i*7919%1000)/500 - 1
	}
	target := make([]float32, images*m.Config.Classes)
	for i := range images {
		oneHot(target[i*m.Config.Classes:][:m.Config.Classes], i, 0)
	}
	grad := make([]float32, len(target))
	for i := range max(3, b.N) {
		c.begin(i > 1) // the first step makes its buffers
		logits, err := n.forward(input, images, nil)
		if err != nil {
			b.Fatal(err)
		}
		softmaxLoss(grad, logits, target, m.Config.Classes)
		n.backward(grad)
		o.step(1, 0.01, 1)
		c.add("rest", time.Now())
	}
	sums := map[string]time.Duration{}
	for i, name := range c.names {
		sums[name] += c.calls[i]
		sums["between"] += c.gaps[i]
		sums["all"] += c.calls[i] + c.gaps[i]
	}
	for name, t := range sums {
		b.ReportMetric(float64(t.Microseconds())/images, name+"-us/image")
	}
}

// A clock keeps the least time of every call and of what is before it.
type clock struct {
	names       []string
	calls, gaps []time.Duration
	at          int
	keep        bool
	last        time.Time
}

func (c *clock) begin(keep bool) { c.at, c.keep, c.last = 0, keep, time.Now() }

// add ends a call that began at start.
func (c *clock) add(name string, start time.Time) {
	call, gap := time.Since(start), start.Sub(c.last)
	if c.at == len(c.names) {
		c.names, c.calls, c.gaps = append(c.names, name), append(c.calls, call), append(c.gaps, gap)
	} else if !c.keep {
		c.calls[c.at], c.gaps[c.at] = call, gap
	} else {
		c.calls[c.at], c.gaps[c.at] = min(c.calls[c.at], call), min(c.gaps[c.at], gap)
	}
	c.at++
	c.last = time.Now()
}

func timed[T any](c *clock, name string, f func(T)) func(T) {
	return func(a T) {
		start := time.Now()
		f(a)
		c.add(name, start)
	}
}
