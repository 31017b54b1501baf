package wholefile

import (
	"errors"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// openForWriting reports whether a process has f open for writing: the kernel gives
// no read lease for such a file (fcntl(2), F_SETLEASE). It is false where that can't
// be found out, as for the files of other users.
func openForWriting(f fs.File) bool {
	conn, ok := f.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	written := false
	raw.Control(func(fd uintptr) {
		_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK)
		written = errors.Is(err, unix.EAGAIN)
		if err == nil {
			unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK)
		}
	})
	return written
}
