package report

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// A Tally counts outcomes image by image, so that no logits need to be kept.
type Tally struct {
	classes   []string
	images    int
	top1      int
	top5      int
	loss      float64        // sum
	confusion map[[2]int]int // by true and predicted class; most of a large matrix is 0
	bins      [bins]binTally // by confidence
}

// bins is how many bins of confidence the calibration error is taken over, as
// usual since Guo et al., "On Calibration of Modern Neural Networks", 2017.
const bins = 15

type binTally struct {
	images, correct int
	confidence      float64 // sum
}

// NewTally counts over the classes of a model, one name each.
func NewTally(classes []string) *Tally {
	return &Tally{classes: slices.Clone(classes), confusion: map[[2]int]int{}}
}

// An Outcome is what a model says of one image.
type Outcome struct {
	Predicted  int     // the class with the largest logit, the lowest among equals
	Confidence float64 // its probability
	Rank       int     // how many classes come before the true one
	Loss       float64 // cross-entropy, -log of the probability of the true class
}

// Add counts an image whose true class is label. logits is [classes], before the
// softmax. Logits that are not finite are an error.
func (t *Tally) Add(label int, logits []float32) (Outcome, error) {
	if len(logits) != len(t.classes) {
		return Outcome{}, fmt.Errorf("%d logits for %d classes", len(logits), len(t.classes))
	}
	if label < 0 || label >= len(logits) {
		return Outcome{}, fmt.Errorf("label %d: the model has %d classes", label, len(logits))
	}
	o, err := judge(label, logits)
	if err != nil {
		return o, err
	}
	t.images++
	t.loss += o.Loss
	t.confusion[[2]int{label, o.Predicted}]++
	bin := &t.bins[min(int(o.Confidence*bins), bins-1)]
	bin.images++
	bin.confidence += o.Confidence
	if o.Rank == 0 {
		t.top1++
		bin.correct++
	}
	if o.Rank < 5 {
		t.top5++
	}
	return o, nil
}

// ErrDiverged is what the error of Add wraps for logits that are not finite.
var ErrDiverged = errors.New("the weights are damaged, or training diverged")

// judge compares logits with the true class. The largest logit is subtracted
// before the exponential, so that nothing overflows.
func judge(label int, logits []float32) (o Outcome, err error) {
	for class, v := range logits {
		if v-v != 0 { // Inf-Inf is NaN
			return o, fmt.Errorf("the output for class %d is %v: %w", class, v, ErrDiverged)
		}
		if v > logits[o.Predicted] {
			o.Predicted = class
		}
		if v > logits[label] || v == logits[label] && class < label {
			o.Rank++
		}
	}
	largest := float64(logits[o.Predicted])
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - largest)
	}
	o.Confidence = 1 / sum
	o.Loss = math.Log(sum) + largest - float64(logits[label])
	return o, nil
}
