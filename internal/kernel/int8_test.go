package kernel

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"pgregory.net/rapid"
)

// TestSetsInt8 says which 8-bit sets this machine lacks: see TestSets.
func TestSetsInt8(t *testing.T) {
	have := map[string]bool{}
	for _, s := range AvailableInt8() {
		have[s.Name] = true
	}
	for _, name := range []string{"avx512vnni", "avxvnni", "avx2", "dotprod", "neon", "generic"} {
		t.Run(name, func(t *testing.T) {
			if !have[name] {
				testenv.Skip(t, name, "not in this machine or build")
			}
		})
	}
}

// TestChoose has every set's name mean the fastest sets up to it.
func TestChoose(t *testing.T) {
	for _, s := range Available() {
		if got, err := Choose(s.Name); err != nil || got != s {
			t.Errorf("%s is %v, %v", s.Name, got, err)
		}
	}
	for _, s := range AvailableInt8() {
		if got, err := ChooseInt8(s.Name); err != nil || got != s {
			t.Errorf("%s is %v, %v", s.Name, got, err)
		}
		if _, err := Choose(s.Name); err != nil {
			t.Error(err)
		}
		t.Setenv("MOBILENET_CPU", s.Name)
		if got, err := ChooseInt8(""); err != nil || got != s {
			t.Errorf("%s is %v, %v", s.Name, got, err)
		}
	}
	if s, err := ChooseInt8("generic"); err != nil || s != &GenericInt8 {
		t.Errorf("generic is %v, %v", s, err)
	}
	if s, err := Choose("mmx"); err == nil || !strings.Contains(err.Error(), "generic") {
		t.Errorf("mmx is %v, %v", s, err)
	}
	if slices.Contains(Available(), &Generic) && len(Available()) > 1 {
		name := Available()[0].Name // avx512 has no 8-bit set of its own
		if s, err := ChooseInt8(name); err != nil || slices.Index(levels, s.Name) > slices.Index(levels, name) {
			t.Errorf("%s is %v, %v", name, s, err)
		}
	}
}

// emulatedInt8 are sets that run though AvailableInt8 doesn't have them: see
// TestAVXVNNIAsAVX512.
var emulatedInt8 []*Int8

// eachInt8 runs f for every 8-bit set.
func eachInt8(t *testing.T, f func(t *testing.T, set *Int8)) {
	for _, set := range append(AvailableInt8(), emulatedInt8...) {
		t.Run(set.Name, func(t *testing.T) {
			t.Parallel()
			f(t, set)
		})
	}
}

// requantized is the formula in float64: the product of two float32 is exact
// there. A sum is an integer of any size, of which 32 bits are left.
func requantized(sum int64, m float32, r Range) uint8 {
	q := math.RoundToEven(float64(float32(float64(float32(int32(sum))) * float64(m))))
	return uint8(min(max(q+float64(r.Zero), float64(r.Min)), float64(r.Max)))
}

// TestRequantize compares with integers and rationals of any size.
func TestRequantize(t *testing.T) {
	round32 := func(x *big.Rat) *big.Rat { // to float32; ties to even
		f, _ := x.Float32()
		if math.IsInf(float64(f), 0) {
			return x // saturates in any case
		}
		return new(big.Rat).SetFloat64(float64(f))
	}
	check := func(sum int32, m float32, r Range) {
		v := round32(new(big.Rat).Mul(round32(new(big.Rat).SetInt64(int64(sum))), new(big.Rat).SetFloat64(float64(m))))
		// rne(v): the floor of v + 1/2, less 1 where that is an odd integer itself.
		v.Add(v, big.NewRat(1, 2))
		q := new(big.Int).Div(v.Num(), v.Denom())
		if v.IsInt() && q.Bit(0) == 1 {
			q.Sub(q, big.NewInt(1))
		}
		q.Add(q, big.NewInt(int64(r.Zero)))
		want := r.Max
		if q.Cmp(big.NewInt(int64(r.Min))) < 0 {
			want = r.Min
		} else if q.Cmp(big.NewInt(int64(r.Max))) < 0 {
			want = int32(q.Int64())
		}
		if got := r.Requantize(sum, m); int32(got) != want {
			t.Fatalf("%d * %v in %v: got %d, want %d", sum, m, r, got, want)
		}
		if got := requantized(int64(sum), m, r); int32(got) != want {
			t.Fatalf("%d * %v in %v: the tests' own formula has %d, want %d", sum, m, r, got, want)
		}
	}
	m := newMemory8(1)
	for range 20_000 {
		sum, factor := m.extremeSum(), m.extremeM()
		check(sum, factor, m.ranges())
		check(int32(m.rng.IntN(2001)-1000), 0.5, m.ranges()) // ties
		check(int32(m.rng.IntN(2001)-1000), 0.25, m.ranges())
	}
}

