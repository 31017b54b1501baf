package main

import "syscall"

// peakRSS is the most memory that the process has had, in bytes.
func peakRSS() int64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return int64(r.Maxrss) << 10
}
