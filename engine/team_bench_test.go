package engine

import (
	"slices"
	"testing"
	"time"
)

// BenchmarkJoin measures how long after the start of a run a helper that was parked begins
// with its first task.
func BenchmarkJoin(b *testing.B) {
	t := newTeam(2)
	defer t.stop()
	var began time.Time
	var took []time.Duration
	r := newRun(1, func(slot, _, _ int) {
		if slot == 1 {
			took = append(took, time.Since(began))
		}
		for busy := time.Now(); time.Since(busy) < 20*time.Microsecond; {
		}
	}, func() {})
	r.tasks[0], r.grain[0] = 100, 1
	for b.Loop() {
		for busy := time.Now(); time.Since(busy) < 5*idleSpin; { // as who decodes a photo
		}
		n := len(took)
		began = time.Now()
		r.start(t)
		for r.refs.Load() > 0 {
		}
		took = took[:min(n+1, len(took))]
	}
	slices.Sort(took)
	if len(took) > 0 {
		b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "p50-µs")
		b.ReportMetric(float64(took[len(took)*9/10].Nanoseconds())/1000, "p90-µs")
	}
}
