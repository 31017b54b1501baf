package recognise

import (
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/fault"
)

// unfit is the error for a layer that has no place in a MobileNetV2.
func (l *Layer) unfit(format string, args ...any) error {
	e := fault.Unsupportedf("not a MobileNetV2: "+format, args...)
	e.Place = l.Place
	return e
}

// want is the error for a layer where something else should be.
func (l *Layer) want(what string) error {
	switch {
	case l.Kind == Other && l.Broken:
		return &fault.Error{Kind: fault.Broken, Place: l.Place, Reason: l.Reason}
	}
	switch l.Kind {
	case Other:
		return l.unfit("%s", l.Reason)
	case Activation:
		return l.unfit("%s, where %s should be", l.Reason, what)
	case Input:
		return l.unfit("the input, where %s should be", what)
	}
	return l.unfit("want %s", what)
}

// A unit is a convolution or matrix and the layers that fold into it.
type unit struct {
	*Layer                // the convolution or matrix
	weight    []float32   // after [unit.settle]
	bias      []float32   // after settle; nil for none
	behind    affine      // what is done to the output of weight and bias
	norm      *Statistics // nil for none
	low, high bool        // clipped at 0, at 6
	rectified bool        // a matrix whose bytes begin at 0
	same      bool        // padded as TensorFlow does
	matrix    bool        // a Linear, or a Conv that sees one pixel
	input     *Layer      // what it takes, padding taken off
}

// An affine is a factor and a summand for each channel; both are nil for 1 and 0.
type affine struct{ scale, offset []float64 }

// then makes a what it is followed by (scale, offset), which have one number for each of
// n channels or one for all.
func (a *affine) then(scale, offset []float64, n int) {
	if a.scale == nil {
		a.scale, a.offset = make([]float64, n), make([]float64, n)
		for i := range a.scale {
			a.scale[i] = 1
		}
	}
	for i := range n {
		s := at(scale, i, 1)
		a.scale[i] *= s
		a.offset[i] = float64(a.offset[i]*s) + at(offset, i, 0) // never fused, on no machine
	}
}

// fits reports whether a list of constants has one for each of n channels, or one for
// all.
func fits(list []float64, n int) bool { return len(list) <= 1 || len(list) == n }

// convAt returns the convolution that ends at a layer.
func convAt(end *Layer, what string) (*unit, error) {
	if core := core(end); core.Kind != Conv {
		return nil, core.want(what)
	}
	return unitAt(end, false)
}

// core is the layer that those behind it may fold into.
func core(l *Layer) *Layer {
	for l.Kind == Norm || l.Kind == Affine || l.Kind == Clip || l.Kind == Quantize {
		l = l.From
	}
	return l
}

