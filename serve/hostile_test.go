package serve_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/mobilenet-go/mobilenet/serve"
	"github.com/mobilenet-go/mobilenet/serve/internal/oip"
)

// head is the header of a request to classify a photo of so many bytes.
func head(length int) string {
	return fmt.Sprintf("POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", length)
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// answers requires that somebody else is answered, within the deadline, and that memory is
// bounded.
func answers(t testing.TB, addr string) {
	t.Helper()
	for range 3 {
		if code, _, body := ask(t, "POST", "http://"+addr+"/v1/classify", photo(t)); code != 200 {
			t.Errorf("another client: %d %s", code, body)
		}
	}
	var heap uint64
	for end := time.Now().Add(never); ; time.Sleep(20 * time.Millisecond) { // there is garbage again, if this goroutine stands still
		var mem runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&mem)
		heap = mem.HeapAlloc
		if heap <= 300<<20 || time.Now().After(end) { // the abusive client's is in it
			break
		}
	}
	if heap > 300<<20 {
		t.Errorf("%d MB", heap>>20)
	}
}

// insist asks until there is room: those that have come before and still send, as they do for
// long on a slow machine, have a right to it.
func insist(t *testing.T, addr string, data []byte) {
	t.Helper()
	for end := time.Now().Add(never); ; time.Sleep(time.Second) {
		code, _, body := ask(t, "POST", "http://"+addr+"/v1/classify", data)
		if code != 429 && code != 408 {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%d bytes: %d %s", len(data), code, body)
			return
		}
		t.Logf("to come again: %s", body)
	}
}

// TestHostileClients: whatever clients do to their connections, others are answered.
func TestHostileClients(t *testing.T) {
	addr := listen(t, serve.Options{}, serve.Listen{})
	data := photo(t)
	for range 300 {
		dial(t, addr)                                                          // and nothing more
		fmt.Fprint(dial(t, addr), strings.TrimSuffix(head(9), "\r\n"))         // a header without an end
		fmt.Fprint(dial(t, addr), head(len(data))+string(data[:10]))           // a body that doesn't go on
		fmt.Fprint(dial(t, addr), strings.ReplaceAll(head(9), "POST", "BREW")) // of another protocol
	}
	for range 20 {
		c := dial(t, addr) // a client that never reads
		for range 50 {
			fmt.Fprint(c, head(len(data))+string(data))
		}
	}
	answers(t, addr)
}

// TestRoom: what clients hold that send a little of a large body is bounded, and is not
// held against others.
func TestRoom(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 60<<10)
	for name, fill := range map[string]func(t *testing.T, addr string){
		"lying lengths": func(t *testing.T, addr string) {
			for range 2000 {
				c := dial(t, addr)
				go fmt.Fprint(c, head(31<<20)+string(data))
			}
		},
		"lying streams": func(t *testing.T, addr string) {
			p := new(http.Protocols)
			p.SetUnencryptedHTTP2(true)
			client := &http.Client{Transport: &http.Transport{Protocols: p}}
			t.Cleanup(client.CloseIdleConnections)
			ctx, cancel := context.WithCancel(t.Context())
			t.Cleanup(cancel)
			for range 2000 {
				r, w := io.Pipe()
				q, err := http.NewRequestWithContext(ctx, "POST", "http://"+addr+"/inference.GRPCInferenceService/ModelInfer", r)
				if err != nil {
					t.Fatal(err)
				}
				q.ContentLength = 41 << 10 // else the client has 512 KB for each
				q.Header.Set("Content-Type", "application/grpc")
				go func() {
					if resp, err := client.Do(q); err == nil {
						resp.Body.Close()
					}
				}()
				go w.Write(append([]byte{0, 1, 0, 0, 0}, data[:40<<10]...)) // of a message of 16 MB
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, serve.Options{}, serve.Listen{})
			t.Run("while", func(t *testing.T) {
				fill(t, addr)
				most := 0
				for deadline := time.Now().Add(time.Minute); most < 60<<20 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
					most = max(most, held(t, addr))
				}
				switch { // a machine that is very slow has cut off the first before the last have come
				case most < 4<<20:
					t.Errorf("only %d MB are held: the test is none", most>>20)
				case most < 60<<20:
					t.Logf("only %d MB are held, with much room left", most>>20)
				}
				time.Sleep(1200 * time.Millisecond) // the grace
				insist(t, addr, append(photo(t), make([]byte, 20<<20)...))
				insist(t, addr, photo(t))
				answers(t, addr)
			})
			for deadline := time.Now().Add(never); held(t, addr) != 0; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%d bytes are held for clients that have gone", held(t, addr))
				}
			}
		})
	}
}

