package kernel

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestSameBitsHoweverCut splits the pixels of every kernel at random.
func TestSameBitsHoweverCut(t *testing.T) {
	eachSet(t, func(t *testing.T, set *Set) {
		rapid.Check(t, func(t *rapid.T) {
			m := newMemory(rapid.Uint64().Draw(t, "seed"))
			nr := 8 * rapid.IntRange(1, 4).Draw(t, "NR/8")
			k := rapid.SampledFrom([]int{1, 5, 32, 67, 400}).Draw(t, "K")
			pixels := rapid.IntRange(2, 70).Draw(t, "pixels")
			cut := rapid.IntRange(1, pixels-1).Draw(t, "cut")

			p := newPointwise(m, pixels, k, nr, separate)
			set.Pointwise(p)
			one, two := p, p
			one.Dst = m.floats(len(p.Dst))
			one.Pixels, two.Pixels = cut, pixels-cut
			two.Dst, two.Src, two.Add = one.Dst[cut*Block:], p.Src[cut*Block:], p.Add[cut*Block:]
			set.Pointwise(one)
			set.Pointwise(two)
			equalBits(t, "pointwise", one.Dst, p.Dst, nr)

			// What is fetched meanwhile changes nothing.
			one.Pixels, one.Dst = pixels, m.floats(len(p.Dst))
			for range rapid.IntRange(0, 4).Draw(t, "slices") {
				one.Next = append(one.Next, m.floats(rapid.IntRange(0, 3000).Draw(t, "floats")))
			}
			before := slices.Concat(one.Next...)
			set.Pointwise(one)
			equalBits(t, "pointwise with Next", one.Dst, p.Dst, nr)
			if !slices.Equal(slices.Concat(one.Next...), before) {
				t.Fatal("what was to be fetched has changed")
			}

			f := newFirst(m, pixels, nr)
			set.First(f)
			first, rest := f, f
			first.Dst = m.floats(len(f.Dst))
			first.Width, rest.Width = cut, pixels-cut
			rest.Dst = first.Dst[cut*Block:]
			for j := range rest.Rows {
				rest.Rows[j] = f.Rows[j][6*cut:]
			}
			set.First(first)
			set.First(rest)
			equalBits(t, "first", first.Dst, f.Dst, nr)

			// Columns of a depthwise convolution are not cut by its caller; a shorter
			// row has the same pixels but for its last. Rows are cut.
			s := rapid.SampledFrom(strides).Draw(t, "stride")
			height := rapid.IntRange(1, 5).Draw(t, "height")
			d := newDepthwise(m, height, pixels, s.stride, s.left, nr)
			set.Depthwise(d)
			row := d.OutWidth() * Block
			whole := d.Dst
			for y := range height {
				short := d
				short.Rows = d.Rows[y*s.stride:][:3]
				short.Dst = m.floats((d.OutWidth()-1)*Block + nr)
				set.Depthwise(short)
				equalBits(t, "depthwise row", short.Dst, whole[y*row:][:len(short.Dst)], nr)
				short.Width = cut
				set.Depthwise(short)
				if same := short.OutWidth() - 2; same > 0 {
					equalBits(t, "depthwise", short.Dst[:same*Block], whole[y*row:][:same*Block], nr)
				}
			}
		})
	})
}

// equalBits compares the first nr channels of every pixel.
func equalBits(t *rapid.T, what string, got, want []float32, nr int) {
	for i := range want {
		if i%Block < nr && math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: pixel %d channel %d is %v, and %v when cut", what, i/Block, i%Block, want[i], got[i])
		}
	}
}

// TestNotFinite has NaN and infinities come through as in plain Go.
func TestNotFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	inputs := []float32{nan, inf, -inf, 0, float32(math.Copysign(0, -1)), 7, -7}
	same := func(a, b float32) bool { return a == b || a != a && b != b }
	eachSet(t, func(t *testing.T, set *Set) {
		for nr := 8; nr <= Block; nr += 8 {
			for pixels := 1; pixels <= 30; pixels++ {
				m := newMemory(1)
				p := newPointwise(m, pixels, 1, nr, none)
				d := newDepthwise(m, 1+pixels%3, pixels, 1, 1, nr)
				f := newFirst(m, pixels, nr)
				clear(p.Bias)
				for i := range pixels {
					v := inputs[i%len(inputs)]
					p.Src[i*Block] = v
					f.Rows[i%3][6*i+4] = v
					for c := range nr {
						d.Rows[i%3][i*Block+c] = v
					}
				}
				for _, relu6 := range []bool{false, true} {
					p.ReLU6 = relu6
					results := map[*Set][]float32{}
					for _, s := range []*Set{set, &Generic} {
						s.Pointwise(p)
						s.Depthwise(d)
						s.First(f)
						results[s] = slices.Concat(p.Dst, d.Dst, f.Dst)
					}
					for i, v := range results[set] {
						w := results[&Generic][i]
						if finite := math.Abs(float64(w)) < 1e30; !same(v, w) && !(finite && math.Abs(float64(v-w)) < 1e-4) {
							t.Fatalf("NR %d, %d pixels, ReLU6 %v: value %d is %v, want %v", nr, pixels, relu6, i, v, w)
						}
					}
				}
			}
		}
	})
}
