//go:build !linux

package serve

// background does something on Linux, where a thread has a priority of its own.
func background() {}
