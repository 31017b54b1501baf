package serve

import (
	"context"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestNewcomers: a connection is waited for until its first request begins or it ends, and a
// silent one for as long as net/http waits.
func TestNewcomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n newcomers
		var h http.Server
		n.watch(&h)
		come := func() (net.Conn, *http.Request) {
			c, _ := net.Pipe()
			r, err := http.NewRequestWithContext(h.ConnContext(context.Background(), c), "GET", "/", nil)
			if err != nil {
				t.Fatal(err)
			}
			return c, r
		}
		heard := func(what string, want time.Duration) {
			t.Helper()
			start := time.Now()
			n.hear(t.Context(), nil)
			if took := time.Since(start); took != want {
				t.Errorf("%s: %v, want %v", what, took, want)
			}
		}
		heard("nobody", 0)
		_, first := come()
		closed, _ := come()
		time.AfterFunc(time.Second, func() { n.begin(first) })
		time.AfterFunc(2*time.Second-time.Millisecond, func() { h.ConnState(closed, http.StateClosed) })
		heard("one that asks and one that ends", 2*time.Second)
		n.begin(first) // its second request
		come()
		time.Sleep(silence / 2)
		heard("a silent one", silence/2)
		come()
		for range 3 {
			time.AfterFunc(4*time.Second, func() { come() })
		}
		heard("who comes all the time", silence)
	})
}
