//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Ours is mobilenet serve with a model, and what was measured of it.
type ours struct {
	server
	weights string

	ready                 []time.Duration
	saturated             []load       // eight clients that ask again at once
	predicted, predicted1 []float64    // photos of mobilenet predict by second, and by second of CPU time
	single                [][][]call   // of the server, a bare one, and the library: see over
	normal                []load       // at 70 % of capacity
	shared, apart         map[int]load // at so many times the capacity; 1: eight clients
	memory                float64
}

func newOurs(name, weights string, photos [][]byte) *ours {
	return &ours{weights: weights, shared: map[int]load{}, apart: map[int]load{}, server: server{
		name: "mobilenet " + name, path: "/v1/classify", kind: "image/jpeg", bodies: photos,
		args: []string{*binary, "serve", "--model", "m=" + weights, "--drain-delay", "0s", "--listen"},
	}}
}

// measure measures what mobilenet serve is to reach, and prints it.
func measure(own []*ours) error {
	for range *rounds {
		for _, o := range own {
			if err := o.saturate(); err != nil {
				return err
			}
		}
	}
	for _, o := range own {
		if err := o.together(); err != nil {
			return err
		}
		if err := o.separately(); err != nil {
			return err
		}
	}
	printTargets(own)
	return nil
}

// saturate asks for as much as there is, and has predict do the same.
func (o *ours) saturate() error {
	ready, err := o.start()
	if err != nil {
		return err
	}
	l, err := o.closed(8)
	o.stop()
	if err != nil {
		return err
	}
	o.ready, o.saturated = append(o.ready, ready), append(o.saturated, l)
	rate, perCPU, err := predict(o.weights, o.bodies, l.rate())
	if err != nil {
		return err
	}
	o.predicted, o.predicted1 = append(o.predicted, rate), append(o.predicted1, perCPU)
	return nil
}

// capacity is the median of photos a second.
func (o *ours) capacity() float64 {
	var rates []float64
	for _, l := range o.saturated {
		rates = append(rates, l.rate())
	}
	return middle(rates)
}

// at prints what becomes of so many requests a second, or of such a share of the capacity:
// then of rounds of both, as a machine's speed changes.
func (o *ours) at(rate float64) error {
	if _, err := o.start(); err != nil {
		return err
	}
	defer o.stop()
	if rate >= 10 {
		fmt.Printf("%s at %.0f a second: %v\n", o.name, rate, o.open(rate))
		return nil
	}
	var full, answered []float64 // by second of the server's CPU time
	for range *rounds {
		all, err := o.closed(8)
		if err != nil {
			return err
		}
		l := o.open(rate * all.rate())
		full, answered = append(full, all.perCPU()), append(answered, l.perCPU())
		fmt.Printf("%s, eight clients: %.0f a second; at %.0f a second: %v\n", o.name, all.rate(), rate*all.rate(), l)
		if rate < 1 {
			l.sayIdeal(rate*all.rate(), all.rate())
		}
	}
	fmt.Printf("%s: answers by second of the server's CPU time %.0f, to eight clients %.0f (medians): %.0f %%\n",
		o.name, middle(answered), middle(full), 100*middle(answered)/middle(full))
	return nil
}

// sayIdeal prints the slowest of answers, and what they would have been of ideal queues.
func (l load) sayIdeal(rate, capacity float64) {
	n := runtime.NumCPU()
	fmt.Printf("  p99 of an ideal queue, all work the same: a core each %.1f ms, all cores for each at once %.1f ms\n", ms(equal(rate, capacity, n)), ms(equal(rate, capacity, 1)))
	fmt.Printf("  times of work p50 %.2f, p99 %.2f ms; p99 by tenth of the time%v\n", ms(quantile(l.worked, .5)), ms(quantile(l.worked, .99)), l.tenths())
	tail := func(name string, v []time.Duration) {
		fmt.Printf("  with these times, %-52s p99 %.1f, p99.9 %.1f ms\n", name, ms(quantile(v, .99)), ms(quantile(v, .999)))
	}
	tail("measured:", l.good)
	tail("an ideal queue:", l.ideal(n))
	if n == 2 {
		tail("both cores for each photo at once, twice as fast:", l.halved().ideal(1))
	}
	for _, patience := range []float64{2, 2.5, 3} {
		late := time.Duration(patience * float64(quantile(l.worked, .5)))
		tail(fmt.Sprintf("behind the others who waited %.0f ms:", ms(late)), l.queue(n, late))
	}
}

