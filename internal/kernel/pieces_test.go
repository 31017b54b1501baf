//go:build (amd64 || arm64) && !purego

package kernel

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestSameBitsInPieces compares a single call of assembly with calls for chunks
// of K and runs of pixels.
func TestSameBitsInPieces(t *testing.T) {
	eachAssembly(t, func(t *testing.T, asm assembly) {
		rapid.Check(t, func(t *rapid.T) {
			m := newMemory(rapid.Uint64().Draw(t, "seed"))
			nr := 8 * rapid.IntRange(1, 4).Draw(t, "NR/8")
			k := rapid.IntRange(1, 300).Draw(t, "K")
			pixels := rapid.IntRange(1, 40).Draw(t, "pixels")
			a := newPointwise(m, pixels, k, nr, residual(rapid.IntRange(0, 2).Draw(t, "residual")))
			a.ReLU6 = rapid.Bool().Draw(t, "ReLU6")
			whole := a
			whole.Dst = slices.Clone(a.Dst)
			if a.Add != nil && &a.Add[0] == &a.Dst[0] {
				whole.Add = whole.Dst
			}
			want := whole.Dst
			asm.pointwise(&whole)
			p, piece := a.pieces(rapid.IntRange(1, k*nr).Draw(t, "weights")), a
			p.run = rapid.IntRange(1, pixels).Draw(t, "run")
			for p.next(&piece) {
				asm.pointwise(&piece)
			}
			equalBits(t, "pointwise", a.Dst, want, nr)
			m.intact(t)
		})
	})
}

// TestSameBitsInParts compares a single call of assembly for a depthwise convolution
// with calls for parts of it, each of which must write to its own columns only.
func TestSameBitsInParts(t *testing.T) {
	eachAssembly(t, func(t *testing.T, asm assembly) {
		rapid.Check(t, func(t *rapid.T) {
			m := newMemory(rapid.Uint64().Draw(t, "seed"))
			nr := 8 * rapid.IntRange(1, 4).Draw(t, "NR/8")
			s := rapid.SampledFrom(strides).Draw(t, "stride")
			height := rapid.IntRange(1, 5).Draw(t, "height")
			a := newDepthwise(m, height, rapid.IntRange(1, 60).Draw(t, "width"), s.stride, s.left, nr)
			a.short()
			whole := a
			whole.Dst = m.floats(len(a.Dst))
			asm.depthwise(&whole)
			p, part := a.parts(), a
			p.width = rapid.IntRange(1, 30).Draw(t, "part")
			for p.next(&part) {
				before := slices.Clone(a.Dst)
				asm.depthwise(&part)
				first, end := p.out-part.cut.outputs, p.out
				for i, v := range a.Dst {
					y, x := i/Block/a.OutWidth(), i/Block%a.OutWidth()
					if (y/2 != p.y/2 || x < first || x >= end) && v != before[i] {
						t.Fatalf("a part of columns %d to %d of rows %d and the next writes to row %d column %d", first, end, p.y, y, x)
					}
				}
			}
			equalBits(t, "depthwise", a.Dst, whole.Dst, nr)
			m.intact(t)
		})
	})
}

// An assembly is what a set calls once for every piece.
type assembly struct {
	set       *Set
	pointwise func(*Pointwise)
	depthwise func(*Depthwise)
}

func eachAssembly(t *testing.T, f func(t *testing.T, asm assembly)) {
	for _, asm := range assemblies {
		t.Run(asm.set.Name, func(t *testing.T) {
			if !slices.Contains(Available(), asm.set) {
				t.Skip("not in this machine")
			}
			f(t, asm)
		})
	}
}
