//go:build !purego

package kernel

// trainingAVX2 is for the AVX-512 set, too.
var trainingAVX2 = Training{
	Affine:              affineAVX2Set,
	Moments:             momentsAVX2Set,
	AffineGrad:          affineGradAVX2Set,
	NormGrad:            normGradAVX2Set,
	PointwiseGrad:       pointwiseGradAVX2Set,
	DepthwiseGrad:       depthwiseGradAVX2Set,
	DepthwiseTransposed: depthwiseTransposedAVX2Set,
}

func affineAVX2Set(a Affine) {
	a.check()
	if a.Add != nil {
		affineAddAVX2(&a)
	} else {
		affineAVX2(&a)
	}
}

func momentsAVX2Set(a Moments) {
	a.check()
	momentsAVX2(&a)
}

func affineGradAVX2Set(a AffineGrad) {
	a.check()
	if a.ReLU6 {
		affineGradAVX2(&a)
	} else {
		linearGradAVX2(&a)
	}
}

func normGradAVX2Set(a NormGrad) {
	a.check()
	normGradAVX2(&a)
}

func pointwiseGradAVX2Set(a PointwiseGrad) {
	a.check()
	for a.Pixels > 0 {
		part := a.cut()
		switch a.NR {
		case 8:
			pointwiseGrad8AVX2(&part)
		case 16:
			pointwiseGrad16AVX2(&part)
		case 24:
			pointwiseGrad24AVX2(&part)
		case 32:
			pointwiseGrad32AVX2(&part)
		}
	}
}

func depthwiseGradAVX2Set(a DepthwiseGrad) {
	a.check()
	depthwiseGradAVX2(&a)
}

func depthwiseTransposedAVX2Set(a DepthwiseTransposed) {
	a.check()
	depthwiseTransposedAVX2(&a)
}
