package train

import (
	"math"
	"slices"
)

// A Schedule names how the learning rate goes down after warm-up.
type Schedule string

// The schedules: half a cosine down to 0 (arXiv 1608.03983 without restarts), a
// tenth after every third of the epochs, or Gamma per epoch (the paper's 0.98).
const (
	Cosine      Schedule = "cosine"
	Step        Schedule = "step"
	Exponential Schedule = "exponential"
)

var schedules = []Schedule{Cosine, Step, Exponential}

// Schedules lists the schedules.
func Schedules() []Schedule { return slices.Clone(schedules) }

// defaultGamma is the paper's.
const defaultGamma = 0.98

// begun is the part of the learning rate that there is in a step, from 0. AdamW has
// seen too little at first to know how far to go (arXiv 1910.04209 has it rise over
// 2000 steps).
func (o *Hyperparameters) begun(step int) float64 {
	if step >= o.WarmupSteps {
		return 1
	}
	return float64(step+1) / float64(o.WarmupSteps)
}

// rate is the learning rate at a point of the training, in epochs from its
// beginning: rising in a line over the warm-up.
func (o *Hyperparameters) rate(epoch float64) float64 {
	if epoch < o.Warmup {
		return o.LR * (epoch + 1e-3) / o.Warmup
	}
	switch o.Schedule {
	case Step:
		return o.LR * math.Pow(0.1, math.Floor(3*epoch/float64(o.Epochs)))
	case Exponential:
		return o.LR * math.Pow(o.Gamma, math.Floor(epoch))
	}
	done := (epoch - o.Warmup) / (float64(o.Epochs) - o.Warmup)
	return o.LR * (1 + math.Cos(math.Pi*min(1, done))) / 2
}
