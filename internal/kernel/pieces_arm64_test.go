//go:build !purego

package kernel

var assemblies = []assembly{{&neon, pointwiseNEON, depthwiseNEON}}
