//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/vision"
)

// over asks the server and the library in turns, and returns what the median of the
// server's times is longer than that of the library's with the same photos, of rounds of
// some hundred pairs, and the median of the library's.
func (s *server) over(weights string) (longer []time.Duration, direct time.Duration, err error) {
	ctx := context.Background()
	c, err := mobilenet.Open(ctx, weights)
	if err != nil {
		return nil, 0, err
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
	conn, err := s.dial()
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	const block, blocks = 16, 8 // a block in turns, as caches are cold after each change
	var all []time.Duration
	for i, begin := 0, time.Now(); time.Since(begin) < *each; {
		var asked, called []time.Duration
		for range blocks {
			for k := range block {
				start := time.Now()
				if err := conn.ask(i + k); err != nil {
					return nil, 0, err
				}
				asked = append(asked, time.Since(start))
			}
			time.Sleep(time.Millisecond) // threads look for work for a while after a run
			for k := range block {
				start := time.Now()
				if err := library(s.bodies[(i+k)%len(s.bodies)]); err != nil {
					return nil, 0, err
				}
				called = append(called, time.Since(start))
			}
			time.Sleep(time.Millisecond)
			i += block
		}
		longer, all = append(longer, quantile(asked, .5)-quantile(called, .5)), append(all, called...)
	}
	return longer, quantile(all, .5), nil
}

// A wire is a connection that a request is written to and its answer read from, and
// nothing else: Go's client wakes two goroutines for a request, which takes as long as a
// server takes to read it.
type wire struct {
	*os.File // that blocks, unlike net.Conn
	s        *server
	r        *bufio.Reader
}

func (s *server) dial() (*wire, error) {
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		return nil, err
	}
	f.Fd() // which has it block
	return &wire{f, s, bufio.NewReader(f)}, nil
}

// ask sends request i and reads the answer.
func (w *wire) ask(i int) error {
	body := w.s.bodies[i%len(w.s.bodies)]
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", w.s.path, w.s.kind, len(body))
	if _, err := w.Write(append([]byte(head), body...)); err != nil {
		return err
	}
	resp, err := http.ReadResponse(w.r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d, %v", w.s.name, resp.StatusCode, err)
	}
	return nil
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
