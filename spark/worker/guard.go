package worker

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"sync"
)

// A photo can end a process in ways that no recover sees: a fault in code that isn't Go's,
// memory that the system refuses, a signal. So a worker is two processes. The guard passes
// lines on to its child, which does the work, and knows which of them have no result. When
// the child dies, another gets these in small groups, and those of a group that it dies of,
// too, one by one. The row that a child dies of alone has an error as its result.
//
// What a guard writes to a child is a line with the row's number, its fate (the error that
// it is to have), and the row, between tabs. An empty line says that the guard waits for
// results. They come back behind the row's number and a tab.

const (
	fateful   = 3   // deaths that have a row given up: among all, in a group, alone
	groupSize = 16  // rows that are tried together after a death
	maxDeaths = 300 // of children, after which it is not the photos
)

// Guard does what [Worker.Lines] does in processes that start makes, which call
// [Worker.Guarded]. A photo that one of them dies of has an error; what a child ends with
// of its own will, exit code 1, is an error of Guard.
func Guard(ctx context.Context, in io.Reader, out io.Writer, start func(context.Context) *exec.Cmd) error {
	g := guard{out: bufio.NewWriterSize(out, 1<<16), fresh: make(chan *guarded), open: map[int]*guarded{}, answered: make(chan struct{}, 1)}
	var broken error // of in
	go func() {      // not waited for: standard input can't be interrupted
		defer close(g.fresh)
		broken = g.read(ctx, in)
	}()
	for range maxDeaths {
		err := g.child(start(ctx))
		exit, died := errors.AsType[*exec.ExitError](err)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && len(g.open) == 0 && g.done:
			return broken // fresh is closed
		case err == nil:
			return errors.New("the worker's process ended before its rows")
		case !died || exit.ExitCode() == 1 || len(g.open) == 0:
			return err
		}
		for _, row := range g.open {
			row.deaths++
			row.cause = exit.Error()
		}
		g.again = append(slices.Collect(maps.Values(g.open)), g.again...)
		slices.SortFunc(g.again, func(a, b *guarded) int { return a.n - b.n })
		clear(g.open)
	}
	return fmt.Errorf("%d processes died: that is not for single photos", maxDeaths)
}

type guard struct {
	out   *bufio.Writer
	fresh chan *guarded // that no child has seen
	done  bool          // whether there are no more of these
	again []*guarded    // that children died of, perhaps, by their numbers

	mu       sync.Mutex
	open     map[int]*guarded // that the child has, without a result
	answered chan struct{}    // has something after results
}

// A guarded row is a line of the input.
type guarded struct {
	n      int
	text   []byte
	deaths int    // of children that had it
	cause  string // of the last
}

// maxFrame is more than what is before a row's text, if that is too long.
const maxFrame = 32

func (r *guarded) frame() []byte {
	b := strconv.AppendInt(nil, int64(r.n), 10)
	b = append(b, '\t')
	if r.deaths >= fateful {
		b = append(b, "the worker's process dies of it: "+r.cause...)
	}
	b = append(b, '\t')
	return append(append(b, r.text...), '\n')
}

// unframe takes a line of a guard apart.
func unframe(line []byte) (n int, fate string, text []byte) {
	number, rest, _ := bytes.Cut(line, []byte{'\t'})
	before, text, _ := bytes.Cut(rest, []byte{'\t'})
	n, _ = strconv.Atoi(string(number)) // of a guard: it is one
	return n, string(before), text
}

// read reads the rows of in. Of a line that is too long it keeps enough to be so.
func (g *guard) read(ctx context.Context, in io.Reader) error {
	r := bufio.NewReaderSize(in, maxLine)
	for n := 1; ; n++ {
		line, err := r.ReadSlice('\n')
		row := &guarded{n: n, text: bytes.Clone(bytes.TrimSuffix(line, []byte{'\n'}))}
		for err == bufio.ErrBufferFull {
			_, err = r.ReadSlice('\n')
		}
		if len(bytes.TrimSpace(row.text)) > 0 {
			select {
			case g.fresh <- row:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// child runs a child until it has answered everything, or ends.
func (g *guard) child(cmd *exec.Cmd) error {
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	results, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	dead, collected := make(chan struct{}), error(nil)
	go func() {
		defer close(dead)
		if collected = g.collect(results); collected != nil {
			cmd.Process.Kill()
		}
	}()
	g.feed(in, dead)
	in.Close()
	<-dead
	ended := cmd.Wait()
	if err := cmp.Or(collected, g.out.Flush()); err != nil { // nobody reads what it says
		return err
	}
	return ended
}

// feed gives a child all rows, and returns when there are no more or the child is dead.
func (g *guard) feed(in io.Writer, dead <-chan struct{}) {
	for len(g.again) > 0 {
		n := 1
		if g.again[0].deaths == 1 {
			for n < min(groupSize, len(g.again)) && g.again[n].deaths == 1 {
				n++
			}
		}
		group := g.again[:n]
		g.again = g.again[n:]
		if !g.give(in, group...) || !g.wait(in, dead) {
			return
		}
	}
	for {
		select {
		case row, ok := <-g.fresh:
			if g.done = !ok; g.done || !g.give(in, row) {
				return
			}
		case <-dead:
			return
		}
	}
}

func (g *guard) give(in io.Writer, rows ...*guarded) bool {
	g.mu.Lock()
	for _, row := range rows {
		g.open[row.n] = row
	}
	g.mu.Unlock()
	for _, row := range rows {
		if _, err := in.Write(row.frame()); err != nil { // it is dead
			return false
		}
	}
	return true
}

// wait waits until the child has answered every row that it has.
func (g *guard) wait(in io.Writer, dead <-chan struct{}) bool {
	if _, err := in.Write([]byte{'\n'}); err != nil {
		return false
	}
	for {
		g.mu.Lock()
		n := len(g.open)
		g.mu.Unlock()
		if n == 0 {
			return true
		}
		select {
		case <-g.answered:
		case <-dead:
			return false
		}
	}
}

// collect passes on what a child says. Half a line is what it died in.
func (g *guard) collect(results io.Reader) error {
	r := bufio.NewReaderSize(results, 1<<16)
	for {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		number, text, _ := bytes.Cut(line, []byte{'\t'})
		n, err := strconv.Atoi(string(number))
		g.mu.Lock()
		_, asked := g.open[n]
		delete(g.open, n)
		g.mu.Unlock()
		if err != nil || !asked {
			return fmt.Errorf("the worker's process answers what nobody asked: %.100q", line)
		}
		if _, err := g.out.Write(text); err != nil {
			return err
		}
		if r.Buffered() > 0 {
			continue
		}
		if err := g.out.Flush(); err != nil {
			return err
		}
		select {
		case g.answered <- struct{}{}:
		default:
		}
	}
}
