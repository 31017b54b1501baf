package serve

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestGate: a full gate refuses, but for clients that have been waited for for long,
// who make room.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{limit: 10 * requestCost}
		var cut []string
		enter := func(name string, more int64) *share {
			t.Helper()
			s, err := g.enter(func() { cut = append(cut, name) })
			if err == nil {
				err = s.take(more)
			}
			if err != nil {
				t.Fatal(name, err)
			}
			return s
		}
		old := enter("old", 3*requestCost)
		time.Sleep(ioGrace / 2)
		busy := enter("busy", 3*requestCost)
		if err := busy.settle(); err != nil {
			t.Fatal(err)
		}
		var full *refusal
		if err := busy.take(3 * requestCost); !errors.As(err, &full) || len(cut) > 0 {
			t.Errorf("a full gate: %v, and %q cut", err, cut)
		}
		time.Sleep(ioGrace)
		young := enter("young", requestCost) // there is just room for it
		if len(cut) > 0 {
			t.Errorf("%q cut without need", cut)
		}
		next := enter("next", 2*requestCost)
		if len(cut) != 1 || cut[0] != "old" {
			t.Errorf("%q cut", cut)
		}
		if err := old.take(1); err != errCut {
			t.Errorf("cut, and then %v", err)
		}
		if err := old.settle(); err != errCut || old.extend(func() { t.Error("more time for who was cut") }) != errCut {
			t.Errorf("cut, and then %v", err)
		}
		time.Sleep(2 * ioGrace)
		if err := next.take(8 * requestCost); !errors.As(err, &full) && err != errCut { // busy is at work, and can't be cut
			t.Error(err)
		}
		for _, s := range []*share{old, busy, young, next, next} {
			s.release()
		}
		if g.bytes() != 0 || g.waiting.Len() != 0 {
			t.Errorf("%d bytes are left, and %d wait", g.bytes(), g.waiting.Len())
		}
		last := enter("last", 9*requestCost)
		last.give()
		if g.bytes() != requestCost {
			t.Errorf("%d bytes given back", 10*requestCost-g.bytes())
		}
		last.release()
		bomb := enter("bomb", requestCost)
		bomb.working(true) // unpacked, while its client is not waited for
		time.Sleep(2 * ioGrace)
		if err := bomb.take(20 * requestCost); err != errShort {
			t.Errorf("a bomb: %v", err)
		}
	})
}
