package store_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/fsouza/fake-gcs-server/fakestorage"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/spark/store"
)

// A cloud is somebody's server of one of the protocols, with a bucket called photos.
type cloud struct {
	scheme  string
	options store.Options
	put     func(t *testing.T, key string, data []byte)
	keys    []string // hostile ones that it takes
	// trouble answers a request in the server's place, if it returns true.
	trouble *atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
}

// troubled puts trouble before a server.
func (c *cloud) troubled(h http.Handler) http.Handler {
	c.trouble = &atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := c.trouble.Load(); f == nil || !(*f)(w, r) {
			h.ServeHTTP(w, r)
		}
	})
}

func (c *cloud) open(t *testing.T, stall time.Duration) *store.Store {
	t.Helper()
	o := c.options
	o.Tries, o.Wait, o.Stall = 4, time.Millisecond, stall
	s := store.New(o)
	t.Cleanup(func() { s.Close() })
	return s
}

func serve(t *testing.T, h http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func s3Cloud(t *testing.T) *cloud {
	c := &cloud{scheme: "s3", keys: hostile}
	backend, server := fakeS3(t, c.troubled)
	c.options.S3 = query(server.URL)
	c.put = func(t *testing.T, key string, data []byte) { put(t, backend, key, data) }
	return c
}

// googleCloud is fake-gcs-server. It cleans the paths of its requests, as Google does not.
func googleCloud(t *testing.T) *cloud {
	c := &cloud{scheme: "gs", options: store.Options{GS: "anonymous=true"}}
	var fake *fakestorage.Server
	server := serve(t, c.troubled(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fake.HTTPHandler().ServeHTTP(w, r) })))
	host := strings.TrimPrefix(server.URL, "http://")
	var err error
	if fake, err = fakestorage.NewServerWithOptions(fakestorage.Options{NoListener: true, PublicHost: host, Writer: io.Discard}); err != nil {
		t.Fatal(err)
	}
	fake.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: "photos"})
	t.Setenv("STORAGE_EMULATOR_HOST", host)
	c.put = func(t *testing.T, key string, data []byte) {
		fake.CreateObject(fakestorage.Object{ObjectAttrs: fakestorage.ObjectAttrs{BucketName: "photos", Name: key}, Content: data})
	}
	c.keys = slices.DeleteFunc(slices.Clone(hostile), func(k string) bool {
		return k == ".." || strings.Contains(k, "../") || strings.Contains(k, "//") || strings.ContainsAny(k, "\n\r")
	})
	return c
}

// azureCloud is azurite, with the account and the key that all of them have.
func azureCloud(t *testing.T) *cloud {
	program := os.Getenv("MOBILENET_AZURITE")
	if program == "" {
		var err error
		if program, err = exec.LookPath("azurite-blob"); err != nil {
			testenv.Skip(t, "azurite", "npm install -g azurite has it; or MOBILENET_AZURITE says where azurite-blob is")
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	_, port, _ := net.SplitHostPort(address)
	var said bytes.Buffer
	cmd := exec.Command(program, "--blobPort", port, "--inMemoryPersistence", "--skipApiVersionCheck", "--silent")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	for try := 0; ; try++ {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		select {
		case <-ended:
			t.Fatalf("azurite ended: %s", said.String())
		case <-time.After(100 * time.Millisecond):
		}
		if try == 1800 { // a loaded machine takes minutes to start Node
			t.Fatal("azurite doesn't start: ", err)
		}
	}
	c := &cloud{scheme: "azblob"}
	server := serve(t, c.troubled(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})))
	t.Setenv("AZURE_STORAGE_ACCOUNT", "devstoreaccount1")
	t.Setenv("AZURE_STORAGE_KEY", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==")
	c.options.Azure = "protocol=http&localemu=true&storage_account=devstoreaccount1&domain=" + strings.TrimPrefix(server.URL, "http://")
	key, err := container.NewSharedKeyCredential(os.Getenv("AZURE_STORAGE_ACCOUNT"), os.Getenv("AZURE_STORAGE_KEY"))
	if err != nil {
		t.Fatal(err)
	}
	photos, err := container.NewClientWithSharedKeyCredential(server.URL+"/devstoreaccount1/photos", key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := photos.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c.put = func(t *testing.T, key string, data []byte) {
		if _, err := photos.NewBlockBlobClient(key).UploadBuffer(t.Context(), data, nil); err != nil {
			t.Fatal(err)
		}
	}
	c.keys = slices.DeleteFunc(slices.Clone(hostile), func(k string) bool { // see docs/spark.md
		return strings.ContainsAny(k, "\x00\x01\t\n\r\x7f\"#%?\\") || strings.Contains(k, "../") || k == ".." || strings.Contains(k, "//") || strings.HasSuffix(k, "/")
	})
	return c
}

var clouds = map[string]func(*testing.T) *cloud{"S3": s3Cloud, "Google": googleCloud, "Azure": azureCloud}

// Over each protocol: names are literal, in reading and in lists; what is not there is
// told from a bucket that is not; parts are read.
func TestClouds(t *testing.T) {
	for name, start := range clouds {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			s := c.open(t, patience)
			want := map[string]bool{}
			for _, key := range c.keys {
				data := []byte("photo " + key)
				c.put(t, key, data)
				at := c.scheme + "://photos/" + key
				if got, err := read(t, s, at); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%q: got %q, %v", key, got, err)
				}
				want[at] = true
			}
			if name == "S3" { // gofakes3 lists control characters in XML, which has none
				return
			}
			err := s.List(t.Context(), c.scheme+"://photos", func(at string) error {
				if !want[at] {
					t.Errorf("a list has %q", at)
				}
				delete(want, at)
				return nil
			})
			if err != nil || len(want) > 0 {
				t.Errorf("%v; a list lacks %v", err, want)
			}
		})
	}
}

