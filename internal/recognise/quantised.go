package recognise

import (
	"math"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
)

// Quantized returns the network whose output the layer out makes as one of 8-bit
// integers: those of the graph, with the graph's own scales. m is what [Model] made of it.
//
// Layers whose weights are float32 stay so, as long as they take bytes.
//
// The error is [errors.ErrUnsupported] where some of it is computed in numbers, or in a way
// that [model.Quantized] doesn't have. It names the first layer that does not fit, in the
// order the network runs.
func Quantized(out *Layer, source Source, m *model.Model) (*model.Quantized, error) {
	n, err := read(out, source)
	if err != nil {
		return nil, err
	}
	a := assembler{network: n, q: &model.Quantized{Config: m.Config, Labels: m.Labels, Assumed: m.Assumed, Notes: m.Notes}}
	if err := a.assemble(out); err != nil {
		return nil, err
	}
	if a.whole == 0 {
		return nil, n.first.notBytes("no weights are 8-bit integers, here or behind")
	}
	return a.q, a.q.Validate()
}

// An assembler puts a network's integers together, in the order it runs.
type assembler struct {
	*network
	q *model.Quantized
	x model.Quantization // what the bytes stand for that the next layer takes

	whole int // layers whose weights are integers
}

// A stage is bytes as a layer takes them: what they stand for, within bounds, and the
// layer that makes them.
type stage struct {
	maker     *Layer
	bytes     *Bytes // nil for numbers
	low, high float32
}

// stageAt returns what l, which some layer takes, is.
func (a *assembler) stageAt(l *Layer) (stage, error) {
	var behind []*Layer // the last one first
	for l.Kind == Quantize || l.Kind == Clip || l.Kind == Reshape || l.Kind == Pad || l.Kind == Swap {
		behind = append(behind, l)
		l = l.From
	}
	s := stage{maker: l, low: float32(math.Inf(-1)), high: float32(math.Inf(1))}
	if l.Kind == Affine && l.Bytes != nil && l.From.Kind == Input { // the graph's input is bytes
		s.bytes = l.Bytes
	}
	var unrounded *Layer // what makes numbers of bytes again
	for i := len(behind) - 1; i >= 0; i-- {
		switch l := behind[i]; {
		case l.Kind == Clip:
			s.low, s.high = max(s.low, l.Low), min(s.high, l.High)
			if s.bytes != nil && l.Bytes == nil {
				unrounded = l
			}
		case l.Kind != Quantize:
		case l.Bytes == nil:
			return s, l.notBytes("it rounds with a scale that is computed as the graph runs")
		case s.bytes != nil && *s.bytes != *l.Bytes:
			return s, l.notBytes("it rounds bytes a second time, to others")
		default:
			s.bytes, unrounded = l.Bytes, nil
		}
	}
	if unrounded != nil {
		return s, unrounded.notBytes("what it puts out is not rounded to 8 bits")
	}
	return s, nil
}

// notBytes is the error for a layer that doesn't compute with bytes as a
// [model.Quantized] does.
func (l *Layer) notBytes(format string, args ...any) error { return l.unsupported(format, args...) }

// quantization returns what the bytes of s stand for here.
func (a *assembler) quantization(s stage) (model.Quantization, error) {
	if s.bytes == nil {
		return model.Quantization{}, s.maker.notBytes("what it puts out is not rounded to 8 bits")
	}
	return a.here(s.maker, s.bytes)
}

// here returns what bytes stand for here, where signed ones are 128 more.
func (a *assembler) here(l *Layer, b *Bytes) (model.Quantization, error) {
	zero := b.Zero
	switch b.Type {
	case "uint8":
	case "int8":
		zero += 128
	default:
		return model.Quantization{}, l.notBytes("it is rounded to %s, not to 8 bits", b.Type)
	}
	if signed := b.Type == "int8"; a.x.Scale == 0 {
		a.q.Signed = signed
	} else if signed != a.q.Signed {
		return model.Quantization{}, l.notBytes("it is rounded to %s, and what is before it is not", b.Type)
	}
	return model.Quantization{Scale: b.Scale, Zero: uint8(zero)}, nil
}

