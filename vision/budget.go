package vision

import (
	"context"

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

// acquire waits for room for n bytes until ctx is done.
func (b *Budget) acquire(ctx context.Context, n int64) (release func(), err error) {
	if n > b.limit {
		return nil, fault.TooLargef("a size that takes %d MB of memory to decode, more than the %d MB of all photos together (DecodeOptions.Budget)", n/1e6, b.limit/1e6)
	}
	if err := b.free.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { b.free.Release(n) }, nil
}
