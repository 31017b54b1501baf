package kernel

import (
	"os"
	"slices"
	"testing"
	"unsafe"
)

func TestAligned(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 1000, hugePage/2 - 1, hugePage / 2, hugePage - 1, hugePage, hugePage + 1, 5_000_000} {
		for name, alloc := range map[string]func(int) []byte{"aligned": AlignedBytes, "huge": HugeBytes} {
			to := alignment
			if name == "huge" && n >= hugePage/2 {
				to = hugePage
			}
			b := alloc(n)
			if at := uintptr(unsafe.Pointer(unsafe.SliceData(b))); len(b) != n || cap(b) != n || at%uintptr(to) != 0 {
				t.Errorf("%s: %d of %d bytes at %#x", name, len(b), n, at)
			}
			for i := range b { // as long as it says it is
				if b[i]++; b[i] != 1 {
					t.Fatalf("%s: byte %d of %d is not zero", name, i, n)
				}
			}
		}
		for _, f := range [][]float32{Aligned(n), Huge(n)} {
			if len(f) != n || uintptr(unsafe.Pointer(unsafe.SliceData(f)))%alignment != 0 {
				t.Errorf("%d of %d floats", len(f), n)
			}
			if i := slices.IndexFunc(f, func(v float32) bool { return v != 0 }); i >= 0 {
				t.Errorf("float %d of %d is not zero", i, n)
			}
		}
	}
}

// TestPageBytes has the system say what pages there are.
func TestPageBytes(t *testing.T) {
	b := HugeBytes(3 * hugePage)
	for i := range b {
		b[i] = 1
	}
	if n := PageBytes(b); n != 0 && n%os.Getpagesize() != 0 {
		t.Errorf("pages of %d bytes, the system's have %d", n, os.Getpagesize())
	} else if n == 0 {
		t.Log("the system doesn't say")
	}
	if PageBytes(nil) != 0 {
		t.Error("no memory has pages")
	}
}