// extremeSum is any int32, the limits, zero and small ones often.
func (m *memory8) extremeSum() int32 {
	s := int32(m.rng.Uint32())
	switch m.rng.IntN(6) {
	case 0:
		return math.MaxInt32 - s&3
	case 1:
		return math.MinInt32 + s&3
	case 2:
		return s % 4
	case 3:
		return s >> m.rng.IntN(31)
	}
	return s
}

// extremeM is any finite float32 at times.
func (m *memory8) extremeM() float32 {
	switch m.rng.IntN(8) {
	case 0:
		return 0
	case 1:
		return math.MaxFloat32
	case 2:
		return math.SmallestNonzeroFloat32
	case 3:
		return -m.rng.Float32()
	case 4:
		if f := math.Float32frombits(m.rng.Uint32()); f-f == 0 {
			return f
		}
		return 1
	case 5:
		return float32(math.Ldexp(1, -m.rng.IntN(33)))
	}
	return m.rng.Float32() / 1000
}

// TestFMA compares with rationals.
func TestFMA(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	rat := func(f float32) *big.Rat { return new(big.Rat).SetFloat64(float64(f)) }
	tie := func(x, y float32) bool { return math.Float64bits(float64(x)*float64(y))%(1<<29) == 1<<28 }
	for i := range 20_000 {
		x, y := float32(rng.IntN(256)), 1+rng.Float32()
		z := float32(math.Ldexp(float64(rng.Float32()), rng.IntN(90)-60))
		if i%2 == 0 { // z makes the product hardly more or less than a tie
			for !tie(x, y) {
				x, y = float32(rng.IntN(256)), 1+rng.Float32()
			}
		}
		if rng.IntN(2) == 0 {
			z = -z
		}
		want, _ := new(big.Rat).Add(new(big.Rat).Mul(rat(x), rat(y)), rat(z)).Float32()
		if got := fma(x, y, z); got != want {
			t.Fatalf("%v*%v + %v: got %v, want %v", x, y, z, got, want)
		}
	}
}

// sum is what an output of channel c is made of, from the weights as they were
// before they were packed.
func (w Weights) sum(c int, x func(k int) uint8) int64 {
	s := int64(w.Bias[c])
	for k, v := range w.W[c*w.K : (c+1)*w.K] {
		s += (int64(x(k)) - int64(w.Zero)) * int64(v)
	}
	return s
}

// A layer8 is what a kernel's case is of: a layer's weights, and which block.
type layer8 struct {
	Weights
	block int
}

// newLayer8 returns a layer whose second block has nr channels, or one or more
// less, which the packed filter fills up.
func newLayer8(m *memory8, k, nr int, wide bool) layer8 {
	return layer8{m.weights(Block+nr-m.rng.IntN(8), k, wide), 1}
}

// channels calls f for the block's channels.
func (l layer8) channels(f func(n, channel int)) {
	for c := l.block * Block; c < l.N; c++ {
		f(c-l.block*Block, c)
	}
}

func newPointwiseInt8(m *memory8, set *Int8, l layer8, pixels int, out output) PointwiseInt8 {
	a := PointwiseInt8{Filter: m.filter(set.PackPointwise(l.Weights, l.block)), Range: m.ranges(), Pixels: pixels}
	whole := pixels * Block
	a.SrcStride = whole + m.rng.IntN(100)
	a.Src = m.bytes((Blocks(l.K)-1)*a.SrcStride + whole)
	switch out {
	case toBytes:
		a.Dst = m.bytes(whole)
	case toFloats:
		a.Float = m.floats(whole, 1)
	case toSum:
		a.Float, a.Add = m.floats(whole, 1), m.floats(whole, 1000)
	case inPlaceSum:
		a.Float = m.floats(whole, 1000)
		a.Add = a.Float
	}
	return a
}

