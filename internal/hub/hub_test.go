package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// TestMain makes this program the other process of TestPullAfterKill.
func TestMain(m *testing.M) {
	if mirror := os.Getenv("HUB_TEST_MIRROR"); mirror != "" {
		c := Client{Dir: os.Getenv("HUB_TEST_DIR"), Mirror: mirror, StallTimeout: time.Hour} // it waits until it is killed
		_, err := c.Pull(context.Background(), weights)
		log.Fatalf("Pull returned: %v", err)
	}
	m.Run()
}

// put writes a file of the cache.
func put(t testing.TB, c Client, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, c Client) []string {
	t.Helper()
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestPullTwice(t *testing.T) {
	s := serve(t, whole)
	c := s.client(t)
	var last int64
	c.Progress = func(name string, done, total int64) {
		if name != "test" || done <= last || total != size {
			t.Errorf("progress of %q: %d after %d of %d", name, done, last, total)
		}
		last = done
	}
	for range 2 {
		path, err := c.Pull(t.Context(), weights)
		if err != nil || path != c.Path(weights) {
			t.Fatalf("%q, %v", path, err)
		}
	}
	if last != size {
		t.Errorf("progress ends at %d of %d", last, size)
	}
	if n := len(s.asked()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	if diff := cmp.Diff([]string{"test.pth", "test.pth.lock"}, files(t, c)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestPullReplacesDamagedFile(t *testing.T) {
	c := serve(t, whole).client(t)
	put(t, c, "test.pth", content[:half])
	if diff := cmp.Diff(State{Cached: true, Bytes: half}, c.State(weights)); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	wrong, ok := errors.AsType[*HashError](c.Verify(weights))
	if !ok || wrong.Bytes != half || wrong.Want != weights.SHA256 || wrong.File != c.Path(weights) {
		t.Errorf("Verify: %+v", wrong)
	}
	if _, err := c.Pull(t.Context(), weights); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(weights); err != nil {
		t.Error(err)
	}
}

func TestCanceledPullIsContinued(t *testing.T) {
	s := serve(t, stall(half), whole)
	c := s.client(t)
	ctx, cancel := context.WithCancel(t.Context())
	c.Progress = func(_ string, done, _ int64) {
		if done == half {
			cancel()
		}
	}
	if _, err := c.Pull(ctx, weights); !errors.Is(err, context.Canceled) || errors.As(err, new(*PullError)) {
		t.Fatalf("error %v, want context.Canceled alone", err)
	}
	if diff := cmp.Diff(State{Partial: half}, c.State(weights)); diff != "" {
		t.Errorf("after cancel (-want +got):\n%s", diff)
	}
	var first int64
	c.Progress = func(_ string, done, total int64) {
		if first == 0 {
			first = done
		}
		if total != size {
			t.Errorf("total %d of the rest, want the file's %d", total, size)
		}
	}
	if _, err := c.Pull(t.Context(), weights); err != nil {
		t.Fatal(err)
	}
	if first <= half {
		t.Errorf("progress starts at %d, want more than the %d that were there", first, half)
	}
	if diff := cmp.Diff([]string{"", `bytes=100000- "v1"`}, s.asked()); diff != "" {
		t.Errorf("ranges asked for (-want +got):\n%s", diff)
	}
}

// What a crash or a person may leave in the cache must not stop a Pull.
func TestPullOverRemains(t *testing.T) {
	tests := []struct {
		name            string
		part, validator []byte
		requests        []string
	}{
		{"all but the rename", content, []byte(`"v1"`), nil},
		{"no validator", content[:half], nil, []string{""}},
		{"zeroed validator", content[:half], make([]byte, 4), []string{""}},
		{"header injection", content[:half], []byte("\"v1\"\r\nX: y"), []string{""}},
		{"old version", content[:half], []byte(`"v0"`), []string{`bytes=100000- "v0"`}},
		{"empty part", nil, []byte(`"v1"`), []string{""}},
		{"huge part", make([]byte, 2*size+1), []byte(`"v1"`), []string{""}},
		{"more than the file", append(bytes.Clone(content), 0), []byte(`"v1"`), []string{`bytes=200001- "v1"`, ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, whole)
			c := s.client(t)
			put(t, c, "test.pth.part", test.part)
			if test.validator != nil {
				put(t, c, "test.pth.part.if-range", test.validator)
			}
			put(t, c, "test.pth.lock", nil)
			if _, err := c.Pull(t.Context(), weights); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.requests, s.asked()); diff != "" {
				t.Errorf("ranges asked for (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"test.pth", "test.pth.lock"}, files(t, c)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConcurrentPullsDownloadOnce(t *testing.T) {
	s := serve(t, cut(half), whole)
	c := s.client(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := c.Pull(t.Context(), weights); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(s.asked()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	if err := c.Verify(weights); err != nil {
		t.Error(err)
	}
}

func TestPullAfterKill(t *testing.T) {
	s := serve(t, stall(half), whole)
	c := s.client(t)
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), "HUB_TEST_MIRROR="+c.Mirror, "HUB_TEST_DIR="+c.Dir)
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() {
		other.Process.Kill()
		other.Wait()
	})
	defer kill()
	for c.State(weights).Partial < half {
		time.Sleep(time.Millisecond)
	}

	// While the other one holds the lock, a Pull waits, and can be canceled.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Pull(ctx, weights); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v while the lock is held, want context.DeadlineExceeded", err)
	}
	if n := len(s.asked()); n != 1 {
		t.Errorf("%d requests while the lock is held, want 1", n)
	}
	kill()
	if _, err := c.Pull(t.Context(), weights); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"", `bytes=100000- "v1"`}, s.asked()); diff != "" {
		t.Errorf("ranges asked for (-want +got):\n%s", diff)
	}
}

// Without a server the error names the URL, the path and the command.
func TestPullWithoutServer(t *testing.T) {
	s := serve(t, whole)
	c := s.client(t)
	c.RetryDelay = time.Hour                  // fails at once, or this test never ends
	c.Mirror = "http://me:secret@127.0.0.1:1" // a port that no system gives to another test
	offline := c
	offline.Offline = true
	damaged := s.client(t)
	damaged.Offline = true
	put(t, damaged, "test.pth", content[:half])
	tests := []struct {
		name   string
		client Client
		cause  string
	}{
		{"no network", c, "connect"},
		{"offline", offline, "offline, and open "},
		{"offline and damaged", damaged, "offline, and " + damaged.Path(weights) + ": wrong content"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.client.Pull(t.Context(), weights)
			if !errors.As(err, new(*PullError)) {
				t.Fatalf("error %v, want a *PullError", err)
			}
			address := strings.Replace(test.client.URL(weights), "secret", "xxxxx", 1)
			for _, want := range []string{test.cause, address, test.client.Path(weights), "mobilenet weights verify test"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("a password in: %v", err)
			}
		})
	}
}

func TestPullIntoUnwritableFolder(t *testing.T) {
	s := serve(t, whole)
	cacheFails := func(t *testing.T, c Client) {
		t.Helper()
		_, err := c.Pull(t.Context(), weights)
		if err == nil || !strings.Contains(err.Error(), "MOBILENET_CACHE") {
			t.Errorf("error %v does not tell about MOBILENET_CACHE", err)
		}
	}
	t.Run("a file instead of the folder", func(t *testing.T) {
		c := s.client(t)
		put(t, c, "file", nil)
		c.Dir = filepath.Join(c.Dir, "file")
		cacheFails(t, c)
	})
	t.Run("a folder instead of the file", func(t *testing.T) {
		c := s.client(t)
		if err := os.MkdirAll(c.Path(weights), 0o755); err != nil {
			t.Fatal(err)
		}
		cacheFails(t, c)
	})
	t.Run("a folder instead of the part", func(t *testing.T) {
		c := s.client(t)
		if err := os.MkdirAll(filepath.Join(c.Path(weights)+".part", "x"), 0o755); err != nil {
			t.Fatal(err)
		}
		cacheFails(t, c)
	})
	t.Run("read-only", func(t *testing.T) {
		c := s.client(t)
		put(t, c, "other", nil)
		if err := os.Chmod(c.Dir, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(c.Dir, 0o755) })
		if os.WriteFile(filepath.Join(c.Dir, "probe"), nil, 0o644) == nil {
			testenv.Skip(t, "unprivileged", "this user may write to read-only folders")
		}
		cacheFails(t, c)
	})
	t.Run("read-only but complete", func(t *testing.T) {
		c := s.client(t)
		put(t, c, "test.pth", content)
		if err := os.Chmod(c.Dir, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(c.Dir, 0o755) })
		if _, err := c.Pull(t.Context(), weights); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"test.pth"}, files(t, c)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	})
}

