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
}

// quantised makes the 8-bit twin of the best weights, measures it on what these were
// measured on, and writes it.
func (t *trainer) quantised(ctx context.Context, r *Result) (err error) {
	q := &Int8{}
	if q.Network, q.Photos, err = t.calibrate(ctx, r.Model); err != nil {
		return fmt.Errorf("int8: %w", err)
	}
	if t.validator != nil {
		if q.Evaluation, err = t.measure(ctx, q.Network, t.Val); err != nil {
			return fmt.Errorf("int8: %w", err)
		}
	}
	if r.Test != nil {
		if q.Test, err = t.measure(ctx, q.Network, t.Test); err != nil {
			return fmt.Errorf("int8: test: %w", err)
		}
	}
	r.Int8 = q
	if err := checkpoint.SaveQuantized(filepath.Join(t.RunDir, Int8File), q.Network); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(t.RunDir, Int8Report), r.writeInt8)
}

// writeInt8 writes the figures of both networks, side by side.
func (r *Result) writeInt8(w io.Writer) error {
	type figures struct {
		Images   int     `json:"images"`
		Top1     float64 `json:"top1"`
		Top1Int8 float64 `json:"top1_int8"`
		Loss     float64 `json:"loss"`
		LossInt8 float64 `json:"loss_int8"`
	}
	side := func(whole, rounded *report.Evaluation) *figures {
		if whole == nil || rounded == nil {
			return nil
		}
		return &figures{whole.Images, whole.Top1Accuracy, rounded.Top1Accuracy, whole.Loss, rounded.Loss}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Photos     int      `json:"calibration_photos"`
		Validation *figures `json:"validation,omitempty"`
		Test       *figures `json:"test,omitempty"`
	}{r.Int8.Photos, side(r.Evaluation, r.Int8.Evaluation), side(r.Test, r.Int8.Test)})
}

// calibrate makes an 8-bit network of m with training images, as the evaluation crops
// them. n is how many.
func (t *trainer) calibrate(ctx context.Context, m *model.Model) (q *model.Quantized, n int, err error) {
	photos := func(yield func(image.Image, error) bool) {
		for _, i := range evenly(t.Train, calibration) {
			img, err := t.image(ctx, t.Train, i)
			if img == nil && err == nil {
				continue // unreadable
			}
			n++
			if !yield(img, err) {
				return
			}
		}
	}
	q, err = quant.Calibrate(ctx, m, iter.Seq2[image.Image, error](photos), quant.Options{Threads: t.Threads})
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

// measure runs an 8-bit network over a set of images.
func (t *trainer) measure(ctx context.Context, q *model.Quantized, set *dataset.Set) (*report.Evaluation, error) {
	e, err := engine.CompileQuantized(q, engine.Options{Threads: t.Threads})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	v := &validator{Options: t.Options, set: set}
	return v.through(ctx, e, q.Config)
}
