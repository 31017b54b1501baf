package hub

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	size = 200_000 // of the file that tests download
	half = size / 2
)

// content is a file, and weights what describes it.
var content, weights = func() ([]byte, Weights) {
	b := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(b)
	hash := sha256.Sum256(b)
	return b, Weights{Name: "test", File: "test.pth", SHA256: hex.EncodeToString(hash[:4]), Bytes: size}
}()

// A server answers the n-th request (from 0) with the n-th handler, and further
// ones with the last. It records what ranges are asked for.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
}

func serve(t *testing.T, handlers ...http.HandlerFunc) *server {
	s := unstarted(t, handlers...)
	s.Start()
	return s
}

func unstarted(t *testing.T, handlers ...http.HandlerFunc) *server {
	s := &server{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		n := len(s.requests)
		s.requests = append(s.requests, strings.TrimSpace(r.Header.Get("Range")+" "+r.Header.Get("If-Range")))
		s.mu.Unlock()
		handlers[min(n, len(handlers)-1)](w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// asked returns the Range and If-Range of every request so far.
func (s *server) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *server) client(t *testing.T) Client {
	return Client{Dir: filepath.Join(t.TempDir(), "cache"), Mirror: s.URL, RetryDelay: time.Millisecond, StallTimeout: time.Hour} // servers that are silent are told apart by tests of their own
}

// whole serves the file as a web server does, ranges included.
func whole(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"v1"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// cut sends the first n bytes of a whole answer and closes the connection.
func cut(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		whole(&shortWriter{w, n}, r)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

// A shortWriter drops what is written after left bytes.
type shortWriter struct {
	http.ResponseWriter
	left int
}

func (s *shortWriter) Write(b []byte) (int, error) {
	n := min(len(b), s.left)
	s.left -= n
	_, err := s.ResponseWriter.Write(b[:n])
	return len(b), err
}

// stall sends n bytes of the file and then nothing.
func stall(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if n > 0 {
			whole(&shortWriter{w, n}, r)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}
}

// raw sends head and body as they are, true or not, after a status line that
// would colour a terminal.
func raw(status int, head string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 %d \x1b[31m\r\nConnection: close\r\nETag: \"v1\"\r\n%s\r\n\r\n", status, head)
		conn.Write(body)
	}
}

func length(n int) string { return "Content-Length: " + strconv.Itoa(n) }

// other serves another file, cut off after n bytes.
func other(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v0"`)
		w.Header().Set("Content-Length", strconv.Itoa(size))
		w.Write(make([]byte, n))
		if n < size {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}
}

func TestPullFromBadServers(t *testing.T) {
	const rest = `bytes=100000- "v1"` // continues after half
	dated := func(w http.ResponseWriter, r *http.Request, n int) {
		w.Header().Set("ETag", `W/"weak"`)
		http.ServeContent(&shortWriter{w, n}, r, "", time.Unix(1e9, 0), bytes.NewReader(content))
		w.(http.Flusher).Flush()
		if n < size {
			panic(http.ErrAbortHandler)
		}
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		for b := make([]byte, 1<<14); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}
	tests := []struct {
		name     string
		answers  []http.HandlerFunc
		requests []string // Range and If-Range of each
		err      string   // part of the error; empty for success
		part     int64    // bytes kept for the next Pull
	}{
		{"honest", []http.HandlerFunc{whole}, []string{""}, "", 0},
		{"cut", []http.HandlerFunc{cut(half), whole}, []string{"", rest}, "", 0},
		{"cut in small pieces", []http.HandlerFunc{cut(half), cut(10), cut(0), whole},
			[]string{"", rest, `bytes=100010- "v1"`, `bytes=100010- "v1"`}, "", 0},
		{"always cut", []http.HandlerFunc{cut(half), cut(0)}, []string{"", rest, rest, rest, rest}, "after 100000 bytes: unexpected EOF", half},
		{"closed before the head", []http.HandlerFunc{func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
			[]string{""}, "EOF", 0},
		{"stalls", []http.HandlerFunc{stall(half), whole}, []string{"", rest}, "", 0},
		{"stalls before the head", []http.HandlerFunc{stall(0)}, []string{""}, "the server sent nothing for STALL", 0},
		{"stalls again before the head", []http.HandlerFunc{cut(half), stall(0), whole}, []string{"", rest, rest}, "", 0},
		{"stalls the last time", []http.HandlerFunc{cut(half), cut(0), cut(0), cut(0), stall(10)},
			[]string{"", rest, rest, rest, rest}, "after 100010 bytes: the server sent nothing for STALL", half + 10},
		{"promises too much", []http.HandlerFunc{raw(200, length(size+100), content)}, []string{""}, "", 0},
		{"promises too much and is cut", []http.HandlerFunc{raw(200, length(size+100), content[:half]), whole}, []string{"", rest}, "", 0},
		{"promises too little", []http.HandlerFunc{raw(200, length(half), content)}, []string{""}, "wrong content", 0},
		{"no length, cut", []http.HandlerFunc{raw(200, "X: y", content[:half])}, []string{""}, "wrong content", 0},
		{"no length", []http.HandlerFunc{raw(200, "X: y", content)}, []string{""}, "", 0},
		{"negative length", []http.HandlerFunc{raw(200, length(-1), content)}, []string{""}, "Content-Length", 0},
		{"empty", []http.HandlerFunc{raw(200, length(0), nil)}, []string{""}, "wrong content", 0},
		{"wrong file", []http.HandlerFunc{other(size)}, []string{""}, "wrong content", 0},
		{"file changes", []http.HandlerFunc{other(half), whole}, []string{"", `bytes=100000- "v0"`}, "", 0},
		{"file changes under one ETag", []http.HandlerFunc{raw(200, length(size), make([]byte, half)), whole}, []string{"", rest}, "wrong content", 0},
		{"ignores Range", []http.HandlerFunc{cut(half), raw(200, length(size), content)}, []string{"", rest}, "", 0},
		{"range from elsewhere", []http.HandlerFunc{cut(half), raw(206, length(size)+"\r\nContent-Range: bytes 0-199999/200000", content), whole},
			[]string{"", rest, ""}, "", 0},
		{"range of nothing known", []http.HandlerFunc{cut(half), raw(206, length(half), content[half:]), whole}, []string{"", rest, ""}, "", 0},
		{"range in pieces", []http.HandlerFunc{cut(half), raw(206, length(10)+"\r\nContent-Range: bytes 100000-100009/200000", content[half:half+10]), whole},
			[]string{"", rest, `bytes=100010- "v1"`}, "", 0},
		{"range of unknown size", []http.HandlerFunc{cut(half), raw(206, "Content-Range: bytes 100000-199999/*", content[half:])}, []string{"", rest}, "", 0},
		{"range too large", []http.HandlerFunc{cut(half), raw(206, "Content-Range: bytes 100000-199999/9000000000000000000", nil)}, []string{"", rest}, "more than 400000 bytes", half},
		{"range unasked", []http.HandlerFunc{raw(206, length(size)+"\r\nContent-Range: bytes 0-199999/200000", content)}, []string{""}, "206", 0},
		{"range refused", []http.HandlerFunc{cut(half), raw(416, length(0), nil), whole}, []string{"", rest, ""}, "", 0},
		{"range always refused", []http.HandlerFunc{raw(416, length(0), nil)}, []string{"", "", "", "", ""}, "does not continue", 0},
		{"no validator", []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(size))
			w.Write(content[:half])
		}, whole}, []string{"", ""}, "", 0},
		{"date as validator", []http.HandlerFunc{
			func(w http.ResponseWriter, r *http.Request) { dated(w, r, half) },
			func(w http.ResponseWriter, r *http.Request) { dated(w, r, size) },
		}, []string{"", "bytes=100000- Sun, 09 Sep 2001 01:46:40 GMT"}, "", 0},
		{"absent", []http.HandlerFunc{http.NotFound}, []string{""}, "404 Not Found", 0},
		{"nonstandard status", []http.HandlerFunc{raw(499, length(0), nil)}, []string{""}, "answered 499", 0},
		{"hostile header", []http.HandlerFunc{raw(200, "X: \x1b[31m", content)}, []string{""}, "malformed MIME header", 0},
		{"busy", []http.HandlerFunc{raw(503, length(0), nil), raw(429, length(0), nil), whole}, []string{"", "", ""}, "", 0},
		{"always busy", []http.HandlerFunc{raw(503, length(0), nil)}, []string{"", "", "", "", ""}, "503 Service Unavailable", 0},
		{"redirects", []http.HandlerFunc{redirect, cut(half), redirect, whole}, []string{"", "", rest, rest}, "", 0},
		{"redirects in a circle", []http.HandlerFunc{redirect}, slices.Repeat([]string{""}, 10), "redirected 10 times", 0},
		{"endless", []http.HandlerFunc{endless}, []string{""}, "more than 400000 bytes", 0},
		{"endless, announced", []http.HandlerFunc{raw(200, "Content-Length: 9000000000000000000", content)}, []string{""}, "more than 400000 bytes", 0},
		{"not HTTP", []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Write([]byte("SSH-2.0-OpenSSH\r\n"))
			conn.Close()
		}}, []string{""}, "malformed HTTP response", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stalling(t, strings.HasPrefix(test.name, "stalls"), func(stall time.Duration) string {
				s := serve(t, test.answers...)
				c := s.client(t)
				c.StallTimeout = stall
				path, err := c.Pull(t.Context(), weights)
				var wrong []string
				if want := strings.Replace(test.err, "STALL", stall.String(), 1); test.err == "" && err != nil || !strings.Contains(fmt.Sprint(err), want) {
					wrong = append(wrong, fmt.Sprintf("error %v, want %q", err, want))
				}
				if strings.Contains(fmt.Sprint(err), "\x1b") {
					wrong = append(wrong, fmt.Sprintf("an escape sequence in %q", err))
				}
				if diff := cmp.Diff(test.requests, s.asked()); diff != "" {
					wrong = append(wrong, "ranges asked for (-want +got):\n"+diff)
				}
				want := State{Partial: test.part}
				if test.err == "" {
					want = State{Cached: true, Verified: true, Bytes: size}
					if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
						wrong = append(wrong, fmt.Sprintf("the file differs from what was served: %v", err))
					}
				}
				if diff := cmp.Diff(want, c.State(weights)); diff != "" {
					wrong = append(wrong, "cache (-want +got):\n"+diff)
				}
				return strings.Join(wrong, "\n")
			})
		})
	}
}