// output is what a pointwise convolution puts out.
type output int

const (
	toBytes output = iota
	toFloats
	toSum
	inPlaceSum
	outputs
)

func checkPointwiseInt8(t rapid.TB, set *Int8, l layer8, a PointwiseInt8) {
	t.Helper()
	add := slices.Clone(a.Add)
	set.Pointwise(a)
	for p := range a.Pixels {
		l.channels(func(n, c int) {
			s := l.sum(c, func(k int) uint8 { return a.Src[k/Block*a.SrcStride+p*Block+k%Block] })
			at := p*Block + n
			if a.Float == nil {
				if want := requantized(s, l.M[c], a.Range); a.Dst[at] != want {
					t.Fatalf("%d pixels, K %d, NR %d: pixel %d channel %d is %d, want %d", a.Pixels, l.K, a.Filter.NR, p, n, a.Dst[at], want)
				}
				return
			}
			want := float32(float64(float32(int32(s))) * float64(l.M[c]))
			if add != nil {
				want = float32(float64(want) + float64(add[at])) // of two float32, so that it rounds once in effect
			}
			if math.Float32bits(a.Float[at]) != math.Float32bits(want) {
				t.Fatalf("%d pixels, K %d, NR %d: pixel %d channel %d is %v, want %v", a.Pixels, l.K, a.Filter.NR, p, n, a.Float[at], want)
			}
		})
	}
}

func TestPointwiseInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		for _, k := range []int{1, 3, 4, 5, 16, 24, 27, 32, 33, 96, 102, 960} {
			for pixels := 1; pixels <= 31; pixels++ { // past twice the tallest tile
				for nr := 8; nr <= Block; nr += 8 {
					m := newMemory8(uint64(k*pixels + nr))
					l := newLayer8(m, k, nr, (pixels+nr/8)%5 == 0)
					out := output(m.rng.IntN(2)) * output(m.rng.IntN(int(outputs)))
					checkPointwiseInt8(t, set, l, newPointwiseInt8(m, set, l, pixels, out))
					m.intact(t)
				}
			}
		}
	})
}

func newDepthwiseInt8(m *memory8, set *Int8, l layer8, width, stride, left int) DepthwiseInt8 {
	a := DepthwiseInt8{
		Filter: m.filter(set.PackDepthwise(l.Weights, l.block)), Range: m.ranges(),
		Width: width, Stride: stride, Left: left, Pad: l.Zero, More: max(0, m.rng.IntN(5)-2),
	}
	for j := range a.Rows {
		a.Rows[j] = m.bytes((1 + a.More*stride) * width * Block)
	}
	a.Dst = m.bytes((1 + a.More) * a.OutWidth() * Block)
	return a
}

func checkDepthwiseInt8(t rapid.TB, set *Int8, l layer8, a DepthwiseInt8) {
	t.Helper()
	set.Depthwise(a)
	for p := range (1 + a.More) * a.OutWidth() {
		y, x := p/a.OutWidth(), p%a.OutWidth()
		l.channels(func(n, c int) {
			s := l.sum(c, func(k int) uint8 {
				col := x*a.Stride - a.Left + k%3
				if col < 0 || col >= a.Width {
					return a.Pad
				}
				return a.Rows[k/3][(y*a.Stride*a.Width+col)*Block+n]
			})
			if got, want := a.Dst[p*Block+n], requantized(s, l.M[c], a.Range); got != want {
				t.Fatalf("width %d, stride %d, left %d: row %d pixel %d channel %d is %d, want %d", a.Width, a.Stride, a.Left, y, x, n, got, want)
			}
		})
	}
}

func TestDepthwiseInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		for width := 1; width <= 40; width++ {
			for _, s := range strides {
				for nr := 8; nr <= Block; nr += 8 {
					m := newMemory8(uint64(width + nr))
					l := newLayer8(m, 9, nr, (width+nr/8)%5 == 0)
					checkDepthwiseInt8(t, set, l, newDepthwiseInt8(m, set, l, width, s.stride, s.left))
					m.intact(t)
				}
			}
		}
	})
}

func newFirstInt8(m *memory8, set *Int8, l layer8, width int) FirstInt8 {
	a := FirstInt8{
		Filter: m.filter(set.PackFirst(l.Weights, l.block)), Range: m.ranges(),
		Width: width, Dst: m.bytes(width * Block),
	}
	for j := range a.Rows {
		a.Rows[j] = m.bytes(6*width + 6)
	}
	return a
}

func checkFirstInt8(t rapid.TB, set *Int8, l layer8, a FirstInt8) {
	t.Helper()
	set.First(a)
	for x := range a.Width {
		l.channels(func(n, c int) {
			s := l.sum(c, func(k int) uint8 { return a.Rows[k/9][6*x+k%9] })
			if got, want := a.Dst[x*Block+n], requantized(s, l.M[c], a.Range); got != want {
				t.Fatalf("width %d, NR %d: pixel %d channel %d is %d, want %d", a.Width, a.Filter.NR, x, n, got, want)
			}
		})
	}
}

func TestFirstInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		for width := 1; width <= 40; width++ {
			for nr := 8; nr <= Block; nr += 8 {
				m := newMemory8(uint64(width + nr))
				l := newLayer8(m, 27, nr, (width+nr/8)%5 == 0)
				checkFirstInt8(t, set, l, newFirstInt8(m, set, l, width))
				m.intact(t)
			}
		}
	})
}

// newAddInt8 returns a sum whose rounding is often close to a tie.
func newAddInt8(m *memory8, pixels int) AddInt8 {
	scale := func() Scale { return Scale{float32(1+m.rng.IntN(20)) / 10, uint8(m.rng.IntN(256))} }
	origin := uint8(m.rng.IntN(2) * 128)
	a := NewAddInt8(scale(), scale(), Scale{float32(1 + m.rng.IntN(4)), uint8(m.rng.IntN(256))}, origin)
	if m.rng.IntN(3) == 0 {
		a.Range.Min, a.Range.Max = int32(m.rng.IntN(128)), int32(128+m.rng.IntN(128))
	}
	a.A, a.B, a.Dst = m.bytes(pixels*Block), m.bytes(pixels*Block), m.bytes(pixels*Block)
	if m.rng.IntN(4) == 0 {
		a.Dst = a.B
	}
	return a
}

func checkAddInt8(t rapid.TB, set *Int8, a AddInt8) {
	t.Helper()
	rat := func(f float32) *big.Rat { return new(big.Rat).SetFloat64(float64(f)) }
	fma := func(x uint8, y, z float32) float32 {
		p := rat(y)
		p.Mul(p, new(big.Rat).SetInt64(int64(x)-int64(a.Range.Zero)))
		f, _ := p.Add(p, rat(z)).Float32()
		return f
	}
	want := make([]uint8, len(a.Dst))
	for i, v := range a.A {
		r := fma(v, a.ScaleA, fma(a.B[i], a.ScaleB, a.Offset))
		rounded := math.RoundToEven(float64(r)) + float64(a.Range.Zero)
		want[i] = uint8(min(max(rounded, float64(a.Range.Min)), float64(a.Range.Max)))
	}
	set.Add(a)
	for i, v := range a.Dst {
		if v != want[i] {
			t.Fatalf("%d pixels: value %d is %d, want %d", len(a.Dst)/Block, i, v, want[i])
		}
	}
}

func TestAddInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		for pixels := range 31 {
			m := newMemory8(uint64(pixels))
			checkAddInt8(t, set, newAddInt8(m, pixels))
			m.intact(t)
		}
	})
}

