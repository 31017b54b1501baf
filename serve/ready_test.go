package serve_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/serve"
	"github.com/mobilenet-go/mobilenet/serve/internal/oip"
)

// TestReady: a model that is unloaded on purpose leaves the server ready while another
// answers, over REST and gRPC; one that failed to load does not.
func TestReady(t *testing.T) {
	var broken atomic.Bool
	second := func(ctx context.Context, threads int) (*mobilenet.Classifier, error) {
		if broken.Load() {
			return nil, errors.New("a torn file")
		}
		return openBuiltin(ctx, threads)
	}
	addr := listen(t, serve.Options{Models: []serve.Model{{Name: "a", Open: openBuiltin}, {Name: "b", Open: second}}}, serve.Listen{})
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	repository := func(model, verb string) {
		ask(t, "POST", "http://"+addr+"/v2/repository/models/"+model+"/"+verb, nil)
	}
	want := func(when string, code int, why string) {
		t.Helper()
		got, _, body := ask(t, "GET", "http://"+addr+"/v2/health/ready", nil)
		if got != code || !bytes.Contains(body, []byte(why)) {
			t.Errorf("%s: %d %s, want %d", when, got, body, code)
		}
		ready := &oip.ServerReadyResponse{}
		if err := conn.Invoke(t.Context(), "/inference.GRPCInferenceService/ServerReady", &oip.Empty{}, ready); err != nil || ready.Ready != (code == 200) {
			t.Errorf("%s, ServerReady: %v %v", when, ready, err)
		}
		r, err := health.NewHealthClient(conn).Check(t.Context(), &health.HealthCheckRequest{})
		if err != nil || (r.Status == health.HealthCheckResponse_SERVING) != (code == 200) {
			t.Errorf("%s, Health: %v %v", when, r, err)
		}
	}
	want("at first", 200, "true")
	repository("a", "unload")
	want("the first unloaded", 200, "true")
	code, _, body := ask(t, "POST", "http://"+addr+"/v1/classify", photo(t))
	if code != 503 || !bytes.Contains(body, []byte(`model \"a\" is not ready: unloaded`)) || !bytes.Contains(body, []byte("?model=")) {
		t.Errorf("no model named: %d %s", code, body)
	}
	if code, _, body := ask(t, "POST", "http://"+addr+"/v1/classify?model=b", photo(t)); code != 200 {
		t.Errorf("the other: %d %s", code, body)
	}
	repository("b", "unload")
	want("all unloaded", 503, "all models are unloaded")
	repository("a", "load")
	want("one loaded again", 200, "true")
	broken.Store(true)
	repository("b", "load")
	want("a load that failed", 503, "a torn file")
	broken.Store(false)
	repository("b", "load")
	want("all loaded", 200, "true")
}

// TestSlowModel: the log warns of a model that can answer nothing before the deadline.
func TestSlowModel(t *testing.T) {
	for deadline, warns := range map[time.Duration]bool{time.Nanosecond: true, time.Hour: false} {
		var log bytes.Buffer
		s, err := serve.New(t.Context(), serve.Options{Models: []serve.Model{{Name: "m", Open: openBuiltin}}, Deadline: deadline, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if got := strings.Contains(log.String(), "--deadline"); got != warns {
			t.Errorf("%v: %s", deadline, &log)
		}
	}
}

// TestStopped: the log's last line says how the service ended.
func TestStopped(t *testing.T) {
	for _, open := range []int{0, 3} { // requests whose bodies don't end
		var log bytes.Buffer
		s, err := serve.New(t.Context(), serve.Options{Models: []serve.Model{{Name: "m", Open: openBuiltin}}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		addr, ended := make(chan string, 1), make(chan error, 1)
		timeout := never
		if open > 0 {
			timeout = 2 * time.Second
		}
		go func() {
			ended <- s.Run(ctx, serve.Listen{Addr: "127.0.0.1:0", DrainDelay: 50 * time.Millisecond, DrainTimeout: timeout, Started: func(a net.Addr) { addr <- a.String() }})
		}()
		at := <-addr
		for range open {
			go func() {
				for ctx.Err() == nil { // again, where the machine stands still for so long that the server gives one up
					c, err := net.Dial("tcp", at)
					if err != nil {
						return
					}
					fmt.Fprint(c, "POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nP6")
					io.Copy(io.Discard, c)
					c.Close()
				}
			}()
		}
		for !strings.Contains(metricsOf(t, at), fmt.Sprintf("mobilenet_requests_in_flight %d\n", open)) {
			time.Sleep(time.Millisecond)
		}
		cancel()
		err = <-ended
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		last := lines[len(lines)-1]
		want := "all requests were answered"
		if open > 0 {
			want = "3 requests were cut off"
		}
		if !strings.Contains(last, "msg=stopped") || !strings.Contains(last, want) || (err != nil) != (open > 0) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d open: %v, %s", open, err, last)
		}
	}
}

func metricsOf(t *testing.T, addr string) string {
	t.Helper()
	_, _, body := ask(t, "GET", "http://"+addr+"/metrics", nil)
	return string(body)
}
