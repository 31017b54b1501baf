package model

import "math"

// Fold returns convolution c with its batch normalisation in evaluation mode
// folded in: weights [Out, In/Groups, Kernel, Kernel] and a bias [Out] such that
//
//	conv(x, w) + b = norm(conv(x, weight))
//
// The arithmetic is float64, rounded once at the end. Folding a convolution
// whose norm is the identity (see [Unfold]) returns its weights to the bit.
func (m *Model) Fold(c Conv) (w, b []float32) {
	gamma, beta := m.Dict[c.Norm+".weight"].Data, m.Dict[c.Norm+".bias"].Data
	mean, variance := m.Dict[c.Norm+".running_mean"].Data, m.Dict[c.Norm+".running_var"].Data
	src := m.Dict[c.Name+".weight"].Data
	w, b = make([]float32, len(src)), make([]float32, c.Out)
	per := len(src) / c.Out
	for o := range c.Out {
		scale := float64(gamma[o]) / math.Sqrt(float64(variance[o])+m.Config.BNEps)
		for i := o * per; i < (o+1)*per; i++ {
			w[i] = float32(float64(src[i]) * scale)
		}
		b[o] = float32(float64(beta[o]) - float64(mean[o])*scale)
	}
	return w, b
}

// Unfold adds to dict the entries of a convolution whose batch normalisation is
// already folded into w and b: the norm it gets is the identity plus b. eps is
// the config's BNEps. [Model.Fold] gives w and b back to the bit:
// float32(1-eps) + eps is within 2^-25 of 1, so its square root scales a weight
// by at most 1 +- 2^-26, less than half of float32's spacing.
func Unfold(dict StateDict, c Conv, w, b []float32, eps float64) {
	one, zero, variance := make([]float32, c.Out), make([]float32, c.Out), make([]float32, c.Out)
	fill(one, 1)
	fill(variance, float32(1-eps))
	shape := []int{c.Out}
	dict[c.Name+".weight"] = Tensor{Shape: c.WeightShape(), Data: w}
	dict[c.Norm+".weight"] = Tensor{Shape: shape, Data: one}
	dict[c.Norm+".bias"] = Tensor{Shape: shape, Data: b}
	dict[c.Norm+".running_mean"] = Tensor{Shape: shape, Data: zero}
	dict[c.Norm+".running_var"] = Tensor{Shape: shape, Data: variance}
	dict[c.Norm+".num_batches_tracked"] = Tensor{Shape: []int{}, Data: []float32{0}}
}
