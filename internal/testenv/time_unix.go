//go:build unix

package testenv

import (
	"syscall"
	"time"
)

// CPU is the processor time that this process has used. It stands still while others have
// the processor.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
