//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
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
