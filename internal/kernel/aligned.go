package kernel

import "unsafe"

const (
	// alignment is a cache line, and the widest vector: a load that crosses a line
	// costs two, which made the whole network 7 % slower.
	alignment = 64
	// hugePage is the size of a large page on x86 and of most on arm64.
	hugePage = 2 << 20
)

// Aligned returns n zero floats that start at a multiple of 64 bytes.
func Aligned(n int) []float32 { return floats(AlignedBytes(4 * n)) }

// Huge is Aligned in large pages, as HugeBytes, but for what follows the last whole
// one: there may be many such slices at once, and none takes more memory than it is
// long.
func Huge(n int) []float32 {
	if 4*n < hugePage {
		return Aligned(n)
	}
	b := aligned(4*n, hugePage)
	adviseHuge(b[:len(b)/hugePage*hugePage])
	return floats(b)
}

func floats(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// AlignedBytes returns n zero bytes that start at a multiple of 64.
func AlignedBytes(n int) []byte { return aligned(n, alignment) }

// HugeBytes is AlignedBytes for what is used over and over, such as weights: from
// half a huge page on it starts at a multiple of one, and the system is asked for
// pages of that size, which take it a fraction of the time to map and the CPU to
// look up. What follows the last whole one gets another one if it fills half of it:
// to clear a page takes the system time, too.
func HugeBytes(n int) []byte {
	if n < hugePage/2 {
		return AlignedBytes(n)
	}
	b := aligned((n+hugePage-1)/hugePage*hugePage, hugePage)
	adviseHuge(b[:(n+hugePage/2)/hugePage*hugePage])
	return b[:n:n]
}

// aligned returns n zero bytes that start at a multiple of to.
func aligned(n, to int) []byte {
	s := make([]byte, n+to)
	at := 0
	if off := int(uintptr(unsafe.Pointer(&s[0])) % uintptr(to)); off != 0 {
		at = to - off
	}
	return s[at : at+n : at+n]
}
