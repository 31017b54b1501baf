//go:build !purego

package kernel

import "encoding/binary"

// mixed is the set for CPUs that have AVX-512 but multiply no faster with it: tiles
// are AVX2's, and all else is AVX-512's.
var mixed = Set{
	Name: "avx2+avx512",
	Pointwise: func(a Pointwise) {
		if a.K <= fewInputs && (a.NR <= fewInputs || a.Next == nil) {
			avx512.Pointwise(a)
			return
		}
		avx2.Pointwise(a)
	},
	First:     avx2.First,
	Depthwise: avx512.Depthwise,
	Pool:      avx512.Pool,
	Peak:      avx2.Peak,
	Training:  trainingAVX512,
	Choices: []Choice{
		{"1x1 and first convolutions, classifier", "avx2", "a 512-bit multiply-add is two of 256 bits here, and smaller tiles lose less between them, but where there are 16 inputs or fewer"},
		{"depthwise convolutions, pooling", "avx512", "half as many instructions, and registers for weights and bias"},
	},
}

// fewInputs is how many are so few that small tiles lose more: the expansion behind a map of
// 112x112 with 16 channels takes 1.35 times as long with AVX2's, that of 24 channels 0.95 times.
// What such a product does is wait for memory, and taller tiles ask for more of it at once.
// In training, where inputs are fetched before (see Pointwise.Next), it takes 0.85 times as
// long with AVX2's, unless there are few outputs, too.
const fewInputs = 16

// preferMixed are the CPUs on which the mixed set is the fastest. Milliseconds for an
// image of 224x224 at width 1, least of 70 to 400 runs each in alternation:
//
//	                                    avx2   avx512  avx2+avx512
//	Zen 4 (EPYC 9004), one core         5.80   6.03    5.67
//	two cores                           2.95   3.04    2.93
//	two cores whose other hardware
//	threads seem to be at work          3.61   4.00    3.85
//
// The last line is a virtual machine at its worst minutes: AVX2 alone loses least when
// somebody else uses the same core.
//
// Others with AVX-512, Zen 5 and Intel's, have units of 512 bits. They have not been
// measured, and get the pure set until they are.
var preferMixed = []cpuFamily{
	{"AuthenticAMD", 0x19}, // with AVX-512: Zen 4. Zen 3, of the same number, has none.
}

// A cpuFamily is what CPUID says of a CPU.
type cpuFamily struct {
	vendor string
	family uint32
}

// thisCPU returns this CPU's vendor and family.
func thisCPU() cpuFamily {
	_, b, c, d := cpuid(0)
	var vendor []byte
	for _, word := range []uint32{b, d, c} {
		vendor = binary.LittleEndian.AppendUint32(vendor, word)
	}
	a, _, _, _ := cpuid(1)
	return cpuFamily{string(vendor), familyOf(a)}
}

// familyOf returns the family in a processor's signature: where the four bits for
// it are all set, eight more are added.
func familyOf(signature uint32) uint32 {
	family := signature >> 8 & 0xf
	if family == 0xf {
		family += signature >> 20 & 0xff
	}
	return family
}

func cpuid(leaf uint32) (eax, ebx, ecx, edx uint32)
