package serve_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/serve"
	"github.com/mobilenet-go/mobilenet/vision"
)

const boot = "../testdata/ankle-boot.png"

// openBuiltin opens the model that is in the program.
func openBuiltin(ctx context.Context, threads int) (*mobilenet.Classifier, error) {
	return mobilenet.Open(ctx, "fashion-mnist", mobilenet.WithThreads(threads), mobilenet.WithOffline(true))
}

// patience is the deadline of photos where a test says nothing of one: its machine may be slow, and a
// first photo that takes for seconds is no reason to refuse those that come with it.
const patience = 3 * never

// start starts a server.
func start(t testing.TB, o serve.Options) (*serve.Server, string) {
	t.Helper()
	o.Deadline = cmp.Or(o.Deadline, patience)
	if o.Models == nil {
		o.Models = []serve.Model{{Name: "fashion", Open: openBuiltin}}
	}
	s, err := serve.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(func() { h.Close(); s.Close() })
	return s, h.URL
}

func photo(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(boot)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// ask sends a request and returns the answer.
func ask(t testing.TB, method, url string, body []byte, header ...string) (int, http.Header, []byte) {
	t.Helper()
	code, head, data, err := try(t, method, url, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return code, head, data
}

// try sends a request that may find nobody.
func try(t testing.TB, method, url string, body []byte, header ...string) (int, http.Header, []byte, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, data, err
}

func decode[T any](t testing.TB, data []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	return v
}

type answer struct {
	Model       string
	Predictions []mobilenet.Prediction
	Timing      map[string]float64 `json:"timing_ms"`
	Photos      []struct {
		Name, Error string
		Predictions []mobilenet.Prediction
	}
}

// direct is what the library says of the photo.
func direct(t testing.TB) (best []mobilenet.Prediction, logits, features []float32) {
	t.Helper()
	c, err := openBuiltin(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mobilenet.DecodeFile(t.Context(), boot)
	if err != nil {
		t.Fatal(err)
	}
	best, err = c.Classify(t.Context(), img, 5)
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Infer(t.Context(), []*mobilenet.Prepared{c.Prepare(img)}, mobilenet.Wanted{Logits: true, Features: true})
	if err != nil {
		t.Fatal(err)
	}
	return best, out.Logits, out.Features
}

func same(t testing.TB, got, want []mobilenet.Prediction) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestClassify: the plain route gives the library's answers, however the photo comes.
func TestClassify(t *testing.T) {
	_, url := start(t, serve.Options{})
	best, _, _ := direct(t)
	data := photo(t)

	code, _, body := ask(t, "POST", url+"/v1/classify?top=5", data)
	got := decode[answer](t, body)
	if code != 200 || got.Model != "fashion" || got.Timing["infer"] <= 0 {
		t.Errorf("%d %s", code, body)
	}
	same(t, got.Predictions, best)

	text := base64.StdEncoding.EncodeToString(data)
	_, _, body = ask(t, "POST", url+"/v1/classify?top=5", fmt.Appendf(nil, `{"photo": %q}`, text), "Content-Type", "application/json")
	same(t, decode[answer](t, body).Predictions, best)

	_, _, body = ask(t, "POST", url+"/v1/classify?top=5", fmt.Appendf(nil, `{"photos": [%q, "AAAA"]}`, text), "Content-Type", "application/json")
	got = decode[answer](t, body)
	if len(got.Photos) != 2 || got.Photos[1].Error == "" {
		t.Fatalf("%s", body)
	}
	same(t, got.Photos[0].Predictions, best)

	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for range 3 {
		part, err := w.CreateFormFile("photo", "boot.png")
		if err != nil {
			t.Fatal(err)
		}
		part.Write(data)
	}
	w.Close()
	_, _, body = ask(t, "POST", url+"/v1/classify?top=5", form.Bytes(), "Content-Type", w.FormDataContentType())
	got = decode[answer](t, body)
	if len(got.Photos) != 3 || got.Photos[2].Name != "boot.png" {
		t.Fatalf("%s", body)
	}
	same(t, got.Photos[2].Predictions, best)

	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(data)
	z.Close()
	_, _, body = ask(t, "POST", url+"/v1/classify?top=5", packed.Bytes(), "Content-Encoding", "gzip")
	same(t, decode[answer](t, body).Predictions, best)
}

type inferAnswer struct {
	ID      string
	Outputs []struct {
		Name, Datatype string
		Shape          []int
		Parameters     map[string]any
		Data           json.RawMessage
	}
}

// TestInfer: the protocol's route gives the library's numbers to the bit, in JSON and
// in binary, for photos, pixels and tensors.
func TestInfer(t *testing.T) {
	_, url := start(t, serve.Options{})
	_, logits, features := direct(t)
	url += "/v2/models/fashion"
	want := map[string][]float32{"logits": logits, "embedding": features}
	check := func(body []byte, images int) {
		t.Helper()
		for _, o := range decode[inferAnswer](t, body).Outputs {
			v := decode[[]float32](t, o.Data)
			if o.Shape[0] != images || len(v) != images*o.Shape[1] {
				t.Fatalf("%s: shape %v and %d values", o.Name, o.Shape, len(v))
			}
			for i, x := range want[o.Name] {
				if v[len(v)-len(want[o.Name])+i] != x {
					t.Fatalf("%s: value %d is %v, want %v", o.Name, i, v[i], x)
				}
			}
		}
	}
	text := base64.StdEncoding.EncodeToString(photo(t))
	_, _, body := ask(t, "POST", url+"/infer", fmt.Appendf(nil, `{"id": "7", "inputs": [{"name": "image", "datatype": "BYTES", "shape": [2, 1], "data": [[%q], [%q]]}]}`, text, text))
	check(body, 2)
	if a := decode[inferAnswer](t, body); a.ID != "7" || len(a.Outputs) != 3 {
		t.Errorf("%.200s", body)
	}

	img, err := vision.Decode(t.Context(), photo(t), vision.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf(`{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, %d, %d, 3], "parameters": {"binary_data_size": %d}}]}`, img.H, img.W, len(img.Pix))
	_, _, body = ask(t, "POST", url+"/versions/1/infer", append([]byte(head), img.Pix...), "Inference-Header-Content-Length", fmt.Sprint(len(head)))
	check(body, 1)

	// The binary form of what JSON has.
	ask1 := `{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [` + fmt.Sprintf("%q", text) + `]}], "outputs": [{"name": "logits", "parameters": {"binary_data": true}}, {"name": "probabilities", "parameters": {"classification": 2}}]}`
	_, header, body := ask(t, "POST", url+"/infer", []byte(ask1), "Accept-Encoding", "gzip")
	if header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	fmt.Sscan(header.Get("Inference-Header-Content-Length"), &n)
	a := decode[inferAnswer](t, body[:n])
	if got := len(body) - n; got != 4*len(logits) || a.Outputs[0].Parameters["binary_data_size"] != float64(got) {
		t.Fatalf("%d bytes behind %s", got, body[:n])
	}
	for i, x := range logits {
		if v := math.Float32frombits(binary.LittleEndian.Uint32(body[n+4*i:])); v != x {
			t.Fatalf("logit %d: %v, want %v", i, v, x)
		}
	}
	if best := decode[[]string](t, a.Outputs[1].Data); len(best) != 2 || !strings.HasSuffix(best[0], ":9:Ankle boot") {
		t.Errorf("classification: %q", best)
	}

	// A header length of 0: the body is the photo, or the tensor.
	_, _, body = ask(t, "POST", url+"/infer", photo(t), "Inference-Header-Content-Length", "0")
	check(body, 1)
	c, err := openBuiltin(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	h, w := c.Config().InputSize()
	input := make([]float32, 3*h*w)
	for i := range input {
		input[i] = float32(i%255)/127 - 1
	}
	out, err := c.InferTensor(t.Context(), input, 1, mobilenet.Wanted{Logits: true, Features: true})
	if err != nil {
		t.Fatal(err)
	}
	want = map[string][]float32{"logits": out.Logits, "embedding": out.Features}
	raw := make([]byte, 4*len(input))
	for i, v := range input {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
	}
	_, _, body = ask(t, "POST", url+"-tensor/infer", raw, "Inference-Header-Content-Length", "0")
	check(body, 1)
	values, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	_, _, body = ask(t, "POST", url+"-tensor/infer", fmt.Appendf(nil, `{"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 3, %d, %d], "data": %s}]}`, h, w, values))
	check(body, 1)
}

// TestBad: whatever comes gets an error of the protocol's shape and a status that says
// whose fault it is.
func TestBad(t *testing.T) {
	_, url := start(t, serve.Options{MaxBody: 1 << 20, MaxPixels: 1000, AllowURLs: []string{"photos.example"}})
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 64<<20))
	z.Close()
	type header = []string
	asJSON := header{"Content-Type", "application/json"}
	infer := "/v2/models/fashion/infer"
	wide := "\x89PNG\r\n\x1a\n" + chunk("IHDR", "\x00\x00\xff\xff\x00\x00\xff\xff\x08\x02\x00\x00\x00") + chunk("IDAT", "\x78\x9c\x03\x00\x00\x00\x00\x01") + chunk("IEND", "")
	for _, test := range []struct {
		name, method, path string
		body               string
		header             header
		code               int
	}{
		{"no photo", "POST", "/v1/classify", "", nil, 400},
		{"text", "POST", "/v1/classify", "hello", nil, 415},
		{"half a photo", "POST", "/v1/classify", string(photo(t)[:200]), nil, 400},
		{"65535 by 65535 pixels", "POST", "/v1/classify", wide, nil, 413},
		{"too many pixels", "POST", "/v1/classify", "P6 100 100 255\n" + strings.Repeat("a", 30000), nil, 413},
		{"too large", "POST", "/v1/classify", strings.Repeat("a", 1<<20+1), nil, 413},
		{"gzip bomb", "POST", "/v1/classify", bomb.String(), header{"Content-Encoding", "gzip"}, 413},
		{"no gzip", "POST", "/v1/classify", "hello", header{"Content-Encoding", "gzip"}, 400},
		{"unknown packing", "POST", "/v1/classify", "hello", header{"Content-Encoding", "br"}, 415},
		{"top", "POST", "/v1/classify?top=0", "hello", nil, 400},
		{"model", "POST", "/v1/classify?model=no", "hello", nil, 404},
		{"tensor model", "POST", "/v1/classify?model=fashion-tensor", "hello", nil, 400},
		{"JSON that isn't said to be", "POST", "/v1/classify", `{"photo": "AAAA"}`, nil, 400},
		{"base64", "POST", "/v1/classify", `{"photo": "?"}`, asJSON, 400},
		{"no JSON", "POST", "/v1/classify", `{`, asJSON, 400},
		{"another field", "POST", "/v1/classify", `{"image": ""}`, asJSON, 400},
		{"a field's kind", "POST", "/v1/classify", `{"photos": "AA=="}`, asJSON, 400},
		{"an unended list", "POST", "/v1/classify", `{"photos": ["AA=="`, asJSON, 400},
		{"no object", "POST", "/v1/classify", `["AA=="]`, asJSON, 400},
		{"shared memory", "GET", "/v2/systemsharedmemory/status", "", nil, 501},
		{"a model's traces", "GET", "/v2/models/fashion/trace/setting", "", nil, 501},
		{"a model's traces, set", "POST", "/v2/models/fashion/trace/setting", "{}", nil, 501},
		{"a log's settings", "POST", "/v2/logging", "{}", nil, 501},
		{"a URL", "POST", "/v1/classify", `{"url": "http://127.0.0.1/x"}`, asJSON, 403},
		{"a file's URL", "POST", "/v1/classify", `{"url": "file:///etc/passwd"}`, asJSON, 403},
		{"form", "POST", "/v1/classify", "hello", header{"Content-Type", "multipart/form-data; boundary=x"}, 400},
		{"method", "GET", "/v1/classify", "", nil, 405},
		{"path", "GET", "/v3", "", nil, 404},
		{"page", "GET", "/page/nothing", "", nil, 404},
		{"infer: no JSON", "POST", infer, "{", nil, 400},
		{"infer: null", "POST", infer, `{"inputs": [null]}`, nil, 400},
		{"infer: null output", "POST", infer, `{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["AA=="]}], "outputs": [null]}`, nil, 400},
		{"infer: nothing", "POST", infer, `{}`, nil, 400},
		{"infer: version", "POST", "/v2/models/fashion/versions/2/infer", `{}`, nil, 404},
		{"infer: shape", "POST", infer, `{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "data": ["AA=="]}]}`, nil, 400},
		{"infer: huge shape", "POST", infer, `{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [99999999, 99999999, 99999999, 3], "data": [1]}]}`, nil, 400},
		{"infer: negative shape", "POST", infer, `{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 1, 1, 3], "data": [1]}]}`, nil, 400},
		{"infer: empty", "POST", infer, `{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [0], "data": []}]}`, nil, 400},
		{"infer: deep", "POST", infer, `{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}]}`, nil, 400},
		{"infer: a level of 256", "POST", infer, `{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 256]}]}`, nil, 400},
		{"infer: output", "POST", infer, `{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["AA=="]}], "outputs": [{"name": "x"}]}`, nil, 400},
		{"infer: outputs", "POST", infer, `{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["AA=="]}], "outputs": [{"name": "logits"}, {"name": "logits"}]}`, nil, 400},
		{"infer: binary size", "POST", infer, `{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}]}`, nil, 400},
		{"infer: header length", "POST", infer, `{}`, header{"Inference-Header-Content-Length", "99"}, 400},
		{"infer: bytes left", "POST", infer, `{}xx`, header{"Inference-Header-Content-Length", "2"}, 400},
		{"infer: raw tensor", "POST", "/v2/models/fashion-tensor/infer", "abc", header{"Inference-Header-Content-Length", "0"}, 400},
		{"infer: a parameter", "POST", infer, `{"parameters": {"cam_clas": 1}, "inputs": []}`, nil, 400},
		{"infer: an output's parameter", "POST", infer, `{"inputs": [], "outputs": [{"name": "logits", "parameters": {"clasification": 1}}]}`, nil, 400},
		{"infer: a member", "POST", infer, `{"inputs": [], "outputz": []}`, nil, 400},
		{"infer: shared memory", "POST", infer, `{"inputs": [], "outputs": [{"name": "logits", "parameters": {"shared_memory_region": "a"}}]}`, nil, 501},
		{"infer: shared memory of an input", "POST", infer, `{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"shared_memory_region": "a"}}]}`, nil, 501},
		{"load: model", "POST", "/v2/repository/models/no/load", "", nil, 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, _, body := ask(t, test.method, url+test.path, []byte(test.body), test.header...)
			if code != test.code {
				t.Errorf("%d %s, want %d", code, body, test.code)
			}
			if decode[struct{ Error string }](t, body).Error == "" {
				t.Errorf("no error in %s", body)
			}
		})
	}
}

// TestWords: errors have the protocol's words for what came, and not Go's.
func TestWords(t *testing.T) {
	_, url := start(t, serve.Options{})
	const infer, image = "/v2/models/fashion/infer", `{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 3]}], "outputs": [`
	gzipped := string(packed(photo(t)))
	broken := []byte(gzipped)
	broken[len(broken)-5] ^= 1 // of the checksum
	for _, test := range []struct{ body, header, value, want string }{
		{gzipped + strings.Repeat("junk", 9), "Content-Encoding", "gzip", "gzip: other bytes are behind its end"},
		{gzipped + "junk", "Content-Encoding", "gzip", "other bytes are behind its end"},
		{gzipped[:50], "Content-Encoding", "gzip", "gzip: the body ends early"},
		{string(broken), "Content-Encoding", "gzip", "gzip: what is packed is broken"},
		{"\x07", "Content-Encoding", "deflate", "deflate: what is packed is broken"},
		{"", "Content-Encoding", "gzip", `gzip, and the body isn't"`},
		{"no form", "Content-Type", "multipart/form-data; boundary=x", `form-data: no boundary ends it"`},
		{"no form", "Content-Type", "multipart/form-data", `form-data: boundary is empty"`},
	} {
		code, _, body := ask(t, "POST", url+"/v1/classify", []byte(test.body), test.header, test.value)
		if code != 400 || !bytes.Contains(body, []byte(test.want)) {
			t.Errorf("%.20q as %s: %d %s, want %s", test.body, test.value, code, body, test.want)
		}
	}
	for _, test := range []struct{ path, body, want string }{
		{"/v2/repository/index", `{"ready": 1}`, `JSON: \"ready\": 1 in place of true or false`},
		{"/v2/repository/models/fashion/load", `{"parameters": 1}`, `JSON: \"parameters\": 1 in place of an object`},
		{infer, image + `{"name": "logits", "parameters": {"classification": null}}]}`, `output logits: classification null: want`},
		{infer, image + `{"name": "logits", "parameters": {"classification": {"a": ["b"]}}}]}`, `classification {\"a\":[\"b\"]}: want`},
		{infer, image + `{"name": "classes"}]}`, `no output \"classes\": want probabilities, logits, embedding or cam`},
	} {
		code, _, body := ask(t, "POST", url+test.path, []byte(test.body))
		if code != 400 || !bytes.Contains(body, []byte(test.want)) {
			t.Errorf("%s: %d %s, want %s", test.body, code, body, test.want)
		}
	}
}

// TestTooMany: of a list that is too long no more is read than says so: what follows isn't
// even JSON.
func TestTooMany(t *testing.T) {
	_, url := start(t, serve.Options{})
	for path, body := range map[string]string{
		"/v1/classify":                    `{"photos": [` + strings.Repeat(`"AA==", `, 65) + `!`,
		"/v1/classify?top=1":              `{"urls": [` + strings.Repeat(`"http://a.example/", `, 65) + `!`,
		"/v2/models/fashion/infer":        `{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [3000000, 1], "data": []}]}`,
		"/v2/models/fashion/infer?":       `{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [65, 1, 1, 3], "data": []}]}`,
		"/v2/models/fashion-tensor/infer": `{"inputs": [{"name": "input", "datatype": "FP32", "shape": [65, 3, 40, 40], "data": []}]}`,
	} {
		code, _, got := ask(t, "POST", url+path, []byte(body), "Content-Type", "application/json")
		if code != 400 || !bytes.Contains(got, []byte("at most 64")) {
			t.Errorf("%s: %d %.200s", path, code, got)
		}
	}
}

// TestWrongShape: a tensor of a wrong number of dimensions is told which there are, whatever
// the first of them is.
func TestWrongShape(t *testing.T) {
	_, url := start(t, serve.Options{})
	for _, test := range []struct{ model, input, shape, want string }{
		{"fashion", `"pixels", "datatype": "UINT8"`, "[224, 224, 3]", "shape [224 224 3]: want [n,height,width,3]"},
		{"fashion", `"pixels", "datatype": "UINT8"`, "[3, 224, 224]", "shape [3 224 224]: want [n,height,width,3]"},
		{"fashion", `"pixels", "datatype": "UINT8"`, "[100, 3, 224, 224]", "shape [100 3 224 224]: want [n,height,width,3]"},
		{"fashion", `"image", "datatype": "BYTES"`, "[224, 224, 3]", "shape [224 224 3]: want [n,1] or [n]"},
		{"fashion-tensor", `"input", "datatype": "FP32"`, "[224, 224, 3]", "shape [224 224 3]: want [n,3,40,40]"},
	} {
		body := fmt.Sprintf(`{"inputs": [{"name": %s, "shape": %s, "data": []}]}`, test.input, test.shape)
		code, _, got := ask(t, "POST", url+"/v2/models/"+test.model+"/infer", []byte(body))
		if told := decode[struct{ Error string }](t, got).Error; code != 400 || !strings.HasSuffix(told, test.want) {
			t.Errorf("%s of shape %s: %d %s, want %s", test.input, test.shape, code, told, test.want)
		}
	}
}

// lines are those of a log.
type lines chan string

func (l lines) Write(p []byte) (int, error) { l <- string(p); return len(p), nil }

// TestSlowlyRead: a body whose reading takes until the deadline is told so, and how to send
// it better.
func TestSlowlyRead(t *testing.T) {
	log := make(lines, 8)
	_, url := start(t, serve.Options{Deadline: time.Nanosecond, Log: slog.New(slog.NewJSONHandler(log, nil))})
	for _, test := range []struct{ path, body, want string }{
		{"/v1/classify", `{"photos": ["AA=="]}`, "in place of JSON"},
		{"/v2/models/fashion/infer", `{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 3]}]}`, "in binary"},
		{"/v2/models/fashion/infer", `{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["AA=="]}]}`, "in binary"},
	} {
		code, _, got := ask(t, "POST", url+test.path, []byte(test.body), "Content-Type", "application/json")
		told := decode[struct{ Error string }](t, got).Error
		if code != 504 || !strings.Contains(told, test.want) {
			t.Errorf("%s: %d %s", test.path, code, got)
		}
		line := <-log
		for strings.Contains(line, "takes longer than it may") { // of the model, as it was loaded
			line = <-log
		}
		if !strings.Contains(line, `"read_ms":`) || !strings.Contains(line, test.want) {
			t.Errorf("the log of %s: %s", test.path, line)
		}
	}
}

// chunk is one of a PNG file.
func chunk(kind, data string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(b, kind+data...)
	return string(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:])))
}

