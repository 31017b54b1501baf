package train

import "math"

// softmaxLoss returns the mean cross-entropy of logits [n][classes] against
// target distributions of the same shape, and writes its gradient at the logits
// to grad (PyTorch's CrossEntropyLoss with probabilities).
func softmaxLoss(grad, logits, target []float32, classes int) float64 {
	n := len(logits) / classes
	var loss float64
	for i := range n {
		z, t, g := logits[i*classes:][:classes], target[i*classes:][:classes], grad[i*classes:][:classes]
		top := z[0]
		for _, v := range z {
			top = max(top, v)
		}
		var sum, mass float64
		for c, v := range z {
			sum += math.Exp(float64(v - top))
			mass += float64(t[c])
		}
		log := math.Log(sum)
		for c, v := range z {
			p := float64(v-top) - log
			loss -= float64(t[c]) * p
			g[c] = float32((math.Exp(p)*mass - float64(t[c])) / float64(n))
		}
	}
	return loss / float64(n)
}

// oneHot writes the distribution of a label, smoothed: 1-s on the label and s
// spread over all classes (arXiv 1512.00567; PyTorch's label_smoothing).
func oneHot(target []float32, label int, smoothing float64) {
	for c := range target {
		target[c] = float32(smoothing / float64(len(target)))
	}
	target[label] += float32(1 - smoothing)
}
