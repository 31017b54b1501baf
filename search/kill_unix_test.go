//go:build unix

package search

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// appendForever is the environment of a process that does nothing but append to an index.
const appendForever = "MOBILENET_TEST_APPEND"

func TestMain(m *testing.M) {
	if path := os.Getenv(appendForever); path != "" {
		fmt.Fprintln(os.Stderr, appendAll(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// numbered is the row of number i: it can be told from all others.
func numbered(i int) []float32 {
	v := make([]float32, 100)
	for k := range v {
		v[k] = float32((i+1)*(k+1)%1009) / 8
	}
	return v
}

// appendAll appends rows, a few at a time, and prints how many are committed.
func appendAll(path string) error {
	w, err := Append(path)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	for {
		for range 1 + rng.IntN(400) {
			if err := w.Add(name(w.Len()), numbered(w.Len())); err != nil {
				return err
			}
		}
		if err := w.Commit(); err != nil {
			return err
		}
		fmt.Println(w.Len())
	}
}

// TestKilled kills processes that append. Each time the index has at least what was
// committed, whole and in order, and the next process goes on.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.mnidx")
	w, err := Create(path, meta(100), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	rng, last := rand.New(rand.NewPCG(7, 8)), 0
	for range rounds {
		said := killed(t, path, time.Duration(rng.IntN(60_000))*time.Microsecond)
		x, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Verify(); err != nil {
			t.Fatal(err)
		}
		if x.Len() < max(said, last) {
			t.Fatalf("%d rows; %d were committed", x.Len(), max(said, last))
		}
		for row := last; row < x.Len(); row++ {
			got, err := x.Row(row, nil)
			if err != nil || x.Path(row) != name(row) || fmt.Sprint(got) != fmt.Sprint(numbered(row)) {
				t.Fatalf("row %d of %d: %s, %v", row, x.Len(), x.Path(row), err)
			}
		}
		last = x.Len()
		x.Close()
	}
	t.Log(last, "rows")
}

// killed starts a process that appends, kills it so long after its first commit, and
// returns how many rows it has said to be committed.
func killed(t *testing.T, path string, after time.Duration) (said int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), appendForever+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	begun := false
	for lines.Scan() {
		if said, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if !begun {
			begun = true
			time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
	}
	if cmd.Wait() == nil || !begun {
		t.Fatal("the process ended by itself")
	}
	return said
}

// TestTwoAppend has the second process that appends be refused, and readers not.
func TestTwoAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.mnidx")
	w, err := Create(path, meta(3), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := Append(path); err == nil || !strings.Contains(err.Error(), "another process is appending") {
		t.Errorf("a second one: %v", err)
	}
	if err := w.Add("a.jpg", []float32{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	x, err := Open(path)
	if err != nil || x.Len() != 0 {
		t.Fatalf("%v", err)
	}
	defer x.Close()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if x.Len() != 0 { // as it was when it was opened
		t.Errorf("%d rows", x.Len())
	}
	again, err := Append(path)
	if err != nil || again.Len() != 1 || !again.Has("a.jpg") || again.Has("b.jpg") {
		t.Fatalf("%v", err)
	}
	if _, err := Create(path, meta(3), nil); err == nil {
		t.Error("an index was made over another one")
	}
	again.Close()
}

// TestTornCommit has what a crash leaves of the second commit not count.
func TestTornCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.mnidx")
	writeGolden(t, path)
	b := readFile(t, path)
	_, slot, err := readCommit(file{strings.NewReader(string(b))}, int64(len(b)), metaAt)
	if err != nil {
		t.Fatal(err)
	}
	for torn := range commitSize - 4 { // the sector has its first bytes only
		cut := append([]byte(nil), b...)
		clear(cut[commitAt[slot]+int64(torn):][:commitSize-torn])
		if err := os.WriteFile(path, cut, 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := Append(path)
		if err != nil || w.Len() != 9 {
			t.Fatalf("%d bytes: %v", torn, err)
		}
		if err := w.Add("z.jpg", []float32{1, 2, 3}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		x, err := Open(path)
		if err != nil || x.Len() != 10 || x.Path(9) != "z.jpg" || x.Verify() != nil {
			t.Fatalf("%d bytes: %v", torn, err)
		}
		x.Close()
	}
}
