package serve_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mobilenet-go/mobilenet/serve"
)

// TestOtherSites: pages of other sites, and of names that a stranger gave this machine,
// may not load and unload models, and are not told of its photos. Programs may, and
// pages of the server's own.
func TestOtherSites(t *testing.T) {
	loopback, outside := net.IPv4(127, 0, 0, 1), net.IPv4(192, 0, 2, 1)
	for _, test := range []struct {
		name, cors, host, origin, site string
		local                          net.IP
		code                           int
	}{
		{"a program", "", "a.example", "", "", loopback, 200},
		{"the own page", "", "127.0.0.1:8000", "http://127.0.0.1:8000", "same-origin", loopback, 200},
		{"the own page by IPv6", "", "[::1]:8000", "http://[::1]:8000", "same-origin", loopback, 200},
		{"the own page of localhost", "", "LocalHost:8000", "http://LocalHost:8000", "", loopback, 200},
		{"the address bar", "", "localhost", "", "none", loopback, 200},
		{"another site", "", "127.0.0.1:8000", "https://evil.example", "cross-site", loopback, 403},
		{"another port", "", "127.0.0.1:8000", "http://127.0.0.1:3000", "same-site", loopback, 403},
		{"another site, old browser", "", "127.0.0.1:8000", "https://evil.example", "", loopback, 403},
		{"no origin", "", "127.0.0.1:8000", "null", "", loopback, 403},
		{"the origin of CORS", "https://Good.example", "127.0.0.1:8000", "https://good.example", "cross-site", loopback, 200},
		{"not the origin of CORS", "https://good.example", "127.0.0.1:8000", "https://evil.example", "cross-site", loopback, 403},
		{"CORS for all", "*", "127.0.0.1:8000", "https://evil.example", "cross-site", loopback, 403},
		{"rebinding", "", "evil.example:8000", "http://evil.example:8000", "same-origin", loopback, 403},
		{"rebinding, old browser", "", "localhost.evil.example", "http://localhost.evil.example", "", loopback, 403},
		{"a name that is not loopback's", "", "a.example", "https://a.example", "same-origin", outside, 200},
	} {
		s, url := start(t, serve.Options{CORS: test.cors})
		for _, verb := range []string{"load", "unload"} {
			r := httptest.NewRequest("POST", url+"/v2/repository/models/fashion/"+verb, nil)
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: test.local, Port: 8000}))
			r.Host = test.host
			for name, value := range map[string]string{"Origin": test.origin, "Sec-Fetch-Site": test.site} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != test.code {
				t.Errorf("%s: %s: %d %s, want %d", test.name, verb, w.Code, w.Body, test.code)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "a.mnidx")
	writeIndex(t, file, boot)
	for _, test := range []struct {
		cors, host, origin string
		code               int
	}{
		{"", "127.0.0.1:8000", "http://127.0.0.1:8000", 200},
		{"", "evil.example:8000", "http://evil.example:8000", 403},
		{"", "photos.example", "", 200}, // a program, or a proxy for one
		{"https://photos.example", "photos.example", "https://photos.example", 200},
		{"*", "evil.example", "http://evil.example", 403},
	} {
		s, _ := start(t, serve.Options{CORS: test.cors, Models: withIndex(file), Thumbnails: []string{"../testdata"}})
		for _, r := range []*http.Request{
			httptest.NewRequest("POST", "/v1/classify?neighbours=1", bytes.NewReader(photo(t))),
			httptest.NewRequest("GET", "/v1/thumbnail?model=fashion&file="+boot, nil),
		} {
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: loopback, Port: 8000}))
			r.Host = test.host
			if test.origin != "" {
				r.Header.Set("Origin", test.origin)
			}
			w := httptest.NewRecorder()
			if s.ServeHTTP(w, r); w.Code != test.code {
				t.Errorf("%s to %s: %d %.100s, want %d", test.origin, test.host, w.Code, w.Body, test.code)
			}
		}
	}
	_, url := start(t, serve.Options{})
	for _, verb := range []string{"Load", "Unload"} {
		route := url + "/inference.GRPCInferenceService/RepositoryModel" + verb
		code, _, body := ask(t, "POST", route, []byte(`{"modelName": "fashion"}`), "Content-Type", "application/json", "Origin", "https://evil.example")
		if code != 415 {
			t.Errorf("gRPC: %s: %d %s", verb, code, body)
		}
		_, header, body := ask(t, "POST", route, []byte("\x00\x00\x00\x00\x09\x12\x07fashion"), "Content-Type", "application/grpc-web+proto", "Origin", "https://evil.example")
		if !bytes.Contains(body, []byte("grpc-status: 7\r\n")) && header.Get("Grpc-Status") != "7" {
			t.Errorf("gRPC-Web: %s: %v %q", verb, header, body)
		}
	}
	if _, err := serve.New(t.Context(), serve.Options{Models: []serve.Model{{Name: "m", Open: openBuiltin}}, CORS: "example.com"}); err == nil {
		t.Error("an origin without a scheme is taken")
	}
}

