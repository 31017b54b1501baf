//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// nativeInt8 returns the 8-bit sets with assembly that this CPU can run.
func nativeInt8() []*Int8 {
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA {
		return nil
	}
	var sets []*Int8
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512VNNI {
		sets = append(sets, &avx512vnniInt8)
	}
	if cpu.X86.HasAVXVNNI {
		sets = append(sets, &avxvnniInt8)
	}
	return append(sets, &avx2Int8)
}

var (
	layoutPairs  = layout{true, 2, vectorPanel, unpackedWords}
	layoutPanels = layout{false, 4, vectorPanel, unpackedBytes}
	layoutQuads  = layout{false, 4, Block, unpackedBytes}
)

// unpackedBytes is the place of channel c after the bytes of four rows have been
// interleaved within the 16-byte halves of vectors of 32 bytes: vector q of four
// has the channels from 4q on of each half.
func unpackedBytes(c int) int {
	half, c := c/16, c%16
	return c/4*8 + half*4 + c%4
}

// unpackedWords is unpackedBytes for 16-bit numbers, of which a vector has half as
// many.
func unpackedWords(c int) int {
	vector, c := c/16, c%16
	half, c := c/8, c%8
	return vector*16 + c/4*8 + half*4 + c%4
}

// avx2Int8 is the 8-bit set for AVX2 and FMA. It multiplies 16-bit integers: the sums
// of products of bytes that AVX2 has saturate. The others on amd64 leave filters of
// 16 bits to it.
var avx2Int8 = Int8{
	Name: "avx2",
	Pointwise: func(a PointwiseInt8) {
		a.check()
		pointwiseInt8AVX2(&a)
	},
	Depthwise: func(a DepthwiseInt8) {
		a.check()
		depthwiseInt8AVX2(&a)
	},
	First: func(a FirstInt8) {
		a.check()
		firstInt8AVX2(&a)
	},
	Add: func(a AddInt8) {
		a.check()
		addInt8AVX2(&a)
	},
	AddFixed: func(a AddFixedInt8) {
		a.check()
		addFixedInt8AVX2(&a)
	},
	Pool: func(a PoolInt8) {
		a.check()
		poolInt8AVX2(&a)
	},
	Quantize: quantizeInt8AVX2Rest,
	Lookup:   lookupInt8Generic,
	Dot:      func(a DotInt8) { a.groups(nil, dot2Int8AVX2) },
	Peak: func(iterations int) int {
		peakInt8AVX2(iterations)
		return iterations * 12 * 32 * 2
	},
	layouts: layouts{narrow: layoutPairs, wide: layoutPairs, inner: true},
}

// vectorPanel is how many output channels the kernels for vectors of 32 bytes take
// at once.
const vectorPanel = 16

// innerK is how many inputs the pointwise kernels for AVX2 take where they have more
// than a panel.
const innerK = 2048

func pointwiseInt8AVX2(a *PointwiseInt8) {
	panel := Block
	if a.Filter.K > innerK {
		panel = vectorPanel
	}
	if a.short(panel) {
		pointwiseInt8AVX2Piece(a)
		return
	}
	pointwiseInt8AVX2Pieces(a, panel)
}

// pointwiseInt8AVX2Pieces has a frame of its own, as pointwiseInt8Pieces.
//
//go:noinline
func pointwiseInt8AVX2Pieces(a *PointwiseInt8, panel int) {
	var f Filter
	for p, piece := a.pieces(panel, &f); p.next(&piece); {
		pointwiseInt8AVX2Piece(&piece)
	}
}

func pointwiseInt8AVX2Piece(a *PointwiseInt8) {
	switch a.Filter.NR {
	case 8:
		pointwise8Int8AVX2(a)
	case 16:
		pointwise16Int8AVX2(a)
	case 24:
		pointwise24Int8AVX2(a)
	case 32:
		pointwise32Int8AVX2(a)
	}
}

func firstInt8AVX2(a *FirstInt8) {
	var f Filter
	for p, piece := a.panels(vectorPanel, &f); p.next(&piece); {
		if piece.Filter.NR == vectorPanel {
			first16Int8AVX2(&piece)
		} else {
			first8Int8AVX2(&piece)
		}
	}
}

func depthwiseInt8AVX2(a *DepthwiseInt8) {
	for rest, ok := a.end(), true; ok; ok = a.next(&rest) {
		if a.Stride == 1 {
			depthwise1Int8AVX2(a)
		} else {
			depthwise2Int8AVX2(a)
		}
	}
}

func quantizeInt8AVX2Rest(a QuantizeInt8) {
	a.check()
	whole, rest := a.split()
	quantizeInt8AVX2(&whole)
	quantizeInt8Generic(rest)
}

