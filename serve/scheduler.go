package serve

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// A job is what a request asks for of one photo, or of a batch of tensors.
type job struct {
	ctx      context.Context // of the request
	deadline time.Time       // when the answer is of no use any more

	// work does it, on one core, or on all if alone is set. It must not panic, and
	// leaves its results where the request finds them.
	work func(alone bool) error

	queued time.Time
	waited time.Duration // in the queue
	beside bool          // began beside another
	err    error
	done   func()
}

// A scheduler has a worker for each core, which takes jobs one by one: there is no
// waiting for a batch to fill. A job that finds nothing else to do has all cores.
//
// A job that finds a core free is done at once, by the goroutine that brings it: to wake
// a worker, and to be woken by it, takes a tenth of a millisecond, and threads that wake
// each other end up on one core while the other idles, until the system looks after them.
//
// The queue is bounded, in number and by what can be done in time. The oldest job is
// next. Under pressure, when hardly any more may wait, every other turn is the newest's:
// half of the answers are as quick as ever then, and the oldest wait twice as long, which
// the bound allows for. (Were all turns the newest's, whatever is below would wait in
// vain: at ten times the load that a server can take, half of what it had accepted.) Jobs
// that can't be done before their deadline any more are dropped, and their clients told.
//
// Large photos may take most of a deadline, and longer beside each other: two cores may be
// halves of one. What is given up at its deadline was work for nothing, so no more are begun
// together than are done in time, by what the last jobs took at least; nor what has waited for
// too long for that.
type scheduler struct {
	workers  int
	limit    int           // jobs that may wait
	deadline time.Duration // that a job has when it comes

	mu      sync.Mutex
	wake    *sync.Cond // for workers
	waiting []*job     // the oldest first
	newest  bool       // the last turn under pressure was the newest's
	busy    int        // jobs at work, as many as there are workers at most
	closed  bool
	mean    time.Duration  // that a job takes on one core, of late
	least   time.Duration  // that the quickest of the last few takes while all cores are at work
	late    time.Time      // when a job was given up last
	running sync.WaitGroup // of workers, and of jobs that none does
}

func newScheduler(workers, limit int, deadline time.Duration) *scheduler {
	s := &scheduler{workers: workers, limit: limit, deadline: deadline}
	s.wake = sync.NewCond(&s.mu)
	for range workers {
		s.running.Go(s.worker)
	}
	return s
}

// A refusal is why a job is not taken or not done.
type refusal struct {
	reason string        // of the metric
	text   string        // for the client
	after  time.Duration // when it is worth asking again
}

func (r *refusal) Error() string { return r.text }

var (
	errExpired    = &refusal{"expired", "its turn came too late for its deadline", 0}
	errSlowlyRead = &refusal{"expired", "its deadline passed while its body was read or its URLs were fetched: send less at once, or bytes in place of JSON", 0}
)

// refuse reports whether n further jobs can't be done before the deadline. It may be
// asked before a request's body is read.
func (s *scheduler) refuse(n int, deadline time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refuseLocked(n, deadline)
}

func (s *scheduler) refuseLocked(n int, deadline time.Time) error {
	waiting := len(s.waiting)
	wait := s.mean * time.Duration(waiting+s.busy) / time.Duration(s.workers)
	switch {
	case s.closed:
		return &refusal{"closing", "the server is going down", time.Second}
	case waiting+n > s.limit:
		return &refusal{"queue_full", fmt.Sprintf("%d photos wait already, in a queue of %d", waiting, s.limit), wait}
	case waiting+s.busy > 0 && s.crowded(waiting+s.busy+n, time.Until(deadline)):
		return &refusal{"too_late", fmt.Sprintf("%d photos are worked on or wait, and of late more together were not done by their deadline", waiting+s.busy), wait}
	case waiting+s.busy > 0 && waiting+n > s.room(time.Until(deadline)):
		return &refusal{"too_late", fmt.Sprintf("%d photos wait already and %d are worked on, each takes some %v, and the deadline is in %v",
			waiting, s.busy, s.mean.Round(100*time.Microsecond), time.Until(deadline).Round(time.Millisecond)), wait}
	}
	return nil
}

// room is how many jobs may wait if the last of them is to be done in the given time,
// with every other turn its own.
func (s *scheduler) room(in time.Duration) int {
	if s.mean == 0 {
		return s.limit
	}
	return min(s.limit, int(time.Duration(s.workers)*in/(2*s.mean)))
}

// retrial is how long it is believed that jobs are late together, where none tells otherwise: it
// may have been another program that took the cores. To find out may cost the work of a deadline.
const retrial = 30 * time.Second

// crowded reports whether n jobs are not done together in the given time. Where each takes
// twice as long on all cores as alone, half as many take half as long.
func (s *scheduler) crowded(n int, in time.Duration) bool {
	together := s.least / time.Duration(s.workers) * time.Duration(min(n, s.workers))
	return together > in && time.Since(s.late) < retrial
}

// submit queues jobs together, all or none. done is called for each, on a goroutine
// of the scheduler's; it must not wait for anything.
func (s *scheduler) submit(jobs []*job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuseLocked(len(jobs), jobs[0].deadline); err != nil {
		return err
	}
	now := time.Now()
	for _, j := range jobs {
		j.queued = now
	}
	s.waiting = append(s.waiting, jobs...)
	for range min(len(jobs), s.workers-s.busy) { // the others look for themselves
		s.wake.Signal()
	}
	return nil
}

