//go:build !purego

package kernel

var trainingAVX2 = Training{
	Affine:              affineAVX2Set,
	Moments:             momentsAVX2Set,
	AffineGrad:          affineGradAVX2Set,
	NormGrad:            normGradAVX2Set,
	PointwiseGrad:       pointwiseGradAVX2Set,
	DepthwiseGrad:       depthwiseGradAVX2Set,
	DepthwiseTransposed: depthwiseTransposedAVX2Set,
	Turn:                turnAVX2Set,
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
	switch {
	case a.Activation != nil:
		activationGradAVX2(&a)
	case a.ReLU6:
		affineGradAVX2(&a)
	default:
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
	if a.Width == 1 {
		depthwiseGradGeneric(a)
		return
	}
	a.check()
	a.cut = a.columns()
	for len(a.Rows) >= 3 {
		part := a.next()
		depthwiseGradAVX2(&part)
	}
}

func depthwiseTransposedAVX2Set(a DepthwiseTransposed) {
	a.check()
	depthwiseTransposedAVX2(&a)
}

func turnAVX2Set(a Turn) {
	a.check()
	whole, below, beside := a.squares()
	if whole.Rows > 0 && whole.Columns > 0 {
		turnAVX2(&whole)
	}
	turnGeneric(below)
	turnGeneric(beside)
}

var trainingAVX512 = Training{
	Affine:              affineAVX512Set,
	Moments:             momentsAVX512Set,
	AffineGrad:          affineGradAVX512Set,
	NormGrad:            normGradAVX512Set,
	PointwiseGrad:       pointwiseGradAVX512Set,
	DepthwiseGrad:       depthwiseGradAVX512Set,
	DepthwiseTransposed: depthwiseTransposedAVX512Set,
	Turn:                turnAVX512Set,
}

func affineAVX512Set(a Affine) {
	a.check()
	if a.Add != nil {
		affineAddAVX512(&a)
	} else {
		affineAVX512(&a)
	}
}

func momentsAVX512Set(a Moments) {
	a.check()
	momentsAVX512(&a)
}

func affineGradAVX512Set(a AffineGrad) {
	a.check()
	switch {
	case a.Activation != nil:
		activationGradAVX512(&a)
	case a.ReLU6:
		affineGradAVX512(&a)
	default:
		linearGradAVX512(&a)
	}
}

func normGradAVX512Set(a NormGrad) {
	a.check()
	normGradAVX512(&a)
}

func pointwiseGradAVX512Set(a PointwiseGrad) {
	a.check()
	for a.Pixels > 0 {
		part := a.cut()
		switch a.NR {
		case 8:
			pointwiseGrad8AVX512(&part)
		case 16:
			pointwiseGrad16AVX512(&part)
		case 24:
			pointwiseGrad24AVX512(&part)
		case 32:
			pointwiseGrad32AVX512(&part)
		}
	}
}

func depthwiseGradAVX512Set(a DepthwiseGrad) {
	if a.Width == 1 {
		depthwiseGradGeneric(a)
		return
	}
	a.check()
	a.cut = a.columns()
	for len(a.Rows) >= 3 {
		part := a.next()
		depthwiseGradAVX512(&part)
	}
}

func depthwiseTransposedAVX512Set(a DepthwiseTransposed) {
	a.check()
	depthwiseTransposedAVX512(&a)
}

func turnAVX512Set(a Turn) {
	a.check()
	whole, below, beside := a.squares()
	if whole.Rows > 0 && whole.Columns > 0 {
		turnAVX512(&whole)
	}
	turnGeneric(below)
	turnGeneric(beside)
}
