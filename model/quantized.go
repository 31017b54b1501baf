package model

import (
	"fmt"
	"math"
	"slices"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A Quantized is a network of 8-bit integers, derived from a [Model] by calibration
// or read from a file that somebody else quantised. Activations are bytes q that
// stand for (q - Zero) * Scale, one scale a tensor; weights are integers with one
// scale an output channel; sums are exact in 32 bits. A sum leaves a layer as
//
//	clamp(rne(float32(sum) * (float32(sx*sw) / sy)) + Zero, Min, Max)
//
// with sx, sw and sy the scales of input, weights and output, rne rounding to the
// nearest integer, ties to even, and no other rounding in between (ONNX's
// QLinearConv in ONNX Runtime; LiteRT's default kernels).
//
// A residual sum is of bytes a, the block's input, and b, its projection's output,
// with scales sa and sb and zero points za and zb (QLinearAdd in ONNX Runtime on x86):
//
//	clamp(rne(fma(a, sa/sy, fma(b, sb/sy, zy - fma(sa/sy, za, (sb/sy)*zb)))), 0, 255)
//
// in which a and b change places where the sum is Swapped, and all bytes and zero points
// are 128 less where they are Signed. In a LiteRT network it is
//
//	clamp(((a-za)*ma + (b-zb)*mb + 2^(shift-1)) >> shift + zy, 0, 255)
//
// in integers: ma = rne(sa/sy * 2^shift), mb = rne(sb/sy * 2^shift) and
// shift = 20 - floor(log2(max(sa/sy, sb/sy))).
//
// The pool puts out clamp(rne(float32(sum) * (sx / (sy*pixels))) + Zero, 0, 255),
// where sum is of the bytes less their zero point (QLinearGlobalAveragePool). That of a
// LiteRT network, MEAN, puts out
//
//	clamp(rne(float32(sum)*m + (Zero - (zx*pixels)*m)), 0, 255), m = (sx/sy) * (1/pixels)
//
// with every operation rounded to float32, where sum is of the bytes, and all bytes and
// zero points are 128 less where they are Signed. AveragePool is sum/pixels, rounded to
// the nearest integer, halves away from 0.
//
// In a QNNPACK network sums are multiplied by float32(sx*sw) * (1/sy), with 1/sy rounded
// to float32, and a residual sum is
//
//	clamp(round(((a-za)*ma + (b-zb)*mb) / 2^shift) + zy, 0, 255)
//
// with halves rounded away from 0, and ma, mb and shift as in a LiteRT network, but for a
// shift that is one more. Its pool is ONNX Runtime's.
type Quantized struct {
	Config  Config
	Labels  []string // as in Model
	Assumed Assumed  // as in Model
	Notes   []string `json:",omitempty"` // as in Model

	Input      Quantization     // of the normalised pixels
	Convs      []QuantizedLayer // those of Config.Network().Convs(), in that order
	Sums       []QuantizedSum   // what block i of Config.Network().Blocks puts out, if it has a residual
	Pool       Quantization     // behind the global average pool
	Classifier QuantizedLayer   // Out, Min and Max count only where Logits is set; otherwise Out is what bytes of logits would stand for, for formats that want them, or {1, 0}
	Logits     bool             // whether the logits are bytes, too, or float32(sum) * float32(sx*sw)
	ClassBias  *ClassBias       // what is added to bytes of logits; nil for nothing, as usual

	// Signed says that the bytes are signed ones in files: 128 less than here, zero
	// points, too. It matters to the rounding of residual sums.
	Signed bool

	// ReLU says that what bounds the activations from above is where their bytes end, and
	// not ReLU6, as in torchvision's quantised networks. It matters to Dequantize alone.
	ReLU bool

	// LiteRT has residual sums, the pool and the input's numbers rounded as LiteRT's
	// default kernels (XNNPACK's) round them: bytes next to a tie differ from the others.
	// An input's number is multiplied with 1/scale, and not divided by it.
	LiteRT bool
	// AveragePool, of a LiteRT network, has AVERAGE_POOL_2D for a pool, not MEAN.
	AveragePool bool

	// QNNPACK has multipliers, residual sums and the input's numbers rounded as torch's
	// QNNPACK rounds them. An input's number is multiplied with 1/scale, and not divided by it.
	QNNPACK bool

	// Wide keeps residual sums in float32, and what is added to them: a block with a
	// residual, and one in front of such a block, puts out
	//
	//	float32(sum) * float32(sx*sw) + the residual
	//
	// in two roundings. Convolutions that read it read clamp(rne(v * (1/sy)) + Zero,
	// Min, Max) with what Sums says, or Convs where there is no residual. The first
	// convolution, where the block behind it has a residual, puts out bytes all the
	// same, and the numbers that they stand for are added. No file format but ours
	// has that.
	Wide bool
}

// A QuantizedSum is what the bytes of a residual sum stand for.
type QuantizedSum struct {
	Quantization
	Swapped bool `json:"swapped,omitempty"` // the projection's output is the first of the two, and the block's input the second
}

// A ClassBias is bytes that are added to those of the logits, as if it were a residual
// sum: the bias of a classifier without one (QLinearMatMul and QLinearAdd).
type ClassBias struct {
	Bytes []uint8      `json:"bytes"` // [Classes]
	Of    Quantization `json:"of"`    // what they stand for
	Sum   QuantizedSum `json:"sum"`   // what the logits stand for then; Swapped if Bytes are the first
}

// A Quantization is what the bytes of a tensor stand for: (q - Zero) * Scale.
type Quantization struct {
	Scale float32 `json:"scale"`
	Zero  uint8   `json:"zero"`
}

// InputByte returns the byte of a normalised level.
func (q *Quantized) InputByte(v float32) uint8 {
	if q.LiteRT || q.QNNPACK { // 1/scale, rounded
		return Quantization{Scale: 1, Zero: q.Input.Zero}.Quantize(v * (1 / q.Input.Scale))
	}
	return q.Input.Quantize(v)
}

// Quantize returns the byte of v: clamp(rne(v/Scale) + Zero, 0, 255), as ONNX's
// QuantizeLinear has it. NaN, for which there is no byte,
// becomes 255.
func (q Quantization) Quantize(v float32) uint8 {
	b := math.RoundToEven(float64(v/q.Scale)) + float64(q.Zero)
	if !(b < 255) {
		return 255
	}
	return uint8(max(b, 0))
}

// Dequantize returns the number that b stands for.
func (q Quantization) Dequantize(b uint8) float32 {
	return float32(int(b)-int(q.Zero)) * q.Scale
}

// Range returns the numbers that bytes from 0 to 255 stand for.
func (q Quantization) Range() (low, high float32) {
	return q.Dequantize(0), q.Dequantize(255)
}

// A QuantizedLayer is a convolution with its batch normalisation folded in, or the
// classifier.
type QuantizedLayer struct {
	Weight []int16      // [Out][In/Groups][Kernel][Kernel], each minus its zero point: within 127 of 0 in networks of ours, within 255 in others
	Scale  []float32    // [Out]: of the weights
	Bias   []int32      // [Out]: of scale sx*sw
	Out    Quantization // of what it puts out
	Min    uint8        // bounds of the bytes put out; ReLU6 is Zero and the byte of 6, or 255 where that is less
	Max    uint8

	// Float is a layer that was kept in float32, whose Weight, Scale and Bias are nil;
	// nil for others. It takes the bytes that it reads for the numbers that they stand
	// for, and what it puts out, v, leaves as bytes all the same:
	//
	//	clamp(rne(v * (1/sy)) + Zero, Min, Max)
	//
	// Its sums are float32's, so that their last bits differ from CPU to CPU.
	Float *FloatLayer
}

// A FloatLayer is the weights of a layer in float32.
type FloatLayer struct {
	Weight []float32 // [Out][In/Groups][Kernel][Kernel]
	Bias   []float32 // [Out]
}

// KeptFloat returns the module path of the first layer that was kept in float32; ok is
// false where none was.
func (q *Quantized) KeptFloat() (name string, ok bool) {
	for _, p := range q.Parts() {
		if p.Layer.Float != nil {
			return p.Name, true
		}
	}
	return "", false
}

// Validate returns an error that names the first thing about q that can't be: a
// *[fault.Error] whose place is the layer's module path.
func (q *Quantized) Validate() error {
	if err := q.ValidateActivations(); err != nil {
		return err
	}
	n := q.Config.Network()
	for i, c := range n.Convs() {
		if err := q.Convs[i].check(c.Name, c.Out, elements(c.WeightShape())); err != nil {
			return err
		}
	}
	l := n.Classifier
	if err := q.Classifier.check(l.Name, l.Out, l.Out*l.In); err != nil {
		return err
	}
	return q.checkScales(n)
}

// ValidateActivations is Validate for all but weights and their scales.
func (q *Quantized) ValidateActivations() error {
	if err := q.Config.Validate(); err != nil {
		return err
	}
	if !q.Config.Head.Plain() || q.Config.Classes == 0 {
		return fault.Unsupportedf("a quantised network with another head than one linear layer")
	}
	if q.LiteRT && (q.Wide || q.ClassBias != nil) {
		return fault.Unsupportedf("LiteRT's rounding beside wide sums, or bytes that are added to the logits")
	}
	if q.QNNPACK && (q.LiteRT || q.Wide || q.ClassBias != nil) {
		return fault.Unsupportedf("QNNPACK's rounding beside LiteRT's, wide sums, or bytes that are added to the logits")
	}
	if q.AveragePool && !q.LiteRT {
		return fault.Unsupportedf("an average pool of LiteRT's in a network that is not LiteRT's")
	}
	n := q.Config.Network()
	convs := n.Convs()
	if len(q.Convs) != len(convs) {
		return fault.Brokenf("%d quantised convolutions, and the network has %d", len(q.Convs), len(convs))
	}
	if len(q.Sums) != len(n.Blocks) {
		return fault.Brokenf("quantisation of %d blocks' sums, and the network has %d blocks", len(q.Sums), len(n.Blocks))
	}
	if err := q.Input.check("input"); err != nil {
		return err
	}
	for i := range convs {
		if err := q.Convs[i].checkOut(convs[i].Name); err != nil {
			return err
		}
	}
	for i, b := range n.Blocks {
		if b.Residual() {
			if err := q.Sums[i].check(b.Name); err != nil {
				return err
			}
		}
	}
	if err := q.Pool.check("avgpool"); err != nil {
		return err
	}
	if q.Logits {
		if err := q.Classifier.checkOut(n.Classifier.Name); err != nil {
			return err
		}
	}
	if b := q.ClassBias; b != nil {
		return b.check(q, n.Classifier)
	}
	switch {
	case q.LiteRT:
		return q.checkLiteRT(n)
	case q.QNNPACK:
		return q.checkFixedSums(n, "QNNPACK", -14)
	}
	return nil
}

// checkFixedSums wants scales that sums in fixed point take: from 2^least to 2^8 steps.
func (q *Quantized) checkFixedSums(n Network, whose string, least int) error {
	_, blocks := q.Inputs()
	for i, b := range n.Blocks {
		if !b.Residual() {
			continue
		}
		x, y, sum := blocks[i].Scale, q.projection(n, i).Scale, q.Sums[i].Scale
		if !(float64(min(x, y)/sum) >= math.Ldexp(1, least) && max(x, y)/sum < 0x1p8) {
			return unsupportedLayer(b.Name, "scales %v and %v are added in steps of %v, and %s's sums in fixed point take from 2^%d to 2^8 of these", x, y, sum, whose, least)
		}
	}
	return nil
}

// checkLiteRT wants scales that LiteRT's kernels take.
func (q *Quantized) checkLiteRT(n Network) error {
	if err := q.checkFixedSums(n, "LiteRT", -10); err != nil {
		return err
	}
	if q.AveragePool && q.Pool != q.Convs[len(q.Convs)-1].Out {
		return unsupportedLayer("avgpool", "it puts out other bytes than it takes, and averages bytes")
	}
	return nil
}

// check wants a byte for each class, and bytes to add them to.
func (b *ClassBias) check(q *Quantized, l Linear) error {
	switch {
	case !q.Logits:
		return wrongLayer(l.Name, "bytes are added to logits that are none")
	case len(b.Bytes) != l.Out:
		return wrongLayer(l.Name, "%d bytes are added to the logits of %d classes", len(b.Bytes), l.Out)
	}
	if err := b.Of.check(l.Name); err != nil {
		return err
	}
	if err := b.Sum.check(l.Name); err != nil {
		return err
	}
	return b.Sum.checkTerms(l.Name, q.Classifier.Out, b.Of)
}

// checkScales wants scales that can be multiplied and divided by each other.
func (q *Quantized) checkScales(n Network) error {
	inputs, blocks := q.Inputs()
	for i, c := range n.Convs() {
		if err := q.checkMultipliers(&q.Convs[i], c.Name, inputs[i].Scale, true); err != nil {
			return err
		}
	}
	for i, b := range n.Blocks {
		if !b.Residual() {
			continue
		}
		if err := q.Sums[i].checkTerms(b.Name, blocks[i], q.projection(n, i)); err != nil {
			return err
		}
	}
	if x := q.Convs[len(q.Convs)-1].Out.Scale; !finite(x / q.Pool.Scale) {
		return wrongLayer("avgpool", "scale %v of its input is beyond float32 for an output of scale %v", x, q.Pool.Scale)
	}
	return q.checkMultipliers(&q.Classifier, n.Classifier.Name, q.Pool.Scale, q.Logits)
}

// checkTerms wants scales that can be divided by the sum's.
func (s QuantizedSum) checkTerms(place string, terms ...Quantization) error {
	for _, x := range terms {
		if !finite(255 * (x.Scale / s.Scale)) {
			return wrongLayer(place, "scale %v of what is added is beyond float32 for a sum of scale %v", x.Scale, s.Scale)
		}
	}
	return nil
}

// Multiplier returns what sums of output channel o are multiplied by for an input of
// scale sx: float32(sx*sw), which makes numbers of them, or with bytes that divided
// by the output's scale. See [Quantized.Multiplier] for layers of a QNNPACK network.
func (l *QuantizedLayer) Multiplier(o int, sx float32, bytes bool) float32 {
	m := sx * l.Scale[o]
	if bytes {
		m /= l.Out.Scale
	}
	return m
}

// Multiplier is that of l, a layer of q, in q's rounding.
func (q *Quantized) Multiplier(l *QuantizedLayer, o int, sx float32, bytes bool) float32 {
	if bytes && q.QNNPACK {
		return l.Multiplier(o, sx, false) * (1 / l.Out.Scale)
	}
	return l.Multiplier(o, sx, bytes)
}

// checkMultipliers wants all of them to be numbers.
func (q *Quantized) checkMultipliers(l *QuantizedLayer, place string, sx float32, bytes bool) error {
	for o, sw := range l.Scale {
		if !finite(q.Multiplier(l, o, sx, bytes)) {
			return wrongLayer(place, "scales %v of the input, %v of output channel %d's weights and %v of the output make a multiplier beyond float32", sx, sw, o, l.Out.Scale)
		}
	}
	return nil
}

// projection returns what the last convolution of block i puts out.
func (q *Quantized) projection(n Network, i int) Quantization {
	at := 0
	for _, b := range n.Blocks[:i+1] {
		at += len(b.Convs())
	}
	return q.Convs[at].Out
}

// check wants a scale that can be divided by.
func (q Quantization) check(place string) error {
	if !(q.Scale > 0) || math.IsInf(float64(q.Scale), 0) || math.IsInf(float64(1/q.Scale), 0) {
		return wrongLayer(place, "scale %v: want a number above 0", q.Scale)
	}
	return nil
}

// check wants weights, scales and biases as many as the layer has.
func (l *QuantizedLayer) check(place string, out, weights int) error {
	if l.Float != nil {
		return l.checkFloat(place, out, weights)
	}
	switch {
	case len(l.Weight) != weights:
		return wrongLayer(place, "%d weights, want %d", len(l.Weight), weights)
	case len(l.Scale) != out:
		return wrongLayer(place, "%d scales of weights, want %d", len(l.Scale), out)
	case len(l.Bias) != out:
		return wrongLayer(place, "%d biases, want %d", len(l.Bias), out)
	}
	for i, s := range l.Scale {
		if !(s >= 0) || math.IsInf(float64(s), 0) {
			return wrongLayer(place, "scale %v of output channel %d's weights: want a number from 0 up", s, i)
		}
	}
	for i, w := range l.Weight {
		if w < -255 || w > 255 {
			return wrongLayer(place, "weight %d is %d from its zero point, more than bytes can be", i, w)
		}
	}
	return nil
}

// checkFloat is check of a layer that was kept in float32.
func (l *QuantizedLayer) checkFloat(place string, out, weights int) error {
	switch f := l.Float; {
	case len(f.Weight) != weights:
		return wrongLayer(place, "%d weights, want %d", len(f.Weight), weights)
	case len(f.Bias) != out:
		return wrongLayer(place, "%d biases, want %d", len(f.Bias), out)
	case l.Weight != nil || l.Scale != nil || l.Bias != nil:
		return wrongLayer(place, "weights of 8 bits and of float32")
	case !allFinite(f.Weight) || !allFinite(f.Bias):
		return wrongLayer(place, "a weight is not a finite number")
	}
	return nil
}

func allFinite(v []float32) bool {
	return !slices.ContainsFunc(v, func(x float32) bool { return !finite(x) })
}

func (l *QuantizedLayer) checkOut(place string) error {
	if l.Min > l.Max {
		return wrongLayer(place, "its output is bounded by %d and %d", l.Min, l.Max)
	}
	return l.Out.check(place)
}

func wrongLayer(place, format string, args ...any) error {
	return &fault.Error{Kind: fault.Broken, Place: place, Reason: fmt.Sprintf(format, args...)}
}

// Bytes returns what q's weights take, a byte each, or two where one is further from its
// zero point than a byte goes, four in a layer of float32, and what their scales and the
// biases take.
func (q *Quantized) Bytes() (weights, others int) {
	for _, p := range q.Parts() {
		n := len(p.Layer.Weight)
		if slices.ContainsFunc(p.Layer.Weight, func(w int16) bool { return w != int16(int8(w)) }) {
			n *= 2
		}
		weights += n
		others += 4*len(p.Layer.Scale) + 4*len(p.Layer.Bias)
		if f := p.Layer.Float; f != nil {
			weights += 4 * len(f.Weight)
			others += 4 * len(f.Bias)
		}
	}
	return weights, others
}

func unsupportedLayer(place, format string, args ...any) error {
	return &fault.Error{Kind: fault.Unsupported, Place: place, Reason: fmt.Sprintf(format, args...)}
}

// Inputs returns what each convolution of Config.Network().Convs() reads, and what
// the residual of each of its blocks is.
func (q *Quantized) Inputs() (convs, blocks []Quantization) {
	n := q.Config.Network()
	at, x := 0, q.Input
	conv := func() {
		convs = append(convs, x)
		x = q.Convs[at].Out
		at++
	}
	conv()
	for i, b := range n.Blocks {
		blocks = append(blocks, x)
		for range b.Convs() {
			conv()
		}
		if b.Residual() {
			x = q.Sums[i].Quantization
		}
	}
	conv()
	return convs, blocks
}

// Dequantize returns the network in float32, with the weights that q's stand for.
// It computes without the rounding, and the bounds, of q's activations. Where they had
// ReLU, and bytes that stand for more than 6, a layer's weights are made smaller and the
// next one's larger, so that ReLU6 cuts off where the bytes end.
func (q *Quantized) Dequantize() *Model {
	n := q.Config.Network()
	m := &Model{Config: q.Config, Labels: q.Labels, Assumed: q.Assumed, Notes: q.Notes, Dequantized: true, Dict: StateDict{}}
	inputs, _ := q.Inputs()
	before := float32(1) // how many times too small what a layer reads is
	for i, c := range n.Convs() {
		w, b := q.Convs[i].dequantize(inputs[i].Scale)
		scale(w, before)
		before = 1
		if l := &q.Convs[i]; q.ReLU && c.ReLU6 && !(i == 0 && n.Blocks[0].Residual()) {
			if top := l.Out.Dequantize(l.Max); top > 6 {
				before = top / 6
				scale(w, 1/before)
				scale(b, 1/before)
			}
		}
		Unfold(m.Dict, c, w, b, q.Config.BNEps)
	}
	w, b := q.Classifier.dequantize(q.Pool.Scale)
	scale(w, before)
	if c := q.ClassBias; c != nil {
		for i, v := range c.Bytes {
			b[i] += c.Of.Dequantize(v)
		}
	}
	l := n.Classifier
	m.Dict[l.Name+".weight"] = Tensor{Shape: []int{l.Out, l.In}, Data: w}
	m.Dict[l.Name+".bias"] = Tensor{Shape: []int{l.Out}, Data: b}
	return m
}

func scale(values []float32, by float32) {
	if by == 1 {
		return
	}
	for i := range values {
		values[i] *= by
	}
}

// dequantize returns the layer's weights and bias for an input of scale sx.
func (l *QuantizedLayer) dequantize(sx float32) (w, b []float32) {
	if f := l.Float; f != nil {
		return slices.Clone(f.Weight), slices.Clone(f.Bias)
	}
	w, b = make([]float32, len(l.Weight)), make([]float32, len(l.Bias))
	per := len(w) / len(b)
	for o, s := range l.Scale {
		for i := o * per; i < (o+1)*per; i++ {
			w[i] = float32(l.Weight[i]) * s
		}
		b[o] = float32(float64(l.Bias[o]) * float64(sx) * float64(s))
	}
	return w, b
}
