//go:build !linux

package kernel

// adviseHuge does nothing: other systems decide on their own.
func adviseHuge([]byte) {}

// PageBytes is the size of the pages that b begins with, or 0: the system doesn't say.
func PageBytes([]byte) int { return 0 }
