//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// native returns the sets with assembly that this CPU can run.
func native() []*Set {
	if cpu.ARM64.HasASIMD {
		return []*Set{&neon}
	}
	return nil
}

// neon is the set for arm64's Advanced SIMD.
var neon = Set{
	Name: "neon",
	Pointwise: func(a Pointwise) {
		a.check()
		if a.short(vectorWeights) {
			pointwiseNEON(&a)
			return
		}
		for p, piece := a.pieces(vectorWeights), a; p.next(&piece); {
			pointwiseNEON(&piece)
		}
	},
	Depthwise: func(a Depthwise) {
		a.check()
		if a.short() {
			depthwiseNEON(&a)
			return
		}
		for p, part := a.parts(), a; p.next(&part); {
			depthwiseNEON(&part)
		}
	},
	First: func(a First) {
		a.check()
		firstNEON(&a)
	},
	Pool: func(a Pool) {
		a.check()
		poolNEON(&a)
	},
	Peak: func(iterations int) int {
		peakNEON(iterations)
		return iterations * 16 * 4 * 2
	},
	Training: trainingNEON,
}

// vectorWeights is how many weights stay in a first-level cache of 32 KB beside
// what streams through it: 24 KB.
const vectorWeights = 192 * Block

// pointwiseNEON goes over tiles of 8 pixels, then over what is left in smaller
// ones.
func pointwiseNEON(a *Pointwise) {
	pointwise8NEON(a)
	if a.skip(a.Pixels &^ 7) {
		pointwise4NEON(a)
	}
	if a.skip(a.Pixels &^ 3) {
		pointwise2NEON(a)
	}
	if a.skip(a.Pixels &^ 1) {
		pointwise1NEON(a)
	}
}

// skip leaves out the first n pixels, if there are others.
func (a *Pointwise) skip(n int) bool {
	if n == a.Pixels {
		a.Pixels = 0
		return false
	}
	a.Dst, a.Src = a.Dst[n*Block:], a.Src[n*Block:]
	if a.Add != nil {
		a.Add = a.Add[n*Block:]
	}
	a.Pixels -= n
	return true
}

func firstNEON(a *First) {
	first8NEON(a)
	if a.skip(a.Width &^ 7) {
		first4NEON(a)
	}
	if a.skip(a.Width &^ 3) {
		first2NEON(a)
	}
	if a.skip(a.Width &^ 1) {
		first1NEON(a)
	}
}

// skip leaves out the first n pixels, if there are others.
func (a *First) skip(n int) bool {
	if n == a.Width {
		a.Width = 0
		return false
	}
	a.Dst = a.Dst[n*Block:]
	for j := range a.Rows {
		a.Rows[j] = a.Rows[j][6*n:]
	}
	a.Width -= n
	return true
}

// depthwiseNEON takes two output rows at a time, and then the one that may be left.
func depthwiseNEON(a *Depthwise) {
	b := *a
	for ; len(b.Rows) >= 3+b.Stride; b.Rows = b.Rows[2*b.Stride:] {
		if b.Stride == 1 {
			depthwise1PairNEON(&b)
		} else {
			depthwise2PairNEON(&b)
		}
		b.Dst = b.Dst[min(2*b.cut.pitch, len(b.Dst)):]
	}
	if len(b.Rows) < 3 {
		return
	}
	if b.Stride == 1 {
		depthwise1NEON(&b)
	} else {
		depthwise2NEON(&b)
	}
}

// The functions with a number in their name compute as many tiles of so many
// pixels as there are. A nil Bias counts as zeros; there must be Add then.

//go:noescape
func pointwise8NEON(a *Pointwise)

//go:noescape
func pointwise4NEON(a *Pointwise)

//go:noescape
func pointwise2NEON(a *Pointwise)

//go:noescape
func pointwise1NEON(a *Pointwise)

//go:noescape
func first8NEON(a *First)

//go:noescape
func first4NEON(a *First)

//go:noescape
func first2NEON(a *First)

//go:noescape
func first1NEON(a *First)

// The depthwise functions do the columns that a's cut says of one output row, and of
// two.

//go:noescape
func depthwise1NEON(a *Depthwise)

//go:noescape
func depthwise2NEON(a *Depthwise)

//go:noescape
func depthwise1PairNEON(a *Depthwise)

//go:noescape
func depthwise2PairNEON(a *Depthwise)

//go:noescape
func poolNEON(a *Pool)

// peakNEON does iterations times 16 independent multiply-adds of a vector.
func peakNEON(iterations int)
