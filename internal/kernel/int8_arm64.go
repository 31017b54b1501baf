//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// nativeInt8 returns the 8-bit sets with assembly that this CPU can run.
func nativeInt8() []*Int8 {
	var sets []*Int8
	if !cpu.ARM64.HasASIMD {
		return nil
	}
	if cpu.ARM64.HasASIMDDP {
		sets = append(sets, &dotprodInt8)
	}
	return append(sets, &neonInt8)
}

// layoutVectors is for vectors of 16 bytes, which interleaving keeps in order.
var layoutVectors = layout{false, 4, Block, inOrder}

// neonInt8 is the 8-bit set for arm64's Advanced SIMD.
var neonInt8 = Int8{
	Name: "neon",
	Pointwise: func(a PointwiseInt8) {
		a.check()
		var f Filter
		for p, piece := a.pieces(Block, &f); p.next(&piece); {
			pointwiseInt8NEON(&piece)
		}
	},
	Depthwise: func(a DepthwiseInt8) {
		a.check()
		depthwiseInt8NEON(&a)
	},
	First: func(a FirstInt8) {
		a.check()
		firstInt8NEON(&a)
	},
	Add: func(a AddInt8) {
		a.check()
		addInt8NEON(&a)
	},
	AddFixed: addFixedInt8Generic,
	Pool: func(a PoolInt8) {
		a.check()
		poolInt8NEON(&a)
	},
	Quantize: func(a QuantizeInt8) {
		a.check()
		whole, rest := a.split()
		quantizeInt8NEON(&whole)
		quantizeInt8Generic(rest)
	},
	Lookup: lookupInt8Generic,
	Dot:    func(a DotInt8) { a.groups(nil, dot2Int8NEON) },
	Peak: func(iterations int) int {
		peakInt8NEON(iterations)
		return iterations * 16 * 4 * 2
	},
	layouts: layouts{narrow: layoutRows, wide: layoutRows},
}

// dotprodInt8 is the 8-bit set for arm64's dot product, from Armv8.2 on. Filters
// of 16 bits are neonInt8's.
var dotprodInt8 = Int8{
	Name: "dotprod",
	Pointwise: func(a PointwiseInt8) {
		if a.Filter != nil && a.Filter.W16 != nil {
			neonInt8.Pointwise(a)
			return
		}
		a.check()
		var f Filter
		for p, piece := a.pieces(Block, &f); p.next(&piece); {
			pointwiseInt8Dotprod(&piece)
		}
	},
	Depthwise: func(a DepthwiseInt8) {
		a.check()
		if a.Filter.W16 != nil {
			depthwiseInt8NEON(&a)
			return
		}
		depthwiseInt8Dotprod(&a)
	},
	First: func(a FirstInt8) {
		a.check()
		if a.Filter.W16 != nil {
			firstInt8NEON(&a)
			return
		}
		firstInt8Dotprod(&a)
	},
	Add:      neonInt8.Add,
	AddFixed: addFixedInt8Generic,
	Pool:     neonInt8.Pool,
	Quantize: neonInt8.Quantize,
	Lookup:   lookupInt8Generic,
	Dot:      func(a DotInt8) { a.groups(nil, dot2Int8Dotprod) },
	Peak: func(iterations int) int {
		peakInt8Dotprod(iterations)
		return iterations * 16 * 16 * 2
	},
	layouts: layouts{narrow: layoutVectors, wide: layoutRows, signed: true},
}

func pointwiseInt8NEON(a *PointwiseInt8) {
	pointwise8Int8NEON(a)
	if a.skip(a.Pixels &^ 7) {
		pointwise4Int8NEON(a)
	}
	if a.skip(a.Pixels &^ 3) {
		pointwise2Int8NEON(a)
	}
	if a.skip(a.Pixels &^ 1) {
		pointwise1Int8NEON(a)
	}
}

func firstInt8NEON(a *FirstInt8) {
	first8Int8NEON(a)
	if a.skip(a.Width &^ 7) {
		first4Int8NEON(a)
	}
	if a.skip(a.Width &^ 3) {
		first2Int8NEON(a)
	}
	if a.skip(a.Width &^ 1) {
		first1Int8NEON(a)
	}
}

