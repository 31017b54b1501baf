//go:build linux

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// A load is what became of requests.
type load struct {
	good, refused []time.Duration // latencies of answers, and of refusals at once
	late          int             // accepted, and not done in time
	failed        int             // neither answered nor refused
	failure       string          // one of these
	lasted        time.Duration
	used          usage

	came, worked []time.Duration // when good requests came; decoding and running, of servers that tell
}

func (l load) rate() float64 { return float64(len(l.good)) / l.lasted.Seconds() }

func (l load) String() string {
	return fmt.Sprintf("%.0f answered a second, p50 %.1f, p99 %.1f ms; %.0f refused, p50 %.2f, p99 %.2f ms; %.0f late, %d failed %s; of a core the server took %.2f, the load %.2f",
		l.rate(), ms(quantile(l.good, .5)), ms(quantile(l.good, .99)), float64(len(l.refused))/l.lasted.Seconds(), ms(quantile(l.refused, .5)), ms(quantile(l.refused, .99)),
		float64(l.late)/l.lasted.Seconds(), l.failed, l.failure, l.used.server.Seconds()/l.lasted.Seconds(), l.used.load.Seconds()/l.lasted.Seconds())
}

// perCPU is answers by second of the server's CPU time.
func (l load) perCPU() float64 { return float64(len(l.good)) / l.used.server.Seconds() }

// closed has n clients that ask again as soon as they are answered.
func (s *server) closed(n int) (load, error) {
	ctx, cancel := context.WithTimeout(context.Background(), *each)
	defer cancel()
	latencies := make(chan []time.Duration, n)
	before, start := s.used(), time.Now()
	for c := range n {
		go func() {
			var good []time.Duration
			for i := c; ctx.Err() == nil; i += n {
				t := time.Now()
				if code, err := s.ask(i); err == nil && code == http.StatusOK {
					good = append(good, time.Since(t))
				}
			}
			latencies <- good
		}()
	}
	var l load
	for range n {
		l.good = append(l.good, <-latencies...)
	}
	l.lasted, l.used = time.Since(start), s.used().since(before)
	if len(l.good) == 0 {
		return l, fmt.Errorf("%s answered nothing", s.name)
	}
	return l, nil
}

// poisson lets requests come at random, rate a second on average.
type poisson struct {
	rate float64
	rng  *rand.Rand
	next time.Duration
	hits uint64
}

func (p *poisson) Rate(time.Duration) float64 { return p.rate }

func (p *poisson) Pace(elapsed time.Duration, hits uint64) (time.Duration, bool) {
	for p.hits <= hits {
		p.hits++
		p.next += time.Duration(p.rng.ExpFloat64() / p.rate * float64(time.Second))
	}
	return max(0, p.next-elapsed), false
}

// opened counts loads: each has arrivals of its own, the same in every run of this program.
var opened atomic.Uint64

// open sends requests at a rate, whatever becomes of them.
func (s *server) open(rate float64) load {
	targets := make([]vegeta.Target, len(s.bodies))
	for i, b := range s.bodies {
		targets[i] = vegeta.Target{Method: "POST", URL: s.url + s.path, Body: b, Header: http.Header{"Content-Type": {s.kind}}}
	}
	attacker := vegeta.NewAttacker(vegeta.Timeout(10*time.Second), vegeta.KeepAlive(true), vegeta.MaxWorkers(2000), vegeta.Connections(2000))
	pacer := &poisson{rate: rate, rng: rand.New(rand.NewPCG(opened.Add(1), uint64(rate)))}
	l := load{lasted: *each}
	before, start := s.used(), time.Now()
	for r := range attacker.Attack(vegeta.NewStaticTargeter(targets...), pacer, *each, s.name) {
		switch {
		case r.Code == http.StatusOK:
			l.good = append(l.good, r.Latency)
			l.came = append(l.came, r.Timestamp.Sub(start))
			c := said(r.Body)
			l.worked = append(l.worked, c.decode+c.infer)
		case r.Code == http.StatusTooManyRequests || r.Code == http.StatusServiceUnavailable:
			l.refused = append(l.refused, r.Latency)
		case r.Code == http.StatusGatewayTimeout:
			l.late++
		default:
			l.failed++
			l.failure = r.Error
		}
	}
	l.used = s.used().since(before)
	return l
}

