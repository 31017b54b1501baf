// Package worker turns rows that name photos into rows with what a network says of them,
// as a process that Spark, or anything else that cuts up work, runs for each task.
//
// There is a result for every row, in any order. What is wrong with a photo is in its
// result. An error of [Worker.Run] means that the task should be tried again, here or
// elsewhere: results that were written then are to be thrown away.
package worker

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/spark/store"
	"github.com/mobilenet-go/mobilenet/vision"
)

// Options are what a worker does.
type Options struct {
	Top         int                       // classes of each photo; 0 for none
	Threshold   float64                   // the least probability of these
	Embed       bool                      // whether to embed photos
	Normalize   bool                      // whether embeddings get length 1
	Explain     *mobilenet.ExplainOptions // instead of both, where in photos classes are seen
	Batch       int                       // photos that run together; 0 means 16
	Connections int                       // that fetch photos ahead; 0 means 16
	InFlight    int64                     // bytes of photos that were fetched and not decoded; 0 means 32 MiB
	MaxPixels   int                       // of a photo; 0 means vision.DefaultMaxPixels
	AsStored    bool                      // whether EXIF's orientation is ignored
}

// A Worker runs rows through a network.
type Worker struct {
	c        *mobilenet.Classifier
	store    *store.Store
	o        Options
	digest   string
	version  string
	decoding vision.DecodeOptions
	// prepare makes a photo's bytes the network's input.
	prepare func(context.Context, []byte) (*mobilenet.Prepared, error)
}

// New returns a worker with a model, whose digest and this program's version are part of
// every result.
func New(ctx context.Context, c *mobilenet.Classifier, digest, version string, s *store.Store, o Options) (*Worker, error) {
	if o.Top > 0 && c.Config().Classes == 0 {
		return nil, mobilenet.ErrNoClasses
	}
	if o.Batch < 1 {
		o.Batch = 16
	}
	if o.Connections < 1 {
		o.Connections = 16
	}
	if o.InFlight < 1 {
		o.InFlight = 32 << 20
	}
	w := &Worker{c: c, store: s, o: o, digest: digest, version: version, decoding: vision.DecodeOptions{MaxPixels: o.MaxPixels, IgnoreOrientation: o.AsStored}}
	w.prepare = func(ctx context.Context, data []byte) (*mobilenet.Prepared, error) {
		return c.PrepareData(ctx, data, w.decoding)
	}
	if o.Explain != nil {
		return w, w.explainable(ctx)
	}
	return w, nil
}

// Lines reads rows from in, a JSON object a line, to its end, and writes a result for each
// to out.
func (w *Worker) Lines(ctx context.Context, in io.Reader, out io.Writer) error {
	return w.lines(ctx, in, out, false)
}

// Guarded is Lines for the rows of a [Guard].
func (w *Worker) Guarded(ctx context.Context, in io.Reader, out io.Writer) error {
	return w.lines(ctx, in, out, true)
}

func (w *Worker) lines(ctx context.Context, in io.Reader, out io.Writer, guarded bool) error {
	rows := newLines(in, guarded)
	buffered := bufio.NewWriterSize(out, 1<<16)
	var line []byte
	err := w.Run(ctx, Job{
		Next: rows.next,
		Use: func(r *Result) error {
			line = line[:0]
			if guarded {
				line = append(strconv.AppendInt(line, int64(r.Line), 10), '\t')
			}
			line = r.append(line)
			_, err := buffered.Write(line)
			return err
		},
		Idle: buffered.Flush,
	})
	return cmp.Or(err, buffered.Flush())
}

// A Job is where rows come from and results go.
type Job struct {
	Next func() (Row, error)   // the next row; io.EOF ends it; other errors are rows that can't be read
	Use  func(r *Result) error // is called for each row, by one goroutine
	Idle func() error          // is called when there is nothing to do but to wait
}

// Run runs a job. After an error Next may still be running.
func (w *Worker) Run(ctx context.Context, j Job) error {
	g, ctx := errgroup.WithContext(ctx)
	units, photos := make(chan unit), make(chan fetched)
	var broken error // of Next
	go func() {      // not waited for: standard input can't be interrupted
		defer close(units)
		broken = group(j.Next, func(u unit) error {
			select {
			case units <- u:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	budget := store.NewBudget(w.o.InFlight)
	var fetchers sync.WaitGroup
	for range w.o.Connections {
		fetchers.Add(1)
		g.Go(func() error {
			defer fetchers.Done()
			for {
				select {
				case u, ok := <-units:
					if !ok {
						return nil
					}
					if err := w.fetch(ctx, u, budget, photos); err != nil {
						return err
					}
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
	}
	g.Go(func() error {
		fetchers.Wait()
		close(photos)
		return nil
	})
	g.Go(func() error {
		b := batch{w: w, use: j.Use}
		return b.loop(ctx, photos, j.Idle)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return broken // units is closed
}

// A unit is what one connection fetches: a photo, or members of one shard.
type unit struct {
	rows []Row
	err  error // what is wrong with the line of the only one
}

// maxGroup bounds the members that are fetched together. Those of a shard without offsets
// are found by reading it from the beginning, so that many together are better.
const maxGroup = 4096

// group puts neighbouring rows of the same shard together.
func group(next func() (Row, error), use func(unit) error) error {
	var u unit
	flush := func() error {
		if len(u.rows) == 0 {
			return nil
		}
		full := u
		u = unit{}
		return use(full)
	}
	for {
		row, err := next()
		switch {
		case err == io.EOF:
			return flush()
		case errors.Is(err, errLine):
			if err := cmp.Or(flush(), use(unit{rows: []Row{row}, err: err})); err != nil {
				return err
			}
			continue
		case err == errWait:
			if err := flush(); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		joins := len(u.rows) > 0 && len(u.rows) < maxGroup && row.InShard() && u.rows[0].Path == row.Path
		if !joins {
			if err := flush(); err != nil {
				return err
			}
		}
		u.rows = append(u.rows, row)
		if !row.InShard() {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

// A fetched photo is one in memory, or why it is not.
type fetched struct {
	row  Row
	data store.Data
	err  error
}

// fetch fetches the photos of a unit. It returns an error if nothing can be fetched now.
func (w *Worker) fetch(ctx context.Context, u unit, b *store.Budget, photos chan<- fetched) (err error) {
	if u.err != nil {
		return send(ctx, photos, fetched{row: u.rows[0], err: u.err})
	}
	settled := make([]bool, len(u.rows))
	use := func(i int, d store.Data, err error) {
		settled[i] = true
		send(ctx, photos, fetched{u.rows[i], d, err})
	}
	defer func() {
		if p := recover(); p != nil {
			for i, done := range settled {
				if !done {
					use(i, store.Data{}, panicked(p))
				}
			}
			err = ctx.Err()
		}
	}()
	if first := u.rows[0]; !first.InShard() {
		d, err := w.store.Read(ctx, first.Path, b)
		if store.Fatal(ctx, err) {
			return err
		}
		use(0, d, err)
		return ctx.Err()
	}
	members := make([]store.Member, len(u.rows))
	for i, r := range u.rows {
		members[i] = store.Member{Name: r.Member, Offset: r.Offset, Size: r.Size}
	}
	return w.store.Members(ctx, u.rows[0].Path, members, b, use)
}

func send(ctx context.Context, photos chan<- fetched, f fetched) error {
	select {
	case photos <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// panicked is the error of a photo that made the program panic.
func panicked(p any) error { return fmt.Errorf("a mistake in the program: %v", p) }
