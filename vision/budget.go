package vision

import (
	"context"
	"runtime"

	"golang.org/x/sync/semaphore"

	"github.com/mobilenet-go/mobilenet/fault"
)

// DefaultBudget is how many bytes the decodes of a program may take together if
// DecodeOptions say nothing: 1 GB.
const DefaultBudget = 1_000_000_000

// A Budget bounds the memory that decodes which run at the same time take
// together, their pixels included until they are returned. A decode waits until
// there is room for it; one that never has is an error.
type Budget struct {
	limit int64
	free  *semaphore.Weighted
}

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{bytes, semaphore.NewWeighted(bytes)}
}

// shared is the budget of who brings none.
var shared = NewBudget(DefaultBudget)

// collectFrom is how much a decode takes before which garbage is collected: 20
// megapixels, whose decoding takes a hundred times as long as a collection. The
// photo before, which was as large, would stay until the heap has doubled.
const collectFrom = 64 << 20

// acquire waits for room for n bytes until ctx is done. Where alone says so, more
// than there is are what there is.
func (b *Budget) acquire(ctx context.Context, n int64, alone bool) (release func(), err error) {
	if alone {
		n = min(n, b.limit)
	}
	if n > b.limit {
		return nil, fault.TooLargef("a size that takes %d MB of memory to decode, more than the %d MB of all photos together (DecodeOptions.Budget)", n/1e6, b.limit/1e6)
	}
	if err := b.free.Acquire(ctx, n); err != nil {
		return nil, err
	}
	if n >= collectFrom {
		runtime.GC()
	}
	return func() { b.free.Release(n) }, nil
}
