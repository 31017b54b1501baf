package engine

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"

	"github.com/mobilenet-go/mobilenet/model"
)

// A bytesMap is what a module of a network of 8-bit integers puts out, [c][h][w]:
// integers, and the numbers that they stand for. In a wide network the numbers of
// residual sums are what the integers were made from.
type bytesMap struct {
	c, h, w int
	q       model.Quantization
	bytes   []uint8
	numbers []float32
}

func newBytesMap(c, h, w int, q model.Quantization) bytesMap {
	return bytesMap{c, h, w, q, make([]uint8, c*h*w), make([]float32, c*h*w)}
}

// at is 0 outside of the map.
func (x *bytesMap) at(c, y, col int) int64 {
	if y < 0 || y >= x.h || col < 0 || col >= x.w {
		return 0
	}
	return int64(x.bytes[(c*x.h+y)*x.w+col]) - int64(x.q.Zero)
}

// naiveInt8 runs q the slow and obvious way: one image, given as the bytes of its
// normalised pixels, [h][w][3]. It follows the formulas of [model.Quantized].
func naiveInt8(q *model.Quantized, image []uint8, h, w int) (logits, features []float32, maps map[string]bytesMap) {
	x := newBytesMap(3, h, w, q.Input)
	for p := range h * w {
		for c := range 3 {
			x.bytes[c*h*w+p] = image[p*3+c]
		}
	}
	n := q.Config.Network()
	maps = map[string]bytesMap{}
	at := 0
	conv := func(c model.Conv, x bytesMap, wide bool) bytesMap {
		out := naiveInt8Conv(q, c, &q.Convs[at], x, wide)
		at++
		return out
	}
	x = conv(n.First, x, false)
	maps["features.0"] = x
	for i, b := range n.Blocks {
		next := i+1 < len(n.Blocks) && n.Blocks[i+1].Residual()
		wide := q.Wide && (b.Residual() || next)
		y := x
		for j, c := range b.Convs() {
			y = conv(c, y, wide && !c.ReLU6)
			if c.ReLU6 {
				maps[fmt.Sprintf("%s.conv.%d", b.Name, j)] = y
			}
		}
		maps[b.Name+".conv"] = y
		last := &q.Convs[at-1]
		low, high := last.Min, last.Max
		if b.Residual() {
			low, high = 0, 255
			sum := newBytesMap(y.c, y.h, y.w, q.Sums[i].Quantization)
			for k := range sum.bytes {
				if wide {
					sum.numbers[k] = y.numbers[k] + x.numbers[k]
				} else {
					sum.bytes[k] = naiveSum(q, x.bytes[k], y.bytes[k], x.q, y.q, q.Sums[i])
					sum.numbers[k] = sum.q.Dequantize(sum.bytes[k])
				}
			}
			y = sum
		}
		if wide {
			m := 1 / y.q.Scale
			y.bytes = make([]uint8, len(y.numbers))
			for k, v := range y.numbers {
				y.bytes[k] = naiveByte(v*m, y.q.Zero, low, high)
			}
		}
		maps[b.Name] = y
		x = y
	}
	x = conv(n.Last, x, false)
	maps[fmt.Sprintf("features.%d", len(n.Blocks)+1)] = x
	pooled := bytesMap{c: x.c, h: 1, w: 1, q: q.Pool}
	m := x.q.Scale / (q.Pool.Scale * float32(x.h*x.w))
	for c := range x.c {
		sum := int64(0)
		for p := range x.h * x.w {
			sum += x.at(c, p/x.w, p%x.w)
		}
		b := naiveByte(float32(int32(sum))*m, q.Pool.Zero, 0, 255)
		if q.LiteRT {
			b = naiveLiteRTPool(q, x, c)
		}
		pooled.bytes = append(pooled.bytes, b)
		features = append(features, float32(int(b)-int(q.Pool.Zero))*q.Pool.Scale)
	}
	for o := range n.Classifier.Out {
		l := &q.Classifier
		sum := int64(l.Bias[o])
		for i := range pooled.c {
			sum += pooled.at(i, 0, 0) * int64(l.Weight[o*pooled.c+i])
		}
		m := q.Pool.Scale * l.Scale[o]
		v := float32(int32(sum)) * m
		if q.Logits {
			b := naiveByte(float32(int32(sum))*naiveMultiplier(q, m, l.Out.Scale), l.Out.Zero, l.Min, l.Max)
			of := l.Out
			if c := q.ClassBias; c != nil {
				b, of = naiveSum(q, b, c.Bytes[o], of, c.Of, c.Sum), c.Sum.Quantization
			}
			v = float32(int(b)-int(of.Zero)) * of.Scale
		}
		logits = append(logits, v)
	}
	return logits, features, maps
}

