package train

import (
	"context"
	"image"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/internal/prefetch"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train/report"
	"github.com/mobilenet-go/mobilenet/vision"
)

// validBatch is how many images are validated in one run of the engine.
const validBatch = 32

// A validator runs weights over the validation images.
type validator struct {
	Options
	features    []float32           // of a frozen backbone
	predictions *report.Predictions // of the last run
}

// run evaluates weights m.
func (v *validator) run(ctx context.Context, m *model.Model) (*report.Evaluation, error) {
	v.predictions = report.NewPredictions(v.Val.Classes)
	add := func(first int, logits []float32) error {
		classes := m.Config.Classes
		for i := range len(logits) / classes {
			item := v.Val.Items[first+i]
			if err := v.predictions.Add(item.Name, item.Label, logits[i*classes:][:classes]); err != nil {
				return err
			}
		}
		return nil
	}
	if v.features != nil {
		if err := add(0, classify(m, v.features, len(v.Val.Items), v.Threads)); err != nil {
			return nil, err
		}
		return v.predictions.Evaluation(), nil
	}
	err := infer(ctx, m, v.Val, v.Threads, func(e *engine.Engine, in engine.Input, first int) error {
		logits := make([]float32, in.N*m.Config.Classes)
		if err := e.Run(ctx, in, engine.Output{Logits: logits}); err != nil {
			return err
		}
		return add(first, logits)
	})
	if err != nil {
		return nil, err
	}
	return v.predictions.Evaluation(), nil
}

// picture is a validation image as the network sees it.
func (v *validator) picture(i int) (image.Image, error) {
	img, err := v.Val.Image(context.Background(), i)
	if err != nil {
		return nil, err
	}
	c := v.Model.Config
	return picture(vision.Crop(img, c.Preprocess, c.Resolution)), nil
}

// infer calls run with all images of a set, as m wants them, in batches. The next
// ones are decoded meanwhile.
func infer(ctx context.Context, m *model.Model, set *dataset.Set, threads int, run func(e *engine.Engine, in engine.Input, first int) error) error {
	e, err := engine.Compile(m, engine.Options{Threads: threads})
	if err != nil {
		return err
	}
	defer e.Close()
	side := m.Config.Resolution
	photos := prefetch.Map(ctx, prefetch.Options{Workers: threads, Ahead: threads + validBatch}, upTo(len(set.Items)), func(ctx context.Context, i int) (*vision.Image, error) {
		img, err := set.Image(ctx, i)
		if err != nil {
			return nil, err
		}
		return vision.Crop(img, m.Config.Preprocess, side), nil
	})
	in := engine.Input{H: side, W: side}
	done := 0
	for img, err := range photos {
		if err != nil {
			return err
		}
		in.N++
		in.Pixels = append(in.Pixels, img.Pix...)
		if in.N == validBatch || done+in.N == len(set.Items) {
			if err := run(e, in, done); err != nil {
				return err
			}
			done += in.N
			in.N, in.Pixels = 0, in.Pixels[:0]
		}
	}
	return nil
}

// features computes what the classifier sees of every image, [images][features].
func features(ctx context.Context, m *model.Model, set *dataset.Set, threads int) ([]float32, error) {
	width := m.Config.Network().Features()
	all := make([]float32, len(set.Items)*width)
	err := infer(ctx, m, set, threads, func(e *engine.Engine, in engine.Input, first int) error {
		return e.Run(ctx, in, engine.Output{Features: all[first*width:][:in.N*width]})
	})
	return all, err
}

// run is forward for the given images of known features.
func (h *head) run(features []float32, items []int, mask []float32) []float32 {
	h.begin(len(items))
	for i, item := range items {
		for c, v := range features[item*h.In:][:h.In] {
			h.feature(c/kernel.Block, i)[c%kernel.Block] = v
		}
	}
	return h.forward(len(items), mask)
}

// classify computes the logits of known features.
func classify(m *model.Model, features []float32, n, threads int) []float32 {
	_, params := parameters(m)
	set, err := kernel.Choose("")
	if err != nil {
		set = &kernel.Generic
	}
	h := newHead(set, threads, m.Config.Network().Classifier, m, params)
	items := make([]int, n)
	for i := range items {
		items[i] = i
	}
	return h.run(features, items, nil)
}
