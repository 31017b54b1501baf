//go:build purego || !(amd64 || arm64)

package kernel

// native returns the sets with assembly that this CPU can run.
func native() []*Set { return nil }
