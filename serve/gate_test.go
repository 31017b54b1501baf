package serve

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/serve/internal/oip"
)

// TestGate: a full gate refuses, but for clients that have been waited for for long,
// who make room.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{limit: 10 * requestCost}
		var cut []string
		enter := func(name string, more int64) *share {
			t.Helper()
			var s *share
			var err error
			s, err = g.enter(func() {
				cut = append(cut, name)
				go s.release()
			})
			if err == nil {
				err = s.take(more)
			}
			if err != nil {
				t.Fatal(name, err)
			}
			return s
		}
		old := enter("old", 3*requestCost)
		time.Sleep(ioGrace / 2)
		busy := enter("busy", 3*requestCost)
		if err := busy.settle(); err != nil {
			t.Fatal(err)
		}
		var full *refusal
		if err := busy.take(3 * requestCost); !errors.As(err, &full) || len(cut) > 0 {
			t.Errorf("a full gate: %v, and %q cut", err, cut)
		}
		time.Sleep(ioGrace)
		young := enter("young", requestCost) // there is just room for it
		if len(cut) > 0 {
			t.Errorf("%q cut without need", cut)
		}
		next := enter("next", 2*requestCost)
		if len(cut) != 1 || cut[0] != "old" {
			t.Errorf("%q cut", cut)
		}
		if err := old.take(1); err != errCut {
			t.Errorf("cut, and then %v", err)
		}
		if err := old.settle(); err != errCut || old.extend(func() { t.Error("more time for who was cut") }) != errCut {
			t.Errorf("cut, and then %v", err)
		}
		time.Sleep(2 * ioGrace)
		if err := next.take(8 * requestCost); !errors.As(err, &full) && err != errCut { // busy is at work, and can't be cut
			t.Error(err)
		}
		for _, s := range []*share{old, busy, young, next, next} {
			s.release()
		}
		if g.bytes() != 0 || g.waiting.Len() != 0 {
			t.Errorf("%d bytes are left, and %d wait", g.bytes(), g.waiting.Len())
		}
		last := enter("last", 9*requestCost)
		last.give()
		if g.bytes() != requestCost {
			t.Errorf("%d bytes given back", 10*requestCost-g.bytes())
		}
		last.release()
	})
}

// TestGateWaits: who waits for room that others are to leave isn't slow, and is told why it is refused.
func TestGateWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{limit: 7 * requestCost}
		slow, err := g.enter(func() {}) // whose request doesn't end
		if err == nil {
			err = slow.take(3 * requestCost)
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * ioGrace)
		var clients sync.WaitGroup
		for i := range 3 { // at once: neither takes another for slow
			clients.Go(func() {
				time.Sleep(time.Duration(i) * ioGrace / 2)
				s, err := g.enter(func() { t.Error("who waits for room was cut off") })
				if err != nil {
					t.Error(err)
					return
				}
				defer s.release()
				time.Sleep(ioGrace * 8 / 10) // which it may take
				err = s.take(4 * requestCost)
				if code, _ := status(err); code != http.StatusTooManyRequests || shed(err) != "bodies" || retryAfter(err) == "" {
					t.Errorf("%d %v, counted as %q", code, err, shed(err))
				}
			})
		}
		clients.Wait()
		if slow.lost != errCut || shed(slow.lost) != "slow_client" {
			t.Errorf("who is slow: %v", slow.lost)
		}
	})
}

// TestGateOrder: where the gate is full, those that came first go on. A client is slow by
// what it lets the server wait, and by how little it sends, not by the server's own work.
func TestGateOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{limit: 10 * largeShare}
		enter := func(n int64) *share {
			t.Helper()
			var s *share
			var err error
			s, err = g.enter(func() { go s.release() })
			if err == nil {
				err = s.take(n)
			}
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		whole := enter(2 * largeShare)
		if err := whole.settle(); err != nil {
			t.Fatal(err)
		}
		first, second, small, third := enter(2*largeShare), enter(2*largeShare), enter(largeShare/2), enter(2*largeShare)
		for _, s := range []*share{first, second, small, third} {
			s.waits()
			time.Sleep(ioGrace / 2)
			s.received(1)
			time.Sleep(ioGrace) // of the server's
		}
		var full *refusal
		if err := third.take(2 * largeShare); !errors.As(err, &full) || third.lost != nil {
			t.Errorf("the last of all: %v", err)
		}
		if err := first.take(2 * largeShare); err != nil || third.lost != errShort || second.lost != nil {
			t.Errorf("the first: %v; the last: %v, the one before: %v", err, third.lost, second.lost)
		}
		if err := whole.take(2 * largeShare); err != nil || second.lost != errShort || first.lost != nil || small.lost != nil {
			t.Errorf("one that is whole: %v; the last that is large: %v, the first: %v, a small one: %v", err, second.lost, first.lost, small.lost)
		}
		first.waits()
		time.Sleep(ioGrace)
		first.received(2 * ioFast)
		if err := whole.take(5 * largeShare); err != nil || first.lost != errShort {
			t.Errorf("one that is whole: %v; one whose client is fast: %v", err, first.lost)
		}
		small.waits()
		time.Sleep(ioGrace)
		if err := whole.take(9 * largeShare); !errors.As(err, &full) || small.lost != errCut {
			t.Errorf("more than there is: %v, and who is slow: %v", err, small.lost)
		}
	})
}

