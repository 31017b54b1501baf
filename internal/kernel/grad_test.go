package kernel

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestGrad compares the kernels for training with float64 sums over random
// shapes.
func TestGrad(t *testing.T) {
	eachSet(t, func(t *testing.T, set *Set) {
		rapid.Check(t, func(t *rapid.T) {
			m := newMemory(rapid.Uint64().Draw(t, "seed"))
			nr := 8 * rapid.IntRange(1, 4).Draw(t, "NR/8")
			pixels := rapid.IntRange(1, 250).Draw(t, "pixels")
			relu6 := rapid.Bool().Draw(t, "ReLU6")
			checkAffine(t, set, m, pixels, nr, relu6, rapid.Bool().Draw(t, "add"))
			checkMoments(t, set, m, pixels, nr)
			checkAffineGrad(t, set, newAffineGrad(m, pixels, nr, relu6, relu6 && rapid.Bool().Draw(t, "activation")))
			checkNormGrad(t, set, m, pixels, nr)
			checkPointwiseGrad(t, set, m, pixels, rapid.IntRange(1, Block).Draw(t, "K"), nr, rapid.Bool().Draw(t, "first"))
			s := rapid.SampledFrom(strides).Draw(t, "stride")
			width := rapid.IntRange(1, 40).Draw(t, "width")
			if s.left == 0 {
				width += width % 2
			}
			checkDepthwiseGrad(t, set, newDepthwiseGrad(m, rapid.IntRange(1, 9).Draw(t, "height"), width, s.stride, s.left, nr))
			checkDepthwiseTransposed(t, set, m, rapid.IntRange(1, 40).Draw(t, "columns"), nr)
			checkTurn(t, set, newTurn(m, rapid.IntRange(0, 40).Draw(t, "rows"), rapid.IntRange(0, 70).Draw(t, "columns of a matrix")))
			m.intact(t)
		})
	})
}

// wide returns n random floats around both limits of ReLU6.
func (m *memory) wide(n int) []float32 {
	s := m.floats(n)
	for i := range s {
		s[i] = 3 + 6*s[i]
	}
	return s
}

func newAffine(m *memory, pixels, nr int, relu6, add bool) Affine {
	a := Affine{
		Dst: m.floats(pixels * Block), Src: m.wide(pixels * Block), Scale: m.floats(Block), Shift: m.wide(Block),
		Pixels: pixels, NR: nr, ReLU6: relu6,
	}
	if add {
		a.Add = m.floats(pixels * Block)
	}
	return a
}

func newMoments(m *memory, pixels, nr int) Moments {
	return Moments{
		Src: m.wide(pixels * Block), Center: m.wide(Block), Sum: m.floats(Block), Squares: m.floats(Block),
		Pixels: pixels, NR: nr,
	}
}

func newAffineGrad(m *memory, pixels, nr int, relu6, activation bool) AffineGrad {
	a := AffineGrad{
		Grad: m.floats(pixels * Block), Src: m.wide(pixels * Block),
		Scale: m.floats(Block), Shift: m.wide(Block), Mean: m.wide(Block), Sum: m.floats(Block), Dot: m.floats(Block),
		Pixels: pixels, NR: nr, ReLU6: relu6,
	}
	if activation {
		a.Activation = m.floats(pixels * Block)
	}
	a.Scale[0], a.Shift[0], a.Src[0] = 1, 0, 0 // at a limit
	return a
}

func newNormGrad(m *memory, pixels, nr int) NormGrad {
	return NormGrad{
		Dst: m.floats(pixels * Block), Grad: m.floats(pixels * Block), Src: m.floats(pixels * Block),
		A: m.floats(Block), B: m.floats(Block), C: m.floats(Block), Pixels: pixels, NR: nr,
	}
}

func newPointwiseGrad(m *memory, pixels, k, nr int) PointwiseGrad {
	return PointwiseGrad{
		DW: m.floats(Block * nr), Src: m.floats(pixels * Block), Grad: m.floats(pixels * Block),
		Pixels: pixels, K: k, NR: nr,
	}
}

