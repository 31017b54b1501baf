package engine

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A team is the helper threads of an engine. Whoever calls Run works too, so a
// team of n threads has n-1 helpers; concurrent runs share them, each helper
// joining whichever run it hears of first.
type team struct {
	threads int
	runs    chan *run    // runs that want helpers
	parked  atomic.Int32 // helpers that wait without looking
}

func newTeam(threads int) *team {
	t := &team{threads: threads, runs: make(chan *run, threads)}
	for range threads - 1 {
		go t.help()
	}
	return t
}

// stop ends the helpers once they are idle.
func (t *team) stop() { close(t.runs) }

// idleSpin is how long a helper polls for the next run before it parks. Parking and
// waking take some 95 microseconds, and a caller's own work between runs some more:
// 200 were as fast as any number, 50 took 4 % longer on two cores.
const idleSpin = 200 * time.Microsecond

func (t *team) help() {
	for {
		r, ok := t.next()
		if !ok {
			return
		}
		if slot, ok := r.join(t.threads); ok {
			r.spread()
			r.work(slot)
		}
		r.leave()
	}
}

// next returns the next run that has room for a helper, with a reference to it
// taken, or false when the team is stopped.
func (t *team) next() (*run, bool) {
	for {
		r, ok := t.poll()
		if !ok {
			return nil, false
		}
		if r.hold() {
			return r, true
		}
	}
}

func (t *team) poll() (*run, bool) {
	for s := newSpin(idleSpin); s.on(); {
		select {
		case r, ok := <-t.runs:
			return r, ok
		default:
			runtime.Gosched()
		}
	}
	t.parked.Add(1)
	defer t.parked.Add(-1)
	r, ok := <-t.runs
	return r, ok
}

// A spin is a bounded time of looking again and again for what may happen any
// moment. It ends early where the thread loses its core meanwhile: somebody else
// has work for it, maybe even what is waited for.
type spin struct {
	start, last time.Time
	limit       time.Duration
}

// lostCore is the time from a look to the next that says that a thread was off its
// core. A look takes less than a microsecond, an interrupt some more.
const lostCore = 20 * time.Microsecond

func newSpin(limit time.Duration) spin {
	now := time.Now()
	return spin{now, now, limit}
}

// on reports whether to look again.
func (s *spin) on() bool {
	now := time.Now()
	lost := now.Sub(s.last) > lostCore
	s.last = now
	return !lost && now.Sub(s.start) < s.limit
}

// A run is work in phases: the tasks of a phase are independent of each other
// and start when the phase before is complete. Every participant claims tasks
// from counters, so one that comes late or loses its core holds up nothing but
// the task it is at.
type run struct {
	refs  atomic.Int32 // who may still touch the run; 0: free
	slots atomic.Int32 // participants so far
	tasks []int        // per phase
	grain []int        // how many of them a participant claims at a time
	claim []atomic.Int32
	done  []atomic.Int32
	do    func(slot, phase, task int)
	free  func() // called by the last participant to leave
	begun place  // where it was started

	mu     sync.Mutex
	wake   sync.Cond
	parked atomic.Int32
}

func newRun(phases int, do func(slot, phase, task int), free func()) *run {
	r := &run{
		tasks: make([]int, phases),
		grain: make([]int, phases),
		claim: make([]atomic.Int32, phases),
		done:  make([]atomic.Int32, phases),
		do:    do, free: free,
	}
	r.wake.L = &r.mu
	return r
}

// start runs all phases with the team's help and returns when they are
// complete. r.tasks must be set, and r be free.
func (r *run) start(t *team) {
	for i := range r.tasks {
		r.claim[i].Store(0)
		r.done[i].Store(0)
	}
	r.slots.Store(1)
	r.begun = here()
	r.refs.Store(1)
	r.invite(t)
	r.work(0)
	r.leave()
}

func (r *run) invite(t *team) {
	if t.parked.Load() > 0 {
		defer offer()
	}
	for range t.threads - 1 {
		select {
		case t.runs <- r:
		default: // the helpers have enough to do
			return
		}
	}
}

// offer has another thread take the goroutine that this one just woke. Go keeps that for the
// thread that woke it, which has work to do, and lets others take it only after a sleep of 3
// microseconds, which Linux makes 55. Behind an empty goroutine, it can be taken at once:
// BenchmarkJoin has a helper join after 25-46 microseconds in place of 101.
func offer() { go func() {}() }

// hold takes a reference unless the run is free.
func (r *run) hold() bool {
	for {
		n := r.refs.Load()
		if n == 0 {
			return false
		}
		if r.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// join returns the participant's number, unless there are limit of them.
func (r *run) join(limit int) (int, bool) {
	slot := int(r.slots.Add(1)) - 1
	return slot, slot < limit
}

// A place is a core and a thread on it.
type place struct{ core, thread int }

// spread has a helper leave the core of the thread that began the run. Linux may wake a
// thread there while others idle, and not look after that for milliseconds: of a server's
// runs for one client at a time, 10 to 30 % took twice as long.
//
// A helper on that thread itself is one that found no other, since the program has more to
// do than this run. To move would be in vain, and so it is when all is done.
func (r *run) spread() {
	last := len(r.tasks) - 1
	if at := here(); at.core == r.begun.core && at.thread != r.begun.thread && int(r.done[last].Load()) < r.tasks[last] {
		leave(at.core)
	}
}

func (r *run) leave() {
	if r.refs.Add(-1) == 0 {
		r.free()
	}
}

func (r *run) work(slot int) {
	for phase, tasks := range r.tasks {
		for grain := r.grain[phase]; ; {
			end := int(r.claim[phase].Add(int32(grain)))
			begin := end - grain
			if begin >= tasks {
				break
			}
			end = min(end, tasks)
			for task := begin; task < end; task++ {
				r.do(slot, phase, task)
			}
			if int(r.done[phase].Add(int32(end-begin))) == tasks && r.parked.Load() > 0 {
				r.mu.Lock()
				r.wake.Broadcast()
				r.mu.Unlock()
				offer()
			}
		}
		r.await(phase, tasks)
	}
}

const (
	// phaseSpin is how long a participant looks whether a phase is complete before it
	// parks: tasks are shorter, unless one loses its core.
	phaseSpin = 200 * time.Microsecond
	// looks is how many there are between two of the clock, some 50 nanoseconds.
	looks = 64
)

func (r *run) await(phase, tasks int) {
	for s := newSpin(phaseSpin); s.on(); {
		for range looks {
			if int(r.done[phase].Load()) >= tasks {
				return
			}
		}
	}
	r.parked.Add(1)
	r.mu.Lock()
	for int(r.done[phase].Load()) < tasks {
		r.wake.Wait()
	}
	r.mu.Unlock()
	r.parked.Add(-1)
}
