//go:build unix

package duplicates

import (
	"io/fs"
	"syscall"
)

// An identity is what all names of a file have in common.
type identity struct{ device, file uint64 }

func identify(_ string, info fs.FileInfo) (identity, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, false
	}
	return identity{uint64(s.Dev), uint64(s.Ino)}, true
}
