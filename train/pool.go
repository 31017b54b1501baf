package train

import (
	"iter"
	"sync"
	"sync/atomic"

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

// each calls f for 0 to n-1 on so many threads and waits.
func each(threads, n int, f func(i int)) {
	threads = min(threads, n)
	if threads <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range threads {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
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
