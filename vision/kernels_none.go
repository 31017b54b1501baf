//go:build purego || !amd64

package vision

// native returns the sets of kernels with assembly that this CPU can run.
func native() []*kernels { return nil }