// newAddFixedInt8 returns a sum of scales that are as far apart as they may be.
func newAddFixedInt8(m *memory8, pixels int) AddFixedInt8 {
	scale := func() Scale {
		return Scale{float32(math.Ldexp(1+m.rng.Float64(), m.rng.IntN(17)-9)), uint8(m.rng.IntN(256))}
	}
	a, ok := NewAddFixedInt8(scale(), scale(), Scale{1, uint8(m.rng.IntN(256))})
	if !ok {
		panic("scales")
	}
	if m.rng.IntN(3) == 0 {
		a.Range.Min, a.Range.Max = int32(m.rng.IntN(128)), int32(128+m.rng.IntN(128))
	}
	a.A, a.B, a.Dst = m.bytes(pixels*Block), m.bytes(pixels*Block), m.bytes(pixels*Block)
	if m.rng.IntN(4) == 0 {
		a.Dst = a.B
	}
	return a
}

func checkAddFixedInt8(t rapid.TB, set *Int8, a AddFixedInt8) {
	t.Helper()
	want := make([]uint8, len(a.Dst))
	for i, v := range a.A {
		sum := big.NewInt(int64(v)*int64(a.FactorA) + int64(a.B[i])*int64(a.FactorB) + int64(a.Offset))
		sum.Rsh(sum, uint(a.Shift)) // which rounds down
		r := sum.Int64() + int64(a.Range.Zero)
		want[i] = uint8(min(max(r, int64(a.Range.Min)), int64(a.Range.Max)))
	}
	set.AddFixed(a)
	for i, v := range a.Dst {
		if v != want[i] {
			t.Fatalf("%d pixels: value %d is %d, want %d", len(a.Dst)/Block, i, v, want[i])
		}
	}
}

func TestAddFixedInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		for pixels := range 31 {
			m := newMemory8(uint64(pixels))
			checkAddFixedInt8(t, set, newAddFixedInt8(m, pixels))
			m.intact(t)
		}
	})
	for _, s := range []float32{0x1p8, 1e30, 0x1p-11, 0} {
		if a, ok := NewAddFixedInt8(Scale{s, 0}, Scale{1, 0}, Scale{1, 0}); ok {
			t.Errorf("scale %v makes %+v", s, a)
		}
	}
}

// TestAddExtremesInt8 has constants that no network has, as in plain Go.
func TestAddExtremesInt8(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	extremes := []float32{0, 1, -1, 1e30, -1e30, math.MaxFloat32, inf, -inf, nan, math.SmallestNonzeroFloat32}
	eachInt8(t, func(t *testing.T, set *Int8) {
		m := newMemory8(1)
		for range 1000 {
			pick := func() float32 { return extremes[m.rng.IntN(len(extremes))] }
			a := AddInt8{A: m.bytes(3 * Block), B: m.bytes(3 * Block), Dst: m.bytes(3 * Block), ScaleA: pick(), ScaleB: pick(), Offset: pick(), Range: bytes255}
			if m.rng.IntN(2) == 0 {
				a.Origin, a.Range.Zero = 128, 128
			}
			want := a
			want.Dst = m.bytes(3 * Block)
			GenericInt8.Add(want)
			set.Add(a)
			if !slices.Equal(a.Dst, want.Dst) {
				t.Fatalf("%v*A + %v*B + %v: got %v, want %v", a.ScaleA, a.ScaleB, a.Offset, a.Dst, want.Dst)
			}
		}
	})
}

func newPoolInt8(m *memory8, pixels int, out output) PoolInt8 {
	a := PoolInt8{
		Src: m.bytes(pixels * Block), Pixels: pixels, Range: m.ranges(), Zero: uint8(m.rng.IntN(256)),
		M: float32(1+m.rng.IntN(3)) / float32(2*pixels),
	}
	if out == toBytes {
		a.Dst = m.bytes(Block)
	} else {
		a.Float = m.floats(Block, 1)
	}
	return a
}

func checkPoolInt8(t rapid.TB, set *Int8, a PoolInt8) {
	t.Helper()
	set.Pool(a)
	for c := range Block {
		s := int64(0)
		for p := range a.Pixels {
			s += int64(a.Src[p*Block+c]) - int64(a.Zero)
		}
		if a.Float == nil {
			if want := requantized(s, a.M, a.Range); a.Dst[c] != want {
				t.Fatalf("%d pixels: channel %d is %d, want %d", a.Pixels, c, a.Dst[c], want)
			}
		} else if want := float32(float64(float32(s)) * float64(a.M)); a.Float[c] != want {
			t.Fatalf("%d pixels: channel %d is %v, want %v", a.Pixels, c, a.Float[c], want)
		}
	}
}

func TestPoolInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		for _, pixels := range []int{1, 2, 3, 9, 49, 100, 300, 70_000} {
			for out := toBytes; out <= toFloats; out++ {
				m := newMemory8(uint64(pixels))
				checkPoolInt8(t, set, newPoolInt8(m, pixels, out))
				m.intact(t)
			}
		}
	})
}

func newQuantizeInt8(m *memory8, n int) QuantizeInt8 {
	a := QuantizeInt8{Dst: m.bytes(n), Src: m.floats(n, 200), M: 0.5 + m.rng.Float32(), Range: m.ranges()}
	for i := range a.Src {
		switch m.rng.IntN(20) {
		case 0:
			a.Src[i] = float32(math.NaN())
		case 1:
			a.Src[i] = float32(math.Inf(m.rng.IntN(2)*2 - 1))
		case 2:
			a.Src[i] = math.Float32frombits(m.rng.Uint32())
		case 3, 4, 5, 6:
			a.Src[i] = float32(math.Round(float64(a.Src[i]))) + 0.5 // ties, where M is 1
		}
	}
	if m.rng.IntN(2) == 0 {
		a.M = 1
	}
	return a
}

func checkQuantizeInt8(t rapid.TB, set *Int8, a QuantizeInt8) {
	t.Helper()
	set.Quantize(a)
	for i, got := range a.Dst {
		q := math.RoundToEven(float64(float32(float64(a.Src[i])*float64(a.M)))) + float64(a.Range.Zero)
		want := uint8(a.Range.Max)
		if q < float64(a.Range.Max) {
			want = uint8(max(q, float64(a.Range.Min)))
		}
		if got != want {
			t.Fatalf("%d numbers: %v*%v in %v is %d, want %d", len(a.Dst), a.Src[i], a.M, a.Range, got, want)
		}
	}
}

func TestQuantizeInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		for n := range 200 {
			m := newMemory8(uint64(n))
			checkQuantizeInt8(t, set, newQuantizeInt8(m, n))
			m.intact(t)
		}
	})
}

func newLookupInt8(m *memory8, n int) LookupInt8 {
	a := LookupInt8{Dst: m.bytes(n), Src: m.bytes(n), Table: new([3][256]uint8)}
	for c := range a.Table {
		for i := range a.Table[c] {
			a.Table[c][i] = uint8(m.rng.Uint32())
		}
	}
	return a
}

func checkLookupInt8(t rapid.TB, set *Int8, a LookupInt8) {
	t.Helper()
	set.Lookup(a)
	for i, got := range a.Dst {
		if want := a.Table[i%3][a.Src[i]]; got != want {
			t.Fatalf("%d bytes: byte %d is %d, want %d", len(a.Dst), i, got, want)
		}
	}
}

func TestLookupInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		for n := range 600 {
			m := newMemory8(uint64(n))
			checkLookupInt8(t, set, newLookupInt8(m, n))
			m.intact(t)
		}
	})
}

// TestRandomShapesInt8 has what the tables above leave out.
func TestRandomShapesInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		rapid.Check(t, func(t *rapid.T) {
			m := newMemory8(rapid.Uint64().Draw(t, "seed"))
			nr := 8 * rapid.IntRange(1, 4).Draw(t, "NR/8")
			k := rapid.IntRange(1, 1300).Draw(t, "K")
			pixels := rapid.IntRange(1, max(1, 100_000/(k*nr))).Draw(t, "pixels")
			wide := rapid.Bool().Draw(t, "wide")
			l := newLayer8(m, k, nr, wide)
			checkPointwiseInt8(t, set, l, newPointwiseInt8(m, set, l, pixels, output(rapid.IntRange(0, int(outputs)-1).Draw(t, "output"))))

			width := rapid.IntRange(1, 300).Draw(t, "width")
			s := rapid.SampledFrom(strides).Draw(t, "stride")
			l = newLayer8(m, 9, nr, wide)
			checkDepthwiseInt8(t, set, l, newDepthwiseInt8(m, set, l, width, s.stride, s.left))
			l = newLayer8(m, 27, nr, wide)
			checkFirstInt8(t, set, l, newFirstInt8(m, set, l, width))
			checkAddInt8(t, set, newAddInt8(m, width))
			checkAddFixedInt8(t, set, newAddFixedInt8(m, width))
			checkQuantizeInt8(t, set, newQuantizeInt8(m, width))
			m.intact(t)
		})
	})
}

