package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strings"
	"time"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/search"
	"github.com/mobilenet-go/mobilenet/spark/store/shard"
)

// patience is how long photos wait for others to run with. Nothing arrives for that long
// only where the network is slower than the processor, or whoever writes the rows waits
// for results.
const patience = 50 * time.Millisecond

// A batch is photos that run together.
type batch struct {
	w      *Worker
	use    func(*Result) error
	rows   []Row
	photos []*mobilenet.Prepared
}

// loop prepares photos as they come and runs them in batches.
func (b *batch) loop(ctx context.Context, photos <-chan fetched, idle func() error) error {
	for {
		f, ok, err := b.receive(ctx, photos, idle)
		if err != nil {
			return err
		}
		if !ok {
			return b.flush(ctx)
		}
		if err := b.add(ctx, f); err != nil {
			return err
		}
		if len(b.photos) == b.w.o.Batch {
			if err := b.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// receive waits for the next photo, and runs what there is if that takes long.
func (b *batch) receive(ctx context.Context, photos <-chan fetched, idle func() error) (f fetched, ok bool, err error) {
	select {
	case f, ok = <-photos:
		return f, ok, nil
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case f, ok = <-photos:
			return f, ok, nil
		case <-timer.C:
			if err := b.flush(ctx); err != nil {
				return f, false, err
			}
			if err := idle(); err != nil {
				return f, false, err
			}
		case <-ctx.Done():
			return f, false, ctx.Err()
		}
	}
}

// add prepares a photo, and lets its bytes go.
func (b *batch) add(ctx context.Context, f fetched) error {
	err := f.err
	result := b.w.result(f.row)
	var p *mobilenet.Prepared
	switch {
	case err != nil:
	case b.w.o.Explain != nil:
		result.Explanation, err = b.w.explained(ctx, f.data.Bytes)
		f.data.Release()
	default:
		p, err = b.w.guarded(ctx, f.data.Bytes)
		f.data.Release()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return b.fail(f.row, err)
	}
	if p == nil && result.Explanation != nil {
		return b.use(&result)
	}
	b.rows, b.photos = append(b.rows, f.row), append(b.photos, p)
	return nil
}

// guarded prepares a photo. A panic is the photo's error.
func (w *Worker) guarded(ctx context.Context, data []byte) (p *mobilenet.Prepared, err error) {
	defer catch(&err)
	return w.prepare(ctx, data)
}

// catch makes a panic an error.
func catch(err *error) {
	if p := recover(); p != nil {
		*err = panicked(p)
	}
}

func (b *batch) fail(r Row, err error) error {
	if archive, _ := shard.IsNamed(r.Path); archive && !r.InShard() && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errLine) {
		err = fmt.Errorf("%w; a member of an archive has a row of its own, as mobilenet-spark list writes them", err)
	}
	result := b.w.result(r)
	result.Error = strings.Replace(err.Error(), "DecodeOptions.MaxPixels", "--max-pixels", 1)
	return b.use(&result)
}

// result is what every result of a row has.
func (w *Worker) result(r Row) Result {
	return Result{Path: r.Path, Member: r.MemberName(), Columns: r.Columns, Model: w.digest, Version: w.version, Line: r.Line}
}

// flush runs the batch. If that fails, each photo runs on its own.
func (b *batch) flush(ctx context.Context) error {
	rows, photos := b.rows, b.photos
	b.rows, b.photos = b.rows[:0], b.photos[:0]
	if len(rows) == 0 {
		return nil
	}
	err := b.run(ctx, rows, photos)
	if e := (*crash)(nil); !errors.As(err, &e) {
		return err
	}
	for i := range rows {
		err := b.run(ctx, rows[i:i+1], photos[i:i+1])
		if e := (*crash)(nil); errors.As(err, &e) {
			err = b.fail(rows[i], e.err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A crash is a panic or an error while photos ran, before any of their results was used.
type crash struct{ err error }

func (e *crash) Error() string { return e.err.Error() }

// run runs photos together and uses their results.
func (b *batch) run(ctx context.Context, rows []Row, photos []*mobilenet.Prepared) error {
	out, err := b.infer(ctx, photos)
	if err != nil {
		return err
	}
	for i, row := range rows {
		r := b.w.result(row)
		if b.w.o.Top > 0 {
			n := len(out.Logits) / len(rows)
			if r.Predictions, err = b.w.c.Best(out.Logits[i*n:][:n], b.w.o.Top); err != nil {
				return err // the model's: it is damaged
			}
			r.Predictions = b.w.probable(r.Predictions)
		}
		if b.w.o.Embed {
			n := len(out.Features) / len(rows)
			r.Embedding = out.Features[i*n:][:n]
			if b.w.o.Normalize {
				r.Embedding = search.Normalized(r.Embedding)
			}
		}
		if err := b.use(&r); err != nil {
			return err
		}
	}
	return nil
}

// probable leaves out what is below the threshold: of a photo perhaps everything.
func (w *Worker) probable(best []mobilenet.Prediction) []mobilenet.Prediction {
	for i, p := range best {
		if float64(p.Probability) < w.o.Threshold {
			return best[:i]
		}
	}
	return best
}

func (b *batch) infer(ctx context.Context, photos []*mobilenet.Prepared) (out mobilenet.Outputs, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &crash{panicked(p)}
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	out, err = b.w.c.Infer(ctx, photos, mobilenet.Wanted{Logits: b.w.o.Top > 0, Features: b.w.o.Embed})
	if err != nil && ctx.Err() == nil {
		err = &crash{err}
	}
	return out, err
}
