package search

import (
	"os"

	"golang.org/x/sys/windows"
)

// lock takes the lock of a byte that no index has, so that others may read it.
func lock(f *os.File) error {
	at := windows.Overlapped{OffsetHigh: 1 << 30}
	if windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at) != nil {
		return errLocked
	}
	return nil
}
