package kernel

import (
	"fmt"
	"math"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"pgregory.net/rapid"
)

// TestSets says which sets this machine lacks: MOBILENET_TEST_REQUIRE may demand
// them, so that a test that goes over all sets doesn't pass for want of one.
func TestSets(t *testing.T) {
	have := map[string]bool{}
	for _, s := range Available() {
		have[s.Name] = true
	}
	for _, name := range []string{"avx512", "avx2", "neon", "generic"} {
		t.Run(name, func(t *testing.T) {
			if !have[name] {
				testenv.Skip(t, name, "not in this machine or build")
			}
		})
	}
}

// eachSet runs f for every set.
func eachSet(t *testing.T, f func(t *testing.T, set *Set)) {
	for _, set := range Available() {
		t.Run(set.Name, func(t *testing.T) {
			t.Parallel()
			f(t, set)
		})
	}
}

// strides are all pairs of stride and left padding.
var strides = []struct{ stride, left int }{{1, 1}, {2, 1}, {2, 0}}

// residual is how a pointwise convolution gets something to add.
type residual int

const (
	none residual = iota
	separate
	inPlace // Add is Dst
)

func newPointwise(m *memory, pixels, k, nr int, add residual) Pointwise {
	a := Pointwise{
		Dst: m.floats((pixels-1)*Block + nr), W: m.floats(k * nr), Bias: m.floats(nr),
		Pixels: pixels, K: k, NR: nr,
	}
	for i := range a.Bias {
		a.Bias[i] *= 8 // both limits of ReLU6 come up
	}
	// Blocks that are further apart than they are long.
	a.SrcStride = (pixels + 2) * Block
	last := Blocks(k) - 1
	a.Src = m.floats(last*a.SrcStride + (pixels-1)*Block + k - last*Block)
	for b := range last {
		for i := pixels * Block; i < a.SrcStride; i++ {
			a.Src[b*a.SrcStride+i] = canary
		}
	}
	padPixels(a.Src[last*a.SrcStride:], k-last*Block)
	switch add {
	case separate:
		a.Add = m.pixels(pixels, nr)
	case inPlace:
		a.Add = a.Dst
	}
	return a
}

// newDepthwise returns one of so many output rows.
func newDepthwise(m *memory, height, width, stride, left, nr int) Depthwise {
	a := Depthwise{Rows: make([][]float32, stride*(height-1)+3), W: m.floats(9 * nr), Bias: m.floats(nr), Width: width, Stride: stride, Left: left, NR: nr, ReLU6: width%2 == 0}
	for i := range a.Bias {
		a.Bias[i] *= 8
	}
	for j := range a.Rows {
		a.Rows[j] = m.pixels(width, nr)
	}
	a.Dst = m.floats((height*a.OutWidth()-1)*Block + nr)
	return a
}

func newFirst(m *memory, width, nr int) First {
	a := First{Dst: m.floats((width-1)*Block + nr), W: m.floats(27 * nr), Bias: m.floats(nr), Width: width, NR: nr}
	for i := range a.Bias {
		a.Bias[i] *= 8
	}
	for j := range a.Rows {
		a.Rows[j] = m.floats(6*width + 3)
	}
	return a
}

func newPool(m *memory, pixels int) Pool {
	return Pool{Dst: m.floats(Block), Src: m.floats(pixels * Block), Pixels: pixels}
}

// A sum is computed in float64, with the sum of its terms' sizes.
type sum struct {
	terms     int
	value, of float64
}

func (s *sum) add(v float64) {
	s.terms++
	s.value += v
	s.of += math.Abs(v)
}

// check fails unless got is what float32 arithmetic can make of the sum: every
// term is rounded at most once for itself and once in each addition behind it.
// NaN fails.
func (s sum) check(t rapid.TB, relu6 bool, got float32, format string, args ...any) {
	t.Helper()
	want := s.value
	if relu6 {
		want = min(max(want, 0), 6)
	}
	bound := float64(s.terms) * 0x1p-24 * s.of
	if !(math.Abs(float64(got)-want) <= bound) {
		t.Fatalf("%s: got %v, want %v within %v", fmt.Sprintf(format, args...), got, want, bound)
	}
}

func checkPointwise(t rapid.TB, set *Set, a Pointwise) {
	t.Helper()
	want := make([]sum, a.Pixels*Block)
	for p := range a.Pixels {
		for n := range a.NR {
			s := &want[p*Block+n]
			s.add(float64(a.Bias[n]))
			if a.Add != nil {
				s.add(float64(a.Add[p*Block+n]))
			}
			for k := range a.K {
				s.add(float64(a.Src[k/Block*a.SrcStride+p*Block+k%Block]) * float64(a.W[k*a.NR+n]))
			}
		}
	}
	set.Pointwise(a)
	for p := range a.Pixels {
		for n := range a.NR {
			want[p*Block+n].check(t, a.ReLU6, a.Dst[p*Block+n], "%d pixels, K %d, NR %d, ReLU6 %v: pixel %d channel %d", a.Pixels, a.K, a.NR, a.ReLU6, p, n)
		}
	}
}