func (a *assembler) assemble(out *Layer) error {
	if a.turned {
		return a.first.notBytes("it sees photos turned")
	}
	if err := a.input(); err != nil {
		return err
	}
	if err := a.conv(a.first, a.taker(0)); err != nil {
		return err
	}
	for i := range a.blocks {
		if err := a.block(i); err != nil {
			return err
		}
	}
	if a.pool == nil || len(a.matrices) != 1 {
		return fault.Unsupportedf("a quantised network with another head than one linear layer")
	}
	if err := a.conv(a.last, a.pool.From); err != nil {
		return err
	}
	return a.tail(out)
}

// input is the bytes of the photo. What is done to its levels before they are rounded is
// the model's preprocessing.
func (a *assembler) input() error {
	s, err := a.stageAt(a.first.From)
	if err != nil {
		return err
	}
	if s.bytes == nil {
		return a.first.notBytes("it takes numbers, not 8-bit integers")
	}
	if a.x, err = a.quantization(s); err != nil {
		return err
	}
	if !math.IsInf(float64(s.low), -1) || !math.IsInf(float64(s.high), 1) {
		return a.first.notBytes("its input is clipped")
	}
	for l := s.maker; l.Kind != Input; l = l.From {
		if l.Kind == Quantize {
			return l.notBytes("it rounds the photo before other arithmetic")
		}
	}
	a.q.Input = a.x
	return nil
}

// taker is what block i takes, or the last convolution behind all blocks.
func (a *assembler) taker(i int) *Layer {
	if i == len(a.blocks) {
		return a.last.From
	}
	if b := a.blocks[i]; b.expand != nil {
		return b.expand.From
	}
	return a.blocks[i].depthwise.From
}

// conv appends u, which takes the bytes at hand. The next layer takes the layer to, which
// u and what stands behind it make.
func (a *assembler) conv(u *unit, to *Layer) error {
	s, err := a.stageAt(to)
	if err != nil {
		return err
	}
	if s.maker != u.Layer {
		return s.maker.notBytes("it computes with numbers, not with 8-bit integers")
	}
	l, err := a.layer(u, s)
	if err != nil {
		return err
	}
	a.q.Convs = append(a.q.Convs, l)
	a.x = l.Out
	return nil
}

// layer makes integers of u, which takes the bytes at hand and puts out s.
func (a *assembler) layer(u *unit, s stage) (model.QuantizedLayer, error) {
	l, err := a.weights(u)
	if err != nil {
		return l, err
	}
	if l.Out, err = a.quantization(s); err != nil {
		return l, err
	}
	l.Min, l.Max = 0, 255
	if !math.IsInf(float64(s.low), -1) {
		l.Min = l.Out.Quantize(s.low)
	}
	if !math.IsInf(float64(s.high), 1) {
		l.Max = l.Out.Quantize(s.high)
	}
	return l, nil
}

// weights are the weights of u, and its biases in the product of the scales of the bytes
// at hand and of the weights.
func (a *assembler) weights(u *unit) (l model.QuantizedLayer, err error) {
	if u.norm != nil {
		return l, u.notBytes("a batch normalisation stands behind it")
	}
	if u.Whole == nil { // it computes with the numbers that bytes stand for
		l.Float = &model.FloatLayer{Weight: u.weight, Bias: u.bias}
		if u.bias == nil {
			l.Float.Bias = make([]float32, u.Out)
		}
		return l, nil
	}
	a.whole++
	l.Weight, l.Scale, l.Bias = u.Whole.Weight, u.Whole.Scale, u.Whole.Bias
	switch {
	case l.Bias == nil && u.Bias == nil:
		l.Bias = make([]int32, u.Out)
	case l.Bias == nil: // ONNX Runtime rounds it like this
		for o, b := range u.Bias {
			r := math.RoundToEven(float64(b / (a.x.Scale * l.Scale[o])))
			if !(math.Abs(r) <= math.MaxInt32) {
				if b != 0 {
					return l, u.notBytes("its bias %v is more than 32 bits hold in steps of %v", b, a.x.Scale*l.Scale[o])
				}
				r = 0
			}
			l.Bias = append(l.Bias, int32(r))
		}
	case u.Whole.BiasScale != nil:
		for o, s := range u.Whole.BiasScale {
			want := a.x.Scale * l.Scale[o]
			if l.Bias[o] != 0 && !(math.Abs(float64(s-want)) <= 1e-4*float64(want)) {
				return l, u.notBytes("its bias has a scale of %v, and input and weights one of %v", s, want)
			}
		}
	}
	return l, nil
}

