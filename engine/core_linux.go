package engine

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// here is where the caller runs. The core is -1 where the system doesn't say.
func here() place {
	var core uint32
	if _, _, err := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&core)), 0, 0); err != 0 {
		return place{core: -1}
	}
	return place{int(core), unix.Gettid()}
}

// leave moves the calling thread off a core, if it may use others, and bars it from none.
func leave(core int) {
	// Locked, as Go would start another thread from this one with the cores that it has now.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all unix.CPUSet
	if core < 0 || unix.SchedGetaffinity(0, &all) != nil {
		return
	}
	others := all
	if others.Clear(core); others.Count() == 0 {
		return
	}
	if unix.SchedSetaffinity(0, &others) == nil { // returns on one of them
		_ = unix.SchedSetaffinity(0, &all)
	}
}
