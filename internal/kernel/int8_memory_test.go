package kernel

import (
	"math/rand/v2"
	"unsafe"

	"pgregory.net/rapid"
)

// memory8 is memory for buffers of bytes and of wider integers.
type memory8 struct {
	rng   *rand.Rand
	alloc func(n, align int) []byte
	heaps []heap8
}

// A heap8 is a buffer [at, at+n) between canaries.
type heap8 struct {
	all   []byte
	at, n int
}

// canary8 is what lies around a buffer at its i-th byte: not one value, which
// a kernel could write by chance.
func canary8(i int) byte { return byte(i*167 + i>>3) }

// newMemory8 returns memory whose buffers lie between canaries, at odd places.
func newMemory8(seed uint64) *memory8 {
	m := &memory8{rng: rand.New(rand.NewPCG(seed, 1))}
	m.alloc = func(n, align int) []byte {
		h := heap8{all: make([]byte, n+3*canaries), n: n}
		h.at = canaries + m.rng.IntN(canaries)
		h.at += int(-(uintptr(unsafe.Pointer(&h.all[0])) + uintptr(h.at))) & (align - 1)
		for i := range h.all {
			h.all[i] = canary8(i)
		}
		m.heaps = append(m.heaps, h)
		return h.all[h.at:][:n:n]
	}
	return m
}

// intact fails where a canary has been overwritten.
func (m *memory8) intact(t rapid.TB) {
	t.Helper()
	for _, h := range m.heaps {
		for i, v := range h.all {
			if (i < h.at || i >= h.at+h.n) && v != canary8(i) {
				t.Fatalf("a buffer of %d bytes was written to at %d", h.n, i-h.at)
			}
		}
	}
}

// take returns n numbers, not initialised.
func take[T int8 | uint8 | int16 | int32 | float32](m *memory8, n int) []T {
	var zero T
	size := int(unsafe.Sizeof(zero))
	b := m.alloc(n*size, size)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

// copied returns s in the memory, nil if it is nil.
func copied[T int8 | uint8 | int16 | int32 | float32](m *memory8, s []T) []T {
	if s == nil {
		return nil
	}
	c := take[T](m, len(s))
	copy(c, s)
	return c
}

// bytes returns n random bytes, the extreme ones often.
func (m *memory8) bytes(n int) []uint8 {
	s := take[uint8](m, n)
	for i := range s {
		switch r := m.rng.Uint32(); r >> 8 % 8 {
		case 0:
			s[i] = 0
		case 1:
			s[i] = 255
		default:
			s[i] = uint8(r)
		}
	}
	return s
}

// floats returns n random floats of both signs.
func (m *memory8) floats(n int, size float32) []float32 {
	s := take[float32](m, n)
	for i := range s {
		s[i] = (2*m.rng.Float32() - 1) * size
	}
	return s
}

// weights returns random weights for k inputs a channel, which may need more than
// a byte where wide, and multipliers that bring most sums into the range.
func (m *memory8) weights(n, k int, wide bool) Weights {
	limit := int16(127)
	if wide {
		limit = 255
	}
	w := Weights{N: n, K: k, Zero: uint8(m.rng.IntN(256)), W: make([]int16, n*k), Bias: make([]int32, n), M: make([]float32, n)}
	for i := range w.W {
		switch r := m.rng.IntN(8); r {
		case 0:
			w.W[i] = limit
		case 1:
			w.W[i] = -limit
		default:
			w.W[i] = int16(m.rng.IntN(2*int(limit)+1)) - limit
		}
	}
	for c := range w.Bias {
		w.Bias[c] = int32(m.rng.IntN(20001)) - 10000
		w.M[c] = 1 / float32(int(1+m.rng.IntN(300))*(k+1)) // of whole numbers: ties come up
	}
	return w
}

// filter returns a copy of f in the memory.
func (m *memory8) filter(f *Filter) *Filter {
	return &Filter{W8: copied(m, f.W8), W16: copied(m, f.W16), Bias: copied(m, f.Bias), M: copied(m, f.M), K: f.K, NR: f.NR}
}

// ranges returns a random range, at times that of ReLU6 with a zero of 0.
func (m *memory8) ranges() Range {
	if m.rng.IntN(4) == 0 {
		return Range{Max: 255}
	}
	r := Range{Zero: int32(m.rng.IntN(256)), Max: 255}
	if m.rng.IntN(2) == 0 {
		r.Min = int32(m.rng.IntN(256))
		r.Max = r.Min + int32(m.rng.IntN(256-int(r.Min)))
	}
	return r
}
