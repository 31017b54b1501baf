//go:build !purego

package kernel

import (
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"golang.org/x/sys/cpu"
	"pgregory.net/rapid"
)

// TestSameBitsInPieces compares a single call of assembly with calls for chunks
// of K and runs of pixels.
func TestSameBitsInPieces(t *testing.T) {
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA {
		testenv.Skip(t, "avx2", "not in this machine")
	}
	rapid.Check(t, func(t *rapid.T) {
		m := newMemory(rapid.Uint64().Draw(t, "seed"))
		nr := 8 * rapid.IntRange(1, 4).Draw(t, "NR/8")
		k := rapid.IntRange(1, 300).Draw(t, "K")
		pixels := rapid.IntRange(1, 40).Draw(t, "pixels")
		a := newPointwise(m, pixels, k, nr, residual(rapid.IntRange(0, 2).Draw(t, "residual")))
		a.ReLU6 = rapid.Bool().Draw(t, "ReLU6")
		whole := a
		whole.Dst = append([]float32(nil), a.Dst...)
		if a.Add != nil && &a.Add[0] == &a.Dst[0] {
			whole.Add = whole.Dst
		}
		pointwiseAVX2(&whole)
		p, piece := a.pieces(rapid.IntRange(1, k*nr).Draw(t, "weights")), a
		p.run = rapid.IntRange(1, pixels).Draw(t, "run")
		for p.next(&piece) {
			pointwiseAVX2(&piece)
		}
		equalBits(t, "pointwise", a.Dst, whole.Dst, nr)
		m.intact(t)
	})
}
