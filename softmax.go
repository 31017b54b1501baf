package mobilenet

import (
	"cmp"
	"math"
	"slices"
)

// A Prediction is a class with its probability.
type Prediction struct {
	Index       int     `json:"index"`
	Label       string  `json:"label"`
	Probability float32 `json:"probability"`
}

// top returns the k most probable classes, the lower index first among equals.
func top(logits []float32, labels []string, k int) []Prediction {
	order := make([]int, len(logits))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(logits[b], logits[a]), cmp.Compare(a, b))
	})
	p := softmax(logits)
	out := make([]Prediction, min(k, len(order)))
	for i := range out {
		class := order[i]
		out[i] = Prediction{Index: class, Label: labels[class], Probability: float32(p[class])}
	}
	return out
}

// softmax returns exp(logits) scaled to a sum of 1. The largest logit is
// subtracted first, so that nothing overflows.
func softmax(logits []float32) []float64 {
	largest := slices.Max(logits)
	p := make([]float64, len(logits))
	sum := 0.0
	for i, v := range logits {
		p[i] = math.Exp(float64(v) - float64(largest))
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// finite reports whether v has neither NaN nor infinities.
func finite(v []float32) bool {
	for _, x := range v {
		if x-x != 0 { // Inf-Inf is NaN
			return false
		}
	}
	return true
}
