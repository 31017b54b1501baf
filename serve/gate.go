package serve

import (
	"container/list"
	"net/http"
	"sync"
	"time"
)

// What clients may take their time for. Times are for all of a body, or an answer.
const (
	ioTime  = 10 * time.Second // however few bytes
	ioRate  = 16 << 10         // bytes a second that have to come, or go, besides
	ioGrace = time.Second      // in which nobody is cut for the sake of others
	ioFast  = 1 << 20          // bytes a second at which nobody is, either

	requestCost = 16 << 10 // bytes of memory that a request takes without its body
	largeShare  = 1 << 20  // more bytes than this make way for those that came before
)

// ioLimit is how long n bytes may take.
func ioLimit(n int64) time.Duration {
	return ioTime + time.Duration(n)*time.Second/ioRate
}

// A gate bounds the bytes of all requests and answers that are in memory together.
// Where there is no room, those whose clients are slow lose theirs: else a few that send a
// byte a second, or never read, would be the only ones. If there are none, large requests
// that are still being read make way for those that came before: else each of many would
// take what the others need to be whole, and none ever was.
type gate struct {
	limit int64

	mu      sync.Mutex
	used    int64
	going   int64     // of these, what lost shares hold until their requests have ended
	gone    sync.Cond // some of it is free; L is mu
	waiting list.List // of shares whose clients are waited for, in the order in which they came
}

// What ends a request whose room is needed by others.
var (
	errCut   = &failure{http.StatusRequestTimeout, "the client is slow, and others wait"}
	errShort = &refusal{"bodies", "memory is short, and others came before", time.Second}
)

// A share is what a request holds of the gate.
type share struct {
	gate   *gate
	cut    func() // ends the wait for the client, at once
	held   int64
	place  *list.Element // in waiting; nil if the client isn't waited for
	since  time.Time     // of the present wait; zero while the server is at work on what has come
	waited time.Duration // before
	moved  int64         // bytes that came, or go, in this time
	lost   error         // why it was taken away; nil if it wasn't
}

// enter makes room for a request whose client is waited for, until [share.settle].
func (g *gate) enter(cut func()) (*share, error) {
	s := &share{gate: g, cut: cut}
	s.await(0)
	if err := s.take(requestCost); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// take makes room for n bytes more. It waits until requests that lost theirs have ended,
// which are told to at once.
func (s *share) take(n int64) error {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	began := time.Now()
	for s.lost == nil && g.used+n > g.limit {
		if g.used-g.going+n <= g.limit && time.Since(began) < ioGrace {
			s.wait()
		} else if slow := g.slowest(); slow != nil {
			slow.lose(errCut)
		} else if large := g.largeBehind(s); large != nil {
			large.lose(errShort)
		} else {
			return &refusal{"bodies", "too many bytes of other requests are in memory", time.Second}
		}
	}
	if s.lost != nil {
		return s.lost
	}
	g.used += n
	s.held += n
	return nil
}

// wait waits until something of what is going is gone, or a share is lost; for a while. That is
// not its client's time: one that waits is not slow. The gate is locked.
func (s *share) wait() {
	g := s.gate
	if !s.since.IsZero() {
		s.waited += time.Since(s.since)
		s.since = time.Time{}
		defer func() { s.since = time.Now() }()
	}
	g.gone.L = &g.mu
	defer time.AfterFunc(ioGrace, g.gone.Broadcast).Stop()
	g.gone.Wait()
}

// slowest returns the share whose client is slow by the most time, nil if none is. The gate
// is locked.
func (g *gate) slowest() (slowest *share) {
	var most time.Duration
	for e := g.waiting.Front(); e != nil; e = e.Next() {
		s := e.Value.(*share)
		waited := s.waited
		if !s.since.IsZero() {
			waited += time.Since(s.since)
		}
		if late := waited - ioGrace - time.Duration(s.moved)*time.Second/ioFast; late > most {
			slowest, most = s, late
		}
	}
	return slowest
}

// largeBehind returns the last large share that came after s, nil if there is none. Those
// whose clients aren't waited for any more come before all others. The gate is locked.
func (g *gate) largeBehind(s *share) *share {
	for e := g.waiting.Back(); e != nil && e != s.place; e = e.Prev() {
		if behind := e.Value.(*share); behind.held > largeShare {
			return behind
		}
	}
	return nil
}

// lose takes a share away, whose bytes count until its request has ended. The gate is locked.
func (s *share) lose(why error) {
	s.gate.waiting.Remove(s.place)
	s.place, s.lost = nil, why
	s.gate.going += s.held
	s.cut()
	s.gate.gone.Broadcast() // it may wait itself
}

// await begins to wait for the client, behind all others, unless it is waited for already.
// It may be waited for longer for moved bytes.
func (s *share) await(moved int64) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	if s.place == nil && s.lost == nil {
		s.since, s.waited, s.moved = time.Now(), 0, moved
		s.place = s.gate.waiting.PushBack(s)
	}
}

// settle ends the wait for the client: the share can't be lost any more.
func (s *share) settle() error {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	if s.lost != nil {
		return s.lost
	}
	if s.place != nil {
		s.gate.waiting.Remove(s.place)
		s.place = nil
	}
	return nil
}

// waits says that the client is waited for, and received that n bytes have come: what the server
// takes for its work isn't the client's time.
func (s *share) waits() {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.since = time.Now()
}

func (s *share) received(n int) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.waited += time.Since(s.since)
	s.since = time.Time{}
	s.moved += int64(n)
}

// extend calls f, which gives the client more time, unless the share is lost: then it
// returns why.
func (s *share) extend(f func()) (lost error) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	if s.lost == nil {
		f()
	}
	return s.lost
}

// keep has n bytes in the place of all but what a request costs.
func (s *share) keep(n int64) error {
	s.gate.mu.Lock()
	more := n + requestCost - s.held
	if more <= 0 {
		s.free(-more)
	}
	s.gate.mu.Unlock()
	if more <= 0 {
		return nil
	}
	return s.take(more)
}

// back gives n bytes back.
func (s *share) back(n int64) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.free(n)
}

// free gives n bytes back. The gate is locked.
func (s *share) free(n int64) {
	s.held -= n
	s.gate.used -= n
	if s.lost != nil {
		s.gate.going -= n
	}
	s.gate.gone.Broadcast()
}

// give gives all but what a request costs back.
func (s *share) give() { _ = s.keep(0) }

// release gives everything back.
func (s *share) release() {
	_ = s.settle()
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.free(s.held)
}

// bytes is how many are in memory.
func (g *gate) bytes() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.used
}
