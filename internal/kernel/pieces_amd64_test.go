//go:build !purego

package kernel

var assemblies = []assembly{
	{&avx512, pointwiseAVX512, depthwiseAVX512},
	{&avx2, pointwiseAVX2, depthwiseAVX2},
}