// TestReadUpTo: a body of known length takes its room and a megabyte, another is
// there twice as it grows.
func TestReadUpTo(t *testing.T) {
	const n = 30 << 20
	for _, test := range []struct{ claimed, room int64 }{{n, n + 1<<20 + 1}, {-1, 48 << 20}} {
		for _, more := range []int64{0, -1} {
			g := gate{limit: test.room + more}
			s := &share{gate: &g}
			data, err := readUpTo(io.LimitReader(zeros{}, n), 32<<20, test.claimed, s)
			if (err == nil) != (more == 0) || err == nil && (len(data) != n || g.used != int64(cap(data))) {
				t.Errorf("%d claimed, room for %d: %d bytes, %d held, %v", test.claimed, g.limit, len(data), g.used, err)
			}
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestGateGRPC: a message that finds no room is refused by the code with which clients come
// again, and logged as what it is.
func TestGateGRPC(t *testing.T) {
	builtin := func(ctx context.Context, threads int) (*mobilenet.Classifier, error) {
		return mobilenet.Open(ctx, "fashion-mnist", mobilenet.WithThreads(threads), mobilenet.WithOffline(true))
	}
	var log bytes.Buffer
	s, err := New(t.Context(), Options{
		Models: []Model{{Name: "fashion", Open: builtin}}, Log: slog.New(slog.NewJSONHandler(&log, nil)),
		Deadline: time.Hour, MaxBody: 4 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h := httptest.NewUnstartedServer(s)
	h.Config.Protocols = new(http.Protocols)
	h.Config.Protocols.SetUnencryptedHTTP2(true)
	h.Start()
	defer h.Close()
	conn, err := grpc.NewClient(h.Listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	message := func(n int) *oip.ModelInferRequest {
		return &oip.ModelInferRequest{ModelName: "fashion", RawInputContents: [][]byte{make([]byte, n)}}
	}
	const service = "/inference.GRPCInferenceService/"
	// Where room is short, a client that a busy machine had stand still is cut off (408), and asks again.
	again := func(ask func() error) (err error) {
		for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); {
			if err = ask(); grpcstatus.Code(err) != codes.DeadlineExceeded {
				break
			}
		}
		return err
	}
	infer := func(n int, o ...grpc.CallOption) error {
		return again(func() error {
			return conn.Invoke(t.Context(), service+"ModelInfer", message(n), &oip.ModelInferResponse{}, o...)
		})
	}
	others := s.bodies.limit - 128<<10
	s.bodies.used = others
	plain, packed := infer(1<<20), infer(1<<20, grpc.UseCompressor(gzip.Name))
	streamed := again(func() error {
		stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, service+"ModelStreamInfer")
		if err == nil {
			err = stream.SendMsg(message(1 << 20))
		}
		if err != nil && err != io.EOF { // of a stream that has ended, RecvMsg says why
			return err
		}
		return stream.RecvMsg(&oip.ModelStreamInferResponse{})
	})
	large := infer(5 << 20)
	for name, err := range map[string]error{"plain": plain, "packed": packed, "a stream": streamed, "too large": large} {
		if grpcstatus.Code(err) != codes.ResourceExhausted || strings.Contains(err.Error(), "enveloped") {
			t.Errorf("%s: %v", name, err)
		}
	}
	conn.Close()
	h.Close() // when all has been logged
	if s.bodies.used != others {
		t.Errorf("%d bytes are still held", s.bodies.used-others)
	}
	for _, want := range []string{`"status":429`, `"status":429`, `"status":429`, `"status":413`} {
		before, after, found := strings.Cut(log.String(), want)
		if !found {
			t.Fatalf("no %s in the log:\n%s", want, &log)
		}
		log.Reset()
		log.WriteString(before + after)
	}
}

// TestUnheard: what connect answers by itself has its status in the log; a client that goes is
// no bad request.
func TestUnheard(t *testing.T) {
	for code, want := range map[string]int{"": 400, "1": statusClientGone, "3": 400, "4": 408, "8": 413} {
		q := &request{w: httptest.NewRecorder()}
		if code != "" {
			q.w.Header().Set(http.TrailerPrefix+"Grpc-Status", code)
			q.w.Header().Set(http.TrailerPrefix+"Grpc-Message", "it%20says%20why")
		}
		if got, text := status(q.unheard()); got != want {
			t.Errorf("code %q: %d %s, want %d", code, got, text, want)
		}
	}
}