func newDepthwiseGrad(m *memory, height, width, stride, left, nr int) DepthwiseGrad {
	a := DepthwiseGrad{DW: m.floats(9 * Block), Rows: make([][]float32, (height-1)*stride+3), Width: width, Stride: stride, Left: left, NR: nr}
	for j := range a.Rows {
		a.Rows[j] = m.floats(width * Block)
	}
	a.Pitch = a.OutWidth() + m.rng.IntN(2)
	a.Grad = m.floats(height * a.Pitch * Block)
	return a
}

func newDepthwiseTransposed(m *memory, width, nr int) DepthwiseTransposed {
	a := DepthwiseTransposed{Dst: m.floats(width * Block), Width: width, NR: nr}
	for j := range a.Rows {
		a.Rows[j], a.W[j] = m.floats((width/2+1)*Block), m.floats(3*nr)
	}
	return a
}

func newTurn(m *memory, rows, columns int) Turn {
	a := Turn{Rows: rows, Columns: columns, SrcStride: columns + m.rng.IntN(9), DstStride: rows + m.rng.IntN(9)}
	if rows > 0 && columns > 0 {
		a.Src, a.Dst = m.floats((rows-1)*a.SrcStride+columns), m.floats((columns-1)*a.DstStride+rows)
	}
	return a
}

func checkAffine(t rapid.TB, set *Set, m *memory, pixels, nr int, relu6, add bool) {
	a := newAffine(m, pixels, nr, relu6, add)
	set.Affine(a)
	for p := range pixels {
		for c := range nr {
			var s sum
			s.add(float64(a.Shift[c]))
			s.add(float64(a.Scale[c]) * float64(a.Src[p*Block+c]))
			if add {
				s.add(float64(a.Add[p*Block+c]))
			}
			s.check(t, relu6, a.Dst[p*Block+c], "affine: pixel %d channel %d", p, c)
		}
	}
}

func checkMoments(t rapid.TB, set *Set, m *memory, pixels, nr int) {
	a := newMoments(m, pixels, nr)
	sums, squares := make([]sum, nr), make([]sum, nr)
	for c := range nr {
		sums[c].add(float64(a.Sum[c]))
		squares[c].add(float64(a.Squares[c]))
		for p := range pixels {
			d := float64(a.Src[p*Block+c] - a.Center[c])
			sums[c].add(d)
			squares[c].add(d * d)
		}
	}
	set.Moments(a)
	for c := range nr {
		sums[c].check(t, false, a.Sum[c], "sum of channel %d", c)
		squares[c].check(t, false, a.Squares[c], "squares of channel %d", c)
	}
}

func checkAffineGrad(t rapid.TB, set *Set, a AffineGrad) {
	nr, pixels, relu6 := a.NR, a.Pixels, a.ReLU6
	want := append([]float32(nil), a.Grad...)
	sums, dots := make([]sum, nr), make([]sum, nr)
	for c := range nr {
		sums[c].add(float64(a.Sum[c]))
		dots[c].add(float64(a.Dot[c]))
		for p := range pixels {
			i := p*Block + c
			// One rounding, as a fused multiply-add has: a value next to a limit is
			// on the same side for all.
			z := float32(math.FMA(float64(a.Scale[c]), float64(a.Src[i]), float64(a.Shift[c])))
			if relu6 && !(0 < z && z < 6) {
				want[i] = 0
			}
			sums[c].add(float64(want[i]))
			dots[c].add(float64(want[i]) * float64(a.Src[i]-a.Mean[c]))
		}
	}
	forward := make([]float32, len(a.Src))
	if b := a.forward(); a.Activation != nil { // it has to be the same to the bit
		b.Dst = forward
		set.Affine(b)
	}
	set.AffineGrad(a)
	for c := range nr {
		for p := range pixels {
			if got := a.Grad[p*Block+c]; got != want[p*Block+c] {
				t.Fatalf("gradient of pixel %d channel %d: %v, want %v", p, c, got, want[p*Block+c])
			}
			if a.Activation != nil && math.Float32bits(a.Activation[p*Block+c]) != math.Float32bits(forward[p*Block+c]) {
				t.Fatalf("activation of pixel %d channel %d: %v, but %v by Affine", p, c, a.Activation[p*Block+c], forward[p*Block+c])
			}
		}
		sums[c].check(t, false, a.Sum[c], "sum of channel %d", c)
		dots[c].check(t, false, a.Dot[c], "dot of channel %d", c)
	}
}

