package quant

import "github.com/mobilenet-go/mobilenet/model"

// RoundLayer makes integers of the weights and biases of a convolution, or of the
// classifier, that has no norm: [Out][In/Groups*Kernel*Kernel] and [Out], for an input
// of quantisation in. It is what [Calibrate] does in the end, without the correction of
// the biases, and each weight becomes the nearest integer. What the layer puts out is not in the result.
func RoundLayer(c model.Conv, w, b []float32, in model.Quantization) model.QuantizedLayer {
	unseen := tensor{channels: make([]channel, c.In)} // nothing to correct by
	l := layer{Conv: c, in: &unseen, w: widened(w), b: widened(b)}
	return l.round(in, 1)
}

// ClassifierConv is the classifier as a convolution.
func ClassifierConv(l model.Linear) model.Conv {
	return model.Conv{Name: l.Name, In: l.In, Out: l.Out, Kernel: 1, Groups: 1}
}
