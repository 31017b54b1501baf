//go:build !purego

package kernel

// nativeInt8 returns the 8-bit sets with assembly that this CPU can run.
func nativeInt8() []*Int8 { return nil }