// singly prints where a single client's time goes.
func (o *ours) singly() error {
	if _, err := o.start(); err != nil {
		return err
	}
	defer o.stop()
	rounds, err := o.over(o.weights)
	if err != nil {
		return err
	}
	fmt.Printf("%s, ms: p50 (p90) of %d rounds\n", o.name, len(rounds))
	row("", "total", "queue", "decode", "network", "else", "of that the client")
	for a, name := range []string{"server", "bare server", "library", "least net/http server", "library, after a pause"} {
		var all []call
		for _, r := range rounds {
			all = append(all, r[a]...)
		}
		cell := func(f func(call) time.Duration) string {
			v := times(all, f)
			return fmt.Sprintf("%.3f (%.3f)", ms(quantile(v, .5)), ms(quantile(v, .9)))
		}
		row(name, cell(func(c call) time.Duration { return c.total }), cell(func(c call) time.Duration { return c.queue }),
			cell(func(c call) time.Duration { return c.decode }), cell(func(c call) time.Duration { return c.infer }), cell(call.rest), cell(func(c call) time.Duration { return c.client }))
	}
	fmt.Printf("server over bare server %v, over library %v, by round\n", longer(rounds, 1), longer(rounds, 2))
	return nil
}

// together measures server and load on all cores.
func (o *ours) together() error {
	if _, err := o.start(); err != nil {
		return err
	}
	defer o.stop()
	var err error
	if o.single, err = o.over(o.weights); err != nil {
		return err
	}
	for range *rounds {
		o.normal = append(o.normal, o.open(.7*o.capacity()))
	}
	for _, times := range []int{3, 10} {
		o.shared[times] = o.open(float64(times) * o.capacity())
	}
	o.memory = o.memoryNow()
	return nil
}

// separately measures overload with cores for the server, and others for the load:
// where both have the same, ten times the load takes them from the server.
func (o *ours) separately() error {
	n := runtime.NumCPU()
	if n < 2 {
		return nil
	}
	var first, second []int
	for i := range n {
		if i < n/2 {
			first = append(first, i)
		} else {
			second = append(second, i)
		}
	}
	if err := pin(second); err != nil {
		return err
	}
	defer pin(append(first, second...))
	if _, err := o.start(first...); err != nil {
		return err
	}
	defer o.stop()
	peak, err := o.closed(8)
	if err != nil {
		return err
	}
	o.apart[1] = peak
	for _, times := range []int{3, 10} {
		o.apart[times] = o.open(float64(times) * peak.rate())
	}
	return nil
}

// pin puts this program on the given cores.
func pin(cores []int) error {
	var set unix.CPUSet
	for _, c := range cores {
		set.Set(c)
	}
	threads, err := filepath.Glob("/proc/self/task/*")
	for _, t := range threads {
		id, _ := strconv.Atoi(filepath.Base(t))
		err = unix.SchedSetaffinity(id, &set)
	}
	return err
}

