//go:build !purego

package kernel

import (
	"slices"

	"golang.org/x/sys/cpu"
)

// native returns the sets with assembly that this CPU can run.
func native() []*Set {
	var sets []*Set
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL {
		sets = append(sets, &avx512)
	}
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA {
		return sets
	}
	switch {
	case len(sets) == 0:
	case slices.Contains(preferMixed, thisCPU()):
		sets = append([]*Set{&mixed}, sets...)
	default:
		sets = append(sets, &mixed)
	}
	return append(sets, &avx2)
}

// vectorWeights is how many weights stay in a first-level cache of 32 KB beside
// what streams through it: 24 KB.
const vectorWeights = 192 * Block

// avx2 is the set for AVX2 and FMA.
var avx2 = Set{
	Name: "avx2",
	Pointwise: func(a Pointwise) {
		a.check()
		if a.short(vectorWeights) {
			pointwiseAVX2(&a)
			return
		}
		for p, piece := a.pieces(vectorWeights), a; p.next(&piece); {
			pointwiseAVX2(&piece)
		}
	},
	Depthwise: func(a Depthwise) {
		a.check()
		if a.short() {
			depthwiseAVX2(&a)
			return
		}
		for p, part := a.parts(), a; p.next(&part); {
			depthwiseAVX2(&part)
		}
	},
	First: func(a First) {
		a.check()
		switch a.NR {
		case 8:
			first8AVX2(&a)
		case 16:
			first16AVX2(&a)
		case 24:
			first24AVX2(&a)
		case 32:
			first32AVX2(&a)
		}
	},
	Pool: func(a Pool) {
		a.check()
		poolAVX2(&a)
	},
	Peak: func(iterations int) int {
		peakAVX2(iterations)
		return iterations * 12 * 8 * 2
	},
	Training: trainingAVX2,
}

func pointwiseAVX2(a *Pointwise) {
	switch a.NR {
	case 8:
		pointwise8AVX2(a)
	case 16:
		pointwise16AVX2(a)
	case 24:
		pointwise24AVX2(a)
	case 32:
		pointwise32AVX2(a)
	}
}

func depthwiseAVX2(a *Depthwise) {
	switch a.Stride {
	case 1:
		depthwise1AVX2(a)
	case 2:
		depthwise2AVX2(a)
	}
}

// avx512 is the set for AVX-512 F and VL.
var avx512 = Set{
	Name: "avx512",
	Pointwise: func(a Pointwise) {
		a.check()
		if a.short(vectorWeights) {
			pointwiseAVX512(&a)
			return
		}
		for p, piece := a.pieces(vectorWeights), a; p.next(&piece); {
			pointwiseAVX512(&piece)
		}
	},
	Depthwise: func(a Depthwise) {
		a.check()
		if a.short() {
			depthwiseAVX512(&a)
			return
		}
		for p, part := a.parts(), a; p.next(&part); {
			depthwiseAVX512(&part)
		}
	},
	First: func(a First) {
		a.check()
		switch a.NR {
		case 8:
			first8AVX512(&a)
		case 16:
			first16AVX512(&a)
		case 24:
			first24AVX512(&a)
		case 32:
			first32AVX512(&a)
		}
	},
	Pool: func(a Pool) {
		a.check()
		poolAVX512(&a)
	},
	Peak: func(iterations int) int {
		peakAVX512(iterations)
		return iterations * 12 * 16 * 2
	},
	Training: trainingAVX512,
}

func pointwiseAVX512(a *Pointwise) {
	switch a.NR {
	case 8:
		pointwise8AVX512(a)
	case 16:
		pointwise16AVX512(a)
	case 24:
		pointwise24AVX512(a)
	case 32:
		pointwise32AVX512(a)
	}
}

func depthwiseAVX512(a *Depthwise) {
	switch a.Stride {
	case 1:
		depthwise1AVX512(a)
	case 2:
		depthwise2AVX512(a)
	}
}
