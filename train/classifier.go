package train

import (
	"context"
	"fmt"

	"github.com/mobilenet-go/mobilenet/train/report"
)

// classifier is epoch 0: it trains the classifier alone, on what the network as it
// came sees of the photos, which is looked at once. A random classifier would send
// gradients into the network that say nothing and spoil what it knows.
//
// It does what a training with Freeze of FreezeBackbone does, and keeps the best of
// its passes: what follows is never worse in validation than such a training.
func (t *trainer) classifier(ctx context.Context) (report.Epoch, error) {
	c, err := newTrainer(t.alone())
	if err != nil {
		return report.Epoch{}, err
	}
	defer c.close()
	if err := c.freeze(ctx); err != nil {
		return report.Epoch{}, err
	}
	learned := []*parameter{c.network.head.weight, c.network.head.bias}
	kept := make([][]float32, len(learned))
	for pass := 1; pass <= c.Epochs; pass++ {
		e, err := c.attempt(ctx, pass)
		if err != nil {
			return e, fmt.Errorf("the classifier alone: %w", err)
		}
		c.history = append(c.history, e)
		if report.Best(c.history).Epoch == pass {
			for i, p := range learned {
				kept[i] = append(kept[i][:0], p.Value...)
			}
		}
	}
	for i, p := range learned {
		copy(p.Value, kept[i])
	}
	if t.average != nil { // it begins where the network does
		t.average = newAverage(t.Model, t.EMA)
	}
	e := report.Best(c.history)
	e.Epoch = 0
	return e, nil
}

// alone are the options of the classifier's own training.
func (t *trainer) alone() Options {
	o := t.Options
	o.Hyperparameters = o.Hyperparameters.alone()
	o.Resume = false
	if tell := o.Progress; tell != nil {
		o.Progress = func(p Progress) {
			p.Batch += (p.Epoch - 1) * p.Batches
			p.Batches *= p.Epochs
			p.Epoch, p.Epochs = 0, t.Epochs
			tell(p)
		}
	}
	return o
}

// alone are the hyperparameters of the classifier's own training. It is always by SGD,
// which finds the smallest of all that tell the photos apart: with few photos that goes
// for others, too, where AdamW's does not (51 of TestTransfer's 60).
func (h Hyperparameters) alone() Hyperparameters {
	h.Freeze, h.Epochs, h.LR = FreezeBackbone, h.HeadEpochs, h.HeadLR
	h.Optimizer, h.Momentum, h.WeightDecay, h.Clip = SGD, 0.9, 1e-4, 0
	h.Warmup = min(h.Warmup, float64(h.Epochs)/4)
	h.HeadEpochs, h.HeadLR, h.WarmupSteps, h.EMA, h.LayerDecay, h.Undo = 0, 0, 0, 0, 0, false
	return h
}
