//go:build !linux

package kernel

// adviseHuge does nothing: other systems decide on their own.
func adviseHuge([]byte) {}