// TestLoadLog: the log says which model was loaded or unloaded.
func TestLoadLog(t *testing.T) {
	var log bytes.Buffer
	s, _ := start(t, serve.Options{Log: slog.New(slog.NewJSONHandler(&log, nil))})
	for _, path := range []string{"fashion/unload", "fashion-tensor/unload"} {
		log.Reset()
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/v2/repository/models/"+path, nil))
		if !strings.Contains(log.String(), `"model":"fashion"`) {
			t.Errorf("%s: %s", path, log.String())
		}
	}
}

// TestAllowedHosts: hosts are compared without their case, and with their port.
func TestAllowedHosts(t *testing.T) {
	photos := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(photo(t)) }))
	defer photos.Close()
	_, port, _ := net.SplitHostPort(photos.Listener.Addr().String())
	for _, test := range []struct {
		allow, url string
		code       int
	}{
		{"LOCALHOST:" + port, "http://localhost:" + port + "/", 200},
		{"localhost:" + port, "http://LocalHost:" + port + "/", 200},
		{"localhost", "http://localhost:" + port + "/", 403},
		{"localhost:" + port, "ftp://localhost:" + port + "/", 403},
		{"localhost:" + port, "http://localhost/", 403},
		{"a.invalid", "https://A.invalid:443/", 502}, // allowed, but there is none
		{"a.invalid:80", "http://a.invalid/", 502},
		{"a.invalid", "https://a.invalid:80/", 403},
	} {
		_, url := start(t, serve.Options{AllowURLs: []string{test.allow}})
		code, _, body := ask(t, "POST", url+"/v1/classify", fmt.Appendf(nil, `{"url": %q}`, test.url), "Content-Type", "application/json")
		if code != test.code {
			t.Errorf("%s of %s: %d %s, want %d", test.url, test.allow, code, body, test.code)
		}
	}
}

// TestMetricsListener: nothing but GET and HEAD of /metrics is answered there.
func TestMetricsListener(t *testing.T) {
	var addr string
	for {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr = free.Addr().String()
		free.Close()
		_, err = listening(t, serve.Options{}, serve.Listen{Metrics: addr})
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
		t.Logf("another program has taken %s meanwhile", addr)
	}
	for request, want := range map[string]int{"GET /metrics": 200, "HEAD /metrics": 200, "POST /metrics": 405, "DELETE /metrics": 405, "GET /": 404, "GET /metrics/x": 404} {
		method, path, _ := strings.Cut(request, " ")
		if code, _, _ := ask(t, method, "http://"+addr+path, nil); code != want {
			t.Errorf("%s: %d, want %d", request, code, want)
		}
	}
}

// TestOpenAPI: the description has each route with the statuses that it answers.
func TestOpenAPI(t *testing.T) {
	_, url := start(t, serve.Options{})
	_, _, body := ask(t, "GET", url+"/openapi.json", nil)
	paths := decode[struct {
		Paths map[string]map[string]struct{ Responses map[string]any }
	}](t, body).Paths
	want := map[string]string{
		"post /v1/classify":                         "200 400 403 404 408 413 415 429 502 503 504",
		"get /v2/models/stats":                      "200",
		"post /v2/repository/models/{model}/load":   "200 400 403 404",
		"post /v2/repository/models/{model}/unload": "200 403 404",
	}
	for _, model := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		want["post "+model+"/infer"] = "200 400 404 408 413 415 429 503 504"
		for _, what := range []string{"", "/ready", "/config", "/stats"} {
			want["get "+model+what] = "200 404 503"
		}
	}
	for _, name := range []string{"model", "top", "maps", "neighbours", "min_score"} { // in the query, and as a field of a form
		if n := bytes.Count(body, fmt.Appendf(nil, "\"%s\": {\"type\"", name)) + bytes.Count(body, fmt.Appendf(nil, `{"name": "%s", "in": "query", "schema"`, name)); n < 2 {
			t.Errorf("parameter %s is described %d times", name, n)
		}
	}
	for route, codes := range want {
		method, path, _ := strings.Cut(route, " ")
		var got []string
		for code := range paths[path][method].Responses {
			got = append(got, code)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != codes {
			t.Errorf("%s: %v, want %s", route, got, codes)
		}
	}
}
