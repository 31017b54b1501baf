package mobilenet

import (
	"math"
	"slices"
)

// A Prediction is a class with its probability.
type Prediction struct {
	Index       int     `json:"index"`
	Label       string  `json:"label"`
	Probability float32 `json:"probability"`
}

// top returns the k classes with the largest logits, the lower index first among
// equals, and their probabilities p.
func top(logits []float32, p []float64, labels []string, k int) []Prediction {
	best := make([]int, 0, min(k, len(logits))+1)
	for class, v := range logits {
		if len(best) == k && v <= logits[best[k-1]] {
			continue // nearly always, where there are many classes
		}
		// Behind its equals: they have lower indices.
		at, _ := slices.BinarySearchFunc(best, v, func(other int, v float32) int {
			if logits[other] >= v {
				return -1
			}
			return 1
		})
		best = slices.Insert(best, at, class)
		best = best[:min(k, len(best))]
	}
	out := make([]Prediction, len(best))
	for i, class := range best {
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

// sigmoid returns the probability of each class on its own.
func sigmoid(logits []float32) []float64 {
	p := make([]float64, len(logits))
	for i, v := range logits {
		p[i] = 1 / (1 + math.Exp(-float64(v)))
	}
	return p
}

// notAndYes makes two outcomes of each single output z: 0 and z, whose softmax is
// 1-sigmoid(z) and sigmoid(z).
func notAndYes(z []float32) []float32 {
	out := make([]float32, 2*len(z))
	for i, v := range z {
		out[2*i+1] = v
	}
	return out
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