func depthwiseInt8NEON(a *DepthwiseInt8) {
	for rest, ok := a.end(), true; ok; ok = a.next(&rest) {
		if a.Stride == 1 {
			depthwise1Int8NEON(a)
		} else {
			depthwise2Int8NEON(a)
		}
	}
}

func pointwiseInt8Dotprod(a *PointwiseInt8) {
	pointwise8Int8Dotprod(a)
	if a.skip(a.Pixels &^ 7) {
		pointwise4Int8Dotprod(a)
	}
	if a.skip(a.Pixels &^ 3) {
		pointwise2Int8Dotprod(a)
	}
	if a.skip(a.Pixels &^ 1) {
		pointwise1Int8Dotprod(a)
	}
}

func firstInt8Dotprod(a *FirstInt8) {
	first8Int8Dotprod(a)
	if a.skip(a.Width &^ 7) {
		first4Int8Dotprod(a)
	}
	if a.skip(a.Width &^ 3) {
		first2Int8Dotprod(a)
	}
	if a.skip(a.Width &^ 1) {
		first1Int8Dotprod(a)
	}
}

func depthwiseInt8Dotprod(a *DepthwiseInt8) {
	for rest, ok := a.end(), true; ok; ok = a.next(&rest) {
		if a.Stride == 1 {
			depthwise1Int8Dotprod(a)
		} else {
			depthwise2Int8Dotprod(a)
		}
	}
}

// skip leaves out the first n pixels, if there are others.
func (a *PointwiseInt8) skip(n int) bool {
	if n == a.Pixels {
		a.Pixels = 0
		return false
	}
	a.Src = a.Src[n*Block:]
	if a.Float == nil {
		a.Dst = a.Dst[n*Block:]
	} else {
		a.Float = a.Float[n*Block:]
	}
	if a.Add != nil {
		a.Add = a.Add[n*Block:]
	}
	a.Pixels -= n
	return true
}

// skip leaves out the first n pixels, if there are others.
func (a *FirstInt8) skip(n int) bool {
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

// The functions with a number in their name compute as many tiles of so many
// pixels as there are, of depthwise convolutions those of a stride.

//go:noescape
func pointwise8Int8Dotprod(a *PointwiseInt8)

//go:noescape
func pointwise4Int8Dotprod(a *PointwiseInt8)

//go:noescape
func pointwise2Int8Dotprod(a *PointwiseInt8)

//go:noescape
func pointwise1Int8Dotprod(a *PointwiseInt8)

//go:noescape
func first8Int8Dotprod(a *FirstInt8)

//go:noescape
func first4Int8Dotprod(a *FirstInt8)

//go:noescape
func first2Int8Dotprod(a *FirstInt8)

//go:noescape
func first1Int8Dotprod(a *FirstInt8)

//go:noescape
func depthwise1Int8Dotprod(a *DepthwiseInt8)

//go:noescape
func depthwise2Int8Dotprod(a *DepthwiseInt8)

func peakInt8Dotprod(iterations int)

//go:noescape
func pointwise8Int8NEON(a *PointwiseInt8)

//go:noescape
func pointwise4Int8NEON(a *PointwiseInt8)

//go:noescape
func pointwise2Int8NEON(a *PointwiseInt8)

//go:noescape
func pointwise1Int8NEON(a *PointwiseInt8)

//go:noescape
func first8Int8NEON(a *FirstInt8)

//go:noescape
func first4Int8NEON(a *FirstInt8)

//go:noescape
func first2Int8NEON(a *FirstInt8)

//go:noescape
func first1Int8NEON(a *FirstInt8)

//go:noescape
func depthwise1Int8NEON(a *DepthwiseInt8)

//go:noescape
func depthwise2Int8NEON(a *DepthwiseInt8)

func peakInt8NEON(iterations int)

//go:noescape
func addInt8NEON(a *AddInt8)

//go:noescape
func quantizeInt8NEON(a *QuantizeInt8)

//go:noescape
func poolInt8NEON(a *PoolInt8)

//go:noescape
func dot2Int8Dotprod(a *DotInt8)

//go:noescape
func dot2Int8NEON(a *DotInt8)