// TestOverload: what can't be done in time is refused at once, with when to come
// again; the rest is answered.
func TestOverload(t *testing.T) {
	var opened atomic.Int32
	_, url := start(t, serve.Options{Workers: 1, Queue: 2, Models: []serve.Model{{Name: "m", Open: func(ctx context.Context, threads int) (*mobilenet.Classifier, error) {
		opened.Add(1)
		return openBuiltin(ctx, threads)
	}}}})
	data := photo(t)
	var refused, answered atomic.Int32
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			code, header, body := ask(t, "POST", url+"/v1/classify", data)
			switch code {
			case 200:
				answered.Add(1)
			case 429:
				refused.Add(1)
				if header.Get("Retry-After") == "" {
					t.Errorf("no Retry-After: %s", body)
				}
			default:
				t.Errorf("%d %s", code, body)
			}
		})
	}
	wg.Wait()
	if answered.Load() == 0 || answered.Load()+refused.Load() != 64 {
		t.Errorf("%d answered, %d refused", answered.Load(), refused.Load())
	}
	if opened.Load() != 1 { // one worker has no use for a second
		t.Errorf("opened %d times", opened.Load())
	}
}

// TestReload: a bad file leaves the old model, a good one takes its place, and no
// request fails meanwhile.
func TestReload(t *testing.T) {
	var broken atomic.Bool
	s, url := start(t, serve.Options{Models: []serve.Model{{Name: "m", Open: func(ctx context.Context, threads int) (*mobilenet.Classifier, error) {
		if broken.Load() {
			return nil, errors.New("the file is broken")
		}
		return openBuiltin(ctx, threads)
	}}}})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	data := photo(t)
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if code, _, body := ask(t, "POST", url+"/v1/classify", data); code != 200 {
					t.Errorf("%d %s", code, body)
				}
			}
		})
	}
	for i := range 6 {
		broken.Store(i%2 == 1)
		if err := s.Reload(t.Context()); (err != nil) != broken.Load() {
			t.Error(err)
		}
		if code, _, body := ask(t, "POST", url+"/v2/repository/models/m/load", nil); (code != 200) != broken.Load() {
			t.Errorf("%d %s", code, body)
		}
	}
	cancel()
	wg.Wait()
	ask(t, "POST", url+"/v2/repository/models/m/unload", nil)
	if code, _, _ := ask(t, "GET", url+"/v2/models/m/ready", nil); code != 503 {
		t.Errorf("unloaded: %d", code)
	}
	if code, _, _ := ask(t, "GET", url+"/v2/health/ready", nil); code != 503 {
		t.Errorf("unloaded: %d", code)
	}
	broken.Store(false)
	ask(t, "POST", url+"/v2/repository/models/m/load", nil)
	if code, _, _ := ask(t, "GET", url+"/v2/health/ready", nil); code != 200 {
		t.Errorf("loaded: %d", code)
	}
}

