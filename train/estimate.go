package train

import (
	"time"
)

// Estimate measures a step on random images and says how much memory the
// activations of a batch take. It changes o.Model.
func Estimate(o Options) (step time.Duration, bytes int64, err error) {
	if err := o.complete(); err != nil {
		return 0, 0, err
	}
	frozen := max(0, o.Freeze)
	n, err := newNetwork(o.Model, o.Threads, frozen, o.FixNorm)
	if err != nil {
		return 0, 0, err
	}
	c := o.Model.Config
	batch := min(o.Batch, len(o.Train.Items))
	input := make([]float32, batch*c.Resolution*c.Resolution*3)
	for i := range input {
		input[i] = float32(i*7919%1000)/500 - 1
	}
	target := make([]float32, batch*c.Classes)
	for i := range batch {
		oneHot(target[i*c.Classes:][:c.Classes], i%c.Classes, 0)
	}
	for range 2 { // the first step makes the buffers
		began := time.Now()
		logits, err := n.forward(input, batch, nil)
		if err != nil {
			return 0, 0, err
		}
		grad := make([]float32, len(logits))
		softmaxLoss(grad, logits, target, c.Classes)
		n.backward(grad)
		step = time.Since(began)
	}
	for _, s := range n.buffers.free {
		bytes += int64(cap(s)) * 4
	}
	for _, s := range n.scratch {
		bytes += int64(len(s.in)+len(s.dy)+len(s.dilated)) * 4
	}
	return step, bytes, nil
}