func checkDepthwise(t rapid.TB, set *Set, a Depthwise) {
	t.Helper()
	set.Depthwise(a)
	for p := range a.OutHeight() * a.OutWidth() {
		y, x := p/a.OutWidth(), p%a.OutWidth()
		for c := range a.NR {
			var s sum
			s.add(float64(a.Bias[c]))
			for j, row := range a.Rows[y*a.Stride:][:3] {
				for i := range 3 {
					if col := x*a.Stride - a.Left + i; col >= 0 && col < a.Width {
						s.add(float64(row[col*Block+c]) * float64(a.W[(3*j+i)*a.NR+c]))
					}
				}
			}
			s.check(t, a.ReLU6, a.Dst[p*Block+c], "%d rows, width %d, stride %d, left %d, NR %d: row %d pixel %d channel %d", len(a.Rows), a.Width, a.Stride, a.Left, a.NR, y, x, c)
		}
	}
}

func checkFirst(t rapid.TB, set *Set, a First) {
	t.Helper()
	set.First(a)
	for x := range a.Width {
		for n := range a.NR {
			var s sum
			s.add(float64(a.Bias[n]))
			for j, row := range a.Rows {
				for i := range 9 {
					s.add(float64(row[6*x+i]) * float64(a.W[(9*j+i)*a.NR+n]))
				}
			}
			s.check(t, true, a.Dst[x*Block+n], "width %d, NR %d: pixel %d channel %d", a.Width, a.NR, x, n)
		}
	}
}

func checkPool(t rapid.TB, set *Set, a Pool) {
	t.Helper()
	set.Pool(a)
	for c := range Block {
		var s sum
		for p := range a.Pixels {
			s.add(float64(a.Src[p*Block+c]) / float64(a.Pixels))
		}
		s.check(t, false, a.Dst[c], "%d pixels: channel %d", a.Pixels, c)
	}
}

func TestPointwise(t *testing.T) {
	eachSet(t, func(t *testing.T, set *Set) {
		for _, k := range []int{1, 3, 8, 16, 24, 27, 31, 32, 33, 96, 100, 192, 193, 960} {
			for pixels := 1; pixels <= 30; pixels++ { // past twice the tallest tile
				for nr := 8; nr <= Block; nr += 8 {
					m := newMemory(uint64(k*pixels + nr))
					a := newPointwise(m, pixels, k, nr, residual((pixels+k)%3))
					a.ReLU6 = pixels%2 == 0
					checkPointwise(t, set, a)
					m.intact(t)
				}
			}
		}
	})
}

func TestDepthwise(t *testing.T) {
	eachSet(t, func(t *testing.T, set *Set) {
		for width := 1; width <= 40; width++ {
			for _, s := range strides {
				for nr := 8; nr <= Block; nr += 8 {
					m := newMemory(uint64(width + nr))
					checkDepthwise(t, set, newDepthwise(m, 1+(width+nr/8)%5, width, s.stride, s.left, nr))
					m.intact(t)
				}
			}
		}
	})
}

func TestFirst(t *testing.T) {
	eachSet(t, func(t *testing.T, set *Set) {
		for width := 1; width <= 40; width++ {
			for nr := 8; nr <= Block; nr += 8 {
				m := newMemory(uint64(width + nr))
				checkFirst(t, set, newFirst(m, width, nr))
				m.intact(t)
			}
		}
	})
}

func TestPool(t *testing.T) {
	eachSet(t, func(t *testing.T, set *Set) {
		for _, pixels := range []int{1, 2, 3, 9, 49, 100} {
			m := newMemory(uint64(pixels))
			checkPool(t, set, newPool(m, pixels))
			m.intact(t)
		}
	})
}

// TestRandomShapes has what the tables above leave out, among it rows and runs
// that are cut up.
func TestRandomShapes(t *testing.T) {
	eachSet(t, func(t *testing.T, set *Set) {
		rapid.Check(t, func(t *rapid.T) {
			m := newMemory(rapid.Uint64().Draw(t, "seed"))
			nr := 8 * rapid.IntRange(1, 4).Draw(t, "NR/8")
			k := rapid.IntRange(1, 1300).Draw(t, "K")
			pixels := rapid.IntRange(1, max(1, 100_000/(k*nr))).Draw(t, "pixels")
			a := newPointwise(m, pixels, k, nr, residual(rapid.IntRange(0, 2).Draw(t, "residual")))
			a.ReLU6 = rapid.Bool().Draw(t, "ReLU6")
			checkPointwise(t, set, a)

			width := rapid.IntRange(1, 300).Draw(t, "width")
			s := rapid.SampledFrom(strides).Draw(t, "stride")
			height := rapid.IntRange(1, 6).Draw(t, "height")
			checkDepthwise(t, set, newDepthwise(m, height, width, s.stride, s.left, nr))
			checkFirst(t, set, newFirst(m, width, nr))
			m.intact(t)
		})
	})
}

// TestLongRun is more pixels than go into a call of assembly.
func TestLongRun(t *testing.T) {
	eachSet(t, func(t *testing.T, set *Set) {
		m := newMemory(1)
		checkPointwise(t, set, newPointwise(m, 1001, 225, Block, separate))
		m.intact(t)
	})
}
