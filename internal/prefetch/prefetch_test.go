package prefetch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// counted counts what is going on at the same time.
type counted struct{ now, most atomic.Int64 }

func (c *counted) add(n int64) {
	now := c.now.Add(n)
	for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
	}
}

// upTo yields 0 to n-1 and counts what it has yielded.
func upTo(n int, given *counted) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			given.add(1)
			if !yield(i) {
				return
			}
		}
	}
}

var errOdd = errors.New("odd")

// TestMap compares with a plain loop: results, errors, order, where the loop
// breaks, and where the context ends. synctest makes the goroutines' times random but
// repeatable, and fails if one is left.
func TestMap(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(r, "items")
		o := Options{Workers: rapid.IntRange(0, 6).Draw(r, "workers"), Ahead: rapid.IntRange(-1, 9).Draw(r, "ahead")}
		delays := rapid.SliceOfN(rapid.IntRange(0, 5), n, n).Draw(r, "delays")
		pause := rapid.IntRange(0, 5).Draw(r, "pause")
		end := rapid.IntRange(0, 60).Draw(r, "end") // the loop breaks, or the context is canceled, with this item
		cancels := rapid.Bool().Draw(r, "cancels")
		var failure string
		synctest.Test(t, func(t *testing.T) {
			failure = checkMap(t.Context(), n, o, delays, pause, end, cancels)
		})
		if failure != "" {
			r.Fatal(failure)
		}
	})
}

func checkMap(ctx context.Context, n int, o Options, delays []int, pause, end int, cancels bool) string {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var given, working counted
	f := func(ctx context.Context, i int) (int, error) {
		working.add(1)
		defer working.add(-1)
		time.Sleep(time.Duration(delays[i]) * time.Millisecond)
		if i%2 == 1 {
			return 0, fmt.Errorf("item %d: %w", i, errOdd)
		}
		return i * i, nil
	}
	i := 0
	var last error
	for v, err := range Map(ctx, o, upTo(n, &given), f) {
		if errors.Is(err, context.Canceled) {
			last = err
			break
		}
		given.add(-1)
		if want, wantErr := f(ctx, i); v != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			return fmt.Sprintf("item %d is %d, %v; want %d, %v", i, v, err, want, wantErr)
		}
		time.Sleep(time.Duration(pause) * time.Millisecond)
		if i++; i == end && cancels {
			cancel()
		} else if i == end {
			break
		}
	}
	if want := min(n, max(end, 1)); i != want && end > 0 {
		return fmt.Sprintf("%d items, want %d", i, want)
	}
	if got, want := last != nil, cancels && end > 0 && end <= n; got != want {
		return fmt.Sprintf("canceled %v, want %v", got, want)
	}
	workers, ahead := int64(max(o.Workers, 1)), int64(max(o.Ahead, o.Workers, 1))
	if o.Workers < 1 {
		workers = int64(runtime.GOMAXPROCS(0))
		ahead = max(ahead, workers)
	}
	// The loop calls f as well, which makes one more.
	if working.most.Load() > workers+1 || given.most.Load() > ahead+1 {
		return fmt.Sprintf("%d at work and %d items between, want at most %d and %d", working.most.Load(), given.most.Load(), workers+1, ahead+1)
	}
	return ""
}

// TestOverlap has every call of f wait for the one before it to begin, so that
// nothing would come of it with fewer workers.
func TestOverlap(t *testing.T) {
	const workers = 4
	var meet sync.WaitGroup
	meet.Add(workers)
	n := 0
	for range Map(t.Context(), Options{Workers: workers}, upTo(workers, new(counted)), func(context.Context, int) (int, error) {
		meet.Done()
		meet.Wait()
		return 0, nil
	}) {
		n++
	}
	if n != workers {
		t.Errorf("%d items, want %d", n, workers)
	}
}

// TestStartBeforeTheLoop sees work that nobody asked for yet, and none after stop.
func TestStartBeforeTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var given counted
		results, stop := Start(t.Context(), Options{Workers: 2, Ahead: 3}, upTo(10, &given), square)
		synctest.Wait()
		if n := given.now.Load(); n != 3 {
			t.Errorf("%d items taken before the loop, want 3", n)
		}
		stop()
		stop()
		for v, err := range results {
			t.Errorf("%d, %v after stop", v, err)
		}
	})
}

func square(_ context.Context, i int) (int, error) { return i * i, nil }

// TestCancelReachesWork cancels calls of f that wait for nothing else.
func TestCancelReachesWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var errs []error
		for _, err := range Map(ctx, Options{Workers: 3}, upTo(9, new(counted)), func(ctx context.Context, i int) (int, error) {
			if i == 0 {
				return 0, nil
			}
			<-ctx.Done()
			return 0, ctx.Err()
		}) {
			errs = append(errs, err)
		}
		if !slices.Equal(errs, []error{nil, context.DeadlineExceeded}) {
			t.Errorf("errors %v, want nil and then the context's", errs)
		}
	})
}

// TestSourceEndsWithContext is about a src that looks at the context itself: its
// end is not that of the items.
func TestSourceEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	src := func(yield func(int) bool) {
		yield(0)
		cancel()
	}
	var last error
	for _, err := range Map(ctx, Options{Workers: 1, Ahead: 3}, src, square) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("error %v, want %v", last, context.Canceled)
	}
}

// TestPanics has f, src and the loop fail at item 2.
func TestPanics(t *testing.T) {
	cause := errors.New("boom")
	failing := func(context.Context, int) (int, error) { panic(cause) }
	for name, test := range map[string]struct {
		src  iter.Seq[int]
		f    func(context.Context, int) (int, error)
		want string
	}{
		"f":      {upTo(9, new(counted)), after2(failing), "item 2: boom"},
		"src":    {func(yield func(int) bool) { _ = yield(0) && yield(1); panic(cause) }, square, "item 2: boom"},
		"goexit": {upTo(9, new(counted)), after2(func(context.Context, int) (int, error) { runtime.Goexit(); return 0, nil }), "item 2: runtime.Goexit"},
	} {
		synctest.Test(t, func(t *testing.T) {
			items := 0
			defer func() {
				p, ok := recover().(*Panic)
				if !ok || !strings.HasPrefix(p.Error(), test.want) || items != 2 {
					t.Errorf("%s: panic %v after %d items, want %s after 2", name, p, items, test.want)
				} else if name != "goexit" && !errors.Is(p, cause) {
					t.Errorf("%s: %v does not wrap its value", name, p)
				} else if !strings.Contains(string(p.Stack), "prefetch") {
					t.Errorf("%s: stack %s", name, p.Stack)
				}
			}()
			for range Map(t.Context(), Options{Workers: 3}, test.src, test.f) {
				items++
			}
		})
	}
	// A loop that ends before never hears of it, and its own panic is passed on.
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if r := recover(); r != any(cause) {
				t.Errorf("panic %v, want %v", r, cause)
			}
		}()
		for v := range Map(t.Context(), Options{Workers: 3}, upTo(9, new(counted)), after2(failing)) {
			if v == 1 {
				panic(cause)
			}
		}
	})
}

// after2 is square for items 0 and 1 and f for the others.
func after2(f func(context.Context, int) (int, error)) func(context.Context, int) (int, error) {
	return func(ctx context.Context, i int) (int, error) {
		if i < 2 {
			return i * i, nil
		}
		return f(ctx, i)
	}
}
