package store_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/mobilenet-go/mobilenet/spark/store"
)

// hostile are names that somebody has.
var hostile = []string{
	"plain.jpg", "tab\there", "new\nline", "carriage\rreturn", `quote"s and 'those'`, "back\\slash", "a%20b", "a b+c&d=e?f#g",
	"emoji 😀 and 𝕏", "e\u0301 and é", "..", "a/../b", "a//b", "trailing/", strings.Repeat("long", 250), "\x01\x7f", "ＮＵＬ",
}

// fakeS3 is an S3 server with a bucket called photos, whose answers go through wrap.
func fakeS3(t *testing.T, wrap func(http.Handler) http.Handler) (backend *s3mem.Backend, server *httptest.Server) {
	t.Helper()
	backend = s3mem.New()
	if err := backend.CreateBucket("photos"); err != nil {
		t.Fatal(err)
	}
	h := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	if wrap != nil {
		h = wrap(h)
	}
	server = httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	return backend, server
}

func put(t *testing.T, b *s3mem.Backend, key string, data []byte) {
	t.Helper()
	if _, err := b.PutObject("photos", key, nil, bytes.NewReader(data), int64(len(data)), nil); err != nil {
		t.Fatal(err)
	}
}

// query is how gocloud.dev reaches a server.
func query(endpoint string) string {
	return "endpoint=" + endpoint + "&use_path_style=true&region=us-east-1"
}

func read(t *testing.T, s *store.Store, name string) ([]byte, error) {
	t.Helper()
	d, err := s.Read(t.Context(), name, store.NewBudget(1<<20))
	if err == nil {
		d.Release()
	}
	return d.Bytes, err
}

func TestS3(t *testing.T) {
	backend, server := fakeS3(t, nil)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for _, endpoint := range []string{"http://127.0.0.1:" + port, "http://localhost:" + port} {
		s := store.New(store.Options{S3: query(endpoint)})
		for _, key := range hostile {
			want := []byte("photo " + key)
			put(t, backend, key, want)
			for _, scheme := range []string{"s3", "s3a"} {
				if got, err := read(t, s, scheme+"://photos/"+key); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %q: got %q, %v", endpoint, key, got, err)
				}
			}
		}
		for _, name := range []string{"s3://photos/none", "s3://photos/", "s3://", "s3:photos/a"} {
			_, err := read(t, s, name)
			if err == nil || store.Fatal(t.Context(), err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	s := store.New(store.Options{})
	for i, name := range []string{"plain.jpg", "tab\there", "new\nline", "a%20b", "a b", "😀", `quote"`} {
		want := fmt.Sprint("photo ", i)
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
		if got, err := read(t, s, path); err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v", path, got, err)
		}
	}
	// Spark writes files as URLs.
	for url, want := range map[string]string{
		"file://" + dir + "/plain.jpg": "photo 0", "file:" + dir + "/plain.jpg": "photo 0",
		"file://" + dir + "/a%20b": "photo 4", "file:" + dir + "/a%2520b": "photo 3",
	} {
		if got, err := read(t, s, url); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", url, got, err)
		}
	}
	for _, name := range []string{dir, filepath.Join(dir, "none"), filepath.Join(dir, "plain.jpg", "x"), "/dev/zero", "nul\x00", "", strings.Repeat("x", 5000), "hdfs://host/a", "ftp:x"} {
		if _, err := read(t, s, name); err == nil || store.Fatal(t.Context(), err) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// What may be mended by another try is tried again, and what may not isn't.
func TestTries(t *testing.T) {
	var asked atomic.Int32
	answers := func(codes ...int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/good" { // asked for again where the last time is seconds ago
				io.WriteString(w, "photo")
				return
			}
			n := int(asked.Add(1)) - 1
			switch {
			case n >= len(codes):
				io.WriteString(w, "photo")
			case codes[n] == -1: // the connection breaks
				w.Header().Set("Content-Length", "100")
				io.WriteString(w, "pho")
				panic(http.ErrAbortHandler)
			case codes[n] == -2: // nothing comes
				<-r.Context().Done()
			default:
				w.WriteHeader(codes[n])
			}
		}
	}
	for _, c := range []struct {
		name        string
		codes       []int
		good        bool // whether another object was read before
		asked       int
		fails, ends bool
	}{
		{name: "at once", asked: 1},
		{name: "throttled", codes: []int{503, 429, 500}, asked: 4},
		{name: "broken off", codes: []int{-1, -1}, asked: 3},
		{name: "stalled", codes: []int{-2}, asked: 2},
		{name: "not there", codes: []int{404}, asked: 1, fails: true},
		{name: "its own trouble", codes: []int{500, 500, 500, 500}, good: true, asked: 4, fails: true},
		{name: "refused", codes: []int{403}, good: true, asked: 1, fails: true},
		{name: "everything refused", codes: []int{403, 403, 403, 403}, asked: 1, fails: true}, // by a web server, which asks for nobody's name
		{name: "down", codes: []int{502, 502, 502, 502}, asked: 4, fails: true, ends: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(answers(c.codes...))
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.Start()
			defer server.Close()
			stalling(t, slices.Contains(c.codes, -2), func(stall time.Duration) string {
				s := store.New(store.Options{Tries: 4, Wait: time.Millisecond, Stall: stall})
				if c.good {
					if _, err := read(t, s, server.URL+"/good"); err != nil {
						t.Fatal(err)
					}
				}
				asked.Store(0)
				got, err := read(t, s, server.URL+"/photo")
				if (err != nil) != c.fails || store.Fatal(t.Context(), err) != c.ends || err == nil && string(got) != "photo" {
					return fmt.Sprintf("got %q, %v", got, err)
				}
				if n := int(asked.Load()); n != c.asked {
					return fmt.Sprintf("asked %d times, want %d", n, c.asked)
				}
				return ""
			})
		})
	}
}

