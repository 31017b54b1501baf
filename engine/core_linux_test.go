package engine

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// heeded reports whether a thread runs on the core that it is told to. A sandbox may have none.
func heeded() bool {
	var all, one unix.CPUSet
	if unix.SchedGetaffinity(0, &all) != nil {
		return false
	}
	defer unix.SchedSetaffinity(0, &all)
	for core := range 1024 {
		if !all.IsSet(core) {
			continue
		}
		one.Zero()
		one.Set(core)
		if unix.SchedSetaffinity(0, &one) != nil || here().core != core {
			return false
		}
	}
	return true
}

// A thread leaves its core, and may use all that it might before.
func TestLeave(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Skip("the system doesn't say which cores there are:", err)
	}
	was := here().core
	if was < 0 || !before.IsSet(was) {
		t.Fatalf("on core %d, which isn't one of those that may be used", was)
	}
	left := false
	for range 1000 { // the system may put it back at any time
		was = here().core
		leave(was)
		left = left || here().core != was
	}
	if !left && before.Count() > 1 && heeded() {
		t.Error("still on the same core")
	}
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("may use %d cores, before %d (%v)", after.Count(), before.Count(), err)
	}
}

// A helper leaves the core of another thread, while there is something to do.
func TestSpread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all unix.CPUSet
	if unix.SchedGetaffinity(0, &all) != nil || all.Count() < 2 || here().core < 0 {
		t.Skip("one core, or the system doesn't say")
	}
	if !heeded() {
		t.Skip("the system has threads run elsewhere than they are told to")
	}
	for _, c := range []struct {
		name   string
		thread int // beside this one
		done   int32
		leaves bool
	}{
		{"of another thread", 1, 0, true},
		{"of its own thread", 0, 0, false},
		{"when all is done", 1, 1, false},
	} {
		r := newRun(1, nil, nil)
		r.tasks[0] = 1
		r.done[0].Store(c.done)
		left := 0
		const times = 1000
		for range times {
			r.begun = here()
			r.begun.thread += c.thread
			r.spread()
			if here().core != r.begun.core {
				left++
			}
		}
		// The system moves threads, too, but not within a microsecond, and not often.
		if leaves := left > times/2; leaves != c.leaves {
			t.Errorf("the core %s: left %d times of %d", c.name, left, times)
		}
	}
}
