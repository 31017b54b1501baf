package serve_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/mobilenet-go/mobilenet/serve"
	"github.com/mobilenet-go/mobilenet/serve/internal/oip"
)

// TestNothingHeld: no route holds memory when its requests have ended, whatever came of them.
// Each is called with what is good, what isn't, packed, cut off, and too large. A server that
// keeps a little of each request refuses all some thousands later.
func TestNothingHeld(t *testing.T) {
	index := filepath.Join(t.TempDir(), "a.mnidx")
	writeIndex(t, index, boot, shapes)
	all := append(withIndex(index), serve.Model{Name: "other", Open: openBuiltin})
	addr := listen(t, serve.Options{Models: all, Thumbnails: []string{"../testdata"}, MaxBody: 64 << 10}, serve.Listen{})
	text := base64.StdEncoding.EncodeToString(photo(t))
	files, kind := form(t, "@photo", string(photo(t)))
	// The good bodies of routes that take one, by what their path ends in.
	good := map[string][]sent{
		"/classify":        {{"", photo(t)}, {"application/json", []byte(`{"photo": "` + text + `"}`)}, {kind, files}, {"application/json", []byte(`{"url": "http://127.0.0.1/"}`)}},
		"/infer":           {{"", []byte(`{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["` + text + `"]}]}`)}},
		"/index":           {{"", []byte(`{"ready": true}`)}, {"", []byte(`{}`)}},
		"ModelInfer":       {frame(t, 0, inferMessage(t)), frame(t, 1, inferMessage(t))},
		"ModelStreamInfer": {frame(t, 0, inferMessage(t)), frame(t, 1, inferMessage(t)), frame(t, 0, inferMessage(t), inferMessage(t))},
		"Load":             {frame(t, 0, &oip.RepositoryModelRequest{ModelName: "other"})},
		"Unload":           {frame(t, 0, &oip.RepositoryModelRequest{ModelName: "other"})},
		"ReflectionInfo":   {frame(t, 0, &oip.ServerReflectionRequest{MessageRequest: &oip.ServerReflectionRequest_ListServices{}})},
	}
	for _, method := range []string{"Ready", "Metadata", "Config", "Statistics"} {
		good["Model"+method] = []sent{frame(t, 0, &oip.ModelRequest{Name: "fashion"})}
	}
	// What is nothing, or nothing good, or too much, for all.
	bad := []sent{{"", nil}, {"", []byte("no")}, {"application/json", []byte("{")}, {"multipart/form-data; boundary=x", []byte("--x\r\n")}, {"", make([]byte, 100<<10)}}
	badFrames := []sent{
		frame(t, 0, &oip.ModelRequest{}), frame(t, 1, &oip.ModelRequest{Name: strings.Repeat("x", 100<<10)}), {overGRPC, nil}, {overGRPC, []byte{0, 0, 0, 0, 3, 'a', 'b', 'c'}},
		{overGRPC, []byte{1, 0, 0, 0, 3, 'a', 'b', 'c'}}, {overGRPC, []byte{0, 0, 1, 0, 0, 'a'}}, {overGRPC, []byte{0, 255, 0, 0, 0}},
		{"application/json", []byte("{}")},
	}
	for _, route := range routes(t, addr) {
		method, path, _ := strings.Cut(route, " ")
		var calls sync.WaitGroup
		bodies := slices.Clone(bad)
		if strings.HasPrefix(path, "/inference.") || strings.HasPrefix(path, "/grpc.") {
			bodies = append(bodies, badFrames...)
		}
		for _, end := range slices.Sorted(maps.Keys(good)) {
			if strings.HasSuffix(path, end) {
				bodies = append(bodies, good[end]...)
			}
		}
		models := []string{"fashion", "fashion-tensor", "none"}
		if strings.HasSuffix(path, "load") {
			models = []string{"other", "none"}
		}
		for _, model := range models {
			here := strings.NewReplacer("{model}", model, "{version}", "1").Replace(path)
			for _, b := range bodies {
				calls.Go(func() { b.everyWay(t, addr, method+" "+here) })
			}
			if here == path {
				break
			}
		}
		calls.Wait()
		for end := time.Now().Add(never); held(t, addr) != 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %d bytes are held for nobody", route, held(t, addr))
			}
		}
	}
}

// routes are all that the server describes, and the page's.
func routes(t *testing.T, addr string) []string {
	list := []string{"GET /", "GET /page/page.js", "GET /page/page.css", "GET /openapi.json", "GET /nothing", "POST /nothing",
		"GET /v1/thumbnail?model=fashion&file=" + boot, "POST /v1/classify?neighbours=2&maps=1&model=fashion"}
	_, _, body := ask(t, "GET", "http://"+addr+"/openapi.json", nil)
	for path, methods := range decode[struct{ Paths map[string]map[string]any }](t, body).Paths {
		for method := range methods {
			list = append(list, strings.ToUpper(method)+" "+path)
		}
	}
	for _, d := range oip.Descriptions() {
		f := &descriptorpb.FileDescriptorProto{}
		if err := proto.Unmarshal(d.Bytes, f); err != nil {
			t.Fatal(err)
		}
		for _, service := range f.Service {
			for _, m := range service.Method {
				list = append(list, "POST /"+d.Service+"/"+m.GetName())
			}
		}
	}
	if slices.Sort(list); len(list) < 8+21+15 {
		t.Errorf("only %d routes: %q", len(list), list)
	}
	return list
}

const overGRPC = "application/grpc-web+proto" // over HTTP/1, too

// A sent is a body that a test sends.
type sent struct {
	kind string
	data []byte
}

// everyWay sends a body as it is and packed, and each of the two whole and cut off.
func (b sent) everyWay(t *testing.T, addr, route string) {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	encoding := "Content-Encoding"
	if b.kind == overGRPC {
		encoding = "Grpc-Encoding"
	}
	for _, header := range []string{"", encoding + ": gzip\r\n"} {
		data := b.data
		if header == "Content-Encoding: gzip\r\n" {
			data = packed(data)
		}
		head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: %s\r\n%s", method, path, b.kind, header)
		exchange(t, addr, fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(data), data))
		exchange(t, addr, fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(data)+100, data))
		exchange(t, addr, fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s", head, len(data)+1, data))
	}
}

// exchange sends bytes, and no more behind them, and takes what is answered.
func exchange(t *testing.T, addr, text string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	go func() {
		io.WriteString(c, text)
		c.(*net.TCPConn).CloseWrite()
	}()
	c.SetReadDeadline(time.Now().Add(never))
	if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("no end of an answer to %.200q", text)
	}
}

func packed(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(data)
	z.Close()
	return b.Bytes()
}

// frame is a body of messages over gRPC, packed (1) or not (0).
func frame(t *testing.T, isPacked byte, list ...proto.Message) sent {
	t.Helper()
	b := sent{kind: overGRPC}
	for _, m := range list {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if isPacked == 1 {
			data = packed(data)
		}
		b.data = append(b.data, isPacked)
		b.data = binary.BigEndian.AppendUint32(b.data, uint32(len(data)))
		b.data = append(b.data, data...)
	}
	return b
}

func inferMessage(t *testing.T) proto.Message {
	t.Helper()
	return &oip.ModelInferRequest{
		ModelName: "fashion", RawInputContents: [][]byte{make([]byte, 12)},
		Inputs: []*oip.ModelInferRequest_InferInputTensor{{Name: "pixels", Datatype: "UINT8", Shape: []int64{1, 2, 2, 3}}},
	}
}
