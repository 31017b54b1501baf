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

	requestCost = 16 << 10 // bytes of memory that a request takes without its body
)

// ioLimit is how long n bytes may take.
func ioLimit(n int64) time.Duration {
	return ioTime + time.Duration(n)*time.Second/ioRate
}

// A gate bounds the bytes of all requests and answers that are in memory together.
// Where there is no room, those whose clients have been waited for longest lose
// theirs: else a few clients that send a byte a second, or never read, would be the
// only ones.
type gate struct {
	limit int64

	mu      sync.Mutex
	used    int64
	waiting list.List // of shares whose clients are waited for, the oldest first
}

// What ends a request whose room is needed by others: errCut while its client is waited
// for, errShort while the server is at work, as on a bomb that is being unpacked.
var (
	errCut   = &failure{http.StatusRequestTimeout, "the client is slow, and others wait"}
	errShort = &refusal{"bodies", "memory is short, and others wait", time.Second}
)

// A share is what a request holds of the gate.
type share struct {
	gate  *gate
	cut   func() // ends the wait for the client, at once
	held  int64
	since time.Time
	place *list.Element // in waiting; nil if the client isn't waited for
	busy  bool          // the server is at work on what has come of its body
	lost  error         // why it was taken away; nil if it wasn't
}

// enter makes room for a request whose client is waited for, until [share.settle].
func (g *gate) enter(cut func()) (*share, error) {
	s := &share{gate: g, cut: cut}
	s.await()
	if err := s.take(requestCost); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// take makes room for n bytes more.
func (s *share) take(n int64) error {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	for ; s.lost == nil && g.used+n > g.limit; g.waiting.Front().Value.(*share).lose() {
		if oldest := g.waiting.Front(); oldest == nil || time.Since(oldest.Value.(*share).since) < ioGrace {
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

// lose takes a share away. The gate is locked.
func (s *share) lose() {
	s.gate.waiting.Remove(s.place)
	s.place, s.lost = nil, errCut
	if s.busy {
		s.lost = errShort
	}
	s.gate.used -= s.held
	s.held = 0
	s.cut()
}

// await begins to wait for the client.
func (s *share) await() {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.busy = false
	if s.place == nil && s.lost == nil {
		s.since = time.Now()
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

// working says whether the server is at work on what the client sent, or waits for more.
func (s *share) working(busy bool) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.busy = busy
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
	if more <= 0 && s.lost == nil {
		s.gate.used += more
		s.held += more
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
	n = min(n, s.held) // 0 if it was lost
	s.gate.used -= n
	s.held -= n
}

// give gives all but what a request costs back.
func (s *share) give() { _ = s.keep(0) }

// release gives everything back.
func (s *share) release() {
	_ = s.settle()
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.gate.used -= s.held
	s.held = 0
}

// bytes is how many are in memory.
func (g *gate) bytes() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.used
}