// TestLongRunInt8 is more pixels than go into a call of assembly.
func TestLongRunInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		m := newMemory8(1)
		l := newLayer8(m, 225, Block, false)
		checkPointwiseInt8(t, set, l, newPointwiseInt8(m, set, l, 1001, toBytes))
		m.intact(t)
	})
}

// TestManyInputsInt8 has more inputs than kernels take at once, and a remainder in the
// last of them.
func TestManyInputsInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		for i, k := range []int{2047, 2048, 2049, 2052, 4096, 4119} {
			for _, nr := range []int{8, 24, Block} {
				m := newMemory8(uint64(k))
				l := newLayer8(m, k, nr, i%2 == 0)
				checkPointwiseInt8(t, set, l, newPointwiseInt8(m, set, l, 6+i, output(i)%outputs))
				m.intact(t)
			}
		}
	})
}

// TestExtremesInt8 has sums that reach the limits of int32 and go beyond, and
// multipliers that make everything saturate, or nothing.
func TestExtremesInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		for seed := range uint64(200) {
			m := newMemory8(seed)
			nr, pixels := 8*(1+m.rng.IntN(4)), 1+m.rng.IntN(31)
			extreme := func(k int) layer8 {
				l := newLayer8(m, k, nr, m.rng.IntN(4) == 0)
				for c := range l.N {
					l.Bias[c], l.M[c] = m.extremeSum(), m.extremeM()
					if seed%2 == 0 { // what kernels of bytes take
						l.M[c] = float32(math.Ldexp(m.rng.Float64(), -m.rng.IntN(32)))
					}
				}
				return l
			}
			l := extreme(1 + m.rng.IntN(70))
			a := newPointwiseInt8(m, set, l, pixels, output(seed)%(toFloats+1))
			if seed%3 == 0 { // the largest sum of a pair and of a four, in both signs
				for i := range a.Src {
					a.Src[i] = 255
				}
			}
			checkPointwiseInt8(t, set, l, a)
			l = extreme(9)
			s := strides[m.rng.IntN(len(strides))]
			checkDepthwiseInt8(t, set, l, newDepthwiseInt8(m, set, l, pixels, s.stride, s.left))
			l = extreme(27)
			checkFirstInt8(t, set, l, newFirstInt8(m, set, l, pixels))
			q := newPoolInt8(m, pixels, output(seed)%(toFloats+1))
			q.M = m.extremeM()
			checkPoolInt8(t, set, q)
			m.intact(t)
		}
	})
}

// TestSaturationInt8 has the pairs of products that 16 bits don't hold: what
// VPMADDUBSW would make 32767 of.
func TestSaturationInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		for _, v := range []int16{127, -127, -128, 255, -255} {
			m := newMemory8(1)
			l := layer8{m.weights(Block, 8, false), 0}
			for i := range l.W {
				l.W[i] = v
			}
			for c := range l.M {
				l.M[c] = 1e-4
			}
			a := newPointwiseInt8(m, set, l, 3, toFloats)
			for i := range a.Src {
				a.Src[i] = 255
			}
			checkPointwiseInt8(t, set, l, a)
		}
	})
}

