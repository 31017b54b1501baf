package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/spark/store"
	"github.com/mobilenet-go/mobilenet/spark/worker/rowjson"
)

// line is a result as others read it.
type line struct {
	Path, Member, Error, Model, Version string
	Predictions                         []mobilenet.Prediction
	Embedding                           []float32
}

func open(t *testing.T, model string, o Options) (*Worker, *mobilenet.Classifier) {
	t.Helper()
	c, err := mobilenet.Open(t.Context(), model, mobilenet.WithThreads(1))
	if err != nil {
		t.Fatal(err)
	}
	s := store.New(store.Options{Tries: 2, Wait: time.Millisecond})
	t.Cleanup(func() { s.Close() })
	w, err := New(t.Context(), c, "digest", "version", s, o)
	if err != nil {
		t.Fatal(err)
	}
	return w, c
}

// run gives rows to the worker as lines, and returns the results by path.
func run(t *testing.T, w *Worker, in string) map[string]line {
	t.Helper()
	var out bytes.Buffer
	if err := w.Lines(t.Context(), strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	results := map[string]line{}
	for text := range strings.Lines(out.String()) {
		var l line
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		key := l.Path + l.Member
		if _, twice := results[key]; twice {
			t.Errorf("%q has two results", key)
		}
		if l.Model != "digest" || l.Version != "version" {
			t.Errorf("model %q, version %q", l.Model, l.Version)
		}
		results[key] = l
	}
	return results
}

// write writes a photo that is like no other.
func write(t *testing.T, path string, seed uint64) {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 40+int(seed%9), 40))
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range img.Pix {
		img.Pix[i] = byte(r.Uint32())
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

func rowOf(path string) string {
	b, _ := json.Marshal(Row{Path: path})
	return string(b) + "\n"
}

// Whatever the batch, results are those of the classifier to the bit, and every row has
// one, whatever it is.
func TestLines(t *testing.T) {
	dir := t.TempDir()
	for _, batch := range []int{1, 3, 16} {
		w, c := open(t, "fashion-mnist", Options{Top: 3, Embed: true, Batch: batch})
		var in strings.Builder
		want := map[string]line{}
		for i := range 20 {
			path := filepath.Join(dir, fmt.Sprintf("%d %q\t\n😀.png", i, "'"))
			write(t, path, uint64(i))
			in.WriteString(rowOf(path))
			img, err := mobilenet.DecodeFile(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			p, err1 := c.Classify(t.Context(), img, 3)
			e, err2 := c.Embed(t.Context(), img)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			want[path] = line{Path: path, Predictions: p, Embedding: e, Model: "digest", Version: "version"}
		}
		bad := map[string]string{ // and a part of the error
			"/none": "no such file", dir: "not a file", "nul\x00": "invalid argument", "gopher://x": "not read from here", "/etc/passwd": "not an image",
		}
		for path := range bad {
			in.WriteString(rowOf(path))
		}
		got := run(t, w, in.String())
		if len(got) != len(want)+len(bad) {
			t.Errorf("%d results for %d rows", len(got), len(want)+len(bad))
		}
		for path, part := range bad {
			if l := got[path]; !strings.Contains(l.Error, part) || l.Predictions != nil || l.Embedding != nil {
				t.Errorf("%q: got %+v, want an error with %q", path, l, part)
			}
			delete(got, path)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("batch %d: (-want +got)\n%s", batch, d)
		}
	}
}

func TestBadLines(t *testing.T) {
	w, _ := open(t, "fashion-mnist", Options{Top: 1})
	for in, want := range map[string]string{ // what lists of mobilenet and of --local say, too
		"x\n": "line 2: not a JSON object", "{}\n": "line 2: this row has no path", `{"path":""}`: "line 2: this row has no path", `["a"]`: "line 2: not a JSON object",
		`{"path":3}`: "line 2: path is no text", `{"path":"a","path":"a"}`: "line 2: two members are called path",
		strings.Repeat("x", 3*maxLine): "line 2: a row of more than 1 MiB",
	} {
		got := run(t, w, "\n"+in)
		if len(got) != 1 || got[""].Error != want {
			t.Errorf("%.20q: %+v, want %s", in, got, want)
		}
	}
	if got := run(t, w, ""); len(got) != 0 {
		t.Errorf("results of nothing: %v", got)
	}
}

// A photo that makes the program panic has an error, wherever it does.
func TestPanics(t *testing.T) {
	dir := t.TempDir()
	w, _ := open(t, "fashion-mnist", Options{Top: 1, Batch: 4})
	prepare := w.prepare
	w.prepare = func(ctx context.Context, data []byte) (*mobilenet.Prepared, error) {
		p, err := prepare(ctx, data)
		switch data[len(data)-1] {
		case 'p':
			panic("in a decoder")
		case 'i':
			p = nil // which the engine doesn't expect
		}
		return p, err
	}
	var in strings.Builder
	for i := range 12 {
		path := filepath.Join(dir, fmt.Sprint(i))
		write(t, path, uint64(i))
		in.WriteString(rowOf(path))
		if i%3 > 0 {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.WriteString("pi"[i%3-1 : i%3])
			f.Close()
		}
	}
	got := run(t, w, in.String())
	for i := range 12 {
		l := got[filepath.Join(dir, fmt.Sprint(i))]
		if wrong := i%3 > 0; wrong != (l.Error != "") || wrong == (len(l.Predictions) == 1) {
			t.Errorf("%d: %+v", i, l)
		}
	}
}

// Who writes a row and waits for its result before the next one gets it.
func TestConversation(t *testing.T) {
	dir := t.TempDir()
	w, _ := open(t, "fashion-mnist", Options{Top: 1})
	in, rows := io.Pipe()
	results, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- w.Lines(t.Context(), in, out) }()
	d := json.NewDecoder(results)
	for i := range 3 {
		path := filepath.Join(dir, fmt.Sprint(i))
		write(t, path, uint64(i))
		io.WriteString(rows, rowOf(path))
		var l line
		if err := d.Decode(&l); err != nil || l.Path != path {
			t.Fatalf("%v: %+v", err, l)
		}
	}
	rows.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A server that is down ends the task, even while rows are still to come.
func TestUnreachable(t *testing.T) {
	w, _ := open(t, "fashion-mnist", Options{Top: 1})
	in, rows := io.Pipe()
	go io.WriteString(rows, rowOf("http://127.0.0.1:1/a")) // a port that no system gives to another test
	err := w.Lines(t.Context(), in, io.Discard)
	if _, ok := errors.AsType[*store.Unreachable](err); !ok {
		t.Error(err)
	}
}

// Every float32 is read back as it was, by readers of float32 and by those of float64 that
// round afterwards, as Java's does.
func TestFloats(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 1_000_000 {
		v := math.Float32frombits(r.Uint32())
		if i%2 == 0 {
			v = r.Float32()
		}
		if v-v != 0 {
			continue
		}
		text := appendFloat(nil, v)
		var one float32
		var two float64
		if err := errors.Join(json.Unmarshal(text, &one), json.Unmarshal(text, &two)); err != nil {
			t.Fatal(err)
		}
		if math.Float32bits(one) != math.Float32bits(v) || math.Float32bits(float32(two)) != math.Float32bits(v) {
			t.Fatalf("%x became %s, and that %x and %x", math.Float32bits(v), text, math.Float32bits(one), math.Float32bits(float32(two)))
		}
	}
}

// The shared photos have the labels that torchvision gives them.
func TestShared(t *testing.T) {
	files, _ := testenv.NIPS17(t)
	w, c := open(t, testenv.Shared(t, "weights/mobilenet_v2_imagenet.pth"), Options{Top: 5})
	var in strings.Builder
	for _, f := range files[:32] {
		in.WriteString(rowOf(f))
	}
	got := run(t, w, in.String())
	for _, f := range files[:32] {
		img, err := mobilenet.DecodeFile(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		want, err := c.Classify(t.Context(), img, 5)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got[f].Predictions); d != "" {
			t.Errorf("%s: (-want +got)\n%s", f, d)
		}
	}
}

// What else a row has its result has, as it was written, and an error has, too. Names of
// results are refused: there would be two of them.
func TestColumns(t *testing.T) {
	dir := t.TempDir()
	w, _ := open(t, "fashion-mnist", Options{Top: 1})
	path := filepath.Join(dir, "a.png")
	write(t, path, 1)
	const columns = `"n":12345678901234567890.10,"shop":{"id":[1e400,null]},"\u0000":"tab\t\"\u2028😀<\ud800","Path":"b","label":true,"file":"x"`
	for in, failed := range map[string]bool{path: false, filepath.Join(dir, "none"): true} {
		var out bytes.Buffer
		quoted, _ := json.Marshal(in)
		row := fmt.Sprintf(`{"n":12345678901234567890.10,"path":%s,%s}`, quoted, strings.TrimPrefix(columns, `"n":12345678901234567890.10,`))
		if err := w.Lines(t.Context(), strings.NewReader(row+"\n"), &out); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"path":%s,%s,"`, quoted, strings.Replace(columns, `"\u0000"`, `"\u0000"`, 1))
		if !strings.HasPrefix(out.String(), want) || !json.Valid(out.Bytes()) || strings.Contains(out.String(), `"error"`) != failed {
			t.Errorf("%s\nbecame %s\nwant %s...", row, out.String(), want)
		}
	}
	for _, name := range rowjson.ResultNames {
		got := run(t, w, fmt.Sprintf(`{"path":%q,%q:1}`, path, name))
		if len(got) != 1 || got[path].Error != "column "+name+" has the name of one of the results" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// A row that is refused has a result with what could be read of it.
	for in, want := range map[string]string{
		`{"n":1,"path":"a","member":"b","model":2,"x":null}`: `{"path":"a","member":"b","n":1,"x":null,"error":"column model has the name of one of the results",`,
		`{"path":7,"n":1}`:    `{"path":"","n":1,"error":"path is no text",`, // as in lists of mobilenet and of --local
		`{"path":null,"n":1}`: `{"path":"","n":1,"error":"this row has no path",`,
		`{"path":"` + dir + `/none","n":"` + strings.Repeat("x", 300_000) + `"}`: `{"path":"` + dir + `/none","n":"xxx`, // so long a row may be
		`{"path":"a","offset":-1,"n":1}`:                                         `{"path":"a","n":1,"error":"offset or size is negative",`,
		`{"path":"a","n":1,"x":2,"n":1}`:                                         `{"path":"a","x":2,"error":"two members are called n",`,
		`{"n":1,"n":2,"path":"a","path":"b","file":"c","x":2}`:                   `{"path":"","x":2,"error":"two members are called n",`,
		`{"path":"a","member":"b","member":"c","x":2}`:                           `{"path":"a","x":2,"error":"two members are called member",`,
		`{"path":"a","member":"b","n":1,"path":"c"}`:                             `{"path":"","member":"b","n":1,"error":"two members are called path",`,
		`{"path":"a","predictions":7,"predictions":8,"n":"é"}`:                   `{"path":"a","n":"é","error":"two members are called predictions",`,
	} {
		var out bytes.Buffer
		if err := w.Lines(t.Context(), strings.NewReader(in), &out); err != nil || !strings.HasPrefix(out.String(), want) || !json.Valid(out.Bytes()) {
			t.Errorf("%s\nbecame %s\nwant %s... (%v)", in, out.String(), want, err)
		}
	}
}
