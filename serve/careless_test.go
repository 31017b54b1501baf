package serve_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/search"
	"github.com/mobilenet-go/mobilenet/serve"
)

// TestCarelessCallers: what no program should ask of the package is an error, and no panic.
func TestCarelessCallers(t *testing.T) {
	one := []serve.Model{{Name: "m", Open: openBuiltin}}
	nothing := func(context.Context, int) (*mobilenet.Classifier, error) { return nil, nil }
	empty := func(context.Context, int) (*mobilenet.Classifier, error) { return &mobilenet.Classifier{}, nil }
	noIndex := func(context.Context, *mobilenet.Classifier) (*search.Index, error) { return nil, nil }
	for want, o := range map[string]serve.Options{
		"no models":       {},
		"no Open":         {Models: []serve.Model{{Name: "m"}}},
		"no classifier":   {Models: []serve.Model{{Name: "m", Open: nothing}}},
		"a Classifier":    {Models: []serve.Model{{Name: "m", Open: empty}}, Workers: 2}, // else by the machine's cores
		"no classes":      {Models: []serve.Model{{Name: "m", Open: empty}}, Workers: 1},
		"no index":        {Models: []serve.Model{{Name: "m", Open: openBuiltin, Index: noIndex}}},
		"workers":         {Models: one, Workers: -1},
		"Queue of -1":     {Models: one, Queue: -1},
		"MaxBody of -1":   {Models: one, MaxBody: -1},
		"MaxPixels of -1": {Models: one, MaxPixels: -1},
		"Deadline of -1":  {Models: one, Deadline: -1},
		"http://x/y":      {Models: one, AllowURLs: []string{"a.example", "http://x/y"}},
		"no such file":    {Models: one, Thumbnails: []string{"/no/such/folder"}},
		"invalid origin":  {Models: one, CORS: "https://a.example/x"},
		"MaxBody of 9":    {Models: one, MaxBody: math.MaxInt64},
		"MaxPixels of 9":  {Models: one, MaxPixels: math.MaxInt},
	} {
		if _, err := serve.New(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := serve.New(ended, serve.Options{Models: one}); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
	s, err := serve.New(t.Context(), serve.Options{Models: one})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(ended, serve.Listen{Addr: "127.0.0.1:0", MaxConns: -1}); err == nil || !strings.Contains(err.Error(), "connections") {
		t.Errorf("-1 connections: %v", err)
	}
	s.Close()
	s.Close()
	if err := s.Reload(t.Context()); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Reload of a closed server: %v", err)
	}
	if err := s.Run(t.Context(), serve.Listen{Addr: "127.0.0.1:0"}); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Run of a closed server: %v", err)
	}
}

// TestReloadedShapes: the log warns of a model whose inputs or outputs are not those of the one before.
func TestReloadedShapes(t *testing.T) {
	var log bytes.Buffer
	size := 32
	open := func(ctx context.Context, threads int) (*mobilenet.Classifier, error) {
		return mobilenet.Open(ctx, "fashion-mnist", mobilenet.WithThreads(threads), mobilenet.WithOffline(true), mobilenet.WithInput(model.Input{Height: size, Width: size}))
	}
	s, err := serve.New(t.Context(), serve.Options{Models: []serve.Model{{Name: "m", Open: open}}, Log: slog.New(slog.NewJSONHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	reload := func() error { return s.Reload(t.Context()) }
	load := func() error {
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, httptest.NewRequest("POST", "/v2/repository/models/m/load", nil)); w.Code != 200 {
			return errors.New(w.Body.String())
		}
		return nil
	}
	for i, again := range []func() error{reload, load} {
		for _, size = range []int{32 + 32*i, 64 + 32*i} {
			log.Reset()
			if err := again(); err != nil {
				t.Fatal(err)
			}
			now, old := fmt.Sprintf(`"input":[-1,3,%d,%[1]d]`, size), fmt.Sprintf(`"input":[-1,3,%d,%[1]d]`, size-32)
			_, shapes, warned := strings.Cut(log.String(), `"msg":"the model has other shapes than the one before","model":"m","shapes":`)
			is, was, _ := strings.Cut(shapes, `"before":`)
			if changed := size == 64+32*i; warned != changed || changed && !(strings.Contains(is, now) && strings.Contains(was, old)) {
				t.Errorf("%d: %s", size, &log)
			}
		}
	}
}

// TestReloadGivenUp: the log says why a reload ended early, of a server that goes on.
func TestReloadGivenUp(t *testing.T) {
	log := make(lines, 8)
	s, err := serve.New(t.Context(), serve.Options{Models: []serve.Model{{Name: "m", Open: openBuiltin}}, Log: slog.New(slog.NewJSONHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Reload(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
	line := <-log
	for strings.Contains(line, "takes longer than it may") { // of the model, on a busy machine
		line = <-log
	}
	if !strings.Contains(line, `"msg":"reload given up","model":"m","error":"context canceled"`) {
		t.Error(line)
	}
}
