// Package prefetch works ahead of whoever needs the results: on several
// goroutines, but in order, within bounds, and never longer than it is used.
package prefetch

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"runtime/debug"
	"sync"
)

// Options bound the work.
type Options struct {
	Workers int // calls of f at the same time; 0 means as many as cores
	Ahead   int // items between src and the loop, at most; less than Workers means Workers
}

// Map returns f of every item of src, in src's order, computed ahead of the loop
// over them. But for the time that it takes, the loop runs as if f were called in
// it:
//
//   - An error of f is that item's pair, and the next item follows.
//   - When ctx is done, nothing that was computed is handed over any more: the last
//     pair is a zero value with ctx.Err().
//   - A panic of f or src becomes one of the loop, a *[Panic]. Like an error, it is
//     forgotten if the loop ends before that item.
//
// src runs on one goroutine, and is asked for an item only when fewer than o.Ahead
// are between it and the loop. The context that f gets is canceled when the loop
// ends, and the loop ends only when src and every call of f have returned. An f
// that may wait for something else than the context has to arrange for that.
func Map[In, Out any](ctx context.Context, o Options, src iter.Seq[In], f func(context.Context, In) (Out, error)) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		results, stop := Start(ctx, o, src, f)
		defer stop()
		results(yield)
	}
}

// Start is [Map] that begins now and not with the loop. The results can be looped
// over once. stop ends the work if the loop has not; it has to be called, as
// often as one likes.
func Start[In, Out any](ctx context.Context, o Options, src iter.Seq[In], f func(context.Context, In) (Out, error)) (results iter.Seq2[Out, error], stop func()) {
	if o.Workers < 1 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	o.Ahead = max(o.Ahead, o.Workers)
	work, cancel := context.WithCancel(ctx)
	q := &queue[In, Out]{
		caller: ctx, ctx: work, f: f,
		room: make(chan struct{}, o.Ahead), busy: make(chan struct{}, o.Workers),
		slots: make(chan slot[Out], o.Ahead+1), // and one for a panic of src
	}
	q.running.Go(func() { q.feed(src) })
	stop = func() {
		cancel()
		q.running.Wait()
	}
	return func(yield func(Out, error) bool) {
		defer stop()
		if p := q.deliver(yield); p != nil {
			stop()
			panic(p)
		}
	}, stop
}

// A queue is the work in progress. Its slots are in the order of the items.
type queue[In, Out any] struct {
	caller  context.Context // done: hand nothing over any more
	ctx     context.Context // done: compute nothing any more
	f       func(context.Context, In) (Out, error)
	room    chan struct{} // holds one for every item between src and the loop
	busy    chan struct{} // holds one for every call of f
	slots   chan slot[Out]
	running sync.WaitGroup
}

// A slot is where the outcome of one item appears.
type slot[Out any] chan outcome[Out]

type outcome[Out any] struct {
	value  Out
	err    error
	failed *Panic
}

// feed gives the items of src to workers, and closes slots behind the last one.
func (q *queue[In, Out]) feed(src iter.Seq[In]) {
	item, returned := 0, false
	defer func() {
		if !returned {
			s := make(slot[Out], 1)
			s <- outcome[Out]{failed: newPanic(item, recover())}
			q.slots <- s
		}
	}()
	if q.enter(q.room) {
		for in := range src {
			s := make(slot[Out], 1)
			q.slots <- s // there is room
			if !q.enter(q.busy) {
				break
			}
			number := item
			q.running.Go(func() { q.work(s, number, in) })
			item++
			if !q.enter(q.room) {
				break
			}
		}
	}
	returned = true
	close(q.slots)
}

// enter takes a place. It returns false if the context ends first.
func (q *queue[In, Out]) enter(places chan<- struct{}) bool {
	if q.ctx.Err() != nil { // select would choose at random
		return false
	}
	select {
	case places <- struct{}{}:
		return true
	case <-q.ctx.Done():
		return false
	}
}

// work fills a slot, come what may: the loop waits for it.
func (q *queue[In, Out]) work(s slot[Out], item int, in In) {
	var out outcome[Out]
	returned := false
	defer func() {
		if !returned {
			out.failed = newPanic(item, recover())
		}
		s <- out
		<-q.busy
	}()
	out.value, out.err = q.f(q.ctx, in)
	returned = true
}

// deliver hands the outcomes over in order, up to the first panic.
func (q *queue[In, Out]) deliver(yield func(Out, error) bool) *Panic {
	for {
		out, ok := q.next()
		switch {
		case q.caller.Err() != nil: // first: src may have ended because of it
			var none Out
			yield(none, q.caller.Err())
			return nil
		case !ok, q.ctx.Err() != nil: // src's end, or stopped
			return nil
		case out.failed != nil:
			return out.failed
		}
		<-q.room
		if !yield(out.value, out.err) {
			return nil
		}
	}
}

// next waits for the next outcome or the end of the context. It returns false
// behind src's end.
func (q *queue[In, Out]) next() (out outcome[Out], ok bool) {
	select {
	case s, ok := <-q.slots:
		if !ok {
			return out, false
		}
		select {
		case out = <-s:
		case <-q.ctx.Done():
		}
	case <-q.ctx.Done():
	}
	return out, true
}

// A Panic is a panic of another goroutine, raised again in the loop.
type Panic struct {
	Item  int // the item, from 0, that f was called with or that src was to give
	Value any
	Stack []byte // of the goroutine that panicked first
}

// newPanic describes what ended a function that did not return.
func newPanic(item int, recovered any) *Panic {
	if recovered == nil {
		recovered = "runtime.Goexit was called" // by FailNow of a test, for one
	}
	return &Panic{item, recovered, debug.Stack()}
}

func (p *Panic) Error() string {
	return fmt.Sprintf("item %d: %v\n\n%s", p.Item, p.Value, p.Stack)
}

// Unwrap returns the value if it is an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}
