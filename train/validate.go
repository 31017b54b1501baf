package train

import (
	"context"
	"fmt"
	"image"
	"runtime"

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

// A validator runs weights over a set of images.
type validator struct {
	Options
	set         *dataset.Set
	features    []float32           // of a frozen backbone
	missing     map[int]bool        // images that features has nothing of
	predictions *report.Predictions // of the last run
	items       []int               // of the set, for each prediction
}

// run evaluates weights m.
func (v *validator) run(ctx context.Context, m *model.Model) (*report.Evaluation, error) {
	if v.features == nil {
		e, err := v.compile(m)
		if err != nil {
			return nil, err
		}
		defer release(e)
		return v.through(ctx, e, m.Config)
	}
	v.begin()
	var items []int
	for i := range v.set.Items {
		if !v.missing[i] {
			items = append(items, i)
		}
	}
	return v.end(v.add(items, classify(m, v.features, items, v.Threads)))
}

// compile makes the engine that is to compute with weights m in the end.
func (v *validator) compile(m *model.Model) (*engine.Engine, error) {
	if v.ranges != nil {
		return engine.CompileQuantized(withWeights(v.ranges, m), engine.Options{Threads: v.Threads})
	}
	return engine.Compile(m, engine.Options{Threads: v.Threads})
}

// through evaluates the network of an engine, of config c.
func (v *validator) through(ctx context.Context, e *engine.Engine, c model.Config) (*report.Evaluation, error) {
	v.begin()
	return v.end(v.eachOf(ctx, c, v.set, func(in engine.Input, items []int) error {
		logits := make([]float32, in.N*c.Classes)
		if err := e.Run(ctx, in, engine.Output{Logits: logits}); err != nil {
			return err
		}
		return v.add(items, logits)
	}))
}

func (v *validator) begin() {
	v.predictions, v.items = report.NewPredictions(v.set.Classes), nil
}

// add counts the logits of images of the set.
func (v *validator) add(items []int, logits []float32) error {
	classes := len(v.set.Classes)
	for i, item := range items {
		v.items = append(v.items, item)
		it := v.set.Items[item]
		if err := v.predictions.Add(it.Name, it.Label, logits[i*classes:][:classes]); err != nil {
			return err
		}
	}
	return nil
}

// end sums up what was counted before err.
func (v *validator) end(err error) (*report.Evaluation, error) {
	if err == nil && len(v.items) == 0 {
		err = fmt.Errorf("none of the %d images can be read", len(v.set.Items))
	}
	return v.predictions.Evaluation(), err
}

// picture is the image of a prediction as the network sees it.
func (v *validator) picture(i int) (image.Image, error) {
	img, err := v.set.Image(context.Background(), v.items[i])
	if err != nil {
		return nil, err
	}
	c := v.Model.Config
	return picture(vision.Crop(img, c.Preprocess, c.Resolution)), nil
}

// release closes an engine and has its memory collected, so that the next one finds it and
// a training takes no more for the chance that there were two.
func release(e *engine.Engine) {
	e.Close()
	runtime.GC()
}

// eachBatch calls run with all images of a set that can be read, as m wants them, in
// batches, and with m's engine.
func (o *Options) eachBatch(ctx context.Context, m *model.Model, set *dataset.Set, run func(e *engine.Engine, in engine.Input, items []int) error) error {
	e, err := engine.Compile(m, engine.Options{Threads: o.Threads})
	if err != nil {
		return err
	}
	defer release(e)
	return o.eachOf(ctx, m.Config, set, func(in engine.Input, items []int) error { return run(e, in, items) })
}

// eachOf calls run with all images of a set that can be read, as a network of config c
// wants them, in batches. The next ones are decoded meanwhile.
func (o *Options) eachOf(ctx context.Context, c model.Config, set *dataset.Set, run func(in engine.Input, items []int) error) error {
	side := c.Resolution
	photos := prefetch.Map(ctx, prefetch.Options{Workers: o.Threads, Ahead: o.Threads + validBatch}, upTo(len(set.Items)), func(ctx context.Context, i int) (*vision.Image, error) {
		return o.crop(ctx, c, set, i)
	})
	in := engine.Input{H: side, W: side}
	var items []int
	i := 0
	for img, err := range photos {
		if err != nil {
			return err
		}
		if img != nil {
			in.N++
			in.Pixels = append(in.Pixels, img.Pix...)
			items = append(items, i)
		}
		i++
		if in.N == validBatch || in.N > 0 && i == len(set.Items) {
			if err := run(in, items); err != nil {
				return err
			}
			in.N, in.Pixels, items = 0, in.Pixels[:0], items[:0]
		}
	}
	return nil
}

// featuresOf computes what the classifier sees of every image of a set,
// [images][features]. missing are those that can't be read.
func (o *Options) featuresOf(ctx context.Context, set *dataset.Set) (features []float32, missing map[int]bool, err error) {
	width := o.Model.Config.Network().Features()
	features, missing = make([]float32, len(set.Items)*width), map[int]bool{}
	for i := range set.Items {
		missing[i] = true
	}
	some := make([]float32, validBatch*width)
	err = o.eachBatch(ctx, o.Model, set, func(e *engine.Engine, in engine.Input, items []int) error {
		if err := e.Run(ctx, in, engine.Output{Features: some[:in.N*width]}); err != nil {
			return err
		}
		for i, item := range items {
			copy(features[item*width:], some[i*width:][:width])
			delete(missing, item)
		}
		return nil
	})
	return features, missing, err
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

// classify computes the logits of images of known features.
func classify(m *model.Model, features []float32, items []int, threads int) []float32 {
	_, params := parameters(m)
	set, err := kernel.Choose("")
	if err != nil {
		set = &kernel.Generic
	}
	return newHead(set, threads, m.Config.Network().Classifier, m, params).run(features, items, nil)
}