// patience is the stall of a store that waits for a slow machine.
const patience = time.Minute

// stalling calls f, which says what went wrong, with the stall of a store: a short one where f
// meets a server that is silent. A machine that is busy can stand still for longer than that, and
// then f meets a stall more: it is called again, with a longer one.
func stalling(t *testing.T, short bool, f func(stall time.Duration) (wrong string)) {
	t.Helper()
	stall := patience
	if short {
		stall = 2 * time.Second
	}
	for {
		wrong := f(stall)
		if wrong == "" {
			return
		}
		if stall > 10*time.Second {
			t.Error(wrong)
			return
		}
		t.Logf("with %v: %s", stall, wrong)
		stall *= 6
	}
}

// A server that can't be reached ends the task, also beside another that answers: a retry may
// mend it. What no retry mends is an error of its photo, and with GiveUp everything is.
func TestHosts(t *testing.T) {
	alive := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/refused":
			w.WriteHeader(http.StatusForbidden)
		case "/busy":
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer alive.Close()
	strange := httptest.NewUnstartedServer(http.NotFoundHandler())
	strange.Config.ErrorLog = log.New(io.Discard, "", 0)
	strange.StartTLS()
	defer strange.Close()
	const dead = "http://127.0.0.1:1" // a port that no system gives to another test
	for name, ends := range map[string]bool{
		dead + "/a": true, alive.URL + "/round": false, alive.URL + "/refused": false, alive.URL + "/busy": false, alive.URL + "/": false, strange.URL + "/a": false,
	} {
		for _, giveUp := range []bool{false, true} {
			s := store.New(store.Options{Tries: 2, Wait: time.Millisecond, GiveUp: giveUp})
			if _, err := read(t, s, alive.URL+"/good"); err != nil {
				t.Fatal(err)
			}
			_, err := read(t, s, name)
			if (err == nil) != (name == alive.URL+"/") || store.Fatal(t.Context(), err) != (ends && !giveUp) {
				t.Errorf("%s, giving up %v: %v", name, giveUp, err)
			}
			if u, ok := errors.AsType[*store.Unreachable](err); ok && u.Place != dead {
				t.Errorf("%s: the place is %s", name, u.Place)
			}
		}
	}
}

// Photos in memory take no more than the budget, whether their sizes are said or not. What
// is larger than all of it is refused.
func TestBudget(t *testing.T) {
	const limit = 4 << 20
	sizes := []int{0, 1, 1 << 20, 3 << 20, 4 << 20, 9 << 20}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n int
		fmt.Sscanf(r.URL.Path, "/%d", &n)
		if r.URL.Query().Has("chunked") {
			w.(http.Flusher).Flush()
		}
		w.Write(make([]byte, n))
	}))
	defer server.Close()
	s := store.New(store.Options{})
	b := store.NewBudget(limit)
	var held, most atomic.Int64
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			n := sizes[i%len(sizes)]
			name := fmt.Sprint(server.URL, "/", n)
			if i%2 == 1 {
				name += "?chunked"
			}
			d, err := s.Read(t.Context(), name, b)
			if n > limit {
				if err == nil || !strings.Contains(err.Error(), "more than 4 MiB") {
					t.Errorf("%s: %d bytes, %v", name, len(d.Bytes), err)
				}
				return
			}
			if err != nil || len(d.Bytes) != n {
				t.Errorf("%s: %d bytes, %v", name, len(d.Bytes), err)
				return
			}
			now := held.Add(int64(n))
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			time.Sleep(time.Millisecond)
			held.Add(-int64(n))
			d.Release()
		})
	}
	all.Wait()
	if m := most.Load(); m > limit {
		t.Errorf("%d bytes at a time, want at most %d", m, limit)
	}
}

// shard is a tar archive of files with the hostile names, in this order, among others.
func shard(t *testing.T, format tar.Format) (archive []byte, members []store.Member) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(name string, data []byte) {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg, Format: format}
		if err := w.WriteHeader(h); err != nil {
			t.Skipf("%q: %v", name, err)
		}
		members = append(members, store.Member{Name: name, Offset: int64(b.Len()), Size: h.Size})
		w.Write(data)
		w.Flush()
	}
	for i, name := range hostile {
		if strings.HasSuffix(name, "/") { // a folder
			continue
		}
		add(name, []byte("photo "+name))
		if i == 5 {
			add("large", make([]byte, 700<<10)) // more than is read over
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), slices.DeleteFunc(members, func(m store.Member) bool { return m.Name == "large" })
}

