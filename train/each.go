package train

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A step is some 250 pieces of work, most of them over within a millisecond, and each
// begins when all of the one before is done. A thread that sleeps meanwhile takes 50
// microseconds to wake up: two threads lost a twentieth of their time by that. So whoever has
// to wait looks for what comes next for a while.

// each calls f for 0 to n-1 on so many threads and waits.
func each(threads, n int, f func(i int)) {
	eachOn(threads, n, func(_, i int) { f(i) })
}

// eachOn is each with the number of the thread, from 0. The caller is one of them.
func eachOn(threads, n int, f func(thread, i int)) {
	threads = min(threads, n)
	if threads <= 1 {
		for i := range n {
			f(0, i)
		}
		return
	}
	j := &job{n: n, do: f, all: make(chan struct{})}
	for range threads - 1 {
		if claim() {
			jobs <- j
		} else {
			go help(j)
		}
	}
	j.work()
	j.wait()
}

// A job is a call of eachOn. Whoever comes when all of it is under way leaves at once.
type job struct {
	n                   int
	do                  func(thread, i int)
	threads, next, done atomic.Int64
	all                 chan struct{} // closed when all is done
}

func (j *job) work() {
	thread := int(j.threads.Add(1)) - 1
	for i := int(j.next.Add(1)) - 1; i < j.n; i = int(j.next.Add(1)) - 1 {
		j.do(thread, i)
		if int(j.done.Add(1)) == j.n {
			close(j.all)
		}
	}
}

// wait returns when all is done.
func (j *job) wait() {
	for s := newSpin(); s.on(); runtime.Gosched() {
		if int(j.done.Load()) == j.n {
			return
		}
	}
	<-j.all
}

// Helpers that have nothing to do are shared by all trainings of a process. Each gets what
// is in jobs only after somebody has claimed one: there are never more jobs than helpers
// that take one.
var (
	idle atomic.Int64
	jobs = make(chan *job, 64)
)

// claim takes one of the idle helpers, if there are any.
func claim() bool {
	for n := idle.Load(); n > 0; n = idle.Load() {
		if idle.CompareAndSwap(n, n-1) {
			return true
		}
	}
	return false
}

// help is what a helper does: j, and what else there is until nobody has wanted it for a
// while.
func help(j *job) {
	for ; j != nil; j = nextJob() {
		j.work()
	}
}

// nextJob returns nil when a helper has waited for long enough.
func nextJob() *job {
	idle.Add(1)
	for s := newSpin(); s.on(); runtime.Gosched() {
		select {
		case j := <-jobs:
			return j
		default:
		}
	}
	if claim() { // itself, or one that will not miss it
		return nil
	}
	return <-jobs // it is on its way
}

// A spin is a bounded time of looking again and again for what may happen any moment. It
// ends early where the thread loses its core meanwhile: somebody else has work for it.
type spin struct{ start, last time.Time }

// spinTime is what the longest wait between the pieces of a step takes: that for the other
// thread's last images. lostCore tells a look, which takes less than a microsecond, from one
// after others have been at work.
const (
	spinTime = time.Millisecond
	lostCore = 20 * time.Microsecond
)

func newSpin() spin {
	now := time.Now()
	return spin{now, now}
}

// on reports whether to look again.
func (s *spin) on() bool {
	now := time.Now()
	lost := now.Sub(s.last) > lostCore
	s.last = now
	return !lost && now.Sub(s.start) < spinTime
}