// TestLyingLengths: a length that is only claimed takes no room.
func TestLyingLengths(t *testing.T) {
	const n = 100
	h := 0
	for end := time.Now().Add(never); h < n*64<<10 && time.Now().Before(end); { // once more where the first are cut off before the last have come
		addr := listen(t, serve.Options{}, serve.Listen{})
		began := time.Now()
		for range n {
			c := dial(t, addr)
			go fmt.Fprint(c, head(31<<20)+strings.Repeat("x", 60<<10))
		}
		for h = 0; h < n*64<<10 && time.Since(began) < clientTime; time.Sleep(20 * time.Millisecond) {
			h = held(t, addr)
		}
	}
	if h < n*64<<10 || h > n*96<<10 {
		t.Errorf("%d KB are held for %d clients that sent 60 each", h>>10, n)
	}
}

// TestUnread: an answer that a client doesn't take is counted until it goes.
func TestUnread(t *testing.T) {
	for end := time.Now().Add(never); !unread(t); {
		if time.Now().After(end) {
			t.Fatal("answers that nobody takes are not counted")
		}
		t.Log("once more: maybe a slow machine, on which the client's time had passed")
	}
}

// unread reports whether answers were seen to be counted before the client's time had passed.
func unread(t *testing.T) bool {
	t.Helper()
	addr := listen(t, serve.Options{}, serve.Listen{})
	c := dialH2(t, addr, http2.Setting{ID: http2.SettingInitialWindowSize}) // of 0 bytes
	body := fmt.Appendf(nil, `{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [16, 1, 1, 3], "data": [%s0]}]}`, strings.Repeat("0, ", 16*3-1))
	began := time.Now()
	for range 8 {
		c.post("/v2/models/fashion/infer", body, true)
	}
	go c.drain()
	counted := func() bool { return held(t, addr) > 8*40<<10 }
	for !counted() {
		if time.Since(began) > clientTime {
			return false
		}
		time.Sleep(20 * time.Millisecond)
	}
	answers(t, addr) // by when the requests themselves have been worked on
	time.Sleep(time.Second)
	still, late := counted(), time.Since(began) > clientTime
	if !still && !late {
		t.Errorf("unread, and worked on: %d bytes are held", held(t, addr))
	}
	c.Close()
	for deadline := time.Now().Add(never); held(t, addr) != 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gone: %d bytes are held", held(t, addr))
		}
	}
	return still || !late
}

func metrics(t testing.TB, addr string) string {
	t.Helper()
	_, _, body := ask(t, "GET", "http://"+addr+"/metrics", nil)
	return string(body)
}

// held is how many bytes of requests the server says that it holds.
func held(t testing.TB, addr string) (n int) {
	t.Helper()
	_, rest, _ := strings.Cut(metrics(t, addr), "\nmobilenet_body_bytes ")
	var f float64
	fmt.Sscan(rest, &f)
	return int(f)
}

// never is longer than anything takes here that is awaited, however slow the machine is.
const never = 3 * time.Minute

// clientTime is what a client has at least for a body, or for taking an answer, before it is cut off.
const clientTime = 10 * time.Second

