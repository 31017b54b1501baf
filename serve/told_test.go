package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/mobilenet-go/mobilenet/serve"
	"github.com/mobilenet-go/mobilenet/serve/internal/oip"
)

// A journal is a log that may be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// told is a line of a request.
type told struct {
	Msg, Route, Model, Error string
	Status                   int
}

// requests are the lines of requests.
func (j *journal) requests(t *testing.T) (list []told) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		if one := decode[told](t, []byte(line)); one.Msg == "request" {
			list = append(list, one)
		}
	}
	return list
}

// TestModelIsNamed: whatever becomes of a request for an inference, the log, the metrics and the
// model's statistics say which model was asked, and agree.
func TestModelIsNamed(t *testing.T) {
	log := &journal{}
	addr := listen(t, serve.Options{Log: slog.New(slog.NewJSONHandler(log, nil)), Models: []serve.Model{{Name: "first", Open: openBuiltin}, {Name: "m", Open: openBuiltin}}}, serve.Listen{})
	url := "http://" + addr
	done := map[int]int{}
	post := func(want int, path, body string, header ...string) {
		t.Helper()
		code, _, got := ask(t, "POST", url+path, []byte(body), header...)
		if done[code]++; code != want {
			t.Errorf("%s: %d %s, want %d", path, code, got, want)
		}
	}
	form := []string{"Content-Type", "multipart/form-data; boundary=x"}
	post(200, "/v1/classify?model=m", string(photo(t)))
	post(400, "/v1/classify?model=m", string(photo(t)), "Content-Encoding", "gzip")
	post(400, "/v1/classify?model=m", "no form", form...)
	post(400, "/v1/classify?model=m&top=x", "")
	post(400, "/v1/classify?model=m-tensor", "")
	post(415, "/v1/classify?model=m", "no photo")
	post(400, "/v2/models/m/infer", "{")
	post(400, "/v2/models/m-tensor/infer", "{}")
	post(404, "/v2/models/m/versions/2/infer", "{}")

	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/inference.GRPCInferenceService/ModelStreamInfer")
	if err != nil {
		t.Fatal(err)
	}
	inStream := func(want int, in *oip.ModelInferRequest) {
		t.Helper()
		done[want]++
		out := &oip.ModelStreamInferResponse{}
		if err := stream.SendMsg(in); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(out); err != nil || (out.ErrorMessage == "") != (want == 200) {
			t.Fatal(out.ErrorMessage, err)
		}
	}
	pixels := []*oip.ModelInferRequest_InferInputTensor{{Name: "pixels", Datatype: "UINT8", Shape: []int64{1, 2, 2, 3}}}
	inStream(200, &oip.ModelInferRequest{ModelName: "m", Inputs: pixels, RawInputContents: [][]byte{make([]byte, 12)}})
	inStream(400, &oip.ModelInferRequest{ModelName: "m", Inputs: pixels, RawInputContents: [][]byte{make([]byte, 11)}})
	if code, _, body := ask(t, "POST", url+"/v2/repository/models/m/unload", nil); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	post(503, "/v1/classify?model=m", "")
	post(503, "/v2/models/m/infer", "{}")
	inStream(503, &oip.ModelInferRequest{ModelName: "m", Inputs: pixels})
	if err := conn.Invoke(t.Context(), "/inference.GRPCInferenceService/ModelInfer", &oip.ModelInferRequest{ModelName: "m", Inputs: pixels}, &oip.ModelInferResponse{}); err == nil {
		t.Error("a model that is unloaded answers")
	}
	done[503]++
	if code, _, body := ask(t, "POST", url+"/v2/repository/models/m/load", nil); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}

	// A line is written when the answer has gone. Each of those below comes.
	logged := map[int]int{}
	within(t, func() bool {
		clear(logged)
		for _, line := range log.requests(t) {
			if line.Model == "m" && !strings.HasPrefix(line.Route, "/v2/repository/") {
				logged[line.Status]++
			}
		}
		n := 0
		for _, m := range logged {
			n += m
		}
		all := -1 // a success in a stream has no line
		for _, m := range done {
			all += m
		}
		return n >= all
	})
	counted, failed := map[int]int{}, 0
	series := regexp.MustCompile(`request_duration_seconds_count\{code="(\d+)",model="m",route="([^"]+)"\} (\d+)`)
	for _, match := range series.FindAllStringSubmatch(metrics(t, addr), -1) {
		var code, n int
		if _, err := fmt.Sscan(match[1]+" "+match[3], &code, &n); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(match[2], "/v2/repository/") {
			continue
		}
		if counted[code] += n; code != http.StatusOK {
			failed += n
		}
	}
	if fmt.Sprint(counted) != fmt.Sprint(done) {
		t.Errorf("/metrics has %v, want %v", counted, done)
	}
	logged[200]++
	if fmt.Sprint(logged) != fmt.Sprint(done) {
		t.Errorf("the log has %v, want %v and a success in a stream", logged, done)
	}
	_, _, body := ask(t, "GET", url+"/v2/models/m/stats", nil)
	var got struct {
		Stats []struct {
			By map[string]struct{ Count int } `json:"inference_stats"`
		} `json:"model_stats"`
	}
	if err := json.Unmarshal(body, &got); err != nil || len(got.Stats) != 1 {
		t.Fatalf("%v: %s", err, body)
	}
	if by := got.Stats[0].By; by["success"].Count != done[200] || by["fail"].Count != failed {
		t.Errorf("statistics have %v, want %d and %d", by, done[200], failed)
	}
	inAStream := slices.ContainsFunc(log.requests(t), func(l told) bool {
		return strings.HasSuffix(l.Route, "ModelStreamInfer") && l.Model == "m" && l.Status == 400 && l.Error != ""
	})
	if !inAStream {
		t.Error("no line of the request that failed in a stream")
	}
}

