package kernel

import (
	"bufio"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// adviseHuge asks for huge pages. Without them everything works, more slowly.
func adviseHuge(b []byte) { unix.Madvise(b, unix.MADV_HUGEPAGE) }

// PageBytes is the size of the pages that b, which has been written to, begins with.
// It is 0 where the system doesn't say.
func PageBytes(b []byte) int {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0
	}
	defer f.Close()
	at := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	size, inside := 0, false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var begin, end uint64
		var kB int
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &begin, &end); n == 2 {
			if inside {
				break
			}
			inside = at >= begin && at < end
		} else if !inside {
			continue
		} else if n, _ := fmt.Sscanf(lines.Text(), "KernelPageSize: %d kB", &kB); n == 1 {
			size = kB << 10
		} else if n, _ := fmt.Sscanf(lines.Text(), "AnonHugePages: %d kB", &kB); n == 1 && kB > 0 {
			size = hugePage
		}
	}
	return size
}
