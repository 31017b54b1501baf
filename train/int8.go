package train

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"iter"
	"path/filepath"
	"slices"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/internal/atomicfile"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/quant"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// calibration is how many training images show the ranges of a network's numbers: with
// more they hardly change.
const calibration = 256

// An Int8 is the network of 8-bit integers that a run ends with.
type Int8 struct {
	Network    *model.Quantized
	Photos     int                // training images that it was calibrated with
	Evaluation *report.Evaluation // on the validation images; nil without
	Test       *report.Evaluation // on Data.Test; nil without

	// Trained says that the run was one in 8 bits. Calibrated is then what the network did that
	// it began with, which was only calibrated, on the validation images. Where that was
	// better, Network is that one.
	Trained    bool
	Calibrated *report.Evaluation
}

// quantised makes the 8-bit twin of the best weights, measures it on what these were
// measured on, and writes it.
func (t *trainer) quantised(ctx context.Context, r *Result) (err error) {
	if t.ranges != nil {
		return t.trainedInt8(ctx, r)
	}
	q := &Int8{}
	if q.Network, q.Photos, err = t.calibrate(ctx, r.Model); err != nil {
		return fmt.Errorf("int8: %w", err)
	}
	if t.validator != nil {
		if _, q.Evaluation, err = t.measure(ctx, q.Network, t.Val); err != nil {
			return fmt.Errorf("int8: %w", err)
		}
	}
	if r.Test != nil {
		if _, q.Test, err = t.measure(ctx, q.Network, t.Test); err != nil {
			return fmt.Errorf("int8: test: %w", err)
		}
	}
	return t.writeInt8(r, q)
}

// trainedInt8 keeps the network that was trained in 8 bits and measured by now, or the
// one that training began with if that is better. Pictures are of the one that is kept.
func (t *trainer) trainedInt8(ctx context.Context, r *Result) (err error) {
	q := &Int8{Network: withWeights(t.ranges, r.Model), Photos: t.calibration, Trained: true, Evaluation: r.Evaluation, Test: r.Test}
	if t.validator != nil {
		var val, test *validator
		if val, q.Calibrated, err = t.measure(ctx, t.ranges, t.Val); err != nil {
			return fmt.Errorf("int8: %w", err)
		}
		if better(q.Calibrated, q.Evaluation) {
			q.Network, q.Evaluation = t.ranges, q.Calibrated
			if err := val.pictures(q.Evaluation); err != nil {
				return err
			}
			if r.Test != nil {
				if test, q.Test, err = t.measure(ctx, q.Network, t.Test); err != nil {
					return fmt.Errorf("int8: test: %w", err)
				}
				if err := test.writeTest(q.Test); err != nil {
					return err
				}
			}
		}
	}
	return t.writeInt8(r, q)
}

// better goes by accuracy, and by the loss where that is the same, as report.Best.
func better(a, b *report.Evaluation) bool {
	return a.Top1Accuracy > b.Top1Accuracy || a.Top1Accuracy == b.Top1Accuracy && a.Loss < b.Loss
}

func (t *trainer) writeInt8(r *Result, q *Int8) error {
	r.Int8 = q
	if err := checkpoint.SaveQuantized(filepath.Join(t.RunDir, Int8File), q.Network, t.metadata()); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(t.RunDir, Int8Report), r.writeInt8)
}

// writeInt8 writes the figures of both networks, side by side. A run in 8 bits has none
// in float32, but those of calibration alone.
func (r *Result) writeInt8(w io.Writer) error {
	type scores struct {
		Top1 float64 `json:"top1"`
		Loss float64 `json:"loss"`
	}
	of := func(e *report.Evaluation) *scores {
		if e == nil {
			return nil
		}
		return &scores{e.Top1Accuracy, e.Loss}
	}
	type figures struct {
		Images     int     `json:"images"`
		Float32    *scores `json:"float32,omitempty"`
		Calibrated *scores `json:"calibrated_alone,omitempty"`
		Int8       *scores `json:"int8"`
	}
	side := func(whole, calibrated, rounded *report.Evaluation) *figures {
		if rounded == nil {
			return nil
		}
		if r.Int8.Trained {
			whole = nil
		}
		return &figures{rounded.Images, of(whole), of(calibrated), of(rounded)}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Photos     int      `json:"calibration_photos"`
		Validation *figures `json:"validation,omitempty"`
		Test       *figures `json:"test,omitempty"`
	}{r.Int8.Photos, side(r.Evaluation, r.Int8.Calibrated, r.Int8.Evaluation), side(r.Test, nil, r.Int8.Test)})
}

// calibrate makes an 8-bit network of m with training images, as the evaluation crops
// them. n is how many.
func (o *Options) calibrate(ctx context.Context, m *model.Model) (q *model.Quantized, n int, err error) {
	photos := func(yield func(image.Image, error) bool) {
		for _, i := range evenly(o.Train, calibration) {
			img, err := o.image(ctx, o.Train, i)
			if img == nil && err == nil {
				continue // unreadable
			}
			n++
			if !yield(img, err) {
				return
			}
		}
	}
	q, err = quant.Calibrate(ctx, m, iter.Seq2[image.Image, error](photos), quant.Options{Threads: o.Threads})
	return q, n, err
}

// evenly returns up to n images of a set, spread evenly over the classes and, within
// each, over its images.
func evenly(set *dataset.Set, n int) []int {
	items := make([]int, len(set.Items))
	for i := range items {
		items[i] = i
	}
	slices.SortStableFunc(items, func(a, b int) int { return set.Items[a].Label - set.Items[b].Label })
	some := make([]int, min(n, len(items)))
	for i := range some {
		some[i] = items[i*len(items)/len(some)]
	}
	return some
}

// measure runs an 8-bit network over a set of images. The validator has what it said of each.
func (t *trainer) measure(ctx context.Context, q *model.Quantized, set *dataset.Set) (*validator, *report.Evaluation, error) {
	e, err := engine.CompileQuantized(q, engine.Options{Threads: t.Threads})
	if err != nil {
		return nil, nil, err
	}
	defer release(e)
	v := &validator{Options: t.Options, set: set}
	judged, err := v.through(ctx, e, q.Config)
	return v, judged, err
}
