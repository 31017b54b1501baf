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
	Turn:                turnGeneric,
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
	if a.Activation != nil {
		affineNEONSet(a.forward())
	}
	affineGradNEON(&a)
}

func normGradNEONSet(a NormGrad) {
	a.check()
	normGradNEON(&a)
}

func depthwiseGradNEONSet(a DepthwiseGrad) {
	if a.Width == 1 {
		depthwiseGradGeneric(a)
		return
	}
	a.check()
	cut := a.columns()
	for y := range a.OutHeight() {
		rows, grad := [3][]float32(a.Rows[y*a.Stride:]), a.Grad[y*a.Pitch*Block:]
		if cut.left > 0 {
			a.edge(rows, grad, 1, 0)
		}
		if row := a.row(rows, grad[cut.left*Block:]); cut.middle > 0 {
			row.Width = cut.middle
			for j := range row.Rows {
				row.Rows[j] = rows[j][cut.left*(a.Stride-1)*Block:]
			}
			depthwiseGradNEON(&row)
		}
		if x := cut.left + cut.middle; cut.right > 0 {
			a.edge(rows, grad[x*Block:], 0, x*a.Stride-a.Left)
		}
	}
}

// A gradRow is a row of outputs, or some of them, whose columns are all inside.
type gradRow struct {
	DW     []float32
	Rows   [3][]float32
	Grad   []float32
	Width  int // outputs
	Stride int
	NR     int
}

func (a *DepthwiseGrad) row(rows [3][]float32, grad []float32) gradRow {
	return gradRow{DW: a.DW, Rows: rows, Grad: grad, Width: 1, Stride: a.Stride, NR: a.NR}
}

// edge is an output with two columns from column on inside, which are the kernel's from
// tap on.
func (a *DepthwiseGrad) edge(rows [3][]float32, grad []float32, tap, column int) {
	var padded [3][3 * Block]float32
	row := a.row(rows, grad)
	for j := range padded {
		copy(padded[j][tap*Block:][:2*Block], rows[j][column*Block:])
		row.Rows[j] = padded[j][:]
	}
	depthwiseGradNEON(&row)
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
func depthwiseGradNEON(a *gradRow)

//go:noescape
func depthwiseTransposedNEON(a *DepthwiseTransposed)
