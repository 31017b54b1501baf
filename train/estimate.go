package train

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// A Cost is what training steps take.
type Cost struct {
	Steps []time.Duration // sorted
	Bytes int64           // of a batch's activations and gradients
	Kept  int64           // bytes of what frozen modules make of o.Train, where that is kept
	CPU   string          // instruction set of the kernels
}

// Measure trains o.Model for so many steps of o.Batch random images and says what
// they took: forward, backward and update. It changes o.Model.
func Measure(o Options, steps int) (*Cost, error) {
	if o.Model == nil || o.Batch < 1 || steps < 1 {
		return nil, fmt.Errorf("measuring takes a model, images in a batch and steps: have %v, %d and %d", o.Model != nil, o.Batch, steps)
	}
	t, err := newTrainer(Options{Data: Data{Model: o.Model}, Hyperparameters: o.Hyperparameters, Run: Run{Threads: cmp.Or(o.Threads, runtime.GOMAXPROCS(0))}})
	if err != nil {
		return nil, err
	}
	n, c := t.network, o.Model.Config
	input := make([]float32, o.Batch*c.Resolution*c.Resolution*3)
	for i := range input {
		input[i] = float32(i*7919%1000)/500 - 1
	}
	target := make([]float32, o.Batch*c.Classes)
	for i := range o.Batch {
		oneHot(target[i*c.Classes:][:c.Classes], i%c.Classes, 0)
	}
	cost := &Cost{CPU: n.set.Name}
	for i := range steps + 1 { // the first one makes the buffers
		began := time.Now()
		logits, err := n.forward(input, o.Batch, nil)
		if err != nil {
			return nil, err
		}
		grad := make([]float32, len(logits))
		softmaxLoss(grad, logits, target, c.Classes)
		n.backward(grad)
		t.optimizer.step(t.Threads, 1e-6, 1)
		if i > 0 {
			cost.Steps = append(cost.Steps, time.Since(began))
		}
	}
	slices.Sort(cost.Steps)
	for _, s := range n.buffers.free {
		cost.Bytes += int64(cap(s)) * 4
	}
	if o.Train != nil && o.unchanged() {
		cost.Kept = n.knownBytes(len(o.Train.Items))
	}
	return cost, nil
}
