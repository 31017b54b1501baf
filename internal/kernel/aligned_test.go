package kernel

import (
	"testing"
	"unsafe"
)

func TestAligned(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 1000, hugePage/4 - 1, hugePage / 4, hugePage/4 + 1, 1_000_000} {
		a, h := Aligned(n), AlignedHuge(n)
		if len(a) != n || len(h) != n || cap(h) != n {
			t.Errorf("%d floats: %d and %d", n, len(a), len(h))
		}
		at := func(s []float32) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(s))) }
		if at(a)%alignment != 0 || at(h)%alignment != 0 || 4*n >= hugePage && at(h)%hugePage != 0 {
			t.Errorf("%d floats at %#x and %#x", n, at(a), at(h))
		}
		for i := range h { // as long as it says it is
			h[i]++
			if h[i] != 1 {
				t.Fatalf("%d floats: float %d is not zero", n, i)
			}
		}
	}
}
