package store

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"golang.org/x/sync/semaphore"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A Budget bounds the bytes that were read and not yet let go. What is larger than all of
// it is not read.
type Budget struct {
	limit int64
	free  *semaphore.Weighted
}

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{bytes, semaphore.NewWeighted(bytes)} }

// most is how large an object may be.
func (b *Budget) most() int64 { return min(b.limit, vision.MaxFile) }

func (b *Budget) tooLarge() error {
	return fault.TooLargef("more than %d MiB, which is the limit (--in-flight)", b.most()>>20)
}

// Data is an object in memory. Release gives its room back.
type Data struct {
	Bytes   []byte
	Release func()
}

// Read reads a whole object within the budget.
func (s *Store) Read(ctx context.Context, name string, b *Budget) (Data, error) {
	at, err := locate(name)
	if err != nil {
		return Data{}, err
	}
	var d Data
	err = s.attempt(ctx, at, func(ctx context.Context, w *watch) (err error) {
		r, size, err := s.open(ctx, at, 0, -1)
		if err != nil {
			return err
		}
		defer r.Close()
		d, err = readAll(ctx, reader{r, w}, size, b)
		return err
	})
	return d, err
}

// unknown is how much room is taken for an object whose size nobody says. A larger one
// then waits for all of the room, one at a time.
const unknown = 1 << 20

// readAll reads size bytes, or to the end if that is negative.
func readAll(ctx context.Context, r reader, size int64, b *Budget) (Data, error) {
	if size > b.most() {
		return Data{}, b.tooLarge()
	}
	if size >= 0 {
		release, err := b.wait(ctx, r.watch, size)
		if err != nil {
			return Data{}, err
		}
		data := make([]byte, size)
		if n, err := io.ReadFull(r, data); err != nil {
			release()
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				err = fmt.Errorf("the answer ended after %d of %d bytes", n, size)
			}
			return Data{}, err
		}
		return Data{data, release}, nil
	}
	first := min(unknown, b.most())
	release, err := b.wait(ctx, r.watch, first)
	if err != nil {
		return Data{}, err
	}
	data, err := io.ReadAll(io.LimitReader(r, first+1))
	if err == nil && int64(len(data)) > first {
		release()
		if release, err = b.wait(ctx, r.watch, b.limit); err != nil {
			return Data{}, err
		}
		rest := bytes.NewBuffer(data)
		_, err = rest.ReadFrom(io.LimitReader(r, b.most()-first))
		data = rest.Bytes()
	}
	if err == nil && int64(len(data)) > b.most() {
		err = b.tooLarge()
	}
	if err != nil {
		release()
		return Data{}, err
	}
	return Data{data, release}, nil
}

// wait takes room. While it waits the server is not to blame that nothing arrives.
func (b *Budget) wait(ctx context.Context, w *watch, n int64) (release func(), err error) {
	n = max(0, min(n, b.limit))
	if !b.free.TryAcquire(n) {
		w.pause()
		if err := b.free.Acquire(ctx, n); err != nil {
			return nil, err
		}
		w.alive()
	}
	return func() { b.free.Release(n) }, nil
}

// A reader tells of every read that something arrived.
type reader struct {
	r io.Reader
	*watch
}

func (r reader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if n > 0 {
		r.alive()
	}
	return n, err
}

// Fatal reports whether an error of [Store.Read] is about everything, and not about one
// object.
func Fatal(ctx context.Context, err error) bool {
	return isUnreachable(err) || ctx.Err() != nil
}
