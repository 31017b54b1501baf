package kernel

import "golang.org/x/sys/unix"

// adviseHuge asks for huge pages. Without them everything works, more slowly.
func adviseHuge(b []byte) { unix.Madvise(b, unix.MADV_HUGEPAGE) }
