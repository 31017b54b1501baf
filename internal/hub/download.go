package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// maxAttempts is how often one Pull asks for (the rest of) a file.
const maxAttempts = 5

// download makes w's file in the cache.
func (c Client) download(ctx context.Context, w Weights) error {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(ctx, c.Path(w)+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if c.Verify(w) == nil {
		return nil // whoever had the lock before has downloaded it
	}
	delay := cmp.Or(c.RetryDelay, 500*time.Millisecond)
	for attempt := 1; ; attempt++ {
		err := c.attempt(ctx, w)
		again, ok := errors.AsType[*retryError](err)
		if !ok || attempt == maxAttempts {
			return err
		}
		// A server that never answered won't in a second. Most likely there is
		// no network, and that is said at once.
		if attempt == 1 && !again.answered {
			return err
		}
		select {
		case <-time.After(delay):
			delay *= 2
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lock locks the file at path, also against other processes. The wait cannot
// be interrupted: when ctx ends first, the lock is given back once it comes.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	type result struct {
		unlock func()
		err    error
	}
	locked := make(chan result)
	go func() {
		unlock, err := lockedfile.MutexAt(path).Lock()
		select {
		case locked <- result{unlock, err}:
		case <-ctx.Done():
			if err == nil {
				unlock()
			}
		}
	}()
	select {
	case r := <-locked:
		return r.unlock, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A retryError is a failure that another attempt may not meet.
type retryError struct {
	err      error
	answered bool // the server did, before the failure
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// attempt asks the server for what is missing of w's file, once, and moves the
// file to its place when it is whole and right.
func (c Client) attempt(ctx context.Context, w Weights) error {
	p := part{path: c.Path(w) + ".part"}
	// The hash can tell that nothing is missing: a process may have ended before
	// the rename, or a server may have promised more bytes than there are.
	if check(p.path, w) != nil {
		if err := c.fetch(ctx, w, p); err != nil {
			return err
		}
		err := check(p.path, w)
		if wrong, ok := errors.AsType[*HashError](err); ok {
			wrong.File = redacted(c.URL(w))
			p.remove()
		}
		if err != nil {
			return err
		}
	}
	if err := os.Rename(p.path, c.Path(w)); err != nil {
		return err
	}
	p.remove() // the validator is still there
	return nil
}

// fetch requests the bytes that p lacks and appends them, or starts p anew if
// the server sends the file from its beginning.
func (c Client) fetch(ctx context.Context, w Weights, p part) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timeout := cmp.Or(c.StallTimeout, 30*time.Second)
	stall := time.AfterFunc(timeout, func() {
		cancel(fmt.Errorf("the server sent nothing for %v", timeout))
	})
	defer stall.Stop()

	have, validator := p.have(w.maxBytes())
	resp, err := get(ctx, c.URL(w), have, validator)
	if err != nil {
		return &retryError{err: cmp.Or(context.Cause(ctx), err)}
	}
	defer resp.Body.Close()
	done, total, err := answer(resp, have)
	if errors.Is(err, errRange) {
		p.remove() // the next attempt asks for the whole file
	}
	if err != nil {
		return err
	}
	tooLarge := fmt.Errorf("the server sends more than %d bytes for a file of about %d", w.maxBytes(), w.Bytes)
	if total > w.maxBytes() {
		return tooLarge
	}
	f, err := p.open(done, resp.Header)
	if err != nil {
		return err
	}
	body := io.TeeReader(resp.Body, observer(func(n int) {
		stall.Reset(timeout)
		done += int64(n)
		if c.Progress != nil {
			c.Progress(w.Name, done, total)
		}
	}))
	_, err = io.Copy(f, io.LimitReader(body, w.maxBytes()+1-done))
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	switch {
	case errors.As(err, new(*fs.PathError)):
		return err // from writing
	case err != nil:
		return &retryError{answered: true, err: fmt.Errorf("after %d bytes: %w", done, cmp.Or(context.Cause(ctx), err))}
	case done > w.maxBytes():
		p.remove()
		return tooLarge
	case done < total:
		return &retryError{answered: true, err: fmt.Errorf("the server sent %d of %d bytes", done, total)}
	}
	return nil
}

// An observer is an io.Writer that is told how much is written to it.
type observer func(n int)

func (o observer) Write(b []byte) (int, error) {
	o(len(b))
	return len(b), nil
}