// TestSlowClients: who sends or reads too slowly is cut off, whatever the route. When, by this
// machine's clock, TestGate holds.
func TestSlowClients(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the server's timeouts")
	}
	t.Parallel()
	addr := listen(t, serve.Options{}, serve.Listen{})
	for name, test := range map[string]struct {
		first, each string
		answer      string // the status line of the last answer
	}{
		"nothing":             {"", "", ""},
		"slowloris":           {"GET /v2 HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n", ""},
		"a slow photo":        {head(1 << 20), "x", "408"},
		"a slow upload":       {head(1 << 20), strings.Repeat("x", 4<<10), "408"},
		"a body nobody asked": {"GET /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", "", ""},
		"a slow index":        {"POST /v2/repository/index HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n", "{", "408"},
		"a slow unload":       {"POST /v2/repository/models/none/unload HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n", "{", ""},
		"a slow page":         {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n", "{", "200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, addr)
			fmt.Fprint(c, test.first)
			stop := make(chan struct{})
			defer close(stop)
			go func() {
				for test.each != "" {
					select {
					case <-stop:
						return
					case <-time.After(time.Second):
						fmt.Fprint(c, test.each)
					}
				}
			}()
			c.SetReadDeadline(time.Now().Add(never))
			all, err := io.ReadAll(c)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Error("still connected")
			}
			if !strings.HasPrefix(string(all), "HTTP/1.1 "+test.answer) && test.answer != "" {
				t.Errorf("%q, want %s", all, test.answer)
			}
		})
	}
	// A client that never reads is cut off once its answers fill all buffers.
	t.Run("never reads", func(t *testing.T) {
		t.Parallel()
		c := dial(t, addr)
		c.SetWriteDeadline(time.Now().Add(never))
		var err error
		for err == nil {
			_, err = fmt.Fprint(c, strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 100))
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Error("still connected")
		}
	})
	// As many connections as are allowed are served, and the next when one of them ends.
	t.Run("connections", func(t *testing.T) {
		t.Parallel()
		addr := listen(t, serve.Options{}, serve.Listen{MaxConns: 3})
		const request = "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
		var one net.Conn
		for range 3 { // which were answered once, and may wait for minutes then
			one = dial(t, addr)
			fmt.Fprint(one, request)
			one.SetReadDeadline(time.Now().Add(never))
			if _, err := one.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		c := dial(t, addr)
		fmt.Fprint(c, request)
		c.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a fourth connection is served")
		}
		one.Close()
		c.SetReadDeadline(time.Now().Add(never))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
	})
	// Who sends fast enough is not cut off, however long it takes.
	t.Run("a steady upload", func(t *testing.T) {
		t.Parallel()
		c := dial(t, addr)
		data := append(photo(t), make([]byte, 500<<10)...)
		start := time.Now()
		fmt.Fprint(c, head(len(data)))
		for sent := 0; sent < len(data); {
			n := min(len(data)-sent, 35<<10)
			c.Write(data[sent:][:n])
			sent += n
			time.Sleep(time.Until(start.Add(time.Duration(sent) * time.Second / (35 << 10)))) // by the clock, however long a write took
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Error(resp.Status)
		}
	})
}

