//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/vision"
)

// over asks the server and the library in turns, and returns the median of what the
// server takes longer with the same photo, and of what the library takes.
func (s *server) over(weights string) (longer, direct time.Duration, err error) {
	ctx := context.Background()
	c, err := mobilenet.Open(ctx, weights)
	if err != nil {
		return 0, 0, err
	}
	library := func(photo []byte) error {
		p, err := c.PrepareData(ctx, photo, vision.DecodeOptions{})
		if err != nil {
			return err
		}
		out, err := c.Infer(ctx, []*mobilenet.Prepared{p}, mobilenet.Wanted{Logits: true})
		if err != nil {
			return err
		}
		_, err = c.Best(out.Logits, 5)
		return err
	}
	var diffs, calls []time.Duration
	for i, begin := 0, time.Now(); time.Since(begin) < *each; i++ {
		// Threads that look for work a while after a run must not do so in the other's time.
		time.Sleep(time.Millisecond)
		start := time.Now()
		if code, err := s.ask(i); err != nil || code != 200 {
			return 0, 0, fmt.Errorf("%s: status %d, %v", s.name, code, err)
		}
		asked := time.Since(start)
		time.Sleep(time.Millisecond)
		start = time.Now()
		if err := library(s.bodies[i%len(s.bodies)]); err != nil {
			return 0, 0, err
		}
		called := time.Since(start)
		diffs, calls = append(diffs, asked-called), append(calls, called)
	}
	return quantile(diffs, .5), quantile(calls, .5), nil
}

// predict runs mobilenet predict on the photos, over and over for about as long as the
// other measurements, and returns photos a second, and by second of CPU time.
func predict(weights string, photos [][]byte, rate float64) (perSecond, perCPU float64, err error) {
	dir, err := os.MkdirTemp("", "bench-serve")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	n := max(len(photos), int(rate*each.Seconds()))
	for i := range n {
		file := filepath.Join(dir, strconv.Itoa(i)+".jpg")
		first := filepath.Join(dir, strconv.Itoa(i%len(photos))+".jpg")
		if i < len(photos) {
			err = os.WriteFile(file, photos[i], 0o666)
		} else {
			err = os.Link(first, file)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	cmd := exec.Command(*binary, "predict", "--model", weights, "--format", "csv", dir)
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, fmt.Errorf("mobilenet predict: %w", err)
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return float64(n) / time.Since(start).Seconds(), float64(n) / used.Seconds(), nil
}
