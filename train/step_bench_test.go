package train

import (
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/builtin"
	"github.com/mobilenet-go/mobilenet/model"
)

// BenchmarkStep measures whole steps on one thread: the network at width 1.0, and the
// small one for Fashion-MNIST.
func BenchmarkStep(b *testing.B) {
	small, err := model.ParseConfig(builtin.FashionMNISTConfig)
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]model.Config{"width=1.0": model.Default(), "fashion-mnist": small} {
		b.Run(name, func(b *testing.B) {
			m, err := model.New(c, 1)
			if err != nil {
				b.Fatal(err)
			}
			batch := 16
			if c.Resolution < 100 {
				batch = 128
			}
			cost, err := Measure(Options{Data: Data{Model: m}, Hyperparameters: Hyperparameters{Batch: batch, Optimizer: SGD, LR: 0.1}, Run: Run{Threads: 1}}, max(1, b.N))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(cost.Steps[0].Seconds()*1e3/float64(batch), "min-ms/image")
		})
	}
}
