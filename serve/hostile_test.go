package serve_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet/serve"
)

// TestHostileClients: whatever clients do to their connections, others are answered.
func TestHostileClients(t *testing.T) {
	addr := listen(t, serve.Options{Deadline: time.Minute}, serve.Listen{})
	data := photo(t)
	dial := func() net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	head := func(length int) string {
		return fmt.Sprintf("POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n", length)
	}
	for range 300 {
		dial()                              // and nothing more
		fmt.Fprint(dial(), head(len(data))) // a header without an end
		c := dial()
		fmt.Fprint(c, head(len(data))+"\r\n")
		c.Write(data[:10]) // a body that doesn't go on
	}
	for range 20 {
		c := dial()
		fmt.Fprint(c, head(31<<20)+"\r\n") // a length that is a lie
		c = dial()
		fmt.Fprint(c, head(len(data))+"\r\n")
		c.Write(data[:10])
		c.(*net.TCPConn).CloseWrite()
		c = dial() // a client that never reads
		for range 50 {
			fmt.Fprint(c, head(len(data))+"\r\n")
			c.Write(data)
		}
	}
	for range 5 {
		if code, _, body := ask(t, "POST", "http://"+addr+"/v1/classify", data); code != 200 {
			t.Errorf("%d %s", code, body)
		}
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	if mem.HeapAlloc > 200<<20 {
		t.Errorf("%d MB", mem.HeapAlloc>>20)
	}
}

// TestRefusedUnread: a full queue answers before it has read a body.
func TestRefusedUnread(t *testing.T) {
	addr := listen(t, serve.Options{Workers: 1, Queue: 1, Deadline: time.Minute}, serve.Listen{})
	stop := keepBusy(t, addr)
	refused := false
	for end := time.Now().Add(20 * time.Second); !refused && time.Now().Before(end); {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
			refused = resp.StatusCode == 429
			resp.Body.Close()
		}
		c.Close()
	}
	stop()
	if !refused {
		t.Error("a body is read before it is refused")
	}
}

// TestRefusedConnection: a refusal leaves the connection to the next request, unless the
// body is large, or of unknown length; whatever has come of it is no request of its own.
func TestRefusedConnection(t *testing.T) {
	addr := listen(t, serve.Options{Workers: 1, Queue: 1, Deadline: time.Minute}, serve.Listen{})
	for _, test := range []struct {
		name, head string
		body       int
		reused     bool
	}{
		{"small", "Content-Length: 100000", 100000, true},
		{"large", "Content-Length: 1000000", 1000000, false},
		{"chunked", "Transfer-Encoding: chunked", 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			stop := keepBusy(t, addr)
			defer stop()
			for end := time.Now().Add(20 * time.Second); ; {
				if time.Now().After(end) {
					t.Fatal("never refused")
				}
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(c, "POST /v1/classify HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", test.head)
				c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				r := bufio.NewReader(c)
				resp, err := http.ReadResponse(r, nil)
				if err != nil || resp.StatusCode != 429 {
					c.Close()
					continue
				}
				if resp.Close == test.reused {
					t.Errorf("Connection: close is %v", resp.Close)
				}
				io.Copy(io.Discard, resp.Body)
				if test.reused {
					c.SetReadDeadline(time.Now().Add(10 * time.Second))
					c.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n\r\n"), 1+test.body/18)[:test.body])
					fmt.Fprint(c, "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
					if resp, err = http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
						t.Errorf("the next request: %v, %v", resp, err)
					}
				}
				c.Close()
				return
			}
		})
	}
}

// keepBusy has the server at addr do more than it can, until stop.
func keepBusy(t *testing.T, addr string) (stop func()) {
	data := photo(t)
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	for range 8 {
		busy.Go(func() {
			for ctx.Err() == nil {
				ask(t, "POST", "http://"+addr+"/v1/classify", data)
			}
		})
	}
	return func() { cancel(); busy.Wait() }
}

// TestSoak loads models anew under load: no request fails. It runs longer where
// MOBILENET_TEST_SOAK says how long.
func TestSoak(t *testing.T) {
	s, url := start(t, serve.Options{Deadline: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), soak(t))
	defer cancel()
	data := photo(t)
	text := fmt.Sprintf(`{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 2, 2, 3], "data": [%s]}]}`, strings.TrimSuffix(strings.Repeat("7,", 12), ","))
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				path, body := "/v1/classify", data
				if i%2 == 1 {
					path, body = "/v2/models/fashion/infer", []byte(text)
				}
				if code, _, answer := ask(t, "POST", url+path, body); code != 200 {
					t.Errorf("%d %s", code, answer)
				}
			}
		})
	}
	before := runtime.NumGoroutine()
	for ctx.Err() == nil {
		if err := s.Reload(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	clients.Wait()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+20; time.Sleep(100 * time.Millisecond) {
		runtime.GC() // the threads of a model that nobody has any more
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, and %d before", runtime.NumGoroutine(), before)
		}
	}
}

// FuzzBodies: whatever bytes a route gets, the answer is JSON, and no fault of the
// server's.
func FuzzBodies(f *testing.F) {
	data := photo(f)
	for _, seed := range []struct {
		route, length, kind string
		body                []byte
	}{
		{"/v1/classify", "", "", data},
		{"/v1/classify", "", "application/json", []byte(`{"photos": ["AAAA"]}`)},
		{"/v1/classify", "", "multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n\r\nabc\r\n--x--\r\n")},
		{"/v2/models/m/infer", "0", "", data},
		{"/v2/models/m/infer", "", "", []byte(`{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [[1, 2], 3]}], "outputs": [{"name": "logits", "parameters": {"binary_data": true, "classification": 3}}]}`)},
		{"/v2/models/m/infer", "92", "", append([]byte(`{"inputs": [{"name":"image","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":8}}]}`), 4, 0, 0, 0, 1, 2, 3, 4)},
		{"/v2/models/m-tensor/infer", "0", "", []byte("abcd")},
		{"/v2/repository/index", "", "", []byte(`{"ready": true}`)},
	} {
		f.Add(seed.route, seed.length, seed.kind, seed.body)
	}
	s, err := serve.New(context.Background(), serve.Options{Models: []serve.Model{{Name: "m", Open: openBuiltin}}, Deadline: time.Minute, MaxBody: 1 << 20, MaxPixels: 1 << 16})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, route, length, kind string, body []byte) {
		switch route {
		case "/v1/classify", "/v2/models/m/infer", "/v2/models/m-tensor/infer", "/v2/repository/index":
		default:
			return
		}
		r := httptest.NewRequest("POST", route, bytes.NewReader(body))
		r.Header.Set("Content-Type", kind)
		if length != "" {
			r.Header.Set("Inference-Header-Content-Length", length)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		resp := w.Result()
		answer, _ := io.ReadAll(resp.Body)
		if n := resp.Header.Get("Inference-Header-Content-Length"); n != "" {
			var head int
			fmt.Sscan(n, &head)
			answer = answer[:head]
		}
		if resp.StatusCode >= 500 || !json.Valid(answer) {
			t.Fatalf("%d %q", resp.StatusCode, answer)
		}
	})
}

// soak is how long the soak runs.
func soak(t *testing.T) time.Duration {
	text := os.Getenv("MOBILENET_TEST_SOAK")
	if text == "" {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
