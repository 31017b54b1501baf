package mobilenet

import (
	"context"
	"image"
	"iter"

	"github.com/mobilenet-go/mobilenet/internal/prefetch"
)

// A Result is what a model says of a photo.
type Result struct {
	Predictions []Prediction // the best first
	Logits      []float32    // [outcomes], see [Classifier.Logits]
}

// ClassifyAll classifies photos as they come and yields a pair for each, in their
// order: the k most probable classes, which are those of [Classifier.Classify] to
// the bit, or an error.
//
//   - A photo that comes with an error, or can't be used, has the error in its
//     place, and the others go on.
//   - What ends everything is the last pair: ctx is done (its error), k is below 1,
//     or the weights of the model are damaged.
//
// photos runs on a goroutine of its own. Meanwhile the photos that it gave before are
// prepared, on as many goroutines as the classifier has threads, and run, a few at a
// time ([WithBatch]); so a photo must not wait for the result of an earlier one. At
// most two batches of prepared photos are in memory, and one photo for each thread
// and the next one, however many there are.
//
// When the loop ends, even early, nothing goes on behind it: photos has returned. If
// it may have to wait for a photo, it must stop when ctx is done, and whoever leaves
// the loop early cancels ctx first. A panic in photos, or of an image's own methods,
// is raised again in the loop.
//
// Whatever takes long in photos, such as decoding, is done on one core.
// [DecodeFiles] uses all.
func (c *Classifier) ClassifyAll(ctx context.Context, photos iter.Seq2[image.Image, error], k int) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		if k < 1 {
			yield(Result{}, tooFew(k))
			return
		}
		for v, err := range c.stream(ctx, photos, 0, logits) {
			r := Result{Logits: v}
			if err == nil {
				r.Predictions, err = c.Best(v, k)
			}
			if !yield(r, err) || err == ErrNotFinite {
				return
			}
		}
	}
}

// EmbedAll yields the features of photos as they come, those of [Classifier.Embed]
// to the bit, or an error, as [Classifier.ClassifyAll] does.
func (c *Classifier) EmbedAll(ctx context.Context, photos iter.Seq2[image.Image, error]) iter.Seq2[[]float32, error] {
	return c.stream(ctx, photos, 0, features)
}

// DecodeFiles decodes photos as [DecodeFile] does, on all cores, and yields them in
// their order with the errors that some have. Two for each core are in memory at a
// time. When the loop ends, nothing goes on behind it.
func DecodeFiles(ctx context.Context, paths iter.Seq[string]) iter.Seq2[image.Image, error] {
	return prefetch.Map(ctx, prefetch.Options{}, paths, func(ctx context.Context, path string) (image.Image, error) {
		img, err := DecodeFile(ctx, path)
		if err != nil {
			return nil, err // and not a typed nil
		}
		return img, nil
	})
}

// A given photo is a pair of the caller's.
type given struct {
	img image.Image
	err error
}

// stream prepares photos ahead, runs so many at a time, 0 being the classifier's
// choice, and yields what is wanted of each, or its error.
func (c *Classifier) stream(ctx context.Context, photos iter.Seq2[image.Image, error], atOnce int, want Wanted) iter.Seq2[[]float32, error] {
	return func(yield func([]float32, error) bool) {
		if err := c.usable(ctx); err != nil {
			yield(nil, err)
			return
		}
		if atOnce == 0 {
			atOnce = c.atOnce
		}
		b := &batch{c: c, want: want, yield: yield}
		o := prefetch.Options{Workers: c.engine.Threads(), Ahead: atOnce}
		for p, err := range prefetch.Map(ctx, o, pairs(photos), c.prepareGiven) {
			if ctx.Err() != nil {
				yield(nil, ctx.Err())
				return
			}
			b.add(p, err)
			if len(b.errs) == atOnce && !b.flush(ctx) {
				return
			}
		}
		b.flush(ctx)
	}
}

func pairs(photos iter.Seq2[image.Image, error]) iter.Seq[given] {
	return func(yield func(given) bool) {
		for img, err := range photos {
			if !yield(given{img, err}) {
				return
			}
		}
	}
}

func (c *Classifier) prepareGiven(_ context.Context, g given) (*Prepared, error) {
	if g.err != nil {
		return nil, g.err
	}
	return c.prepare(g.img)
}

// A batch is photos of a stream that run together.
type batch struct {
	c      *Classifier
	want   Wanted
	yield  func([]float32, error) bool
	photos []*Prepared // without those that failed
	errs   []error     // of all, nil for photos
}

func (b *batch) add(p *Prepared, err error) {
	if err == nil {
		b.photos = append(b.photos, p)
	}
	b.errs = append(b.errs, err)
}

// flush runs the photos and yields what became of each. It reports whether the loop
// goes on.
func (b *batch) flush(ctx context.Context) bool {
	var values []float32
	if n := len(b.photos); n > 0 {
		var err error
		if values, err = b.c.run(ctx, b.photos, b.want); err != nil {
			b.yield(nil, err) // canceled
			return false
		}
	}
	width := len(values) / max(1, len(b.photos))
	for _, err := range b.errs {
		var own []float32
		if err == nil {
			own, values = values[:width:width], values[width:]
		}
		if !b.yield(own, err) {
			return false
		}
	}
	b.photos, b.errs = b.photos[:0], b.errs[:0]
	return true
}