func TestVerifyAbsent(t *testing.T) {
	c := Client{Dir: t.TempDir()}
	if err := c.Verify(weights); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
	if s := c.State(weights); s != (State{}) {
		t.Errorf("state %+v of an empty cache", s)
	}
}

func TestFromEnv(t *testing.T) {
	home := t.TempDir()
	t.Chdir(home)
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("LocalAppData", home)
	user, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd() // on darwin not home itself, but where its link leads
	if err != nil {
		t.Fatal(err)
	}
	absolute := filepath.Join(home, "a", "b")
	tests := []struct {
		cache, mirror string
		dir, url, err string
	}{
		{"", "", filepath.Join(user, "mobilenet"), "https://download.pytorch.org/models/test.pth", ""},
		{absolute, "http://mirror:8000", absolute, "http://mirror:8000/test.pth", ""},
		{"absent/folder", "https://mirror/a/b/", filepath.Join(here, "absent", "folder"), "https://mirror/a/b/test.pth", ""},
		{"", "mirror.example.com", "", "", "MOBILENET_MIRROR"},
		{"", "ftp://mirror/", "", "", "MOBILENET_MIRROR"},
		{"", "http:///path", "", "", "MOBILENET_MIRROR"},
		{"", "http://me:secret@[::1", "", "", "MOBILENET_MIRROR: missing"},
	}
	for _, test := range tests {
		t.Setenv("MOBILENET_CACHE", test.cache)
		t.Setenv("MOBILENET_MIRROR", test.mirror)
		c, err := FromEnv()
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "secret") {
				t.Errorf("mirror %q: error %v, want %s in it", test.mirror, err, test.err)
			}
			continue
		}
		if err != nil || c.Dir != test.dir || c.URL(weights) != test.url {
			t.Errorf("%q, %q: %q, %q, %v; want %q, %q", test.cache, test.mirror, c.Dir, c.URL(weights), err, test.dir, test.url)
		}
	}
}

