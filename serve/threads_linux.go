package serve

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// niceness is what workers have more of than the threads that read and answer requests.
// Under overload on two cores, refusals took 3-36 ms at the median with 1, 1.3-1.9 with
// 5, and 0.7-0.9 with 10, which leaves less to the workers where others want the cores.
const niceness = 5

// background makes the calling goroutine one that gives way to whoever has little to
// do: a worker's thread computes for milliseconds on end, and a refusal takes a tenth
// of one.
func background() {
	runtime.LockOSThread()
	// Of this thread alone, by Linux's ways. Where it isn't allowed, it isn't needed either.
	if nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 20-nice+niceness)
	}
}
