//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package search

import (
	"errors"
	"os"
	"syscall"
)

// lock takes the lock of a file (flock), which ends with the process at the latest.
func lock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == syscall.EINTR:
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errLocked
		}
		return nil // any other error means that this file system has no locks
	}
}