// What is not there, what is throttled, refused, slow or breaks off, over each protocol:
// tried again by the store alone, as often as it was told, and then told apart.
func TestCloudTroubles(t *testing.T) {
	for name, start := range clouds {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			c.put(t, "a.jpg", bytes.Repeat([]byte("photo"), 10_000))
			c.put(t, "b.jpg", []byte("small"))
			plain, members := shard(t, tar.FormatPAX)
			c.put(t, "s.tar", plain)
			bucket := c.scheme + "://photos/"

			var asked atomic.Int32
			meet := func(times int32, f http.HandlerFunc) {
				asked.Store(0)
				trouble := func(w http.ResponseWriter, r *http.Request) bool {
					if strings.HasSuffix(r.URL.Path, "/b.jpg") { // is well, and read again where the last time is seconds ago
						return false
					}
					if n := asked.Add(1); n > times {
						return false
					}
					f(w, r)
					return true
				}
				c.trouble.Store(&trouble)
			}
			answer := func(code int, cause string) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "application/xml")
					w.WriteHeader(code)
					fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>%[1]s</Message></Error>`, cause)
				}
			}
			stall := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
			breakOff := func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "50000")
				w.Write(make([]byte, 1000))
				panic(http.ErrAbortHandler)
			}
			const always = 1 << 30
			for _, k := range []struct {
				name  string
				times int32
				f     http.HandlerFunc
				asked int32
				fatal string // a part of the error that ends the task; "" for a photo
			}{
				{"throttled by 503", 2, answer(503, "SlowDown"), 3, ""},
				{"throttled by 429", 3, answer(429, "TooManyRequests"), 4, ""},
				{"stalled", 1, stall, 2, ""},
				{"broken off", 2, breakOff, 3, ""},
				{"throttled for ever", always, answer(503, "SlowDown"), 4, "503"},
				{"refused", always, answer(403, "AccessDenied"), 4, "403"},
			} {
				stalling(t, k.name == "stalled", func(stall time.Duration) string {
					meet(k.times, k.f)
					got, err := read(t, c.open(t, stall), bucket+"a.jpg")
					n := asked.Load()
					switch {
					case n != k.asked:
						return fmt.Sprintf("%s: asked %d times, want %d: %v", k.name, n, k.asked, err)
					case k.fatal == "" && (err != nil || len(got) != 50_000 || !bytes.HasSuffix(got, []byte("photo"))):
						return fmt.Sprintf("%s: %d bytes, %v", k.name, len(got), err)
					case k.fatal != "" && (!store.Fatal(t.Context(), err) || !strings.Contains(err.Error(), k.fatal)):
						return fmt.Sprintf("%s: %v", k.name, err)
					}
					return ""
				})
			}
			meet(2, answer(503, "SlowDown"))
			n := 0
			if err := c.open(t, patience).List(t.Context(), bucket, func(string) error { n++; return nil }); err != nil || n != 3 || asked.Load() != 3 {
				t.Errorf("a throttled list has %d names, %v", n, err)
			}
			c.trouble.Store(nil)

			s := c.open(t, patience)
			if _, err := read(t, s, bucket+"none.jpg"); err == nil || store.Fatal(t.Context(), err) {
				t.Errorf("an object that is not there: %v", err)
			}
			if _, err := read(t, s, c.scheme+"://nowhere/a.jpg"); !store.Fatal(t.Context(), err) || !strings.Contains(err.Error(), "no such bucket") {
				t.Errorf("a bucket that is not there: %v", err)
			}
			if _, err := read(t, s, bucket+"b.jpg"); err != nil {
				t.Error(err)
			}
			meet(always, answer(403, "AccessDenied")) // an object's own, as another one was read
			if _, err := read(t, s, bucket+"a.jpg"); err == nil || store.Fatal(t.Context(), err) || asked.Load() != 1 {
				t.Errorf("one object refused: %v, asked %d times", err, asked.Load())
			}
			meet(1, breakOff)
			got := map[string]string{}
			err := s.Members(t.Context(), bucket+"s.tar", members, store.NewBudget(1<<20), func(i int, d store.Data, err error) {
				if err != nil {
					t.Errorf("%q: %v", members[i].Name, err)
					return
				}
				got[members[i].Name] = string(d.Bytes)
				d.Release()
			})
			if err != nil || len(got) != len(members) || got["plain.jpg"] != "photo plain.jpg" {
				t.Errorf("a shard: %v, %d of %d members", err, len(got), len(members))
			}
		})
	}
}
