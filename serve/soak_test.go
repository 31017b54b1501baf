package serve_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/mobilenet-go/mobilenet/serve"
	"github.com/mobilenet-go/mobilenet/serve/internal/oip"
)

var soak = flag.Duration("soak", 2*time.Second, "how long TestSoak takes")

// TestSoak loads the model and its index anew every second under load over all protocols: no request
// fails, and nothing is left behind. Five minutes of it:
//
//	go test -race -run TestSoak ./serve -soak 5m
func TestSoak(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.mnidx")
	writeIndex(t, file, boot, shapes)
	addr := listen(t, serve.Options{Models: withIndex(file), Thumbnails: []string{"../testdata"}}, serve.Listen{})
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	data := photo(t)
	pixels := []byte(`{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [2, 2, 1, 3], "data": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]}]}`)
	cam := []byte(`{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 28, 28, 3], "data": [` + strings.Repeat("0, ", 28*28*3-1) + `0]}], "outputs": [{"name": "cam"}], "parameters": {"cam_top": 2}}`)
	message := &oip.ModelInferRequest{
		ModelName: "fashion", RawInputContents: [][]byte{make([]byte, 12)},
		Inputs: []*oip.ModelInferRequest_InferInputTensor{{Name: "pixels", Datatype: "UINT8", Shape: []int64{1, 2, 2, 3}}},
	}
	post := func(path string, body []byte) func(context.Context) error {
		return func(context.Context) error {
			if code, _, answer := ask(t, "POST", "http://"+addr+path, body); code != 200 {
				return fmt.Errorf("%d %s", code, answer)
			}
			return nil
		}
	}
	kinds := []func(context.Context) error{
		post("/v1/classify", data),
		post("/v1/classify?neighbours=2", data),
		func(context.Context) error {
			if code, _, body := ask(t, "GET", "http://"+addr+"/v1/thumbnail?model=fashion&file="+boot, nil); code != 200 {
				return fmt.Errorf("%d %s", code, body)
			}
			return nil
		},
		post("/v1/classify?maps=2", data), // as the page asks
		post("/v2/models/fashion/infer", pixels),
		post("/v2/models/fashion/infer", cam),
		post("/v2/repository/index", nil), // as who watches it asks
		func(ctx context.Context) error {
			return conn.Invoke(ctx, "/inference.GRPCInferenceService/ModelInfer", message, &oip.ModelInferResponse{})
		},
		func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/inference.GRPCInferenceService/ModelStreamInfer")
			for range 10 {
				if err == nil {
					err = stream.SendMsg(message)
				}
				out := &oip.ModelStreamInferResponse{}
				if err == nil {
					err = stream.RecvMsg(out)
				}
				if err == nil && out.ErrorMessage != "" {
					err = fmt.Errorf("%s", out.ErrorMessage)
				}
			}
			return err
		},
	}
	// Where this process is stopped for long, as in a debugger, clients and server run out of
	// their times: a failure says so.
	var pause atomic.Int64
	go func() {
		for last := time.Now(); t.Context().Err() == nil; last = time.Now() {
			time.Sleep(10 * time.Millisecond)
			pause.Store(max(pause.Load(), int64(time.Since(last))))
		}
	}()
	var n atomic.Int64
	load := func(d time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		var clients sync.WaitGroup
		for _, ask := range kinds {
			clients.Go(func() {
				for ctx.Err() == nil && !t.Failed() {
					if err := ask(context.WithoutCancel(ctx)); err != nil {
						t.Error(err)
					}
					n.Add(1)
				}
			})
		}
		for tick := time.NewTicker(time.Second); ctx.Err() == nil; {
			if err := post("/v2/repository/models/fashion/load", nil)(ctx); err != nil {
				t.Error(err)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		clients.Wait()
	}
	settle := func() (goroutines int, heap uint64) {
		runtime.GC() // after which the threads of models end that nobody has any more
		time.Sleep(50 * time.Millisecond)
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		return runtime.NumGoroutine(), mem.HeapAlloc
	}
	load(2 * time.Second)
	var goroutines int
	var heap uint64
	for range 20 {
		goroutines, heap = settle()
	}
	load(*soak)
	// left is what is left behind.
	left := func() (what string) {
		if n, now := settle(); n > goroutines+10 || now > heap+8<<20 {
			what = fmt.Sprintf("%d goroutines and %d KB, after %d and %d\n", n, now>>10, goroutines, heap>>10)
		}
		if maps, err := os.ReadFile("/proc/self/maps"); err == nil {
			if n := bytes.Count(maps, []byte("a.mnidx")); n > 2 {
				what += fmt.Sprintf("the index is mapped %d times\n", n)
			}
		}
		if h := held(t, addr); h != 0 {
			what += fmt.Sprintf("%d bytes are held for nobody\n", h)
		}
		return what
	}
	what := left()
	for end := time.Now().Add(never); what != "" && time.Now().Before(end); {
		what = left()
	}
	t.Logf("%d requests; the process stood still for %v at most", n.Load(), time.Duration(pause.Load()).Round(time.Millisecond))
	if what != "" {
		t.Error(what)
	}
}
