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
		return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(guarded(t, 4*n, atEnd)))), n)
	}
	return m
}

// newPages8 is newPages for the 8-bit kernels.
func newPages8(t *testing.T, seed uint64, atEnd bool) *memory8 {
	m := &memory8{rng: rand.New(rand.NewPCG(seed, 2))}
	m.alloc = func(n, align int) []byte {
		whole := (n + align - 1) / align * align
		return guarded(t, whole, atEnd)[:n:n]
	}
	return m
}

// guarded returns n bytes behind an unmapped page, or before one.
func guarded(t *testing.T, n int, atEnd bool) []byte {
	page := unix.Getpagesize()
	size := (n + page - 1) / page * page
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
	if atEnd {
		return b[page+size-n : page+size : page+size]
	}
	return b[page : page+n : page+n]
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
						checkDepthwise(t, set, newDepthwise(m, 1+width%4, width, s.stride, s.left, nr))
					}
					checkFirst(t, set, newFirst(m, width, nr))
				}
			}
			checkPool(t, set, newPool(m, 7))
		}
	})
}

func TestGuardPagesInt8(t *testing.T) {
	eachInt8(t, func(t *testing.T, set *Int8) {
		for _, atEnd := range []bool{false, true} {
			m := newPages8(t, 1, atEnd)
			for nr := 8; nr <= Block; nr += 8 {
				for _, wide := range []bool{false, true} {
					for pixels := 1; pixels <= 40; pixels += 1 + pixels/8 {
						l := newLayer8(m, 1+pixels*7%67, nr, wide)
						checkPointwiseInt8(t, set, l, newPointwiseInt8(m, set, l, pixels, output(pixels)%outputs))
						l = newLayer8(m, 27, nr, wide)
						checkFirstInt8(t, set, l, newFirstInt8(m, set, l, pixels))
						l = newLayer8(m, 9, nr, wide)
						for _, s := range strides {
							checkDepthwiseInt8(t, set, l, newDepthwiseInt8(m, set, l, pixels, s.stride, s.left))
						}
					}
				}
			}
			for n := 1; n < 5; n++ {
				checkAddInt8(t, set, newAddInt8(m, n))
				checkAddFixedInt8(t, set, newAddFixedInt8(m, n))
				checkPoolInt8(t, set, newPoolInt8(m, n, output(n%2)))
				checkQuantizeInt8(t, set, newQuantizeInt8(m, n*n*9))
				checkLookupInt8(t, set, newLookupInt8(m, n*n*17))
			}
		}
	})
}
