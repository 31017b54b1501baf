package serve

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// newcomers are connections over which no request has begun so far. net/http drops the request
// of one that it reads after the server's end was asked for, which on a busy machine is long
// after its client has sent it.
type newcomers struct {
	mu  sync.Mutex
	all map[net.Conn]time.Time // when each came
}

// silence is for how long a connection that says nothing is waited for, as by net/http.
const silence = 5 * time.Second

type newcomer struct{} // key of a context

// watch has a server tell of its connections.
func (n *newcomers) watch(h *http.Server) {
	h.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.all == nil {
			n.all = map[net.Conn]time.Time{}
		}
		n.all[c] = time.Now()
		begun := sync.OnceFunc(func() { n.leave(c) })
		return context.WithValue(ctx, newcomer{}, begun)
	}
	h.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			n.leave(c)
		}
	}
}

// begin says that a request has begun.
func (n *newcomers) begin(r *http.Request) {
	if begun, ok := r.Context().Value(newcomer{}).(func()); ok {
		begun()
	}
}

func (n *newcomers) leave(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.all, c)
}

// waiting reports whether there are connections that have not been silent for long.
func (n *newcomers) waiting() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, came := range n.all {
		if time.Since(came) < silence {
			return true
		}
	}
	return false
}

// hear waits until every connection that has come is accepted, and its first request has
// begun, for as long as a silent one is waited for.
func (n *newcomers) hear(ctx context.Context, l net.Listener) {
	for end := time.Now().Add(silence); ctx.Err() == nil && time.Now().Before(end) && (unaccepted(l) > 0 || n.waiting()); {
		time.Sleep(5 * time.Millisecond)
	}
}