// TestIdleStream: a stream over gRPC may wait between two requests.
func TestIdleStream(t *testing.T) {
	if testing.Short() {
		t.Skip("takes longer than the server's timeouts")
	}
	t.Parallel()
	addr := listen(t, serve.Options{}, serve.Listen{})
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/inference.GRPCInferenceService/ModelStreamInfer")
	if err != nil {
		t.Fatal(err)
	}
	message := &oip.ModelInferRequest{
		ModelName: "fashion", RawInputContents: [][]byte{make([]byte, 12)},
		Inputs: []*oip.ModelInferRequest_InferInputTensor{{Name: "pixels", Datatype: "UINT8", Shape: []int64{1, 2, 2, 3}}},
	}
	for i := range 2 {
		if i > 0 {
			time.Sleep(35 * time.Second) // longer than an answer, a body or a request may take
		}
		if err := stream.SendMsg(message); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(&oip.ModelStreamInferResponse{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHalfClosed: a client that ends its side in the middle of a body is told at once. It looks like
// one that has gone, and is counted so.
func TestHalfClosed(t *testing.T) {
	addr := listen(t, serve.Options{}, serve.Listen{})
	c := dial(t, addr)
	fmt.Fprint(c, head(1000)+"abc")
	c.(*net.TCPConn).CloseWrite()
	c.SetReadDeadline(time.Now().Add(never))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 499 || !strings.Contains(string(text), "3 of 1000 bytes") { // 408 is of a client whose body was waited for
		t.Error(resp.Status, string(text), err)
	}
	answers(t, addr)
}

// TestOddRequests: methods, paths and headers that nobody needs get an answer that is
// none of the server's fault, and nothing but what is served.
func TestOddRequests(t *testing.T) {
	addr := listen(t, serve.Options{}, serve.Listen{})
	for request, want := range map[string]string{
		"PROPFIND / HTTP/1.1":                                                  "405",
		"MKCOL /v2 HTTP/1.1":                                                   "405",
		"TRACE /v2 HTTP/1.1":                                                   "405",
		"DELETE /v2/models/fashion HTTP/1.1":                                   "405",
		"PUT /page/page.js HTTP/1.1":                                           "405",
		"CONNECT example.com:443 HTTP/1.1":                                     "405",
		"OPTIONS * HTTP/1.1":                                                   "200",
		"GET http://example.com/v2 HTTP/1.1":                                   "200",
		"GET /../../../etc/passwd HTTP/1.1":                                    "307",
		"GET /page/../../etc/passwd HTTP/1.1":                                  "307",
		"GET /page/%2e%2e/%2e%2e/etc/passwd HTTP/1.1":                          "404",
		"GET /page/..%2f..%2fetc/passwd HTTP/1.1":                              "404",
		"GET /page/..\\..\\etc\\passwd HTTP/1.1":                               "404",
		"GET /page/page.js%00.html HTTP/1.1":                                   "404",
		"GET //example.com/%2f.. HTTP/1.1":                                     "307",
		"GET /v2/models/..%2f..%2fetc HTTP/1.1":                                "404",
		"POST /v2/repository/models/%2e%2e/load HTTP/1.1":                      "404",
		"GET /v2\x00 HTTP/1.1":                                                 "400",
		"GET /v2 HTTP/9.9":                                                     "505",
		"GET /v2 HTTP/1.1\r\nHost: y":                                          "400",
		"GET /v2 HTTP/1.1\r\nBad Header: y":                                    "400",
		"POST /v1/classify HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4": "400",
		"POST /v1/classify HTTP/1.1\r\nContent-Length: -1":                     "400",
		"POST /v1/classify HTTP/1.1\r\nTransfer-Encoding: gzip":                "501",
		"GET /v2 HTTP/1.1\r\nX: " + strings.Repeat("x", 100<<10):               "431",
		"GET /v2?" + strings.Repeat("x", 100<<10) + " HTTP/1.1":                "431",
	} {
		c := dial(t, addr)
		go fmt.Fprint(c, request+"\r\nHost: x\r\nConnection: close\r\n\r\n")
		c.SetReadDeadline(time.Now().Add(never))
		all, err := io.ReadAll(c)
		if len(all) < 12 || string(all[9:12]) != want {
			t.Errorf("%.60q: %.60q %v, want %s", request, all, err, want)
		}
		if bytes.Contains(all, []byte("root:")) {
			t.Errorf("%q gives a file away", request)
		}
		if location := regexp.MustCompile(`(?m)^Location: (.*)\r$`).FindSubmatch(all); location != nil && (!bytes.HasPrefix(location[1], []byte("/")) || bytes.HasPrefix(location[1], []byte("//"))) {
			t.Errorf("%q leads to %s", request, location[1])
		}
	}
	answers(t, addr)
}

// An h2 speaks HTTP/2 frame by frame, as no decent client does.
type h2 struct {
	net.Conn
	*http2.Framer
	next uint32 // stream
}

func dialH2(t testing.TB, addr string, settings ...http2.Setting) *h2 {
	t.Helper()
	c := dial(t, addr)
	fmt.Fprint(c, http2.ClientPreface)
	h := &h2{c, http2.NewFramer(c, c), 1}
	if err := h.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return h
}

// open begins a stream with a request, more of whose header may follow.
func (h *h2) open(method, path string, ended, headerEnded bool, fields ...string) (uint32, error) {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for i, list := 0, append([]string{":method", method, ":scheme", "http", ":path", path, ":authority", "x", "content-type", "application/grpc"}, fields...); i < len(list); i += 2 {
		e.WriteField(hpack.HeaderField{Name: list[i], Value: list[i+1]})
	}
	id := h.next
	h.next += 2
	return id, h.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: ended, EndHeaders: headerEnded})
}

// post sends a request with data that need not be all of it.
func (h *h2) post(path string, data []byte, ended bool) {
	id, err := h.open("POST", path, false, true)
	for len(data) > 0 && err == nil {
		n := min(len(data), 16<<10)
		err = h.WriteData(id, ended && n == len(data), data[:n])
		data = data[n:]
	}
}

// drain reads what comes until the connection ends, and returns the error of GOAWAY.
func (h *h2) drain() (code http2.ErrCode) {
	for {
		f, err := h.ReadFrame()
		if err != nil {
			return code
		}
		if g, ok := f.(*http2.GoAwayFrame); ok {
			code = g.ErrCode
		}
	}
}

// TestHTTP2Abuse: a client that floods the server with frames is cut off, or waits for
// its turn, and others are answered.
func TestHTTP2Abuse(t *testing.T) {
	for name, test := range map[string]struct {
		abuse func(h *h2) error
		cut   bool
	}{
		"rapid reset": {func(h *h2) error { // CVE-2023-44487
			for range 50000 {
				id, err := h.open("POST", "/v1/classify", false, true)
				if err == nil {
					err = h.WriteRSTStream(id, http2.ErrCodeCancel)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}, false},
		"more streams than allowed": {func(h *h2) error {
			for range 5000 {
				if _, err := h.open("POST", "/v1/classify", false, true); err != nil {
					return err
				}
			}
			return nil
		}, false},
		"endless header": {func(h *h2) error { // CVE-2023-45288
			id, err := h.open("GET", "/v2", true, false)
			for i := 0; i < 20000 && err == nil; i++ {
				var block bytes.Buffer
				hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("y", 8<<10), Sensitive: true})
				err = h.WriteContinuation(id, false, block.Bytes())
			}
			return err
		}, true},
		"settings": {func(h *h2) (err error) { // CVE-2019-9515: acknowledged together
			for i := 0; i < 100000 && err == nil; i++ {
				err = h.WriteSettings()
			}
			return err
		}, false},
		"pings": {func(h *h2) (err error) { // CVE-2019-9512
			for i := 0; i < 500000 && err == nil; i++ {
				err = h.WritePing(false, [8]byte{})
			}
			return err
		}, true},
		"empty data": {func(h *h2) error { // CVE-2019-9518
			id, err := h.open("POST", "/v1/classify", false, true)
			for i := 0; i < 100000 && err == nil; i++ {
				err = h.WriteData(id, false, nil)
			}
			return err
		}, false},
		"a broken frame": {func(h *h2) error {
			return h.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, []byte{0})
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			addr := listen(t, serve.Options{}, serve.Listen{})
			before := runtime.NumGoroutine()
			h := dialH2(t, addr)
			ended := make(chan error, 1)
			h.SetWriteDeadline(time.Now().Add(never))
			go func() { ended <- test.abuse(h) }()
			answers(t, addr)
			err := <-ended
			if n := runtime.NumGoroutine() - before; n > 1200 {
				t.Errorf("%d goroutines for a connection", n)
			}
			answers(t, addr)
			if test.cut {
				h.SetReadDeadline(time.Now().Add(never))
				h.drain()
				if _, e := h.Conn.Read(make([]byte, 1)); err == nil && (e == nil || errors.Is(e, os.ErrDeadlineExceeded)) {
					t.Error("it is not cut off")
				}
			}
		})
	}
}

// TestRefusedUnread: a full queue answers before it has read a body.
func TestRefusedUnread(t *testing.T) {
	addr := listen(t, serve.Options{Workers: 1, Queue: 1}, serve.Listen{})
	full, stop := keepBusy(t, addr)
	defer stop()
	c, _, _ := refused(t, addr, full, "Content-Length: 1000000")
	c.Close()
}

// refused sends the header of a request, and not its body, until one is refused. One that
// finds the queue with room is waited for, and told after some seconds that it is slow.
func refused(t *testing.T, addr string, full func(), length string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	for range 12 {
		full()
		c := dial(t, addr)
		fmt.Fprintf(c, "POST /v1/classify HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", length)
		c.SetReadDeadline(time.Now().Add(never))
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == 429 {
			return c, r, resp
		}
		resp.Body.Close()
		c.Close()
	}
	t.Fatal("a body is waited for before it is refused")
	return nil, nil, nil
}

// TestRefusedConnection: a refusal leaves the connection to the next request, unless the
// body is large, or of unknown length; whatever has come of it is no request of its own.
func TestRefusedConnection(t *testing.T) {
	addr := listen(t, serve.Options{Workers: 1, Queue: 1}, serve.Listen{})
	full, stop := keepBusy(t, addr)
	defer stop()
	for _, test := range []struct {
		name, length string
		body         int
		reused       bool
	}{
		{"small", "Content-Length: 100000", 100000, true},
		{"large", "Content-Length: 1000000", 1000000, false},
		{"chunked", "Transfer-Encoding: chunked", 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, r, resp := refused(t, addr, full, test.length)
			if resp.Close == test.reused {
				t.Errorf("Connection: close is %v", resp.Close)
			}
			io.Copy(io.Discard, resp.Body)
			if !test.reused {
				return
			}
			c.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n\r\n"), 1+test.body/18)[:test.body])
			fmt.Fprint(c, "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
			if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
				t.Errorf("the next request: %v, %v", resp, err)
			}
		})
	}
}

