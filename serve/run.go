package serve

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/net/netutil"
)

// Listen is how [Server.Run] listens and ends.
type Listen struct {
	Addr    string      // of the service
	Metrics string      // of /metrics alone; "" for none
	TLS     *tls.Config // nil for cleartext

	MaxConns     int           // open at a time; 0 means 16384
	DrainDelay   time.Duration // between not being ready and refusing connections
	DrainTimeout time.Duration // for what is under way then; 0 means 30 s

	// Started is called with the address that is listened on; may be nil.
	Started func(net.Addr)
}

// Run serves until ctx ends, and then drains: /v2/health/ready is 503 from that
// moment on; for the drain delay, in which load balancers notice, everything is
// answered as before; then no connection is taken any more, and what is under way is
// ended, and the server closed. The error is that of listening, or that draining took too
// long; of a server that is closed already it is [http.ErrServerClosed].
//
// Run sees to it that Go has a processor more than workers (GOMAXPROCS): workers compute
// for milliseconds on end, and with all processors theirs, Go would look at the network
// every ten milliseconds only. And unless GOMEMLIMIT is set, it sets a limit of memory at
// which garbage is collected: what the models take, requests, and photos of 8 megapixels
// for all workers. Larger photos have Go collect more often, but fit. A server of your own
// does well to do the same.
func (s *Server) Run(ctx context.Context, l Listen) error {
	if l.MaxConns < 0 {
		return fmt.Errorf("%d connections: want 0 or more", l.MaxConns)
	}
	if s.scheduler.isClosed() {
		return http.ErrServerClosed
	}
	if n := s.o.Workers + 1; runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		debug.SetMemoryLimit(int64(m.HeapAlloc) + s.garbage)
	}
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // whose sockets take no filter: see noMore
	main, err := plain.Listen(context.Background(), "tcp", l.Addr)
	if err != nil {
		return err
	}
	servers := []*http.Server{s.httpServer(s, l.TLS)}
	s.newcomers.watch(servers[0])
	listeners := []net.Listener{netutil.LimitListener(main, cmp.Or(l.MaxConns, 16384))}
	if l.Metrics != "" {
		second, err := net.Listen("tcp", l.Metrics)
		if err != nil {
			main.Close()
			return err
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", s.metrics.handler())
		servers = append(servers, s.httpServer(mux, nil))
		listeners = append(listeners, second)
	}
	if l.Started != nil {
		l.Started(main.Addr())
	}
	failed := make(chan error, len(servers))
	for i, h := range servers {
		go func() {
			if h.TLSConfig != nil {
				failed <- h.ServeTLS(listeners[i], "", "")
				return
			}
			failed <- h.Serve(listeners[i])
		}()
	}
	select {
	case err := <-failed:
		for _, h := range servers {
			h.Close()
		}
		s.Close()
		return err
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.o.Log.Info("draining", "delay", l.DrainDelay.String())
	time.Sleep(l.DrainDelay)
	noMore(main)
	return s.shutDown(main, servers, l)
}

// shutDown ends the service without losing a request.
func (s *Server) shutDown(main net.Listener, servers []*http.Server, l Listen) error {
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(l.DrainTimeout, 30*time.Second))
	defer cancel()
	start, how := time.Now(), "all requests were answered"
	s.newcomers.hear(ctx, main)
	var errs []error
	for _, h := range servers {
		if err := h.Shutdown(ctx); err != nil {
			if n := s.metrics.inFlight.Load(); n > 0 {
				how = fmt.Sprintf("%d requests were cut off at the timeout", n)
			}
			errs = append(errs, fmt.Errorf("draining took too long: %s: %w", how, err), h.Close())
		}
	}
	s.Close()
	for range 100 { // those that were cut off have their lines first
		if s.metrics.inFlight.Load() == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	level := slog.LevelInfo
	if len(errs) > 0 {
		level = slog.LevelWarn
	}
	s.o.Log.Log(context.Background(), level, "stopped", "how", how, "drained_ms", ms(time.Since(start)))
	return errors.Join(errs...)
}

// httpServer returns a server that doesn't wait for ever for anybody.
func (s *Server) httpServer(h http.Handler, t *tls.Config) *http.Server {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: h, TLSConfig: t, Protocols: p,
		ReadHeaderTimeout: ioTime,
		ReadTimeout:       2 * ioTime, // of routes that read no body, or a small one; see body.go
		WriteTimeout:      3 * ioTime, // of routes that answer at once
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.o.Log.Handler(), slog.LevelWarn),
	}
}
