package serve

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A machine works on jobs with so many cores, which are fewer than the scheduler believes
// where they are halves of one.
type machine struct {
	cores  int
	active atomic.Int64
}

// work is a job that takes so long on a core, and is given up at its deadline.
func (m *machine) work(ctx context.Context, takes time.Duration) error {
	const step = 997 * time.Microsecond // no deadline falls on its end
	m.active.Add(1)
	defer m.active.Add(-1)
	for done := 0.; done < float64(takes); {
		if err := ctx.Err(); err != nil {
			return err
		}
		time.Sleep(step)
		done += float64(step) * min(1, float64(m.cores)/float64(m.active.Load()))
	}
	return ctx.Err()
}

// A count is what became of photos.
type count struct{ good, wasted, late, refused int } // wasted was worked on for nothing, late wasn't

// clients has n clients that each ask again for as long as lasting, with photos that take so
// long on a core, and counts what becomes of them.
func (m *machine) clients(s *scheduler, n int, takes, lasting time.Duration) (all count) {
	counts := make(chan count)
	for i := range n {
		pause := time.Millisecond + time.Duration(i+1)*37*time.Microsecond // no two at the same moment
		go func() {
			var c count
			for start := time.Now(); time.Since(start) < lasting; time.Sleep(pause) {
				ctx, cancel := context.WithTimeout(context.Background(), s.deadline)
				deadline, _ := ctx.Deadline()
				err := s.do([]*job{{ctx: context.Background(), deadline: deadline, work: func(bool) error { return m.work(ctx, takes) }}})
				cancel()
				switch {
				case err == nil:
					c.good++
				case errors.Is(err, context.DeadlineExceeded):
					c.wasted++
				case shed(err) == "expired":
					c.late++
				default:
					c.refused++
					time.Sleep(time.Second) // Retry-After
				}
			}
			counts <- c
		}()
		time.Sleep(pause / 2)
	}
	for range n {
		c := <-counts
		all.good, all.wasted, all.late, all.refused = all.good+c.good, all.wasted+c.wasted, all.late+c.late, all.refused+c.refused
	}
	return all
}

const large, small = 590 * time.Millisecond, 5 * time.Millisecond // that photos take on a core

// TestTogether: photos that can't all be done by their deadlines at the same time are done as
// many at a time as can be, once that is known, and no others are held up for them.
func TestTogether(t *testing.T) {
	for _, test := range []struct {
		name           string
		workers, cores int
		took           time.Duration // by a photo before, of one client
		clients        int
		least, wasted  int // answers, and photos that were worked on for nothing
	}{
		{"cores", 2, 2, small, 2, 66, 0},
		{"halves of a core", 2, 1, small, 2, 30, 4},
		{"halves of a core, 8 bits", 2, 1, small / 2, 2, 30, 4},
		{"after large photos", 2, 1, large, 2, 30, 4},
		{"four clients", 2, 1, small, 4, 29, 6},
		{"eight halves", 8, 4, small, 8, 120, 10},
		{"a core", 1, 1, small, 4, 26, 10},
		{"cores, four clients", 2, 2, small, 4, 62, 4},
		{"cores, eight clients", 2, 2, small, 8, 62, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScheduler(test.workers, 256, time.Second)
				defer s.close()
				m := machine{cores: test.cores}
				m.clients(s, 1, test.took, 5*time.Second)
				if c := m.clients(s, test.clients, large, 20*time.Second); c.good < test.least || c.wasted > test.wasted {
					t.Errorf("%+v: want %d answers at least, and %d photos worked on for nothing at most", c, test.least, test.wasted)
				}
				want := test.cores * 150
				if c := m.clients(s, test.workers, small, 2*time.Second); c.good < want {
					t.Errorf("of small photos %+v: want %d answers at least", c, want)
				}
			})
		})
	}
}

// TestTogetherAgain: what is believed of photos together ends: it may have been another program
// that took a core.
func TestTogetherAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(2, 256, time.Second)
		defer s.close()
		m := machine{cores: 1}
		if c := m.clients(s, 2, large, 5*time.Second); c.wasted == 0 || c.good == 0 {
			t.Errorf("half of a core: %+v", c)
		}
		m.cores = 2
		m.clients(s, 2, large, retrial)
		if c := m.clients(s, 2, large, 5*time.Second); c.good < 14 || c.wasted > 0 {
			t.Errorf("two cores: %+v", c)
		}
	})
}

// TestTooSlowAlone: a client whose photos are late without others leaves a core to others.
func TestTooSlowAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(2, 256, time.Second)
		defer s.close()
		m := machine{cores: 2}
		slow := make(chan count)
		go func() { slow <- m.clients(s, 1, 2*time.Second, 20*time.Second) }()
		time.Sleep(5 * time.Second)
		if c := m.clients(s, 1, small, 10*time.Second); c.good < 1000 || c.wasted+c.late+c.refused > 0 {
			t.Errorf("small photos beside: %+v", c)
		}
		if c := <-slow; c.wasted != 20 {
			t.Errorf("photos of two seconds: %+v", c)
		}
	})
}