// keepBusy has the server at addr do more than it can, until stop: photos so large that its
// queue is full again long before one is done.
//
// full waits until a client was refused.
func keepBusy(t *testing.T, addr string) (full, stop func()) {
	var large bytes.Buffer
	if err := png.Encode(&large, image.NewGray(image.Rect(0, 0, 3000, 3000))); err != nil {
		t.Fatal(err)
	}
	data := large.Bytes()
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	var refusals atomic.Int64
	for range 4 {
		busy.Go(func() {
			for ctx.Err() == nil {
				if code, _, _ := ask(t, "POST", "http://"+addr+"/v1/classify", data); code == 429 {
					refusals.Add(1)
				}
			}
		})
	}
	full = func() {
		for before := refusals.Load(); refusals.Load() == before && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
	}
	return full, func() { cancel(); busy.Wait() }
}

// TestHeavyBodies: what would take a hundred times its bytes in memory is refused before it
// is made.
func TestHeavyBodies(t *testing.T) {
	_, url := start(t, serve.Options{})
	const n = 2 << 20
	list := func(head, one, tail string) []byte { return []byte(head + one + strings.Repeat(","+one, n) + tail) }
	frame := func(field string) []byte {
		data := strings.Repeat(field, n)
		return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(data))), data...)
	}
	numbers := protowire.AppendBytes(protowire.AppendTag(nil, 4, protowire.BytesType), make([]byte, n)) // uint_contents
	contents := protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), numbers)
	one := protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), contents)
	const infer, over = "/v2/models/fashion/infer", "/inference.GRPCInferenceService/ModelInfer"
	for _, test := range []struct {
		name, path, kind string
		body             []byte
		want             string
	}{
		{"inputs", infer, "application/json", list(`{"inputs": [`, `{}`, `]}`), "more than 16"},
		{"outputs", infer, "application/json", list(`{"outputs": [`, `{}`, `]}`), "more than 16"},
		{"parameters", infer, "application/json", list(`{"parameters": {"a": [`, `0`, `]}}`), "at most 65536"},
		{"shape", infer, "application/json", list(`{"inputs": [{"shape": [`, `1`, `]}]}`), "at most 65536"},
		{"name", infer, "application/json", list(`{"inputs": [{"name": "`, `a`, `"}]}`), "at most 65536"},
		{"members", infer, "application/json", list(`{`, `"a": 0`, `}`), "no member"},
		{"photos", "/v1/classify", "application/json", list(`{"photos": [`, `""`, `]}`), "more than 64"},
		{"fields of a form", "/v1/classify", "multipart/form-data; boundary=x", []byte(strings.Repeat("--x\r\n\r\n\r\n", n)), "form field"},
		{"ready", "/v2/repository/index", "application/json", list(`{"a": [`, `0`, `]}`), "more than 65536"},
		{"gRPC: inputs", over, "application/grpc-web+proto", frame("\x2a\x00"), "10000 fields"},
		{"gRPC: parameters", over, "application/grpc-web+proto", frame("\x22\x00"), "10000 fields"},
		{"gRPC: photos", over, "application/grpc-web+proto", frame("\x3a\x00"), "10000 fields"},
		{"gRPC: unknown", over, "application/grpc-web+proto", frame("\x78\x00"), "10000 fields"},
		{"gRPC: numbers", over, "application/grpc-web+proto", append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(one))), one...), "bytes of numbers"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, header, body := ask(t, "POST", url+test.path, test.body, "Content-Type", test.kind)
		runtime.ReadMemStats(&after)
		told, _ := neturl.PathUnescape(string(body) + header.Get("Grpc-Message"))
		if !strings.Contains(told, test.want) {
			t.Errorf("%s: %.200s", test.name, told)
		}
		// A body grows, and connect's buffer, too; encoding/json and protobuf would take 100 to 400 MB more.
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(4*len(test.body))+16<<20 {
			t.Errorf("%s: %d MB for a body of %d MB", test.name, took>>20, len(test.body)>>20)
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
		{"/v2/models/m/infer", "", "", []byte(`{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [[[[1, 2, 3]]]]}], "outputs": [{"name": "logits", "parameters": {"binary_data": true, "classification": 3}}]}`)},
		{"/v2/models/m/infer", "92", "", append([]byte(`{"inputs": [{"name":"image","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":8}}]}`), 4, 0, 0, 0, 1, 2, 3, 4)},
		{"/v2/models/m-tensor/infer", "0", "", []byte("abcd")},
		{"/v2/models/m-tensor/infer", "", "", []byte(`{"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 3, 28, 28], "data": [1.5, -2e-3, 3E+1, 4]}]}`)},
		{"/v2/repository/index", "", "", []byte(`{"ready": true}`)},
	} {
		f.Add(seed.route, seed.length, seed.kind, seed.body)
	}
	s, err := serve.New(context.Background(), serve.Options{Models: []serve.Model{{Name: "m", Open: openBuiltin}}, Deadline: patience, MaxBody: 1 << 20, MaxPixels: 1 << 16})
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