// do has jobs done and waits for all of them. It returns the first error by their order.
func (s *scheduler) do(jobs []*job) error {
	if alone, ok := s.begin(jobs); ok {
		defer s.end()
		s.run(jobs[0], alone)
		return jobs[0].err
	}
	var left sync.WaitGroup
	left.Add(len(jobs))
	for _, j := range jobs {
		j.done = left.Done
	}
	if err := s.submit(jobs); err != nil {
		return err
	}
	left.Wait()
	for _, j := range jobs {
		if j.err != nil {
			return j.err
		}
	}
	return nil
}

// begin reports whether jobs are a single one that needn't wait, and whether that is alone.
// The caller then runs it and calls end.
func (s *scheduler) begin(jobs []*job) (alone, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(jobs) != 1 || len(s.waiting) > 0 || s.busy == s.workers || s.refuseLocked(1, jobs[0].deadline) != nil {
		return false, false
	}
	jobs[0].queued = time.Now()
	s.busy++
	jobs[0].beside = s.busy > 1
	s.running.Add(1)
	return s.busy == 1, true
}

// end has a worker take the core that a job had which no worker did.
func (s *scheduler) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) > 0 {
		s.wake.Signal()
	}
	s.running.Done()
}

func (s *scheduler) worker() {
	background()
	for {
		j, alone := s.take()
		if j == nil {
			return
		}
		s.run(j, alone)
		j.done()
	}
}

// run does a job that counts as busy already.
func (s *scheduler) run(j *job, alone bool) {
	start := time.Now()
	j.waited = start.Sub(j.queued)
	switch {
	case j.ctx.Err() != nil:
		j.err = j.ctx.Err()
	case s.tooLate(j, start):
		j.err = errExpired
	default:
		j.err = guarded(func() error { return j.work(alone) })
	}
	s.finish(j, time.Since(start), alone)
}

// heldUp reports whether a job's wait may be why it is late.
func (s *scheduler) heldUp(j *job) bool { return j.waited > s.deadline/10 }

// tooLate reports whether a job can't be done by its deadline any more. One that nothing held
// up is tried.
func (s *scheduler) tooLate(j *job, now time.Time) bool {
	left := j.deadline.Sub(now)
	if !s.heldUp(j) {
		return left < 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return left < s.least
}

// take waits for a job. alone is whether there is nothing else to do. It returns nil
// when the scheduler is closed and all is done.
func (s *scheduler) take() (j *job, alone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) == 0 || s.busy == s.workers {
		if s.closed && len(s.waiting) == 0 {
			return nil, false
		}
		s.wake.Wait()
	}
	s.expire(time.Now())
	n := len(s.waiting)
	s.newest = !s.newest && n > s.room(s.deadline)-2*s.workers
	if s.newest {
		j, s.waiting = s.waiting[n-1], s.waiting[:n-1]
	} else {
		j = s.waiting[0]
		s.waiting = slices.Delete(s.waiting, 0, 1)
	}
	s.busy++
	j.beside = s.busy > 1
	return j, s.busy == 1 && n == 1
}

// expire drops the oldest jobs, as far as they can't be done in time any more. One is
// left in any case: whether that is late the worker sees.
func (s *scheduler) expire(now time.Time) {
	late := 0
	for late < len(s.waiting)-1 && now.Add(s.mean).After(s.waiting[late].deadline) {
		j := s.waiting[late]
		j.waited, j.err = now.Sub(j.queued), errExpired
		j.done()
		late++
	}
	s.waiting = slices.Delete(s.waiting, 0, late)
}

// finish counts a job that took so long. What jobs take is averaged over the last
// dozen or so; of one that had all cores only what it is at most is known.
func (s *scheduler) finish(j *job, took time.Duration, alone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.learn(j, took)
	s.busy--
	switch {
	case j.err != nil:
	case s.mean == 0:
		s.mean = took
	case !alone || took > s.mean:
		s.mean += (took - s.mean) / 16
	}
}

// learn has least be what the quickest of the last few jobs took, with another one that took
// so long. With all cores at work it would have taken as long at least, and as many times as long
// as there are cores for each job at most. What was given up would have taken a quarter more,
// say; if nothing else was to do, it says nothing of jobs together. A large photo among others
// changes least by some, until the next is done.
func (s *scheduler) learn(j *job, took time.Duration) {
	most := took / time.Duration(s.busy) * time.Duration(s.workers)
	switch {
	case errors.Is(j.err, context.DeadlineExceeded) && (j.beside || s.busy > 1 || s.heldUp(j)):
		s.late = time.Now()
		took += took / 4
	case j.err != nil:
		return
	case s.least > most:
		s.least = most
	}
	if s.least == 0 {
		s.least = took
	}
	s.least = max(s.least, min(took, 32*s.least))
}

// load returns how many jobs wait and how many are at work.
func (s *scheduler) load() (waiting, busy int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting), s.busy
}

// isClosed reports whether jobs are refused for good.
func (s *scheduler) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// close refuses further jobs and waits for the others.
func (s *scheduler) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wake.Broadcast()
	s.running.Wait()
}

// A crash is a panic in the work for a request.
type crash struct {
	value any
	stack []byte
}

func (c *crash) Error() string { return "internal error" }

// guarded calls f and makes an error of a panic, so that one photo can't end the
// answers to all others.
func guarded(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &crash{v, debug.Stack()}
		}
	}()
	return f()
}
