package engine

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync"
)

// build names the program that runs, so that what one build has packed is never
// read by another: a change of the packing, of the folding or of a compiler's
// flags may be one of the bits, with nothing else to show it.
//
// A build of a released or committed version of this module has the same name
// wherever it was made: versions, compiler and flags, as [debug.BuildInfo] lists
// them. For all others only the executable file itself can tell. The name is
// empty, which no build shares, where neither can be found out.
var build = sync.OnceValue(func() string {
	if info, ok := debug.ReadBuildInfo(); ok && versioned(info) {
		return fmt.Sprintf("version %x", sha256.Sum256([]byte(info.String())))
	}
	return executable()
})

// modulePath is this module's, which is the program's own in our tool and a
// dependency elsewhere.
const modulePath = "github.com/mobilenet-go/mobilenet"

// versioned reports whether info says what source this module was built from: it
// has a version, and nothing in the program's own checkout, in which a vendored
// copy might be, was changed since the commit.
func versioned(info *debug.BuildInfo) bool {
	for _, s := range info.Settings {
		if s.Key == "vcs.modified" && s.Value != "false" {
			return false
		}
	}
	m := &info.Main
	for _, dep := range info.Deps {
		if dep.Path == modulePath {
			m = dep
		}
	}
	if m.Path != modulePath {
		return false
	}
	if m.Replace != nil {
		m = m.Replace // without a version where it is a folder
	}
	return m.Version != "" && m.Version != "(devel)" && !strings.HasSuffix(m.Version, "+dirty")
}

// headBytes is how much of an executable Go's own tools search for the build ID,
// a hash of all that went into the build.
const headBytes = 32 << 10

// executable names the file that runs.
func executable() string {
	// On Linux this is the file that runs even if another has its name by now.
	if name := fileIdentity("/proc/self/exe"); name != "" {
		return name
	}
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	return fileIdentity(path)
}

// fileIdentity names an executable by its size, its time and its first bytes,
// which hold Go's build ID: the times may all be the same, as package managers set
// them. It takes some 20 microseconds. The name is empty where it can't be read.
func fileIdentity(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	head := make([]byte, min(headBytes, info.Size()))
	if _, err := io.ReadFull(f, head); err != nil {
		return ""
	}
	return fmt.Sprintf("executable %d %d %08x", info.Size(), info.ModTime().UnixNano(), crc32.Checksum(head, castagnoli))
}
