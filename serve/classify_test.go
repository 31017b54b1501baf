package serve_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/serve"
)

// form writes parts: a name and a value for a field, with "@" before the name for a file.
func form(t *testing.T, parts ...string) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(parts); i += 2 {
		name, isFile := strings.CutPrefix(parts[i], "@")
		if !isFile {
			if err := w.WriteField(name, parts[i+1]); err != nil {
				t.Fatal(err)
			}
			continue
		}
		part, err := w.CreateFormFile(name, "x.png")
		if err != nil {
			t.Fatal(err)
		}
		part.Write([]byte(parts[i+1]))
	}
	w.Close()
	return b.Bytes(), w.FormDataContentType()
}

func twoModels(t *testing.T, o serve.Options) string {
	o.Models = []serve.Model{{Name: "first", Open: openBuiltin}, {Name: "fm", Open: openBuiltin}}
	_, url := start(t, o)
	return url + "/v1/classify"
}

// TestFields: a form's fields are parameters, and none is thrown away.
func TestFields(t *testing.T) {
	url := twoModels(t, serve.Options{})
	data := string(photo(t))
	for _, query := range []string{"", "?model=fm", "?top=2"} {
		parts := []string{"@photo", data}
		if !strings.Contains(query, "model") {
			parts = append(parts, "model", "fm")
		}
		if !strings.Contains(query, "top") {
			parts = append(parts, "top", "2")
		}
		body, kind := form(t, append(parts, "maps", "1")...)
		code, _, got := ask(t, "POST", url+query, body, "Content-Type", kind)
		if a := decode[answer](t, got); code != 200 || a.Model != "fm" || len(a.Predictions) != 2 || !bytes.Contains(got, []byte(`"map":`)) {
			t.Errorf("%s: %d %.300s", query, code, got)
		}
	}
	for _, test := range []struct{ query, field, value, want string }{
		{"", "modle", "fm", "modle"},
		{"", "", "fm", "field"},
		{"", "photo", data, "photo"}, // without a file name
		{"", "model", "", "model"},
		{"", "top", "0", "top"},
		{"", "maps", "6", "maps"},
		{"?model=first", "model", "fm", "model"},
		{"?Top=1", "top", "1", "Top"},
		{"", "model", strings.Repeat("x", 2000), "model"},
	} {
		body, kind := form(t, "@photo", data, test.field, test.value)
		if code, _, got := ask(t, "POST", url+test.query, body, "Content-Type", kind); code != 400 || !bytes.Contains(got, []byte(test.want)) || len(got) > 300 {
			t.Errorf("%s %s: %d %.300s", test.query, test.field, code, got)
		}
	}
	body, kind := form(t, "@photo", data, "model", "fm", "model", "first")
	if code, _, got := ask(t, "POST", url, body, "Content-Type", kind); code != 400 {
		t.Errorf("twice: %d %s", code, got)
	}
}

// TestQuery: a parameter that is not understood is never left out.
func TestQuery(t *testing.T) {
	url := twoModels(t, serve.Options{})
	for query, want := range map[string]string{
		"modle=fm": "modle", "Top=1": "Top", "foo": "foo", "model=": "model", "top=": "top", "maps=": "maps",
		"model=fm&model=fm": "model", "top=1;model=fm": "semicolon", "model=%zz": "%zz", "model=fm&%zz": "%zz",
	} {
		code, _, body := ask(t, "POST", url+"?"+query, photo(t))
		if code != 400 || !bytes.Contains(body, []byte(want)) {
			t.Errorf("%s: %d %s", query, code, body)
		}
	}
	code, _, body := ask(t, "POST", url+"?model=fm&top=2&maps=1", photo(t))
	if a := decode[answer](t, body); code != 200 || a.Model != "fm" || len(a.Predictions) != 2 {
		t.Errorf("%d %s", code, body)
	}
}

