//go:build !purego

package kernel

var assemblies = []assembly{{&avx2, pointwiseAVX2, depthwiseAVX2}}