// TestDrain: after the end is asked for, readiness says so, requests are answered for
// the delay, and Run returns. Where the test takes longer than the delay, it has a longer one.
func TestDrain(t *testing.T) {
	delay := time.Second
	for !drains(t, delay) {
		delay *= 2
		t.Logf("a slow machine: once more with %v", delay)
	}
}

// drains reports whether what a server does in its delay was seen within it.
func drains(t *testing.T, delay time.Duration) bool {
	t.Helper()
	s, err := serve.New(t.Context(), serve.Options{Models: []serve.Model{{Name: "m", Open: openBuiltin}}, Deadline: patience})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	addr := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Run(ctx, serve.Listen{Addr: "127.0.0.1:0", DrainDelay: delay, Started: func(a net.Addr) { addr <- a.String() }})
	}()
	url := "http://" + <-addr
	if code, _, _ := ask(t, "GET", url+"/v2/health/ready", nil); code != 200 {
		t.Errorf("ready: %d", code)
	}
	began := time.Now()
	cancel()
	ready, answered := http.StatusOK, 0
	var answer []byte
	for err == nil && ready == http.StatusOK && time.Since(began) < delay {
		ready, _, _, err = try(t, "GET", url+"/v2/health/ready", nil)
	}
	if err == nil {
		answered, _, answer, err = try(t, "POST", url+"/v1/classify", photo(t))
	}
	late := time.Since(began) >= delay
	if end := <-ended; end != nil {
		t.Error(end)
	}
	if !late && (err != nil || ready != 503 || answered != 200) {
		t.Errorf("while draining: %v, ready %d, a photo %d %s", err, ready, answered, answer)
	}
	return !late
}