// stalling calls f, which says what went wrong, with a time after which a server that is silent
// is given up: a short one where f meets such servers. A machine that is busy can stand still for
// longer than that, and then f meets a stall more: it is called again, with a longer time.
func stalling(t *testing.T, short bool, f func(stall time.Duration) (wrong string)) {
	t.Helper()
	stall := time.Minute
	if short {
		stall = 500 * time.Millisecond
	}
	for {
		wrong := f(stall)
		if wrong == "" {
			return
		}
		if stall > 10*time.Second {
			t.Fatal(wrong)
		}
		t.Logf("with %v: %s", stall, wrong)
		stall *= 5
	}
}

// Who is slow, but not silent for as long as the timeout, is waited for.
func TestPullFromSlowServer(t *testing.T) {
	stalling(t, true, func(stall time.Duration) string {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			for b := range slices.Chunk(content, size/7) {
				w.Write(b)
				w.(http.Flusher).Flush()
				time.Sleep(stall / 5)
			}
		})
		c := s.client(t)
		c.StallTimeout = stall
		if _, err := c.Pull(t.Context(), weights); err != nil {
			return err.Error()
		}
		return cmp.Diff([]string{""}, s.asked())
	})
}

// The publisher speaks HTTP/2, where failures look different.
func TestPullOverHTTP2(t *testing.T) {
	t.Cleanup(func() { httpClient.Transport = nil })
	stalling(t, true, func(timeout time.Duration) string {
		s := unstarted(t, cut(half), cut(10), stall(0), cut(0), stall(10), whole)
		s.EnableHTTP2 = true
		s.StartTLS()
		httpClient.Transport = s.Client().Transport
		c := s.client(t)
		c.StallTimeout = timeout
		_, err := c.Pull(t.Context(), weights)
		if want := fmt.Sprintf("after 100020 bytes: the server sent nothing for %v", timeout); err == nil || !strings.Contains(err.Error(), want) {
			return fmt.Sprintf("error %v, want %q", err, want)
		}
		if _, err := c.Pull(t.Context(), weights); err != nil {
			return err.Error()
		}
		const middle = `bytes=100010- "v1"`
		return cmp.Diff([]string{"", `bytes=100000- "v1"`, middle, middle, middle, `bytes=100020- "v1"`}, s.asked())
	})
}

func TestRedirectsStayEncrypted(t *testing.T) {
	secure := httptest.NewRequest("GET", "https://example.com/a", nil)
	plain := httptest.NewRequest("GET", "http://example.com/b", nil)
	if err := checkRedirect(plain, []*http.Request{secure}); err == nil {
		t.Error("https may redirect to http")
	}
	for _, to := range []*http.Request{plain, secure} {
		if err := checkRedirect(to, []*http.Request{plain}); err != nil {
			t.Errorf("http may not redirect to %s: %v", to.URL, err)
		}
	}
}
