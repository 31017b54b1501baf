//go:build !purego

package kernel

var trainingNEON = Training{
	Affine:              affineNEONSet,
	Moments:             momentsNEONSet,
	AffineGrad:          affineGradNEONSet,
	NormGrad:            normGradNEONSet,
	PointwiseGrad:       pointwiseGradNEONSet,
	DepthwiseGrad:       depthwiseGradNEONSet,
	DepthwiseTransposed: depthwiseTransposedNEONSet,
}

func affineNEONSet(a Affine) {
	a.check()
	affineNEON(&a)
}

func momentsNEONSet(a Moments) {
	a.check()
	momentsNEON(&a)
}

func affineGradNEONSet(a AffineGrad) {
	a.check()
	affineGradNEON(&a)
}

func normGradNEONSet(a NormGrad) {
	a.check()
	normGradNEON(&a)
}

func depthwiseGradNEONSet(a DepthwiseGrad) {
	a.check()
	depthwiseGradNEON(&a)
}

func depthwiseTransposedNEONSet(a DepthwiseTransposed) {
	a.check()
	depthwiseTransposedNEON(&a)
}

func pointwiseGradNEONSet(a PointwiseGrad) {
	a.check()
	if a.First {
		clear(a.DW[:Block*a.NR])
	}
	for a.Pixels > 0 {
		part := a.cut()
		pointwiseGradNEON(&part)
	}
}

//go:noescape
func affineNEON(a *Affine)

//go:noescape
func momentsNEON(a *Moments)

//go:noescape
func affineGradNEON(a *AffineGrad)

//go:noescape
func normGradNEON(a *NormGrad)

//go:noescape
func pointwiseGradNEON(a *PointwiseGrad)

//go:noescape
func depthwiseGradNEON(a *DepthwiseGrad)

//go:noescape
func depthwiseTransposedNEON(a *DepthwiseTransposed)
