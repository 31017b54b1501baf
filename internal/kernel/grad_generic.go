package kernel

var trainingGeneric = Training{
	Affine:              affineGeneric,
	Moments:             momentsGeneric,
	AffineGrad:          affineGradGeneric,
	NormGrad:            normGradGeneric,
	PointwiseGrad:       pointwiseGradGeneric,
	DepthwiseGrad:       depthwiseGradGeneric,
	DepthwiseTransposed: depthwiseTransposedGeneric,
	Turn:                turnGeneric,
}

func affineGeneric(a Affine) {
	a.check()
	scale, shift := a.Scale[:a.NR], a.Shift[:a.NR]
	for p := range a.Pixels {
		dst, src := a.Dst[p*Block:][:a.NR], a.Src[p*Block:][:a.NR]
		for c, v := range src {
			dst[c] = scale[c]*v + shift[c]
		}
		if a.Add != nil {
			for c, v := range a.Add[p*Block:][:a.NR] {
				dst[c] += v
			}
		}
		if a.ReLU6 {
			relu6(dst)
		}
	}
}

func momentsGeneric(a Moments) {
	a.check()
	center, sum, squares := a.Center[:a.NR], a.Sum[:a.NR], a.Squares[:a.NR]
	for p := range a.Pixels {
		for c, v := range a.Src[p*Block:][:a.NR] {
			d := v - center[c]
			sum[c] += d
			squares[c] += d * d
		}
	}
}

func affineGradGeneric(a AffineGrad) {
	a.check()
	if a.Activation != nil {
		affineGeneric(a.forward())
	}
	scale, shift, mean := a.Scale[:a.NR], a.Shift[:a.NR], a.Mean[:a.NR]
	sum, dot := a.Sum[:a.NR], a.Dot[:a.NR]
	for p := range a.Pixels {
		grad, src := a.Grad[p*Block:][:a.NR], a.Src[p*Block:][:a.NR]
		for c, v := range src {
			if z := scale[c]*v + shift[c]; a.ReLU6 && !(0 < z && z < 6) {
				grad[c] = 0
			}
			sum[c] += grad[c]
			dot[c] += grad[c] * (v - mean[c])
		}
	}
}

func normGradGeneric(a NormGrad) {
	a.check()
	ka, kb, kc := a.A[:a.NR], a.B[:a.NR], a.C[:a.NR]
	for p := range a.Pixels {
		dst, grad, src := a.Dst[p*Block:][:a.NR], a.Grad[p*Block:][:a.NR], a.Src[p*Block:][:a.NR]
		for c, v := range src {
			dst[c] = ka[c]*grad[c] + (kb[c]*v + kc[c])
		}
	}
}

func pointwiseGradGeneric(a PointwiseGrad) {
	a.check()
	if a.First {
		clear(a.DW[:a.K*a.NR])
	}
	for p := range a.Pixels {
		grad := a.Grad[p*Block:][:a.NR]
		for k, v := range a.Src[p*Block:][:a.K] {
			dw := a.DW[k*a.NR:][:len(grad)]
			for n, g := range grad {
				dw[n] += v * g
			}
		}
	}
}

func depthwiseGradGeneric(a DepthwiseGrad) {
	a.check()
	for y := range a.OutHeight() {
		for x := range a.OutWidth() {
			grad := a.Grad[(y*a.Pitch+x)*Block:][:a.NR]
			for j, row := range a.Rows[y*a.Stride:][:3] {
				for i := range 3 {
					col := x*a.Stride - a.Left + i
					if col < 0 || col >= a.Width {
						continue
					}
					in, dw := row[col*Block:][:len(grad)], a.DW[(3*j+i)*Block:][:len(grad)]
					for c, g := range grad {
						dw[c] += in[c] * g
					}
				}
			}
		}
	}
}

func depthwiseTransposedGeneric(a DepthwiseTransposed) {
	a.check()
	for x := range a.Width {
		dst := a.Dst[x*Block:][:a.NR]
		clear(dst)
		for j, row := range a.Rows {
			add := func(at, tap int) {
				in, w := row[at*Block:][:len(dst)], a.W[j][tap*a.NR:][:len(dst)]
				for c, v := range in {
					dst[c] += v * w[c]
				}
			}
			if x%2 == 0 {
				add(x/2, 1)
			} else {
				add(x/2, 2)
				add(x/2+1, 0)
			}
		}
	}
}

// turnGeneric goes from row to row of what is written: the other way, each value is in
// another cache line than the one before, and the lines of a column don't stay in the
// first-level cache. Eight at a time are as many slices as stay in registers.
func turnGeneric(a Turn) {
	a.check()
	row := func(r int) []float32 { return a.Src[r*a.SrcStride:][:a.Columns] }
	r := 0
	for ; a.Columns > 0 && r+8 <= a.Rows; r += 8 {
		s0, s1, s2, s3 := row(r), row(r + 1)[:a.Columns], row(r + 2)[:a.Columns], row(r + 3)[:a.Columns]
		s4, s5, s6, s7 := row(r + 4)[:a.Columns], row(r + 5)[:a.Columns], row(r + 6)[:a.Columns], row(r + 7)[:a.Columns]
		for c := range s0 {
			to := (*[8]float32)(a.Dst[c*a.DstStride+r:])
			to[0], to[1], to[2], to[3] = s0[c], s1[c], s2[c], s3[c]
			to[4], to[5], to[6], to[7] = s4[c], s5[c], s6[c], s7[c]
		}
	}
	for ; a.Columns > 0 && r < a.Rows; r++ {
		for c, v := range row(r) {
			a.Dst[c*a.DstStride+r] = v
		}
	}
}
