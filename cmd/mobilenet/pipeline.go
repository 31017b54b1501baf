package main

import (
	"context"
	"errors"
	"image"
	"iter"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/prefetch"
)

// A pipeline takes photos from their bytes to what a model says of them: decoded on
// all cores, run in batches, in order. predict and val are this and what they do
// with the results.
type pipeline struct {
	photos iter.Seq[int] // their numbers, from 0 up
	long   bool          // so many of them that the time to the first one does not count
	// decode reads photo i. c, unless it is nil, will be asked about the photo, and may
	// prepare it.
	decode func(ctx context.Context, i int, c *mobilenet.Classifier) (image.Image, error)
	open   func() (*mobilenet.Classifier, error)
	use    func(i int, r mobilenet.Result, err error) error // of photo i; an error ends it
}

// run classifies all photos. It returns an error where none of the others could be
// classified, either.
//
// The first photos are decoded while the model is opened: of one photo, that is a
// third of the time.
func (p *pipeline) run(ctx context.Context, f *classifierFlags, top int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resume := func() {}
	if !p.long {
		resume = postponeGC()
	}
	defer resume()
	var opened atomic.Pointer[mobilenet.Classifier]
	open := sync.OnceValues(func() (*mobilenet.Classifier, error) {
		c, err := p.open()
		opened.Store(c)
		return c, err
	})
	photos, stop := prefetch.Start(ctx, prefetch.Options{Workers: f.threads, Ahead: f.threads + f.batch}, p.photos,
		func(ctx context.Context, i int) (image.Image, error) {
			img, err := p.decode(ctx, i, opened.Load())
			if err != nil {
				return nil, err
			}
			c, err := open()
			if err != nil {
				return nil, err
			}
			return c.Prepare(img), nil // at once: what it keeps of a photo is small
		})
	defer stop()
	c, err := open()
	if err != nil {
		return err
	}
	i := 0
	for r, err := range c.ClassifyAll(ctx, photos, top) {
		if i == 1 { // there are more photos than one
			resume()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, mobilenet.ErrNotFinite) {
			return fault.In(f.model, err)
		}
		if err := p.use(i, r, err); err != nil {
			cancel() // before the loop waits for a photo that may never come
			return err
		}
		i++
	}
	return nil
}

// quietBytes is as much memory as is taken before the garbage collector runs in spite
// of [postponeGC].
const quietBytes = 128 << 20

// postponeGC keeps the garbage collector from running until resume is called. Nearly
// all that is allocated up to the first result lives on: looking for what does not took
// 0.7 of 18 milliseconds, and 2 of processor time.
func postponeGC() (resume func()) {
	limit := debug.SetMemoryLimit(-1)
	percent := debug.SetGCPercent(-1)
	debug.SetMemoryLimit(min(limit, quietBytes))
	return sync.OnceFunc(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
}

// count yields 0 to n-1.
func count(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}
