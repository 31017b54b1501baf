package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

const (
	smallModel = "../../checkpoint/testdata/zip.pth"
	drawing    = "../../testdata/shapes.png"
)

// mobilenetCommand runs the program in this process, with an empty cache folder.
func mobilenetCommand(ctx context.Context, t *testing.T, stdout io.Writer, args ...string) (stderr string, err error) {
	t.Helper()
	t.Setenv("MOBILENET_CACHE", t.TempDir())
	root := newRoot("")
	var log bytes.Buffer
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(&log)
	err = root.ExecuteContext(ctx)
	return log.String(), err
}

// A line is a line of predict --format json.
type line struct {
	File        string
	Predictions []mobilenet.Prediction
}

func readLines(t *testing.T, r io.Reader) []line {
	t.Helper()
	var lines []line
	for d := json.NewDecoder(r); ; {
		var l line
		err := d.Decode(&l)
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
}

// TestPredictPhotos runs predict over a folder of labelled photos. torchvision
// has 143 of the 160 right, and 159 among the best five.
func TestPredictPhotos(t *testing.T) {
	weights, dir := testenv.Shared(t, "weights/mobilenet_v2_imagenet.pth"), testenv.Shared(t, "images/nips17")
	files, labels := testenv.NIPS17(t)
	classes := map[string]int{}
	for i, file := range files {
		classes[filepath.Base(file)] = labels[i]
	}
	var out bytes.Buffer
	stderr, err := mobilenetCommand(context.Background(), t, &out, "predict", "--format", "json", "--model", weights, dir)
	if err != nil || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "assumed: --resolution 224 --resize 256") {
		t.Fatalf("%v, %q on standard error", err, stderr)
	}
	top1, top5 := 0, 0
	lines := readLines(t, &out)
	for _, l := range lines {
		class := classes[filepath.Base(l.File)]
		if l.Predictions[0].Index == class {
			top1++
		}
		if slices.ContainsFunc(l.Predictions, func(p mobilenet.Prediction) bool { return p.Index == class }) {
			top5++
		}
	}
	inOrder := slices.IsSortedFunc(lines, func(a, b line) int { return strings.Compare(a.File, b.File) })
	if len(lines) != 160 || top1 != 143 || top5 != 159 || !inOrder {
		t.Errorf("%d photos, %d and %d right, in order: %v; want 160, 143, 159, true", len(lines), top1, top5, inOrder)
	}
}

func TestPredictURLs(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/photo", http.StatusFound)
		case "/photo":
			http.ServeFile(w, r, drawing)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/endless":
			for block := make([]byte, 1<<20); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		case "/cut":
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte("\x89PNG"))
		case "/short":
			io.WriteString(w, "\x89PNG")
			w.(http.Flusher).Flush() // in chunks, of which the last never comes
			panic(http.ErrAbortHandler)
		case "/page":
			io.WriteString(w, "<html>")
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	failures := map[string]string{
		"/absent":  "the server answers 404 Not Found",
		"/loop":    "stopped after 10 redirects",
		"/endless": "more than the limit of 64 MiB",
		"/cut":     "the answer ended after 4 of 1000 bytes",
		"/short":   "the answer ended after 4 bytes, and not as it should",
		"/page":    "not an image",
	}
	args := []string{"predict", "-f", "json", "-m", smallModel, server.URL + "/photo"}
	for path := range failures {
		args = append(args, server.URL+path)
	}
	var out bytes.Buffer
	stderr, err := mobilenetCommand(context.Background(), t, &out, append(args, strings.Replace(server.URL, "http", "HTTP", 1)+"/moved", "ftp://host/a.jpg", "S3://b/a.jpg")...)
	for _, want := range []string{"ftp://host/a.jpg: no such file or directory; of URLs those of http and https are read, and not of ftp\n", "S3://b/a.jpg: no such file or directory; mobilenet-spark reads s3://\n"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("standard error has no %q:\n%s", want, stderr)
		}
	}
	if !errors.Is(err, errReported) {
		t.Errorf("error %v", err)
	}
	for path, cause := range failures {
		if want := "mobilenet: " + server.URL + path + ": " + cause; !strings.Contains(stderr, want) {
			t.Errorf("standard error has no %q:\n%s", want, stderr)
		}
	}
	lines := readLines(t, &out)
	if len(lines) != 2 || lines[0].File != server.URL+"/photo" || !strings.HasSuffix(lines[1].File, "/moved") {
		t.Errorf("results %v", lines)
	}
}