// unitAt returns the unit that ends at a layer whose core is a Conv or a Linear.
func unitAt(end *Layer, matrix bool) (*unit, error) {
	var behind []*Layer // the last one first
	at := end
	for ; at.Kind != Conv && at.Kind != Linear; at = at.From {
		behind = append(behind, at)
	}
	u := &unit{Layer: at, same: at.Same, matrix: matrix, input: at.From}
	for _, l := range slices.Backward(behind) {
		if err := u.fold(l); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// fold takes in the layer behind u.
func (u *unit) fold(l *Layer) error {
	switch l.Kind {
	case Reshape:
		return nil
	case Quantize:
		switch {
		case u.matrix:
			u.rectified = u.rectified || l.Rectifies
		case l.Rectifies:
			u.low, u.high = true, true
		case u.low && l.Range.High > 0 && l.Range.High <= 6.001: // a ReLU, whose bytes end where ReLU6 does
			u.high = true
		}
		return nil
	case Clip:
		return u.clip(l)
	}
	if u.low || u.high {
		return l.unfit("no convolution right before it")
	}
	if l.Kind == Norm {
		return u.normalise(l)
	}
	if !fits(l.Scale, u.Out) || !fits(l.Offset, u.Out) {
		return l.unfit("a constant of %d values for %d channels", max(len(l.Scale), len(l.Offset)), u.Out)
	}
	u.affine(l.Scale, l.Offset)
	return nil
}

// clip notes a lower bound of 0 and an upper bound of 6, which may come one by one.
func (u *unit) clip(l *Layer) error {
	if l.Low == 0 {
		u.low = true
	} else if !math.IsInf(float64(l.Low), -1) {
		return l.unfit("a lower bound of %v, want 0", l.Low)
	}
	if l.High == 6 {
		u.high = true
	} else if !math.IsInf(float64(l.High), 1) {
		return l.unfit("an upper bound of %v, want 6", l.High)
	}
	return nil
}

// normalise takes in a batch normalisation, which a convolution keeps.
func (u *unit) normalise(l *Layer) error {
	s := l.Norm
	if u.norm != nil {
		return l.unfit("a second batch normalisation of one convolution")
	}
	if !s.fit(u.Out) {
		return l.unfit("a batch normalisation of %d values for %d channels", len(s.Scale), u.Out)
	}
	if !u.matrix {
		u.norm = &s
		return nil
	}
	a := s.affine()
	u.affine(a.scale, a.offset)
	return nil
}

// fit reports whether s is of n channels.
func (s Statistics) fit(n int) bool {
	return len(s.Scale) == n && len(s.Bias) == n && len(s.Mean) == n && len(s.Variance) == n
}

// affine is a norm as a factor and a summand for each channel.
func (s Statistics) affine() affine {
	a := affine{make([]float64, len(s.Scale)), make([]float64, len(s.Scale))}
	for i := range a.scale {
		a.scale[i] = float64(s.Scale[i]) / math.Sqrt(float64(s.Variance[i])+s.Eps)
		a.offset[i] = float64(s.Bias[i]) - float64(float64(s.Mean[i])*a.scale[i])
	}
	return a
}

// affine takes in a factor and a summand: a norm's own, behind a norm.
func (u *unit) affine(scale, offset []float64) {
	if u.norm == nil {
		u.behind.then(scale, offset, u.Out)
		return
	}
	n := *u.norm
	n.Scale, n.Bias = slices.Clone(n.Scale), slices.Clone(n.Bias)
	for i := range n.Scale {
		n.Scale[i] = float32(float64(n.Scale[i]) * at(scale, i, 1))
		n.Bias[i] = float32(float64(float64(n.Bias[i])*at(scale, i, 1)) + at(offset, i, 0))
	}
	u.norm = &n
}

// settle multiplies what is behind weight and bias into them, in float64, rounded once.
// However many layers there were, the weights are copied once.
func (u *unit) settle() {
	u.weight, u.bias = u.Weight, u.Bias
	if u.behind.scale == nil {
		return
	}
	u.weight, u.bias = make([]float32, len(u.Weight)), make([]float32, u.Out)
	copy(u.bias, u.Bias)
	per := max(1, len(u.weight)/max(1, u.Out))
	for i, w := range u.Weight {
		u.weight[i] = float32(float64(w) * u.behind.scale[i/per])
	}
	for i := range u.bias {
		u.bias[i] = float32(float64(float64(u.bias[i])*u.behind.scale[i]) + u.behind.offset[i])
	}
}

// at is the value of channel i, where one stands for all and none for otherwise.
func at(list []float64, i int, otherwise float64) float64 {
	switch len(list) {
	case 0:
		return otherwise
	case 1:
		return list[0]
	}
	return list[i]
}

// bare is l without the rounding behind it.
func bare(l *Layer) *Layer {
	for l.Kind == Quantize {
		l = l.From
	}
	return l
}

// unpad is l without the padding behind it.
func unpad(l *Layer) *Layer {
	for l.Kind == Pad || l.Kind == Quantize && bare(l).Kind == Pad {
		l = l.From
	}
	return l
}
