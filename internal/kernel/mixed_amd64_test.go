//go:build !purego

package kernel

import (
	"slices"
	"testing"
)

// TestFamily has signatures from AMD's and Intel's manuals.
func TestFamily(t *testing.T) {
	for signature, want := range map[uint32]uint32{
		0x00a20f10: 0x19, // Zen 3
		0x00a10f11: 0x19, // Zen 4
		0x00b40f40: 0x1a, // Zen 5
		0x000806f8: 6,    // Sapphire Rapids
	} {
		if got := familyOf(signature); got != want {
			t.Errorf("%#x is of family %#x, want %#x", signature, got, want)
		}
	}
	if cpu := thisCPU(); len(cpu.vendor) != 12 {
		t.Errorf("a CPU of %q", cpu.vendor)
	}
}

// TestMixed has the mixed set wherever there is AVX-512, first only where it was
// measured to be the fastest, and all names mean what they say.
func TestMixed(t *testing.T) {
	sets := Available()
	if !slices.Contains(sets, &avx512) {
		t.Skip("no AVX-512 in this machine")
	}
	first := slices.Contains(preferMixed, thisCPU())
	if !slices.Contains(sets, &mixed) || (sets[0] == &mixed) != first {
		t.Errorf("the fastest set is %s on %+v", sets[0].Name, thisCPU())
	}
	if s, err := Choose("avx512vnni"); err == nil && s != sets[0] {
		t.Errorf("avx512vnni means %s, want %s", s.Name, sets[0].Name)
	}
	if s, err := Choose("avx512"); err != nil || s != &avx512 {
		t.Errorf("avx512 means %v, %v", s, err)
	}
	if s, err := ChooseInt8("avx2+avx512"); err != nil || s.Name != "avx2" && s.Name != "avxvnni" {
		t.Errorf("avx2+avx512 in 8 bits means %v, %v", s, err)
	}
}