func checkNormGrad(t rapid.TB, set *Set, m *memory, pixels, nr int) {
	a := newNormGrad(m, pixels, nr)
	set.NormGrad(a)
	for p := range pixels {
		for c := range nr {
			i := p*Block + c
			var s sum
			s.add(float64(a.C[c]))
			s.add(float64(a.B[c]) * float64(a.Src[i]))
			s.add(float64(a.A[c]) * float64(a.Grad[i]))
			s.check(t, false, a.Dst[i], "norm gradient: pixel %d channel %d", p, c)
		}
	}
}

func checkPointwiseGrad(t rapid.TB, set *Set, m *memory, pixels, k, nr int, first bool) {
	a := newPointwiseGrad(m, pixels, k, nr)
	a.First = first
	want := make([]sum, k*nr)
	for i := range want {
		if !first {
			want[i].add(float64(a.DW[i]))
		}
		for p := range pixels {
			want[i].add(float64(a.Src[p*Block+i/nr]) * float64(a.Grad[p*Block+i%nr]))
		}
	}
	if first { // what was there counts for nothing, whatever it was
		for i := range a.DW {
			a.DW[i] = float32(math.NaN())
		}
	}
	set.PointwiseGrad(a)
	for i := range want {
		want[i].check(t, false, a.DW[i], "%d pixels, K %d, NR %d: weight %d, %d", pixels, k, nr, i/nr, i%nr)
	}
}

func checkDepthwiseGrad(t rapid.TB, set *Set, a DepthwiseGrad) {
	var want [9][Block]sum
	for tap := range want {
		for c := range a.NR {
			want[tap][c].add(float64(a.DW[tap*Block+c]))
			for y := range a.OutHeight() {
				for x := range a.OutWidth() {
					col := x*a.Stride - a.Left + tap%3
					if col < 0 || col >= a.Width {
						continue
					}
					in := a.Rows[y*a.Stride+tap/3][col*Block+c]
					want[tap][c].add(float64(in) * float64(a.Grad[(y*a.Pitch+x)*Block+c]))
				}
			}
		}
	}
	set.DepthwiseGrad(a)
	for tap := range want {
		for c := range a.NR {
			want[tap][c].check(t, false, a.DW[tap*Block+c], "%d rows of %d, stride %d: tap %d channel %d", len(a.Rows), a.Width, a.Stride, tap, c)
		}
	}
}

func checkDepthwiseTransposed(t rapid.TB, set *Set, m *memory, width, nr int) {
	a := newDepthwiseTransposed(m, width, nr)
	set.DepthwiseTransposed(a)
	for x := range width {
		for c := range nr {
			var s sum
			for j, row := range a.Rows {
				// Output column o had input column x under tap x-2*o+1.
				for o := range width/2 + 1 {
					if tap := x - 2*o + 1; 0 <= tap && tap < 3 {
						s.add(float64(row[o*Block+c]) * float64(a.W[j][tap*nr+c]))
					}
				}
			}
			s.check(t, false, a.Dst[x*Block+c], "width %d: column %d channel %d", width, x, c)
		}
	}
}

func checkTurn(t rapid.TB, set *Set, a Turn) {
	want := append([]float32(nil), a.Dst...) // what lies between the columns stays
	for r := range a.Rows {
		for c := range a.Columns {
			want[c*a.DstStride+r] = a.Src[r*a.SrcStride+c]
		}
	}
	set.Turn(a)
	for i, v := range want {
		if a.Dst[i] == v {
			continue
		}
		t.Fatalf("%d rows of %d, %d and %d apart: value %d is %v, want %v", a.Rows, a.Columns, a.SrcStride, a.DstStride, i, a.Dst[i], want[i])
	}
}