// within waits for what comes, once it has begun to.
func within(t *testing.T, what func() bool) {
	t.Helper()
	for end := time.Now().Add(never); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it didn't come")
		}
	}
}

// TestVanished: a client that goes in the middle of its body made no bad request.
func TestVanished(t *testing.T) {
	log := &journal{}
	addr := listen(t, serve.Options{Log: slog.New(slog.NewJSONHandler(log, nil))}, serve.Listen{})
	reset := func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() }
	close := func(c net.Conn) { c.Close() }
	inFlight := func(n int) {
		t.Helper()
		within(t, func() bool {
			return strings.Contains(metrics(t, addr), fmt.Sprintf("mobilenet_requests_in_flight %d\n", n))
		})
	}
	const post = "POST /v1/classify HTTP/1.1\r\nHost: x\r\n"
	list := []struct {
		text string
		end  func(net.Conn)
	}{
		{post + "Content-Length: 1000\r\n\r\n", close},
		{post + "Content-Length: 1000\r\n\r\nabc", close},
		{post + "Content-Length: 1000\r\n\r\nabc", reset},
		{post + "Content-Length: 1000\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b", close},
		{post + "Content-Length: 1000\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b", reset},
		{post + "Transfer-Encoding: chunked\r\n\r\n5\r\nabc", close},
		{"POST /v2/models/fashion/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", close},
		{"POST /v2/repository/index HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", close},
	}
	for _, one := range list {
		c := dial(t, addr)
		fmt.Fprint(c, one.text)
		inFlight(1) // it is being read
		one.end(c)
		inFlight(0) // and has its line
	}
	h := dialH2(t, addr)
	for i, path := range []string{"/v1/classify", "/inference.GRPCInferenceService/ModelInfer"} {
		id, err := h.open("POST", path, false, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.WriteData(id, false, []byte{0, 0, 0, 0, 9, 1}); err != nil {
			t.Fatal(err)
		}
		inFlight(1)
		if i == 0 {
			err = h.WriteRSTStream(id, http2.ErrCodeCancel)
		} else {
			err = h.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		inFlight(0)
	}
	seen := log.requests(t)
	if len(seen) != len(list)+2 {
		t.Errorf("%d lines of %d requests", len(seen), len(list)+2)
	}
	for i, line := range seen {
		if line.Status != 499 {
			t.Errorf("%d: %+v", i, line)
		}
	}
	if want := fmt.Sprintf("mobilenet_shed_total{reason=\"client_gone\"} %d\n", len(list)+2); !strings.Contains(metrics(t, addr), want) {
		t.Errorf("the metrics haven't %s", want)
	}
}
