package kernel

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newPages returns memory whose buffers begin behind an unmapped page, or end
// before one: a vector that goes beyond is a fault, if it is only read too.
func newPages(t *testing.T, seed uint64, atEnd bool) *memory {
	m := &memory{rng: rand.New(rand.NewPCG(seed, 2))}
	m.alloc = func(n int) []float32 {
		page := unix.Getpagesize()
		size := (4*n + page - 1) / page * page
		b, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Munmap(b) })
		for _, guard := range [][]byte{b[:page], b[page+size:]} {
			if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
				t.Fatal(err)
			}
		}
		at := page
		if atEnd {
			at = page + size - 4*n
		}
		return unsafe.Slice((*float32)(unsafe.Pointer(&b[at])), n)
	}
	return m
}

func TestGuardPages(t *testing.T) {
	eachSet(t, func(t *testing.T, set *Set) {
		for _, atEnd := range []bool{false, true} {
			m := newPages(t, 1, atEnd)
			for nr := 8; nr <= Block; nr += 8 {
				for _, k := range []int{1, 24, 33, 67} {
					for pixels := 1; pixels <= 30; pixels += 1 + pixels/8 {
						checkPointwise(t, set, newPointwise(m, pixels, k, nr, separate))
					}
				}
				for width := 1; width <= 40; width += 1 + width/8 {
					for _, s := range strides {
						checkDepthwise(t, set, newDepthwise(m, width, s.stride, s.left, nr))
					}
					checkFirst(t, set, newFirst(m, width, nr))
				}
			}
			checkPool(t, set, newPool(m, 7))
		}
	})
}