// naiveMultiplier makes bytes of scale sy of sums of scale m.
func naiveMultiplier(q *model.Quantized, m, sy float32) float32 {
	if q.QNNPACK {
		return m * float32(1/sy)
	}
	return m / sy
}

// naiveByte is clamp(rne(v) + zero, low, high).
func naiveByte(v float32, zero, low, high uint8) uint8 {
	return uint8(min(max(math.RoundToEven(float64(v))+float64(zero), float64(low)), float64(high)))
}

// naiveSum is the residual sum of bytes a and b, its products and sums exact until
// each fma rounds once.
func naiveSum(q *model.Quantized, byteA, byteB uint8, qa, qb model.Quantization, sum model.QuantizedSum) uint8 {
	if q.LiteRT || q.QNNPACK {
		return naiveFixedSum(q, byteA, byteB, qa, qb, sum)
	}
	if sum.Swapped {
		byteA, byteB, qa, qb = byteB, byteA, qb, qa
	}
	less, low, high := 0, 0.0, 255.0
	if q.Signed {
		less, low, high = 128, -128, 127
	}
	signed := func(b uint8) float32 { return float32(int(b) - less) }
	fma := func(x, y, z float32) float32 {
		exact := func(v float32) *big.Float { return new(big.Float).SetPrec(1000).SetFloat64(float64(v)) }
		p := exact(x)
		p.Mul(p, exact(y)).Add(p, exact(z))
		r, _ := p.Float32()
		return r
	}
	ra, rb := qa.Scale/sum.Scale, qb.Scale/sum.Scale
	offset := signed(sum.Zero) - fma(ra, signed(qa.Zero), rb*signed(qb.Zero))
	v := math.RoundToEven(float64(fma(signed(byteA), ra, fma(signed(byteB), rb, offset))))
	return uint8(int(min(max(v, low), high)) + less)
}

// naiveFixedSum follows the formula too, in float64, which holds all of it.
func naiveFixedSum(q *model.Quantized, a, b uint8, qa, qb model.Quantization, sum model.QuantizedSum) uint8 {
	ra, rb := float64(qa.Scale/sum.Scale), float64(qb.Scale/sum.Scale)
	bits := 20.0
	if q.QNNPACK {
		bits = 21
	}
	scale := math.Exp2(bits - math.Floor(math.Log2(max(ra, rb))))
	ma, mb := math.RoundToEven(ra*scale), math.RoundToEven(rb*scale)
	v := (float64(a)-float64(qa.Zero))*ma + (float64(b)-float64(qb.Zero))*mb
	whole := math.Floor(v/scale + 0.5)
	if q.QNNPACK {
		whole = math.Round(v / scale) // halves away from 0
	}
	return uint8(min(max(whole+float64(sum.Zero), 0), 255))
}

// naiveLiteRTPool has every operation rounded to float32.
func naiveLiteRTPool(q *model.Quantized, x bytesMap, c int) uint8 {
	less := 0
	if q.Signed {
		less = 128
	}
	n, sum := x.h*x.w, 0
	for _, b := range x.bytes[c*n : (c+1)*n] {
		sum += int(b) - less
	}
	if q.AveragePool {
		half := n / 2
		if sum < 0 {
			half = -half
		}
		return uint8((sum+half)/n + less) // which divides towards 0
	}
	m := float32(float32(x.q.Scale/q.Pool.Scale) * float32(1/float32(n)))
	zeros := float32(float32((int(x.q.Zero)-less)*n) * m)
	v := float32(float32(sum)*m) + float32(float32(int(q.Pool.Zero)-less)-zeros)
	return uint8(min(max(math.RoundToEven(float64(v)), float64(-less)), float64(255-less)) + float64(less))
}

