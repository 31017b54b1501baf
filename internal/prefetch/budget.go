package prefetch

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// A Budget bounds what all work at the same time takes of something, such as bytes
// of memory: items differ in size, and Options only count them. It is for use
// within f, which knows the size once it has looked at the item:
//
//	giveBack, err := budget.Take(ctx, size)
//	if err != nil {
//		return nil, err
//	}
//	defer giveBack()
type Budget struct {
	free *semaphore.Weighted
	all  int64
}

// NewBudget returns a Budget of n.
func NewBudget(n int64) *Budget { return &Budget{semaphore.NewWeighted(n), n} }

// Take waits until n is free, or until ctx is done, which is the only error. Who
// asks first is served first, so a large item does not starve. One that wants
// more than there is gets all of it, for itself.
func (b *Budget) Take(ctx context.Context, n int64) (giveBack func(), err error) {
	n = min(max(n, 0), b.all)
	if err := b.free.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { b.free.Release(n) }, nil
}
