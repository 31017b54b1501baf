package kernel

import "math"

// GenericInt8 is the 8-bit set in plain Go: the reference for the others, and
// what runs where there is no assembly.
var GenericInt8 = Int8{
	Name:      "generic",
	Pointwise: pointwiseInt8Generic,
	Depthwise: depthwiseInt8Generic,
	First:     firstInt8Generic,
	Add:       addInt8Generic,
	AddFixed:  addFixedInt8Generic,
	Pool:      poolInt8Generic,
	Quantize:  quantizeInt8Generic,
	Lookup:    lookupInt8Generic,
	Dot:       dotInt8Generic,
	Peak:      peakInt8Generic,
	layouts:   layouts{narrow: layoutRows, wide: layoutRows},
}

// mulAddInt8 is mulAdd for bytes.
func mulAddInt8(s *[lanes]int32, x []uint8, w []int16, nr int) {
	s0, s1, s2, s3, s4, s5, s6, s7 := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
	at := 0
	for _, b := range x {
		v := int32(b)
		r := w[at : at+4 : at+4]
		s0 += v * int32(r[0])
		s1 += v * int32(r[1])
		s2 += v * int32(r[2])
		s3 += v * int32(r[3])
		r = w[at+4 : at+8 : at+8]
		s4 += v * int32(r[0])
		s5 += v * int32(r[1])
		s6 += v * int32(r[2])
		s7 += v * int32(r[3])
		at += nr
	}
	*s = [lanes]int32{s0, s1, s2, s3, s4, s5, s6, s7}
}

// requantize puts out the sums of as many channels as there are.
func (r Range) requantize(dst []uint8, sums []int32, m []float32) {
	for c, s := range sums {
		dst[c] = r.Requantize(s, m[c])
	}
}

func pointwiseInt8Generic(a PointwiseInt8) {
	a.check()
	f := a.Filter
	for p := range a.Pixels {
		for n := 0; n < f.NR; n += lanes {
			at := p*Block + n
			s := [lanes]int32(f.Bias[n:])
			src, w := a.Src[p*Block:], f.W16[n:]
			for k := 0; k < f.K; k += Block {
				x := src[k/Block*a.SrcStride:][:min(Block, f.K-k)]
				mulAddInt8(&s, x, w[k*f.NR:], f.NR)
			}
			if a.Float == nil {
				a.Range.requantize(a.Dst[at:], s[:], f.M[n:])
				continue
			}
			for c, v := range s {
				out := Dequantize(v, f.M[n+c])
				if a.Add != nil {
					out += a.Add[at+c]
				}
				a.Float[at+c] = out
			}
		}
	}
}

func firstInt8Generic(a FirstInt8) {
	a.check()
	f := a.Filter
	for p := range a.Width {
		for n := 0; n < f.NR; n += lanes {
			s := [lanes]int32(f.Bias[n:])
			for j, row := range a.Rows {
				mulAddInt8(&s, row[6*p:][:9], f.W16[12*j*f.NR+n:], f.NR)
			}
			a.Range.requantize(a.Dst[p*Block+n:], s[:], f.M[n:])
		}
	}
}

func depthwiseInt8Generic(a DepthwiseInt8) {
	a.check()
	depthwiseRowInt8Generic(a)
	for range a.More {
		a.Dst = a.Dst[a.OutWidth()*Block:]
		for j := range a.Rows {
			a.Rows[j] = a.Rows[j][a.Stride*a.Width*Block:]
		}
		depthwiseRowInt8Generic(a)
	}
}

func depthwiseRowInt8Generic(a DepthwiseInt8) {
	var pad [Block]uint8
	for c := range pad {
		pad[c] = a.Pad
	}
	var s [Block]int32
	for p := range a.OutWidth() {
		copy(s[:], a.Filter.Bias)
		for i := range 3 {
			col := p*a.Stride - a.Left + i
			for j, row := range a.Rows {
				x := pad[:]
				if col >= 0 && col < a.Width {
					x = row[col*Block:][:Block]
				}
				w := a.Filter.W16[(4*i+j)*Block:][:Block]
				for c, v := range x {
					s[c] += int32(v) * int32(w[c])
				}
			}
		}
		a.Range.requantize(a.Dst[p*Block:], s[:], a.Filter.M)
	}
}