// avxvnniInt8 is the 8-bit set for AVX-VNNI.
var avxvnniInt8 = Int8{
	Name: "avxvnni",
	Pointwise: func(a PointwiseInt8) {
		a.check()
		if a.Filter.W16 != nil {
			pointwiseInt8AVX2(&a)
			return
		}
		pointwiseInt8AVXVNNI(&a)
	},
	Depthwise: func(a DepthwiseInt8) {
		a.check()
		if a.Filter.W16 != nil {
			depthwiseInt8AVX2(&a)
			return
		}
		depthwiseInt8AVXVNNI(&a)
	},
	First: func(a FirstInt8) {
		a.check()
		if a.Filter.W16 != nil {
			firstInt8AVX2(&a)
			return
		}
		firstInt8AVXVNNI(&a)
	},
	Add:      avx2Int8.Add,
	AddFixed: avx2Int8.AddFixed,
	Pool:     avx2Int8.Pool,
	Quantize: avx2Int8.Quantize,
	Lookup:   lookupInt8Generic,
	Dot:      func(a DotInt8) { a.groups(nil, dot2Int8AVXVNNI) },
	Peak: func(iterations int) int {
		peakInt8AVXVNNI(iterations)
		return iterations * 12 * 32 * 2
	},
	layouts: layouts{narrow: layoutPanels, wide: layoutPairs, inner: true},
}

func pointwiseInt8AVXVNNI(a *PointwiseInt8) {
	var f Filter
	for p, piece := a.pieces(vectorPanel, &f); p.next(&piece); {
		if piece.Filter.NR == vectorPanel {
			pointwise16Int8AVXVNNI(&piece)
		} else {
			pointwise8Int8AVXVNNI(&piece)
		}
	}
}

func firstInt8AVXVNNI(a *FirstInt8) {
	var f Filter
	for p, piece := a.panels(vectorPanel, &f); p.next(&piece); {
		if piece.Filter.NR == vectorPanel {
			first16Int8AVXVNNI(&piece)
		} else {
			first8Int8AVXVNNI(&piece)
		}
	}
}

func depthwiseInt8AVXVNNI(a *DepthwiseInt8) {
	for rest, ok := a.end(), true; ok; ok = a.next(&rest) {
		if a.Stride == 1 {
			depthwise1Int8AVXVNNI(a)
		} else {
			depthwise2Int8AVXVNNI(a)
		}
	}
}

// avx512vnniInt8 is the 8-bit set for AVX-512 F, BW, VL and VNNI.
var avx512vnniInt8 = Int8{
	Name: "avx512vnni",
	Pointwise: func(a PointwiseInt8) {
		a.check()
		if a.Filter.W16 != nil {
			pointwiseInt8AVX2(&a)
			return
		}
		if a.short(Block) {
			pointwiseInt8AVX512VNNI(&a)
			return
		}
		pointwiseInt8Pieces(&a)
	},
	Depthwise: func(a DepthwiseInt8) {
		a.check()
		if a.Filter.W16 != nil {
			depthwiseInt8AVX2(&a)
			return
		}
		depthwiseInt8AVX512VNNI(&a)
	},
	First: func(a FirstInt8) {
		a.check()
		if a.Filter.W16 != nil {
			firstInt8AVX2(&a)
			return
		}
		firstInt8AVX512VNNI(&a)
	},
	Add: func(a AddInt8) {
		a.check()
		addInt8AVX512VNNI(&a)
	},
	AddFixed: func(a AddFixedInt8) {
		a.check()
		addFixedInt8AVX512VNNI(&a)
	},
	Pool: func(a PoolInt8) {
		a.check()
		poolInt8AVX512VNNI(&a)
	},
	Quantize: func(a QuantizeInt8) {
		a.check()
		whole, rest := a.split()
		quantizeInt8AVX512VNNI(&whole)
		quantizeInt8Generic(rest)
	},
	Dot: func(a DotInt8) { a.groups(dot4Int8AVX512VNNI, dot2Int8AVX512VNNI) },
	Lookup: func(a LookupInt8) {
		a.check()
		if !cpu.X86.HasAVX512VBMI {
			lookupInt8Generic(a)
			return
		}
		lookupInt8AVX512VNNI(&a)
	},
	Peak: func(iterations int) int {
		peakInt8AVX512VNNI(iterations)
		return iterations * 12 * 64 * 2
	},
	layouts: layouts{narrow: layoutQuads, wide: layoutPairs, inner: true},
}

// pointwiseInt8Pieces has a frame of its own: to clear it would take as long as a
// tile.
//
//go:noinline
func pointwiseInt8Pieces(a *PointwiseInt8) {
	var f Filter
	for p, piece := a.pieces(Block, &f); p.next(&piece); {
		pointwiseInt8AVX512VNNI(&piece)
	}
}

func pointwiseInt8AVX512VNNI(a *PointwiseInt8) {
	switch a.Filter.NR {
	case 8:
		pointwise8Int8AVX512VNNI(a)
	case 16:
		pointwise16Int8AVX512VNNI(a)
	case 24:
		pointwise24Int8AVX512VNNI(a)
	case 32:
		pointwise32Int8AVX512VNNI(a)
	}
}

func firstInt8AVX512VNNI(a *FirstInt8) {
	switch a.Filter.NR {
	case 8:
		first8Int8AVX512VNNI(a)
	case 16:
		first16Int8AVX512VNNI(a)
	case 24:
		first24Int8AVX512VNNI(a)
	case 32:
		first32Int8AVX512VNNI(a)
	}
}

func depthwiseInt8AVX512VNNI(a *DepthwiseInt8) {
	for rest, ok := a.end(), true; ok; ok = a.next(&rest) {
		if a.Stride == 1 {
			depthwise1Int8AVX512VNNI(a)
		} else {
			depthwise2Int8AVX512VNNI(a)
		}
	}
}