// A server that accepts, and never answers, or not to the end, is waited for as long as it is
// said, and no longer.
func TestDownloadInTime(t *testing.T) {
	downloadTimeout = time.Millisecond
	defer func() { downloadTimeout = time.Minute }()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			io.WriteString(w, "\x89PNG")
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}))
	defer server.Close()
	for _, path := range []string{"/none", "/half"} {
		if _, err := download(t.Context(), server.URL+path); err == nil || err.Error() != "the server has not sent the photo in 1ms" {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestPredictCanceled cancels while a photo is awaited. What was finished before
// is written, and nothing is reported about the rest.
func TestPredictCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	out := lineCounter{wanted: 2, reached: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-out.reached
		cancel()
		<-r.Context().Done()
	}))
	defer server.Close()
	stderr, err := mobilenetCommand(ctx, t, &out, "predict", "-f", "json", "-m", saidModel(t), "--batch", "1",
		drawing, drawing, server.URL+"/stalls", drawing)
	if !errors.Is(err, context.Canceled) || stderr != "" || out.lines != 2 {
		t.Errorf("error %v, %q on standard error, %d results", err, stderr, out.lines)
	}
}

// A lineCounter closes reached when as many lines as wanted were written.
type lineCounter struct {
	lines, wanted int
	reached       chan struct{}
}

func (c *lineCounter) Write(p []byte) (int, error) {
	if c.lines += bytes.Count(p, []byte("\n")); c.lines == c.wanted {
		close(c.reached)
	}
	return len(p), nil
}

// TestPredictFromStdinCanceled cancels a read that can't be interrupted.
func TestPredictFromStdinCanceled(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(context.Background())
	t.Setenv("MOBILENET_CACHE", t.TempDir())
	root := newRoot("")
	root.SetIn(reader(func(p []byte) (int, error) { cancel(); return r.Read(p) }))
	root.SetArgs([]string{"predict", "-m", smallModel, "-"})
	if err := root.ExecuteContext(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

type reader func(p []byte) (int, error)

func (f reader) Read(p []byte) (int, error) { return f(p) }

// TestControlCharacters has a model name its classes with what a terminal obeys, or
// would show in another order.
func TestControlCharacters(t *testing.T) {
	const bad = "\x1b\u009b\u202e\U000e0041"
	m, err := checkpoint.Open(smallModel)
	if err != nil {
		t.Fatal(err)
	}
	m.Labels = []string{"ant", "bee", "cat", "dog", "elk" + bad}
	path := filepath.Join(t.TempDir(), "labels.safetensors")
	if err := checkpoint.Save(path, m, checkpoint.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"predict", drawing}, {"predict", "-f", "csv", drawing}, {"predict", "-f", "json", drawing},
		{"val", "--split", "all", "-d", listOf(t, "4")}, {"val", "--split", "all", "-f", "json", "-d", listOf(t, "4")},
	} {
		var out bytes.Buffer
		stderr, err := mobilenetCommand(t.Context(), t, &out, append(command, "-m", path)...)
		if err != nil || stderr != "" {
			t.Errorf("%v: error %v, %q on standard error", command, err, stderr)
		}
		if text := out.String(); strings.ContainsAny(text, bad) || !strings.Contains(text, "elk") {
			t.Errorf("%v: printed %q", command, text)
		}
		if !slices.Contains(command, "json") {
			continue
		}
		if command[0] == "predict" && readLines(t, &out)[0].Predictions[0].Label != m.Labels[4] {
			t.Errorf("%v: JSON has another label", command)
		}
	}
}

// listOf writes a table with the drawing in it.
func listOf(t *testing.T, label string) string {
	t.Helper()
	photo, err := filepath.Abs(drawing)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(path, []byte("path,label\n"+photo+","+label+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDamagedWeights wants the model's file named, once: no photo is to blame.
func TestDamagedWeights(t *testing.T) {
	m, err := checkpoint.Open(smallModel)
	if err != nil {
		t.Fatal(err)
	}
	m.Dict["classifier.1.bias"].Data[2] = float32(math.NaN())
	path := filepath.Join(t.TempDir(), "damaged.safetensors")
	if err := checkpoint.Save(path, m, checkpoint.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"predict", "-m", path, drawing, drawing, drawing},
		{"val", "-m", path, "-d", listOf(t, "1")},
	} {
		stderr, err := mobilenetCommand(t.Context(), t, io.Discard, args...)
		if err == nil || !strings.HasPrefix(err.Error(), path+": the output is not finite") || stderr != "" {
			t.Errorf("%s: error %v, %q on standard error", args[0], err, stderr)
		}
	}
}