func addInt8Generic(a AddInt8) {
	a.check()
	for i, v := range a.A {
		b := fma(float32(a.B[i])-a.Origin, a.ScaleB, a.Offset)
		a.Dst[i] = a.Range.quantize(fma(float32(v)-a.Origin, a.ScaleA, b))
	}
}

func addFixedInt8Generic(a AddFixedInt8) {
	a.check()
	for i, v := range a.A {
		sum := (int32(v)*a.FactorA+int32(a.B[i])*a.FactorB+a.Offset)>>(a.Shift&31) + a.Range.Zero
		a.Dst[i] = uint8(min(max(sum, a.Range.Min), a.Range.Max))
	}
}

// fma is x*y + z rounded once. The product is exact in float64; where the sum
// isn't and lies halfway between two float32, it is moved to the side that it
// has been rounded from.
func fma(x, y, z float32) float32 {
	p := float64(x) * float64(y)
	s := p + float64(z)
	const halfway, below = 1 << 28, 1<<29 - 1 // of the bits that float32 lacks
	if bits := math.Float64bits(s); bits&below == halfway && !math.IsInf(s, 0) {
		high := s - p
		rest := (p - (s - high)) + (float64(z) - high) // what s lacks: Knuth's TwoSum
		if rest > 0 == (s > 0) && rest != 0 {
			s = math.Float64frombits(bits + 1)
		} else if rest != 0 {
			s = math.Float64frombits(bits - 1)
		}
	}
	return float32(s)
}

func poolInt8Generic(a PoolInt8) {
	a.check()
	var s [Block]int32
	for p := range a.Pixels {
		for c, v := range a.Src[p*Block:][:Block] {
			s[c] += int32(v) - int32(a.Zero)
		}
	}
	for c, v := range s {
		if a.Float == nil {
			a.Dst[c] = a.Range.Requantize(v, a.M)
		} else {
			a.Float[c] = Dequantize(v, a.M)
		}
	}
}

func quantizeInt8Generic(a QuantizeInt8) {
	a.check()
	for i := range a.Dst {
		a.Dst[i] = a.Range.quantize(a.Src[i] * a.M)
	}
}

// lookupInt8Generic takes four pixels at a time, without bounds to check.
func lookupInt8Generic(a LookupInt8) {
	a.check()
	red, green, blue := &a.Table[0], &a.Table[1], &a.Table[2]
	dst, src := a.Dst, a.Src[:len(a.Dst)]
	for len(dst) >= 12 && len(src) >= 12 {
		d, s := (*[12]uint8)(dst), (*[12]uint8)(src)
		d[0], d[1], d[2] = red[s[0]], green[s[1]], blue[s[2]]
		d[3], d[4], d[5] = red[s[3]], green[s[4]], blue[s[5]]
		d[6], d[7], d[8] = red[s[6]], green[s[7]], blue[s[8]]
		d[9], d[10], d[11] = red[s[9]], green[s[10]], blue[s[11]]
		dst, src = dst[12:], src[12:]
	}
	for i, v := range src {
		dst[i] = a.Table[i%3][v]
	}
}

// peakInt8Generic has as many sums as cover the latency of a multiply and an add.
func peakInt8Generic(iterations int) (ops int) {
	a := int32(iterations)
	b, c, d, e, f, g, h := a, a, a, a, a, a, a
	for range iterations {
		a, b, c, d = a+a*a, b+b*b, c+c*c, d+d*d
		e, f, g, h = e+e*e, f+f*f, g+g*g, h+h*h
	}
	peakSum.Store(uint32(a + b + c + d + e + f + g + h))
	return 8 * 2 * iterations
}