// said is where an answer of ours says that its time went.
func said(body []byte) call {
	var a struct {
		Timing struct{ Queue, Decode, Infer float64 } `json:"timing_ms"`
	}
	if json.Unmarshal(body, &a) != nil {
		return call{}
	}
	span := func(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
	return call{queue: span(a.Timing.Queue), decode: span(a.Timing.Decode), infer: span(a.Timing.Infer)}
}

// ideal returns the latencies that these requests would have had of a queue that costs
// nothing before n cores, in the order of arrival, with the times that they were worked
// on: what no server with these cores and this speed comes below.
func (l load) ideal(n int) []time.Duration { return l.queue(n, 1<<62) }

// queue is ideal but for the order: who has waited longer than patience goes behind those
// who haven't. As few as possible are late then, but those for long.
func (l load) queue(n int, patience time.Duration) (out []time.Duration) {
	order := make([]int, len(l.came)) // of who hasn't come yet
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(l.came[a], l.came[b]) })
	free := make([]time.Duration, n) // when a core is
	var waiting []int                // the oldest first
	for len(order)+len(waiting) > 0 {
		c := slices.Index(free, slices.Min(free))
		if len(waiting) == 0 {
			free[c] = max(free[c], l.came[order[0]])
		}
		for len(order) > 0 && l.came[order[0]] <= free[c] {
			waiting, order = append(waiting, order[0]), order[1:]
		}
		next := max(0, slices.IndexFunc(waiting, func(i int) bool { return free[c]-l.came[i] <= patience }))
		i := waiting[next]
		copy(waiting[1:next+1], waiting[:next])
		waiting = waiting[1:]
		free[c] += l.worked[i]
		out = append(out, free[c]-l.came[i])
	}
	return out
}

// halved has all photos worked on by two cores, twice as fast.
func (l load) halved() load {
	half := load{came: l.came}
	for _, d := range l.worked {
		half.worked = append(half.worked, d/2)
	}
	return half
}

// equal returns the p99 of an ideal queue before n servers that do capacity together,
// each request the same work, coming at random at the given rate.
func equal(rate, capacity float64, n int) time.Duration {
	const requests = 1_000_000
	p := &poisson{rate: rate, rng: rand.New(rand.NewPCG(1, 1))}
	l := load{came: make([]time.Duration, requests), worked: make([]time.Duration, requests)}
	for i := range l.came {
		l.came[i], _ = p.Pace(0, uint64(i))
		l.worked[i] = time.Duration(float64(n) / capacity * float64(time.Second))
	}
	return quantile(l.ideal(n), .99)
}

// tenths are the p99 of answers in each tenth of the time, in milliseconds: a machine
// that was away for a moment shows.
func (l load) tenths() (text string) {
	var by [10][]time.Duration
	for i, d := range l.good {
		k := min(9, int(10*l.came[i]/l.lasted))
		by[k] = append(by[k], d)
	}
	for _, v := range by {
		text += fmt.Sprintf(" %.0f", ms(quantile(v, .99)))
	}
	return text
}

// within returns the highest rate at which the slowest of a hundred is fast enough, and
// nothing is refused.
func (s *server) within(limit time.Duration, capacity float64) float64 {
	low, high := 0.0, 1.1*capacity
	rate := .85 * capacity
	for range 4 {
		l := s.open(rate)
		if len(l.refused)+l.late+l.failed == 0 && quantile(l.good, .99) <= limit {
			low = rate
		} else {
			high = rate
		}
		rate = (low + high) / 2
	}
	return low
}

func quantile(v []time.Duration, q float64) time.Duration {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[min(len(v)-1, int(q*float64(len(v))))]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
