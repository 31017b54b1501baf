package train

import (
	"iter"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// buffers recycles the activations and gradients of a step: a layer's output is
// needed until its backward pass, and then makes room for gradients of layers
// before it.
type buffers struct{ free [][]float32 }

// take returns n floats with any content: the shortest free ones that hold them.
func (b *buffers) take(n int) []float32 {
	best := -1
	for i, s := range b.free {
		if cap(s) >= n && (best < 0 || cap(s) < cap(b.free[best])) {
			best = i
		}
	}
	if best < 0 {
		return kernel.Huge(n)
	}
	s := b.free[best]
	last := len(b.free) - 1
	b.free[best], b.free = b.free[last], b.free[:last]
	return s[:n]
}

func (b *buffers) put(s []float32) {
	if s != nil {
		b.free = append(b.free, s)
	}
}

// bytes is what all of them take while none is in use.
func (b *buffers) bytes() (n int64) {
	for _, s := range b.free {
		n += int64(cap(s)) * 4
	}
	return n
}

// A piece is some of the numbers of one of several arrays.
type piece struct{ array, begin, end int }

// pieces cuts arrays of so many numbers into pieces for threads to share: that of the
// classifier has a third of all weights. What is summed up by piece doesn't depend on
// the threads.
func pieces(arrays int, length func(i int) int) []piece {
	const most = 1 << 15
	var all []piece
	for i := range arrays {
		for begin := 0; begin < length(i); begin += most {
			all = append(all, piece{i, begin, min(begin+most, length(i))})
		}
	}
	return all
}

// upTo yields 0 to n-1.
func upTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}
