package engine

import (
	"context"
	"slices"
	"time"
)

// Latency is what a number of runs took.
type Latency struct {
	Min, Median, P99 time.Duration
}

// Measure runs the same batch so many times, after a tenth as many to warm up,
// and returns how long a run took.
func (e *Engine) Measure(ctx context.Context, in Input, runs int) (Latency, error) {
	out := Output{Logits: make([]float32, max(0, in.N)*e.program.config.Classes)}
	for range runs/10 + 1 {
		if err := e.Run(ctx, in, out); err != nil {
			return Latency{}, err
		}
	}
	took := make([]time.Duration, max(1, runs))
	for i := range took {
		start := time.Now()
		if err := e.Run(ctx, in, out); err != nil {
			return Latency{}, err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return Latency{Min: took[0], Median: took[len(took)/2], P99: took[len(took)*99/100]}, nil
}

// Peak measures how many floating-point operations a second one core of this
// machine does with the engine's instruction set, doing nothing else: the best
// of several tries of about a millisecond.
func (e *Engine) Peak() (flops float64) {
	const tries, iterations = 20, 10_000
	if e.program.peak == nil { // the zero Engine
		return 0
	}
	for range tries {
		start := time.Now()
		n := 0
		for range 10 {
			n += e.program.peak(iterations)
		}
		flops = max(flops, float64(n)/time.Since(start).Seconds())
	}
	return flops
}
