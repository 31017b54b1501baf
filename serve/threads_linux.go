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
	// On Linux this is of the thread alone. It needs no rights; where a sandbox forbids it,
	// refusals take longer, and that is all.
	if nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 20-nice+niceness)
	}
}