func printTargets(own []*ours) {
	cell := func(f func(*ours) string) (cells []string) {
		for _, o := range own {
			cells = append(cells, f(o))
		}
		return cells
	}
	line := func(name string, f func(*ours) string) { row(name, cell(f)...) }
	line("", func(o *ours) string { return strings.TrimPrefix(o.name, "mobilenet ") })
	line("over a library call, p50 of one client, ms: median (least)  <= 0.3", func(o *ours) string {
		v := longer(o.single, 2)
		return fmt.Sprintf("%.2f (%.2f)", ms(quantile(v, .5)), ms(slices.Min(v)))
	})
	line("  over a bare server", func(o *ours) string {
		v := longer(o.single, 1)
		return fmt.Sprintf("%.2f (%.2f)", ms(quantile(v, .5)), ms(slices.Min(v)))
	})
	line("photos a second, eight clients: median (best)", func(o *ours) string {
		var r []float64
		for _, l := range o.saturated {
			r = append(r, l.rate())
		}
		return fmt.Sprintf("%.0f (%.0f)", middle(r), slices.Max(r))
	})
	line("  of predict's  >= 95 %", func(o *ours) string {
		return fmt.Sprintf("%.0f %%", 100*o.capacity()/middle(o.predicted))
	})
	line("  by CPU time, the load's left out  >= 95 %", func(o *ours) string {
		var r []float64
		for _, l := range o.saturated {
			r = append(r, l.perCPU())
		}
		return fmt.Sprintf("%.0f %%", 100*middle(r)/middle(o.predicted1))
	})
	line("p99 at 70 % of capacity, ms: median (least)  <= 25, 12", func(o *ours) string {
		return medianAndLeast(o.normal, func(l load) float64 { return ms(quantile(l.good, .99)) })
	})
	line("  of an ideal queue with the times of work measured then", func(o *ours) string {
		return medianAndLeast(o.normal, func(l load) float64 { return ms(quantile(l.ideal(runtime.NumCPU()), .99)) })
	})
	// What would be left were each photo as much work as the last, and neither the load nor
	// the network took anything: in the order of arrival nothing does better than the second.
	line("  of an ideal queue: a core each (all cores for each, at once)", func(o *ours) string {
		n, c := runtime.NumCPU(), o.capacity()
		return fmt.Sprintf("%.1f (%.1f)", ms(equal(.7*c, c, n)), ms(equal(.7*c, c, 1)))
	})
	for _, times := range []int{3, 10} {
		name := func(text string) string { return fmt.Sprintf("at %d times capacity: %s", times, text) }
		line(name("goodput of peak  >= 90 %"), func(o *ours) string {
			return fmt.Sprintf("%.0f %%", 100*o.apart[times].rate()/o.apart[1].rate())
		})
		line("  on the load's cores (by the server's CPU time)", func(o *ours) string {
			var r []float64
			for _, l := range o.saturated {
				r = append(r, l.perCPU())
			}
			return fmt.Sprintf("%.0f %% (%.0f %%)", 100*o.shared[times].rate()/o.capacity(), 100*o.shared[times].perCPU()/middle(r))
		})
		line("  time to a refusal, p50 (p99), ms  <= 2", func(o *ours) string {
			return fmt.Sprintf("%.1f (%.1f)", ms(quantile(o.apart[times].refused, .5)), ms(quantile(o.apart[times].refused, .99)))
		})
		line("  on the load's cores", func(o *ours) string {
			return fmt.Sprintf("%.1f (%.1f)", ms(quantile(o.shared[times].refused, .5)), ms(quantile(o.shared[times].refused, .99)))
		})
		line("  the load's share of the cores", func(o *ours) string {
			u := o.shared[times].used
			return fmt.Sprintf("%.0f %%", 100*u.load.Seconds()/(u.load+u.server).Seconds())
		})
		line("  accepted and late, of answers; failed", func(o *ours) string {
			l := o.apart[times]
			return fmt.Sprintf("%.0f %%; %d", 100*float64(l.late)/float64(l.late+len(l.good)), l.failed+o.shared[times].failed)
		})
	}
	line("memory after that, MB  <= 150", func(o *ours) string { return fmt.Sprintf("%.0f", o.memory) })
	line("start to the first answer, ms: least (median)  <= 150", func(o *ours) string {
		return fmt.Sprintf("%.0f (%.0f)", ms(slices.Min(o.ready)), ms(quantile(o.ready, .5)))
	})
}

// medianAndLeast is the median and the least of what f says of loads.
func medianAndLeast(loads []load, f func(load) float64) string {
	var v []float64
	for _, l := range loads {
		v = append(v, f(l))
	}
	return fmt.Sprintf("%.1f (%.1f)", middle(v), slices.Min(v))
}

func middle(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
