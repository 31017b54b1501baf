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
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mobilenet-go/mobilenet"
)

// A call is one photo's answer: how long who asked waited, how long of that the photo was in the
// queue, decoded and run, and how long who asked was at work: no server can make that less.
type call struct{ total, queue, decode, infer, client time.Duration }

// rest is what a call lasted besides.
func (c call) rest() time.Duration { return c.total - c.queue - c.decode - c.infer }

// times are what f says of calls.
func times(calls []call, f func(call) time.Duration) (v []time.Duration) {
	for _, c := range calls {
		v = append(v, f(c))
	}
	return v
}

// An asker answers request i.
type asker func(i int) (call, error)

// inTurns has askers answer the same requests in turns: rounds of some hundred each, for as
// long as other measurements take. A turn is a block, as caches are cold after each change.
func inTurns(askers ...asker) (rounds [][][]call, err error) {
	const block, blocks = 16, 8
	for i, begin := 0, time.Now(); time.Since(begin) < *each; {
		round := make([][]call, len(askers))
		for range blocks {
			for a, ask := range askers {
				for k := range block {
					c, err := ask(i + k)
					if err != nil {
						return nil, err
					}
					round[a] = append(round[a], c)
				}
				time.Sleep(time.Millisecond) // threads look for work for a while after a run
			}
			i += block
		}
		rounds = append(rounds, round)
	}
	return rounds, nil
}

// over asks the server, the least server there could be, and the library in turns, and
// returns their calls by rounds. Where that is all that is measured, the least server with
// net/http, and the library after a pause, are asked, too.
func (s *server) over(weights string) ([][][]call, error) {
	itself := func(name, flag string) *server {
		return &server{name: name, path: s.path, kind: s.kind, bodies: s.bodies, args: []string{os.Args[0], "-model", weights, flag}}
	}
	c, err := mobilenet.Open(context.Background(), weights)
	if err != nil {
		return nil, err
	}
	l := library{c}
	direct := func(i int) (call, error) { return l.ask(s.bodies[i%len(s.bodies)]) }
	var wires [3]*wire
	for i, o := range []*server{s, itself("a bare server", "-bare"), itself("the least net/http server", "-least")} {
		if o != s {
			if _, err := o.start(); err != nil {
				return nil, err
			}
			defer o.stop()
		}
		if wires[i], err = o.dial(); err != nil {
			return nil, err
		}
		defer wires[i].Close()
	}
	if !*alone {
		return inTurns(wires[0].ask, wires[1].ask, direct)
	}
	return inTurns(wires[0].ask, wires[1].ask, direct, wires[2].ask, func(i int) (call, error) {
		time.Sleep(pause)
		return direct(i)
	})
}

// pause is about how long a server has nothing to do between two requests of one client.
const pause = 300 * time.Microsecond

// longer returns, of rounds, what the median of the first asker's times is longer than that
// of asker a.
func longer(rounds [][][]call, a int) (v []time.Duration) {
	total := func(c call) time.Duration { return c.total }
	for _, r := range rounds {
		v = append(v, quantile(times(r[0], total), .5)-quantile(times(r[a], total), .5))
	}
	return v
}

// A wire is a connection that a request is written to and its answer read from, and
// nothing else: Go's client wakes two goroutines for a request, which takes as long as a
// server takes to read it.
type wire struct {
	*os.File
	fd   uintptr
	s    *server
	r    *bufio.Reader
	came time.Time // when the last bytes were read
}

func (s *server) dial() (*wire, error) {
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		return nil, err
	}
	f, err := blocking(c)
	if err != nil {
		return nil, err
	}
	w := &wire{File: f, fd: f.Fd(), s: s}
	w.r = bufio.NewReader(w)
	return w, nil
}

// Read waits for the server without telling Go: else its monitor, which looks after threads
// that wait, wakes every twentieth of a millisecond on cores that the server computes on.
func (w *wire) Read(p []byte) (int, error) {
	for {
		n, _, err := unix.RawSyscall(unix.SYS_READ, w.fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		w.came = time.Now()
		switch {
		case err == unix.EINTR:
		case err != 0:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return int(n), nil
		}
	}
}

// ask sends request i and reads the answer.
func (w *wire) ask(i int) (call, error) {
	photo := w.s.bodies[i%len(w.s.bodies)]
	start := time.Now()
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", w.s.path, w.s.kind, len(photo))
	text := append([]byte(head), photo...)
	ready := time.Now()
	if _, err := w.Write(text); err != nil {
		return call{}, err
	}
	resp, err := http.ReadResponse(w.r, nil)
	if err != nil {
		return call{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return call{}, fmt.Errorf("%s: status %d, %v", w.s.name, resp.StatusCode, err)
	}
	total := time.Since(start)
	c := said(body)
	c.total, c.client = total, total-w.came.Sub(ready)
	return c, nil
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
