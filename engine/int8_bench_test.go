package engine

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// calibrated returns a network with ranges such as calibration chooses: behind ReLU6
// all bytes, from zero point 0 on.
func calibrated(c model.Config) *model.Quantized {
	q := randomInt8(c, 1, 127, false, false)
	for i, conv := range c.Network().Convs() {
		if conv.ReLU6 {
			q.Convs[i].Out.Zero, q.Convs[i].Min, q.Convs[i].Max = 0, 0, 255
		}
	}
	return q
}

// BenchmarkInt8 runs the network of width 1 in 8 bits and in float32 in turns, a few
// runs each, so that all but the first find in the caches what they left there. It
// reports the fastest run of each in milliseconds, and their ratio: machines that are
// shared slow both down, and rarely for the whole of every run.
func BenchmarkInt8(b *testing.B) {
	const side = 224
	c := model.Default()
	float, bytes := random(b, c), calibrated(c)
	for _, threads := range []int{1, 2} {
		engines := []*Engine{compile(b, float, threads), compileInt8(b, bytes, kernel.AvailableInt8()[0], threads, int8StripWidth)}
		for _, batch := range []int{1, 32} {
			b.Run(fmt.Sprintf("isa=%s/threads=%d/batch=%d", engines[1].CPU(), threads, batch), func(b *testing.B) {
				in := Input{Pixels: noise(batch * side * side * 3), N: batch, H: side, W: side}
				out := Output{Logits: make([]float32, batch*c.Classes)}
				least := []time.Duration{math.MaxInt64, math.MaxInt64}
				for b.Loop() {
					for i, e := range engines {
						for range 1 + 7/batch {
							start := time.Now()
							if err := e.Run(b.Context(), in, out); err != nil {
								b.Fatal(err)
							}
							least[i] = min(least[i], time.Since(start))
						}
					}
				}
				ms := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(batch) }
				b.ReportMetric(ms(least[0]), "float32-ms")
				b.ReportMetric(ms(least[1]), "int8-ms")
				b.ReportMetric(least[1].Seconds()/least[0].Seconds(), "int8/float32")
				b.ReportMetric(0, "ns/op")
			})
		}
		engines[0].Close()
	}
}

// BenchmarkInt8Steps reports the share that each step has of a run on one thread,
// and its time beside the floor, that of its multiply-adds at the CPU's peak.
func BenchmarkInt8Steps(b *testing.B) {
	const side = 224
	for _, set := range kernel.AvailableInt8() {
		if set == &kernel.GenericInt8 {
			continue
		}
		e := compileInt8(b, calibrated(model.Default()), set, 1, int8StripWidth)
		peak := e.Peak()
		b.Run("isa="+set.Name, func(b *testing.B) {
			in := Input{Pixels: noise(side * side * 3), N: 1, H: side, W: side}
			steps, memory, err := e.Profile(b.Context(), in, max(1, b.N))
			if err != nil {
				b.Fatal(err)
			}
			total, floor, table := time.Duration(0), 0.0, ""
			for _, s := range steps {
				least := 2 * float64(s.MACs) / peak * 1e6
				table += fmt.Sprintf("%-34s %7.1f us, floor %6.1f, %3.0f %%\n", s.Name, s.Time.Seconds()*1e6, least, 100*least/(s.Time.Seconds()*1e6))
				total, floor = total+s.Time, floor+least
			}
			fmt.Printf("\n%stotal %.1f us, floor %.1f at %.0f GOP/s; %d bytes of activations, %d of scratch\n", table, total.Seconds()*1e6, floor, peak/1e9, memory.Activations, memory.Scratch)
		})
		e.Close()
	}
}
