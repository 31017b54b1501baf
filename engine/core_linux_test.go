package engine

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A thread leaves its core, and may use all that it might before.
func TestLeave(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Skip("the system doesn't say which cores there are:", err)
	}
	was := core()
	if was < 0 || !before.IsSet(was) {
		t.Fatalf("on core %d, which isn't one of those that may be used", was)
	}
	left := false
	for range 1000 { // the system may put it back at any time
		was = core()
		leave(was)
		left = left || core() != was
	}
	if !left && before.Count() > 1 {
		t.Error("still on the same core")
	}
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("may use %d cores, before %d (%v)", after.Count(), before.Count(), err)
	}
}
