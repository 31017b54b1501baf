//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestClosedPipe writes to a reader that has seen enough: an error that main
// takes for success.
func TestClosedPipe(t *testing.T) {
	for _, args := range [][]string{
		{"predict", "-m", smallModel, drawing},
		{"predict", "-f", "json", "-m", smallModel, drawing},
		{"predict", "-f", "csv", "-m", smallModel, drawing},
		{"summary"},
		{"weights", "list"},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		if _, err := mobilenetCommand(context.Background(), t, w, args...); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%v: error %v", args, err)
		}
		w.Close()
	}
}

// TestPipeAsPhoto has a pipe that nobody writes to among the photos of every command that
// takes photos. Each says so, or leaves it out, and ends.
func TestPipeAsPhoto(t *testing.T) {
	dir := t.TempDir()
	photo, err := os.ReadFile(drawing)
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []string{"0", "1"} {
		if err := os.MkdirAll(filepath.Join(dir, "photos", class), 0o777); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"1.png", "2.png"} {
			if err := os.WriteFile(filepath.Join(dir, "photos", class, name), append(photo[:len(photo):len(photo)], class+name...), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	pipe, photos := filepath.Join(dir, "pipe.png"), filepath.Join(dir, "photos")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no pipes here: ", err)
	}
	if err := os.Symlink(pipe, filepath.Join(photos, "0", "link.png")); err != nil {
		t.Fatal(err)
	}
	list := writeList(t, []string{pipe, "/dev/stdin", drawing})
	table := filepath.Join(dir, "table.csv")
	if err := os.WriteFile(table, fmt.Appendf(nil, "file,label\n%s,0\n%s/0/1.png,0\n%s/1/1.png,1\n", pipe, photos, photos), 0o666); err != nil {
		t.Fatal(err)
	}
	const isPipe = "pipe, not a file"
	for _, c := range []struct {
		want string
		args []string
	}{
		{isPipe, []string{"predict", "-m", smallModel, pipe}},
		{isPipe, []string{"predict", "-m", smallModel, photos}},
		{isPipe, []string{"predict", "-m", smallModel, "--from", list}},
		{isPipe, []string{"embed", "-m", smallModel, "-o", filepath.Join(dir, "x.npy"), pipe}},
		{isPipe, []string{"embed", "-m", smallModel, "--from", list}},
		{isPipe, []string{"explain", "-m", smallModel, "-o", filepath.Join(dir, "maps"), photos}},
		{isPipe, []string{"explain", "-m", smallModel, "--from", list}},
		{"not a file", []string{"duplicates", "-m", "fashion-mnist", photos}},
		{isPipe, []string{"val", "-m", smallModel, "--data", photos}},
		{isPipe, []string{"val", "-m", smallModel, "--data", table}},
		{isPipe, []string{"train", "--data", photos, "--model", smallModel, "--val", "0.5", "--batch", "2", "--epochs", "1", "--augment", "none", "--run-dir", filepath.Join(dir, "run")}},
	} {
		type result struct {
			text string
			err  error
		}
		done := make(chan result, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			var out bytes.Buffer
			stderr, err := mobilenetCommand(ctx, t, &out, c.args...)
			done <- result{out.String() + stderr, err}
		}()
		select {
		case r := <-done:
			if text := r.text + fmt.Sprint(r.err); !strings.Contains(text, c.want) {
				t.Errorf("%v: %s", c.args, text)
			}
		case <-time.After(never):
			t.Errorf("%v: no end", c.args)
		}
		cancel()
	}
}