// TestDrainLosesNothing: while a server goes down, each of many clients that come over new
// connections all the time is either answered or finds the port closed.
func TestDrainLosesNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("connections that wait to be accepted are reset where the system can't keep others from coming")
	}
	for range 5 {
		s, err := serve.New(t.Context(), serve.Options{Models: []serve.Model{{Name: "m", Open: openBuiltin}}, Deadline: patience})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		addr, ended := make(chan string, 1), make(chan error, 1)
		go func() {
			ended <- s.Run(ctx, serve.Listen{Addr: "127.0.0.1:0", DrainDelay: 50 * time.Millisecond, Started: func(a net.Addr) { addr <- a.String() }})
		}()
		var url string
		select {
		case a := <-addr:
			url = "http://" + a + "/v2/health/live"
		case err := <-ended:
			t.Fatal(err)
		}
		var answered atomic.Int32
		var clients sync.WaitGroup
		for range 64 {
			clients.Go(func() {
				client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
				for {
					began := time.Now()
					resp, err := client.Post(url, "", nil) // which, unlike GET, is not sent again
					switch {
					case errors.Is(err, syscall.ECONNREFUSED):
						return
					case err != nil && time.Since(began) >= 5*time.Second:
						t.Log("a slow machine: who comes and is silent for so long is not waited for: ", err)
						continue
					case err != nil:
						t.Error(err)
						return
					}
					resp.Body.Close()
					answered.Add(1)
				}
			})
		}
		for answered.Load() < 64 && !t.Failed() { // or the test is none
			time.Sleep(time.Millisecond)
		}
		cancel()
		clients.Wait()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestMetrics: what was done is counted, and the protocol's statistics agree.
func TestMetrics(t *testing.T) {
	_, url := start(t, serve.Options{Version: "v1.2.3"})
	for range 3 {
		ask(t, "POST", url+"/v1/classify", photo(t))
	}
	ask(t, "POST", url+"/v1/classify", []byte("no"))
	_, _, body := ask(t, "GET", url+"/metrics", nil)
	for _, want := range []string{
		`mobilenet_request_duration_seconds_count{code="200",model="fashion",route="/v1/classify"} 3`,
		`mobilenet_request_duration_seconds_count{code="415",model="fashion",route="/v1/classify"} 1`,
		`mobilenet_photos_total{model="fashion"} 3`, `mobilenet_queue_depth 0`, `mobilenet_body_bytes 0`, `mobilenet_pixel_bytes 0`, `mobilenet_shed_total{reason="queue_full"} 0`,
		`mobilenet_build_info{version="v1.2.3"} 1`,
	} {
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("no %s", want)
		}
	}
	_, _, body = ask(t, "GET", url+"/v2/models/fashion/stats", nil)
	got := decode[struct {
		Stats []struct {
			Count int                       `json:"inference_count"`
			By    map[string]map[string]int `json:"inference_stats"`
		} `json:"model_stats"`
	}](t, body)
	if len(got.Stats) != 1 || got.Stats[0].Count != 3 || got.Stats[0].By["fail"]["count"] != 1 {
		t.Errorf("%s", body)
	}
}

// TestNames: a server's models have names that fit into a path, and one of each.
func TestNames(t *testing.T) {
	for _, names := range [][]string{{}, {""}, {"a/b"}, {"a", "a"}, {".."}, {"x-tensor"}} {
		var o serve.Options
		for _, n := range names {
			o.Models = append(o.Models, serve.Model{Name: n, Open: openBuiltin})
		}
		if _, err := serve.New(t.Context(), o); err == nil {
			t.Errorf("%q is taken", names)
		}
	}
}