func TestMembers(t *testing.T) {
	plain, placed := shard(t, tar.FormatPAX)
	gnu, _ := shard(t, tar.FormatGNU)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(plain)
	z.Close()
	named := slices.Clone(placed)
	for i := range named {
		named[i].Offset, named[i].Size = 0, 0
	}
	slices.Reverse(named)

	// The server breaks off an answer now and then.
	var n atomic.Int32
	backend, server := fakeS3(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1)%3 == 1 && r.Method == http.MethodGet {
				h.ServeHTTP(&cutting{w, 1 << 13}, r)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	put(t, backend, "plain.tar", plain)
	put(t, backend, "gnu.tar", gnu)
	put(t, backend, "packed.tar.gz", packed.Bytes())
	put(t, backend, "cut.tar", plain[:len(plain)/2])
	s := store.New(store.Options{S3: query(server.URL), Wait: time.Millisecond})
	for _, c := range []struct {
		shard   string
		members []store.Member
	}{{"plain.tar", placed}, {"plain.tar", named}, {"gnu.tar", named}, {"packed.tar.gz", named}} {
		budget := store.NewBudget(1 << 20)
		got := make([]string, len(c.members))
		err := s.Members(t.Context(), "s3://photos/"+c.shard, c.members, budget, func(i int, d store.Data, err error) {
			if got[i] != "" || err != nil {
				t.Errorf("%s: %q: %v, after %q", c.shard, c.members[i].Name, err, got[i])
				return
			}
			got[i] = string(d.Bytes)
			d.Release()
		})
		if err != nil {
			t.Errorf("%s: %v", c.shard, err)
		}
		for i, m := range c.members {
			if got[i] != "photo "+m.Name {
				t.Errorf("%s: %q: got %q", c.shard, m.Name, got[i])
			}
		}
	}

	// What is wrong is said, of each member once, and the others are read.
	wrong := []store.Member{
		{Name: "none"}, placed[0], {Name: placed[1].Name, Offset: placed[1].Offset + 512, Size: placed[1].Size},
		{Name: placed[2].Name, Offset: placed[2].Offset, Size: placed[2].Size + 1}, {Name: "plain2.jpg", Offset: placed[0].Offset, Size: placed[0].Size},
		{Name: placed[3].Name, Offset: 1, Size: 10}, {Name: placed[3].Name, Offset: 1 << 40, Size: 10}, placed[4],
	}
	good := []int{1, 7}
	calls := make([]int, len(wrong))
	err := s.Members(t.Context(), "s3://photos/plain.tar", wrong, store.NewBudget(1<<20), func(i int, d store.Data, err error) {
		calls[i]++
		if (err == nil) != slices.Contains(good, i) {
			t.Errorf("member %d: %v", i, err)
		}
	})
	if err != nil || slices.ContainsFunc(calls, func(n int) bool { return n != 1 }) {
		t.Errorf("%v, calls %v", err, calls)
	}
	for _, name := range []string{"s3://photos/cut.tar", "s3://photos/none.tar", "ftp://x"} {
		failed := 0
		err := s.Members(t.Context(), name, named, store.NewBudget(1<<20), func(i int, d store.Data, err error) {
			if err != nil {
				failed++
			}
		})
		if err != nil || failed == 0 {
			t.Errorf("%s: %v, %d failed", name, err, failed)
		}
	}
}

// cutting ends the connection after so many bytes.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(b []byte) (int, error) {
	if c.left -= len(b); c.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(b)
}

func TestCanceled(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := store.New(store.Options{}).Read(ctx, server.URL, store.NewBudget(1))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// A large bucket is listed a page at a time: a name is there after one request.
func TestList(t *testing.T) {
	if testing.Short() {
		t.Skip("100,000 objects in a fake server take a while")
	}
	const objects = 100_000
	var asked atomic.Int32
	backend, server := fakeS3(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			h.ServeHTTP(w, r)
		})
	})
	for i := range objects {
		put(t, backend, fmt.Sprintf("photos/%06d.jpg", i), nil)
	}
	put(t, backend, "other", nil)
	s := store.New(store.Options{S3: query(server.URL)})
	n := 0
	err := s.List(t.Context(), "s3://photos/photos/", func(name string) error {
		if want := fmt.Sprintf("s3://photos/photos/%06d.jpg", n); name != want {
			t.Fatalf("got %s, want %s", name, want)
		}
		if page := n/1000 + 1; int(asked.Load()) != page {
			t.Fatalf("object %d: asked %d times, want %d", n, asked.Load(), page)
		}
		n++
		return nil
	})
	if err != nil || n != objects {
		t.Errorf("%d objects, %v", n, err)
	}
	enough := errors.New("enough")
	asked.Store(0)
	if err := s.List(t.Context(), "s3://photos/", func(string) error { return enough }); err != enough || asked.Load() != 1 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}
}
