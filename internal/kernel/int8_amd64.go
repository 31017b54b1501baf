//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// nativeInt8 returns the 8-bit sets with assembly that this CPU can run.
func nativeInt8() []*Int8 {
	var sets []*Int8
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512VNNI {
		sets = append(sets, &avx512vnni)
	}
	return sets
}

// avx512vnni is the 8-bit set for AVX-512 F, BW, VL and VNNI.
var avx512vnni = Int8{
	Name: "avx512vnni",
	Pointwise: func(a PointwiseInt8) {
		a.check()
		if a.Filter.W16 != nil {
			pointwiseInt8Generic(a)
			return
		}
		if a.short() {
			pointwiseAVX512VNNI(&a)
			return
		}
		for r, run := a.runs(), a; r.next(&run); {
			pointwiseAVX512VNNI(&run)
		}
	},
	Depthwise: func(a DepthwiseInt8) {
		a.check()
		if a.Filter.W16 != nil {
			depthwiseInt8Generic(a)
			return
		}
		a.Dst = a.Dst[:a.OutWidth()*Block]
		switch a.Stride {
		case 1:
			depthwise1Int8AVX512VNNI(&a)
		case 2:
			depthwise2Int8AVX512VNNI(&a)
		}
	},
	First: func(a FirstInt8) {
		a.check()
		if a.Filter.W16 != nil {
			firstInt8Generic(a)
			return
		}
		switch a.Filter.NR {
		case 8:
			first8Int8AVX512VNNI(&a)
		case 16:
			first16Int8AVX512VNNI(&a)
		case 24:
			first24Int8AVX512VNNI(&a)
		case 32:
			first32Int8AVX512VNNI(&a)
		}
	},
	Add: func(a AddInt8) {
		a.check()
		addInt8AVX512VNNI(&a)
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
	Peak: func(iterations int) int {
		peakInt8AVX512VNNI(iterations)
		return iterations * 12 * 64 * 2
	},
	layouts: layouts{narrow: layoutQuads, wide: layoutRows},
}

func pointwiseAVX512VNNI(a *PointwiseInt8) {
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