func TestFromEnvWithoutHome(t *testing.T) {
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData", "MOBILENET_CACHE", "MOBILENET_MIRROR"} {
		t.Setenv(name, "")
	}
	if _, err := FromEnv(); err == nil || !strings.Contains(err.Error(), "set MOBILENET_CACHE") {
		t.Errorf("error %v does not tell about MOBILENET_CACHE", err)
	}
}

func TestPullIntoAbsentRelativeFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("MOBILENET_CACHE", filepath.Join("absent", "folder"))
	t.Setenv("MOBILENET_MIRROR", serve(t, whole).URL)
	c, err := FromEnv()
	if err != nil {
		t.Fatal(err)
	}
	path, err := c.Pull(t.Context(), weights)
	if err != nil || !filepath.IsAbs(path) {
		t.Fatalf("%q, %v", path, err)
	}
	if _, err := os.Stat(filepath.Join("absent", "folder", "test.pth")); err != nil {
		t.Error(err)
	}
}

func TestLookup(t *testing.T) {
	for _, w := range List() {
		if got, ok := Lookup(w.Name); !ok || got != w {
			t.Errorf("Lookup(%q) = %+v, %v", w.Name, got, ok)
		}
		if len(w.SHA256) < 8 || !strings.Contains(w.File, w.SHA256) || w.Bytes == 0 {
			t.Errorf("%+v lacks a hash or a size", w)
		}
	}
	if _, ok := Lookup("imagenet1k"); ok {
		t.Error("found weights that don't exist")
	}
}

func TestListEqualsTorchvision(t *testing.T) {
	const script = `
import json
from torchvision.models import MobileNet_V2_Weights
json.dump([{
    "Name": w.name.lower(),
    "URL": w.url,
    "Acc1": w.meta["_metrics"]["ImageNet-1K"]["acc@1"],
    "Acc5": w.meta["_metrics"]["ImageNet-1K"]["acc@5"],
    "Resize": w.transforms().resize_size[0],
    "Interpolation": w.transforms().interpolation.value,
    "Mean": w.transforms().mean,
    "Std": w.transforms().std,
} for w in MobileNet_V2_Weights], __import__("sys").stdout)`
	type facts struct {
		Name, URL     string
		Acc1, Acc5    float64
		Resize        int
		Interpolation string
		Mean, Std     [3]float32
	}
	text, err := exec.Command(testenv.SystemPython(t, "torchvision"), "-c", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want, got []facts
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for _, w := range List() {
		p := w.Preprocess
		got = append(got, facts{w.Name, Client{}.URL(w), w.Acc1, w.Acc5, p.Resize, string(p.Interpolation), p.Mean, p.Std})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-torchvision +ours:\n%s", diff)
	}
}

// The cost of hashing on each Pull, on a file of the size of the real ones.
func BenchmarkPullCached(b *testing.B) {
	c := Client{Dir: b.TempDir()}
	put(b, c, "test.pth", bytes.Repeat([]byte{1}, 14_213_000))
	w := Weights{File: "test.pth"} // every hash begins with no digits
	b.SetBytes(14_213_000)
	for b.Loop() {
		if _, err := c.Pull(b.Context(), w); err != nil {
			b.Fatal(err)
		}
	}
}
