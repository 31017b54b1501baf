package train

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestEach has several callers at once, one of them from within, have everything done once,
// before the call returns, and by threads whose numbers nobody else has meanwhile.
func TestEach(t *testing.T) {
	var wg sync.WaitGroup
	for caller := range 4 {
		wg.Go(func() {
			for round := range 300 {
				threads, n := 1+(caller+round)%5, round%23
				did := make([]atomic.Int32, n)
				busy := make([]atomic.Bool, threads)
				eachOn(threads, n, func(thread, i int) {
					if !busy[thread].CompareAndSwap(false, true) {
						t.Errorf("%d threads: two are number %d", threads, thread)
					}
					if i == 0 && round%7 == 0 {
						each(2, 3, func(int) { did[0].Add(1) })
						did[0].Add(-3)
					}
					runtime.Gosched() // the others go on meanwhile
					did[i].Add(1)
					busy[thread].Store(false)
				})
				for i := range did {
					if got := did[i].Load(); got != 1 {
						t.Errorf("%d threads: %d of %d was done %d times", threads, i, n, got)
					}
				}
			}
		})
	}
	wg.Wait()
}
