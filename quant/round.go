package quant

import (
	"context"
	"math"

	"github.com/mobilenet-go/mobilenet/model"
)

// round makes integers of the network.
func (n *network) round(ctx context.Context, m *model.Model, threads int) (*Network, error) {
	q := &Network{Config: m.Config, Labels: m.Labels, Assumed: m.Assumed}
	q.Input = n.inputRange()
	ranges := map[*tensor]model.Quantization{&n.input: q.Input}
	for i := range n.convs {
		l := &n.convs[i]
		if l.ReLU6 {
			ranges[l.out] = l.out.upTo(top, n.fit)
		} else {
			ranges[l.out] = l.out.bestRange(n.fit)
		}
	}
	for _, b := range n.blocks {
		sum := model.Quantization{Scale: 1} // of no meaning without a residual
		if b.Residual() {
			sum = b.sum.bestRange(n.fit)
			ranges[b.sum] = sum
		}
		q.Sums = append(q.Sums, model.QuantizedSum{Quantization: sum})
	}
	q.Pool = n.pool.upTo(math.Inf(1), n.fit)
	ranges[&n.pool] = q.Pool
	for i := range n.convs {
		l := &n.convs[i]
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rounded := l.round(ranges[l.in], threads)
		rounded.Out, rounded.Max = ranges[l.out], 255
		if l.ReLU6 {
			rounded.Min = rounded.Out.Zero
		}
		q.Convs = append(q.Convs, rounded)
	}
	q.Classifier = n.linear.round(q.Pool, threads)
	q.Classifier.Out, q.Classifier.Max = n.logits.widest(n.fit), 255
	return q, nil
}

// inputRange holds every level of every channel.
func (n *network) inputRange() model.Quantization {
	low, high := 0.0, 0.0
	for _, levels := range n.config.Preprocess.Levels() {
		low, high = min(low, float64(levels[0])), max(high, float64(levels[255]))
	}
	return n.fit(low, high)
}

// quantization is that of numbers from low to high, which hold 0: 0 is a byte exactly.
func quantization(low, high float64) model.Quantization {
	low, high = min(low, 0), max(high, 0)
	if high-low < 1e-9 { // a tensor of zeros
		high = 1
	}
	zero := math.RoundToEven(-low / (high - low) * 255)
	// The scale that holds both ends with that zero point.
	scale := 0.0
	if zero > 0 {
		scale = -low / zero
	}
	if zero < 255 {
		scale = max(scale, high/(255-zero))
	}
	return model.Quantization{Scale: float32(scale), Zero: uint8(zero)}
}

// symmetric is quantization with the byte 128, a signed 0, for 0.
func symmetric(low, high float64) model.Quantization {
	most := max(-low, high)
	if most < 1e-9 { // a tensor of zeros
		most = 1
	}
	return model.Quantization{Scale: float32(most / 127), Zero: 128}
}

// upTo is the quantisation of a tensor without negative numbers, by its largest one.
// It ends at limit.
func (t *tensor) upTo(limit float64, fit func(low, high float64) model.Quantization) model.Quantization {
	high := 0.0
	for i := range t.channels {
		c := &t.channels[i]
		if c.count > 0 {
			high = max(high, c.max*margin*c.factor)
		}
	}
	return fit(0, min(high, limit))
}

// widest is the quantisation of a tensor by its least and its largest number: logits,
// of which the largest one matters most.
func (t *tensor) widest(fit func(low, high float64) model.Quantization) model.Quantization {
	low, high := 0.0, 0.0
	for i := range t.channels {
		if c := &t.channels[i]; c.count > 0 {
			low, high = min(low, c.min*margin*c.factor), max(high, c.max*margin*c.factor)
		}
	}
	return fit(low, high)
}

// bestRange is the quantisation of a linear tensor with the least squared error over
// the samples: outliers are worth less than finer steps for the rest.
func (t *tensor) bestRange(fit func(low, high float64) model.Quantization) model.Quantization {
	low, high := 0.0, 0.0
	var samples []float64
	for i := range t.channels {
		c := &t.channels[i]
		if c.count == 0 {
			continue
		}
		low, high = min(low, c.min*c.factor), max(high, c.max*c.factor)
		for _, v := range c.samples {
			samples = append(samples, float64(v)*c.factor)
		}
	}
	best, least := fit(low, high), math.Inf(1)
	const steps = 40
	for lowStep := steps / 2; lowStep <= steps; lowStep += 2 {
		for highStep := steps / 2; highStep <= steps; highStep += 2 {
			q := fit(low*float64(lowStep)/steps, high*float64(highStep)/steps)
			if e := squaredError(samples, q); e < least {
				best, least = q, e
			}
		}
	}
	return best
}

// squaredError sums the squares of what rounding to q changes.
func squaredError(samples []float64, q model.Quantization) float64 {
	scale, zero := float64(q.Scale), float64(q.Zero)
	sum := 0.0
	for _, v := range samples {
		b := min(max(math.RoundToEven(v/scale)+zero, 0), 255)
		d := (b-zero)*scale - v
		sum += d * d
	}
	return sum
}

// largest is what weights are rounded to: s8 without -128, so that a filter's sign can
// be changed.
const largest = 127

// round makes integers of a layer's weights, one scale an output channel, and of its
// biases. What the rounding of the weights changes on average, the bias makes good:
// 20.0 to 29.2 dB by itself in the experiments behind this package.
func (l *layer) round(in model.Quantization, threads int) model.QuantizedLayer {
	if l.float {
		return model.QuantizedLayer{Float: &model.FloatLayer{Weight: narrowed(l.w), Bias: narrowed(l.b)}}
	}
	per := l.per()
	q := model.QuantizedLayer{Weight: make([]int16, len(l.w)), Scale: make([]float32, len(l.b)), Bias: make([]int32, len(l.b))}
	for o := range l.b {
		row := l.w[o*per : (o+1)*per]
		q.Scale[o] = scaleOf(row, l.b[o], float64(in.Scale))
		for i, w := range row {
			r := math.RoundToEven(w / float64(q.Scale[o]))
			q.Weight[o*per+i] = int16(min(max(r, -largest), largest))
		}
	}
	if xs := l.samples(); xs != nil {
		l.settle(q.Weight, q.Scale, xs, threads)
	}
	for o, scale := range q.Scale {
		bias := l.b[o]
		for i, w := range l.w[o*per : (o+1)*per] {
			if c := &l.in.channels[l.reads(o, i)]; c.count > 0 {
				bias += (w - float64(q.Weight[o*per+i])*float64(scale)) * c.mean()
			}
		}
		// float32's product, because that is what sums are multiplied by.
		q.Bias[o] = int32(min(max(math.RoundToEven(bias/float64(in.Scale*scale)), -maxBias), maxBias))
	}
	return q
}

// maxBias leaves a sum room: 2^30 of 2^31.
const maxBias = 1 << 30

// scaleOf is the scale of a row of weights: the largest is a byte's, and the bias fits.
func scaleOf(row []float64, bias, in float64) float32 {
	widest := 0.0
	for _, w := range row {
		widest = max(widest, math.Abs(w))
	}
	return float32(max(widest/largest, 2*math.Abs(bias)/in/maxBias, 1e-30/in))
}