// TestSameBytesHoweverCut splits the pixels of every kernel at random, and has
// other bytes in the padding.
func TestSameBytesHoweverCut(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		rapid.Check(t, func(t *rapid.T) {
			m := newMemory8(rapid.Uint64().Draw(t, "seed"))
			nr := 8 * rapid.IntRange(1, 4).Draw(t, "NR/8")
			k := rapid.SampledFrom([]int{1, 5, 32, 67, 400}).Draw(t, "K")
			pixels := rapid.IntRange(2, 70).Draw(t, "pixels")
			cut := rapid.IntRange(1, pixels-1).Draw(t, "cut")
			l := newLayer8(m, k, nr, false)
			p := newPointwiseInt8(m, set, l, pixels, toBytes)
			set.Pointwise(p)
			for i := range p.Src {
				if (i%p.SrcStride)%Block >= k-i/p.SrcStride*Block {
					p.Src[i] ^= 0x55
				}
			}
			one, two := p, p
			one.Dst = m.bytes(len(p.Dst))
			one.Pixels, two.Pixels = cut, pixels-cut
			two.Dst, two.Src = one.Dst[cut*Block:], p.Src[cut*Block:]
			set.Pointwise(one)
			set.Pointwise(two)
			for i, v := range p.Dst {
				if i%Block < nr && one.Dst[i] != v {
					t.Fatalf("pixel %d channel %d is %d, and %d when cut", i/Block, i%Block, v, one.Dst[i])
				}
			}
			m.intact(t)
		})
	})
}

// TestAllocationsInt8 has every kernel go without the heap, in pieces too.
func TestAllocationsInt8(t *testing.T) {
	for _, set := range AvailableInt8() {
		m := newMemory8(1)
		for _, wide := range []bool{false, true} {
			short, long := newLayer8(m, 40, Block, wide), newLayer8(m, 900, 24, wide)
			dw, first := newLayer8(m, 9, Block, wide), newLayer8(m, 27, Block, wide)
			p, q := newPointwiseInt8(m, set, short, 5, toBytes), newPointwiseInt8(m, set, long, 400, toSum)
			d, f := newDepthwiseInt8(m, set, dw, 9, 1, 1), newFirstInt8(m, set, first, 9)
			a, o, u, k := newAddInt8(m, 3), newPoolInt8(m, 3, toBytes), newQuantizeInt8(m, 70), newLookupInt8(m, 70)
			if n := testing.AllocsPerRun(3, func() {
				set.Pointwise(p)
				set.Pointwise(q)
				set.Depthwise(d)
				set.First(f)
				set.Add(a)
				set.Pool(o)
				set.Quantize(u)
				set.Lookup(k)
			}); n != 0 {
				t.Errorf("%s, wide %v: %v allocations", set.Name, wide, n)
			}
		}
	}
}

// TestPanicsInt8 has arguments that are too short by one.
func TestPanicsInt8(t *testing.T) {
	m := newMemory8(1)
	eachInt8(t, func(t *testing.T, set *Int8) {
		l := layer8{m.weights(Block, 33, false), 0}
		p := newPointwiseInt8(m, set, l, 3, toBytes)
		d := newDepthwiseInt8(m, set, layer8{m.weights(Block, 9, false), 0}, 5, 1, 1)
		for i, call := range []func(){
			func() { a := p; a.Dst = a.Dst[1:]; set.Pointwise(a) },
			func() { a := p; a.Src = a.Src[1:]; set.Pointwise(a) },
			func() { a, f := p, *p.Filter; f.Bias = f.Bias[1:]; a.Filter = &f; set.Pointwise(a) },
			func() { a, f := p, *p.Filter; f.M = f.M[1:]; a.Filter = &f; set.Pointwise(a) },
			func() { a, f := p, *p.Filter; f.W8, f.W16 = nil, nil; a.Filter = &f; set.Pointwise(a) },
			func() { a := p; a.Range.Max = 256; set.Pointwise(a) },
			func() { a := p; a.Range.Min = a.Range.Max + 1; set.Pointwise(a) },
			func() { a := p; a.Add = make([]float32, 96); set.Pointwise(a) },
			func() { a := d; a.Rows[1] = a.Rows[1][1:]; set.Depthwise(a) },
			func() { a := d; a.Dst = a.Dst[1:]; set.Depthwise(a) },
			func() { a := d; a.Left = 0; set.Depthwise(a) },
			func() { a := d; a.Filter = p.Filter; set.Depthwise(a) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("call %d doesn't panic", i)
					}
				}()
				call()
			}()
		}
	})
}