// TestOneOfSeveral: of several photos one that isn't there has its own error; alone, its status.
func TestOneOfSeveral(t *testing.T) {
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/x.png" {
			http.NotFound(w, r)
			return
		}
		w.Write(photo(t))
	}))
	defer far.Close()
	url := twoModels(t, serve.Options{AllowURLs: []string{far.Listener.Addr().String()}, MaxPixels: 1000})
	best, _, _ := direct(t)
	good := base64.StdEncoding.EncodeToString(photo(t))
	large := base64.StdEncoding.EncodeToString([]byte("P6 100 100 255\n" + strings.Repeat("a", 30000)))
	for _, test := range []struct {
		list, good, bad string
		code            int
	}{
		{"photos", good, "!!", 400},
		{"photos", good, "", 400},
		{"photos", good, "data:image/png," + good, 400},
		{"photos", good, large, 413},
		{"urls", far.URL + "/x.png", far.URL + "/none.png", 502},
		{"urls", far.URL + "/x.png", "http://elsewhere.example/x.png", 403},
		{"urls", far.URL + "/x.png", "%zz", 400},
	} {
		asked := func(list ...string) (int, []byte) {
			body := fmt.Appendf(nil, `{%q: ["%s"]}`, test.list, strings.Join(list, `", "`))
			code, _, got := ask(t, "POST", url, body, "Content-Type", "application/json")
			return code, got
		}
		code, body := asked(test.bad, test.good, test.bad)
		a := decode[answer](t, body)
		if code != 200 || len(a.Photos) != 3 || a.Photos[0].Error == "" || a.Photos[1].Error != "" || a.Photos[2].Error == "" {
			t.Errorf("%.40s: %d %.400s", test.bad, code, body)
			continue
		}
		same(t, a.Photos[1].Predictions, best)
		if code, body := asked(test.bad); code != test.code || bytes.Contains(body, []byte("DecodeOptions")) {
			t.Errorf("%.40s alone: %d %s, want %d", test.bad, code, body, test.code)
		}
		if bytes.Contains(body, []byte("DecodeOptions")) || test.bad == large && !bytes.Contains(body, []byte("--max-pixels")) {
			t.Errorf("the limit's name: %s", body)
		}
	}
	body, kind := form(t, "@a", "", "@b", string(photo(t)))
	code, _, got := ask(t, "POST", url, body, "Content-Type", kind)
	if a := decode[answer](t, got); code != 200 || len(a.Photos) != 2 || a.Photos[0].Error == "" || a.Photos[1].Error != "" {
		t.Errorf("a form: %d %.300s", code, got)
	}
	body, kind = form(t, "@a", "")
	if code, _, got := ask(t, "POST", url, body, "Content-Type", kind); code != 400 {
		t.Errorf("an empty file alone: %d %s", code, got)
	}
}

// TestFetchedBytes: what is fetched for a request is together within the bound of its body,
// and counted while it is in memory.
func TestFetchedBytes(t *testing.T) {
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(append(photo(t), make([]byte, 600<<10)...))
		if r.URL.Path == "/endless" {
			for r.Context().Err() == nil {
				w.Write(make([]byte, 64<<10))
			}
		}
	}))
	defer far.Close()
	_, url := start(t, serve.Options{MaxBody: 1 << 20, AllowURLs: []string{far.Listener.Addr().String()}})
	code, _, body := ask(t, "POST", url+"/v1/classify", fmt.Appendf(nil, `{"urls": ["%s/1", "%[1]s/2", "%[1]s/endless"]}`, far.URL), "Content-Type", "application/json")
	a := decode[answer](t, body)
	if code != 200 || len(a.Photos) != 3 || a.Photos[0].Error != "" || !strings.Contains(a.Photos[1].Error, "1048576 bytes") || !strings.Contains(a.Photos[2].Error, "1048576 bytes") {
		t.Errorf("%d %s", code, body)
	}
	if n := held(t, strings.TrimPrefix(url, "http://")); n != 0 {
		t.Errorf("%d bytes are held for nobody", n)
	}
}

// TestDataURL: what a browser's FileReader gives is a photo.
func TestDataURL(t *testing.T) {
	url := twoModels(t, serve.Options{})
	best, _, _ := direct(t)
	for _, kind := range []string{"image/png", "application/octet-stream", ""} {
		text := "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(photo(t))
		_, _, body := ask(t, "POST", url, fmt.Appendf(nil, `{"photo": %q}`, text), "Content-Type", "application/json")
		same(t, decode[answer](t, body).Predictions, best)
	}
}

// TestChangedByCurl: who sends a photo by curl -d, without its line breaks and zeros, is told so, and nobody else.
func TestChangedByCurl(t *testing.T) {
	_, url := start(t, serve.Options{})
	whole := photo(t)
	changed := bytes.Map(func(r rune) rune {
		if r == 0 || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, bytes.Repeat([]byte("\xff\xd8\n\x00\r not a photo"), 20))
	const form = "application/x-www-form-urlencoded"
	for _, test := range []struct {
		data []byte
		kind string
		code int
		told bool
	}{
		{whole, form, 200, false}, {changed, form, 415, true}, {changed, "image/jpeg", 415, false}, {whole[:100], form, 400, false},
	} {
		code, _, body := ask(t, "POST", url+"/v1/classify", test.data, "Content-Type", test.kind)
		if code != test.code || bytes.Contains(body, []byte("--data-binary")) != test.told {
			t.Errorf("%s: %d %s", test.kind, code, body)
		}
	}
}

// TestMaxPixels: the limit is of pixels, too, that come decoded.
func TestMaxPixels(t *testing.T) {
	_, url := start(t, serve.Options{MaxPixels: 12})
	for shape, want := range map[string]int{"1, 3, 4, 3": 200, "1, 4, 3, 3": 200, "1, 1, 13, 3": 413, "1, 13, 1, 3": 413} {
		n := 12
		if want == 413 {
			n = 13
		}
		body := fmt.Appendf(nil, `{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [%s], "data": [0%s]}]}`, shape, strings.Repeat(", 0", 3*n-1))
		code, _, got := ask(t, "POST", url+"/v2/models/fashion/infer", body)
		if code != want || want == 413 && !bytes.Contains(got, []byte("--max-pixels")) {
			t.Errorf("%s: %d %.200s", shape, code, got)
		}
	}
}
