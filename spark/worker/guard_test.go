//go:build unix

package worker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/spark/store"
)

// TestMain is also the worker's process of the tests below. It dies of photos that end in
// the name of a signal, and exits of others.
func TestMain(m *testing.M) {
	if os.Getenv("MOBILENET_TEST_GUARDED") == "" {
		os.Exit(m.Run())
	}
	if err := deadly(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func deadly(ctx context.Context) error {
	c, err := mobilenet.Open(ctx, "fashion-mnist", mobilenet.WithThreads(1))
	if err != nil {
		return err
	}
	w, err := New(ctx, c, "digest", "version", store.New(store.Options{}), Options{Top: 1, Batch: 4})
	if err != nil {
		return err
	}
	prepare := w.prepare
	w.prepare = func(ctx context.Context, data []byte) (*mobilenet.Prepared, error) {
		switch {
		case bytes.HasSuffix(data, []byte("SEGV")):
			syscall.Kill(os.Getpid(), syscall.SIGSEGV)
			select {}
		case bytes.HasSuffix(data, []byte("KILL")):
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		case bytes.HasSuffix(data, []byte("FATAL")): // as of no memory, or of maps that two write
			os.Exit(2)
		case bytes.HasSuffix(data, []byte("ONCE")):
			if os.Remove(os.Getenv("MOBILENET_TEST_GUARDED")) == nil {
				os.Exit(2)
			}
		case bytes.HasSuffix(data, []byte("UNREACHABLE")):
			fmt.Fprintln(os.Stderr, "no network")
			os.Exit(1)
		}
		return prepare(ctx, data)
	}
	return w.Guarded(ctx, os.Stdin, os.Stdout)
}

// guardedRun gives rows to guarded workers. once is a file that is removed by who dies once.
func guardedRun(t *testing.T, in, once string) (out string, children int, err error) {
	t.Helper()
	var b bytes.Buffer
	err = Guard(t.Context(), strings.NewReader(in), &b, func(ctx context.Context) *exec.Cmd {
		children++
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), "MOBILENET_TEST_GUARDED="+once)
		return cmd
	})
	return b.String(), children, err
}

// ending writes a photo with something behind its end.
func ending(t *testing.T, path string, seed uint64, end string) {
	t.Helper()
	write(t, path, seed)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(end); err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// Photos that kill the process have errors, all others the results that they have anyway,
// each once.
func TestGuard(t *testing.T) {
	dir := t.TempDir()
	w, _ := open(t, "fashion-mnist", Options{Top: 1, Batch: 4})
	ends := map[int]string{3: "SEGV", 4: "KILL", 40: "FATAL", 70: "ONCE", 99: "SEGV"}
	var in, harmless strings.Builder
	for i := range 100 {
		path := filepath.Join(dir, fmt.Sprintf("%d\t\n😀", i))
		ending(t, path, uint64(i), ends[i])
		in.WriteString(rowOf(path))
		if i%10 == 0 {
			fmt.Fprintf(&in, "\n  \nno row %d\n", i)
		}
		if ends[i] == "" || ends[i] == "ONCE" {
			harmless.WriteString(rowOf(path))
		}
	}
	in.WriteString(strings.Repeat("long", maxLine) + "\n")
	once := filepath.Join(dir, "once")
	if err := os.WriteFile(once, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	out, children, err := guardedRun(t, in.String(), once)
	if err != nil {
		t.Fatal(err)
	}
	want := run(t, w, harmless.String())
	bad, deaths := map[string]bool{}, map[string]string{}
	for text := range strings.Lines(out) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		switch _, cause, died := strings.Cut(l.Error, "the worker's process dies of it: "); {
		case l.Path == "":
			bad[l.Error] = true
		case died:
			deaths[filepath.Base(l.Path)] += cause // twice, if it is there twice
		default:
			if w, ok := want[l.Path]; !ok || l.Error != "" || len(l.Predictions) != 1 || w.Predictions[0] != l.Predictions[0] {
				t.Errorf("%q: got %+v, want %+v", l.Path, l, w)
			}
			delete(want, l.Path)
		}
	}
	if len(want) > 0 {
		t.Errorf("no results of %d photos", len(want))
	}
	if len(bad) != 11 || !bad["line 4: not a JSON object"] || !bad["line 131: a row of more than 1 MiB"] {
		t.Errorf("lines that are no rows: %v", bad)
	}
	wantDeaths := map[string]string{"3": "exit status 2", "4": "signal: killed", "40": "exit status 2", "99": "exit status 2"}
	for i, cause := range wantDeaths {
		if got := deaths[i+"\t\n😀"]; !strings.HasPrefix(got, cause) || strings.Count(got, cause) > 1 {
			t.Errorf("photo %s: %q, want %q", i, got, cause)
		}
	}
	if len(deaths) != len(wantDeaths) || children > 15 {
		t.Errorf("%d deaths, %d processes: %v", len(deaths), children, deaths)
	}
}

// Members of a shard are read together; a group of rows that is waited for is all there is.
func TestGuardShard(t *testing.T) {
	dir := t.TempDir()
	shard := filepath.Join(dir, "photos.tar")
	f, err := os.Create(shard)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(f)
	var in strings.Builder
	for i := range 40 {
		path := filepath.Join(dir, fmt.Sprint(i))
		ending(t, path, uint64(i), map[int]string{21: "KILL"}[i])
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		err1 := archive.WriteHeader(&tar.Header{Name: fmt.Sprint(i), Size: int64(len(data)), Mode: 0o666})
		_, err2 := archive.Write(data)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&in, "{\"path\":%q,\"member\":\"%d\"}\n", shard, i)
	}
	if err := errors.Join(archive.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	out, children, err := guardedRun(t, in.String(), "none")
	if err != nil {
		t.Fatal(err)
	}
	if children != 4 || strings.Count(out, "\n") != 40 || strings.Count(out, `"predictions"`) != 39 || strings.Count(out, "dies of it: signal: killed") != 1 {
		t.Errorf("%d processes: %s", children, out)
	}
}

// What the worker itself gives up for is the guard's error, without another try: the
// engine has them.
func TestGuardGivesUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "photo")
	ending(t, path, 1, "UNREACHABLE")
	out, children, err := guardedRun(t, rowOf(path), "none")
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || children != 1 || out != "" {
		t.Errorf("%d processes, %v, %s", children, err, out)
	}
	if out, children, err := guardedRun(t, "", "none"); err != nil || children != 1 || out != "" {
		t.Errorf("nothing to do: %d processes, %v, %s", children, err, out)
	}
}