func naiveInt8Conv(q *model.Quantized, c model.Conv, l *model.QuantizedLayer, x bytesMap, wide bool) bytesMap {
	out := newBytesMap(c.Out, c.OutSize(x.h), c.OutSize(x.w), l.Out)
	top, left := 0, 0
	if c.Kernel == 3 {
		top, left = q.Config.Padding.Before(x.h, c.Stride), q.Config.Padding.Before(x.w, c.Stride)
	}
	in := c.In / c.Groups
	for o := range c.Out {
		m := x.q.Scale * l.Scale[o]
		for y := range out.h {
			for col := range out.w {
				sum := int64(l.Bias[o])
				for i := range in {
					from := i
					if c.Groups > 1 {
						from = o
					}
					for ky := range c.Kernel {
						for kx := range c.Kernel {
							k := ((o*in+i)*c.Kernel+ky)*c.Kernel + kx
							sum += int64(l.Weight[k]) * x.at(from, y*c.Stride-top+ky, col*c.Stride-left+kx)
						}
					}
				}
				p := (o*out.h+y)*out.w + col
				if wide {
					out.numbers[p] = float32(int32(sum)) * m
					continue
				}
				out.bytes[p] = naiveByte(float32(int32(sum))*naiveMultiplier(q, m, l.Out.Scale), l.Out.Zero, l.Min, l.Max)
				out.numbers[p] = float32(int(out.bytes[p])-int(l.Out.Zero)) * l.Out.Scale
			}
		}
	}
	return out
}

// randomInt8 returns a network of random weights up to most from 0, biases and zero
// points, whose scales keep the bytes from being all the same.
func randomInt8(c model.Config, seed uint64, most int, wide, logits bool) *model.Quantized {
	rng := rand.New(rand.NewPCG(seed, 5))
	n := c.Network()
	q := &model.Quantized{Config: c, Wide: wide, Logits: logits, Input: model.Quantization{Scale: 0.02 * (0.5 + rng.Float32()), Zero: uint8(rng.IntN(256))}}
	spread := 50.0 // of the bytes
	x := q.Input
	layer := func(out, k int, bounded bool) model.QuantizedLayer {
		l := model.QuantizedLayer{Max: 255, Out: model.Quantization{Zero: uint8(rng.IntN(256))}}
		if bounded {
			l.Out.Zero = uint8(rng.IntN(90))
			l.Min, l.Max = l.Out.Zero, l.Out.Zero+uint8(100+rng.IntN(66))
			if rng.IntN(2) == 0 { // as calibration has it
				l.Out.Zero, l.Min, l.Max = 0, 0, 255
			}
		}
		weight := float64(most) / math.Sqrt(3)
		l.Out.Scale = 0.02 * (0.5 + rng.Float32())
		scale := float32(float64(l.Out.Scale/x.Scale) / (weight * math.Sqrt(float64(k))))
		for o := range out {
			l.Scale = append(l.Scale, scale*(0.5+rng.Float32()))
			if o%13 == 5 {
				l.Scale[o] = 0
			}
			l.Bias = append(l.Bias, int32(spread*weight*math.Sqrt(float64(k))*2*(rng.Float64()-0.5)))
			for range k {
				l.Weight = append(l.Weight, int16(rng.IntN(2*most+1)-most))
			}
		}
		x = l.Out
		return l
	}
	q.Convs = append(q.Convs, layer(n.First.Out, 27, true))
	for _, b := range n.Blocks {
		for _, c := range b.Convs() {
			q.Convs = append(q.Convs, layer(c.Out, c.In/c.Groups*c.Kernel*c.Kernel, c.ReLU6))
		}
		sum := model.Quantization{Scale: x.Scale * (1 + rng.Float32()), Zero: uint8(rng.IntN(256))}
		q.Sums = append(q.Sums, model.QuantizedSum{Quantization: sum})
		if b.Residual() {
			x = sum
		}
	}
	q.Convs = append(q.Convs, layer(n.Last.Out, n.Last.In, true))
	q.Pool = model.Quantization{Scale: x.Scale * (0.3 + rng.Float32()/2), Zero: uint8(rng.IntN(90))}
	x = q.Pool
	q.Classifier = layer(n.Classifier.Out, n.Classifier.In, false)
	return q
}

// foreign gives q what networks of ours don't have: signed bytes, sums in the other
// order, bytes that are added to the logits'.
func foreign(q *model.Quantized) *model.Quantized {
	q.Signed, q.Logits = true, true
	for i := range q.Sums {
		q.Sums[i].Swapped = i%2 == 0
	}
	out := q.Classifier.Out
	q.ClassBias = &model.ClassBias{
		Bytes: noise(q.Config.Classes), Of: model.Quantization{Scale: out.Scale / 3, Zero: 100},
		Sum: model.QuantizedSum{Quantization: model.Quantization{Scale: out.Scale * 1.25, Zero: 90}, Swapped: true},
	}
	return q
}