func (a *assembler) block(i int) error {
	b, next := a.blocks[i], a.taker(i+1)
	x, sum := a.x, model.QuantizedSum{Quantization: model.Quantization{Scale: 1}} // of no meaning without a residual
	end := next
	if b.residual {
		end = b.main()
	}
	if b.expand != nil {
		if err := a.conv(b.expand, b.depthwise.From); err != nil {
			return err
		}
	}
	if err := a.conv(b.depthwise, b.project.From); err != nil {
		return err
	}
	if err := a.conv(b.project, end); err != nil {
		return err
	}
	if b.residual {
		if err := a.same(b.skip(), x); err != nil {
			return err
		}
		s, err := a.stageAt(next)
		if err != nil {
			return err
		}
		switch {
		case s.maker != b.add:
			return s.maker.notBytes("it computes with numbers, not with 8-bit integers")
		case !math.IsInf(float64(s.low), -1) || !math.IsInf(float64(s.high), 1):
			return b.add.notBytes("the sum is clipped")
		}
		if a.x, err = a.quantization(s); err != nil {
			return err
		}
		sum = model.QuantizedSum{Quantization: a.x, Swapped: b.swapped}
	}
	a.q.Sums = append(a.q.Sums, sum)
	return nil
}

// same checks that what an addition takes as well are the bytes that the block takes.
func (a *assembler) same(l *Layer, want model.Quantization) error {
	s, err := a.stageAt(l)
	if err != nil {
		return err
	}
	got, err := a.quantization(s)
	if err == nil && got != want {
		err = s.maker.notBytes("it is rounded to bytes in two ways")
	}
	return err
}

// main is what the projection of a block with a residual puts out, as the addition takes
// it; skip is its other operand.
func (b block) main() *Layer {
	if b.swapped {
		return b.add.From
	}
	return b.add.Operand
}

func (b block) skip() *Layer {
	if b.swapped {
		return b.add.Operand
	}
	return b.add.From
}

// tail is the pool and the classifier, whose output out is or is made of.
func (a *assembler) tail(out *Layer) error {
	classifier := a.matrices[0]
	s, err := a.stageAt(classifier.From)
	if err != nil {
		return err
	}
	if s.maker != a.pool {
		return s.maker.notBytes("it computes with numbers, not with 8-bit integers")
	}
	if a.x, err = a.quantization(s); err != nil {
		return err
	}
	a.q.Pool = a.x
	for l := out; l != classifier.Layer; l = l.From { // to what passes no function any more
		if l.Kind == Activation || l.Kind == Choice {
			out = l.From
		}
	}
	if s, err = a.stageAt(out); err != nil {
		return err
	}
	if s.maker.Kind == Affine && s.maker.Added != nil {
		if s, err = a.classBias(s); err != nil {
			return err
		}
	}
	switch {
	case s.maker != classifier.Layer:
		return s.maker.notBytes("it computes with numbers, not with 8-bit integers")
	case s.bytes == nil:
		a.q.Classifier, err = a.weights(classifier)
		a.q.Classifier.Out, a.q.Classifier.Max = model.Quantization{Scale: 1}, 255
		return err
	}
	a.q.Logits = true
	a.q.Classifier, err = a.layer(classifier, s)
	return err
}

// classBias takes in the bytes that are added to those of the classifier, which it
// returns.
func (a *assembler) classBias(sum stage) (classifier stage, err error) {
	add := sum.maker
	b := &model.ClassBias{Sum: model.QuantizedSum{Swapped: add.Added.Swapped}}
	if b.Sum.Quantization, err = a.quantization(sum); err != nil {
		return classifier, err
	}
	if b.Of, err = a.here(add, &add.Added.Of); err != nil {
		return classifier, err
	}
	less := 0
	if a.q.Signed {
		less = -128
	}
	for _, v := range add.Added.Values {
		b.Bytes = append(b.Bytes, uint8(v-less))
	}
	a.q.ClassBias = b
	if classifier, err = a.stageAt(add.From); err == nil && classifier.bytes == nil {
		err = classifier.maker.notBytes("what it puts out is not rounded to 8 bits")
	}
	return classifier, err
}
