package kernel

import (
	"math"
	"math/rand/v2"

	"pgregory.net/rapid"
)

// memory hands out the buffers of a case, filled with numbers of both signs and
// exactly as long as asked for. What lies around them catches a kernel that goes
// too far.
type memory struct {
	rng   *rand.Rand
	alloc func(n int) []float32
	heaps []heap
}

// newMemory returns memory whose buffers lie between canaries, at odd places.
func newMemory(seed uint64) *memory {
	m := &memory{rng: rand.New(rand.NewPCG(seed, 1))}
	m.alloc = func(n int) []float32 {
		h := heap{all: make([]float32, n+3*canaries), at: canaries + m.rng.IntN(canaries), n: n}
		for i := range h.all {
			h.all[i] = canary
		}
		m.heaps = append(m.heaps, h)
		return h.all[h.at:][:n:n]
	}
	return m
}

// A heap is a buffer [at, at+n) between canaries.
type heap struct {
	all   []float32
	at, n int
}

// canaries is more than the widest vector or tile that could be touched.
const canaries = 4 * Block

// canary is a NaN of its own: one that is read shows in the result, one that is
// overwritten in its bits.
var canary = math.Float32frombits(0x7fc0_beef)

func isCanary(v float32) bool { return math.Float32bits(v) == math.Float32bits(canary) }

// intact fails where a canary has been overwritten.
func (m *memory) intact(t rapid.TB) {
	t.Helper()
	for _, h := range m.heaps {
		for i, v := range h.all {
			if (i < h.at || i >= h.at+h.n) && !isCanary(v) {
				t.Fatalf("a buffer of %d floats was written to at %d", h.n, i-h.at)
			}
		}
	}
}

// floats returns n random floats.
func (m *memory) floats(n int) []float32 {
	s := m.alloc(n)
	for i := range s {
		s[i] = 2*m.rng.Float32() - 1
	}
	return s
}

// pixels returns the first n of each pixel's [Block] channels, the last pixel
// ending there. The padding holds canaries.
func (m *memory) pixels(pixels, n int) []float32 {
	s := m.floats((pixels-1)*Block + n)
	padPixels(s, n)
	return s
}

func padPixels(s []float32, n int) {
	for i := range s {
		if i%Block >= n {
			s[i] = canary
		}
	}
}
