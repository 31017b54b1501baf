package kernel

// The kernels that only training needs. Between a convolution and the next
// stand batch normalisation, which in training is known only after the whole
// batch has been convolved, and ReLU6. Both are a function of one value and its
// channel, so they are done where a convolution's output is read next:
//
//	h = clamp(Scale*y + Shift)
//
// with Scale = gamma/sqrt(var+eps) and Shift = beta - Scale*mean.

// Affine is batch normalisation of one block, with the residual and ReLU6:
//
//	Dst[p][c] = clamp(Scale[c]*Src[p][c] + Shift[c] + Add[p][c])
type Affine struct {
	Dst          []float32 // [Pixels][Block]; may be Src
	Src          []float32 // [Pixels][Block]
	Add          []float32 // [Pixels][Block], or nil; may be Dst
	Scale, Shift []float32 // [Block]
	Pixels       int
	NR           int // 8, 16, 24 or 32 channels; what lies behind them may be written
	ReLU6        bool
}

// Moments adds the first and second moment of one block around Center:
//
//	Sum[c] += Σp Src[p][c]-Center[c]    Squares[c] += Σp (Src[p][c]-Center[c])²
type Moments struct {
	Src          []float32 // [Pixels][Block]
	Center       []float32 // [Block]
	Sum, Squares []float32 // [Block]
	Pixels       int
	NR           int
}

// AffineGrad is the backward pass of Affine's clamp, in place, and the two sums
// over the batch that the gradient of a batch normalisation needs:
//
//	Grad[p][c] = 0 unless 0 < Scale[c]*Src[p][c]+Shift[c] < 6    (with ReLU6)
//	Sum[c] += Σp Grad[p][c]    Dot[c] += Σp Grad[p][c]*(Src[p][c]-Mean[c])
//
// The gradient at the limits themselves is 0, as in PyTorch's hardtanh. What the forward
// pass put out comes with it: Activation is the Dst that Affine has.
type AffineGrad struct {
	Grad         []float32 // [Pixels][Block]
	Src          []float32 // [Pixels][Block]
	Activation   []float32 // [Pixels][Block], or nil; only with ReLU6
	Scale, Shift []float32 // [Block]
	Mean         []float32 // [Block]
	Sum, Dot     []float32 // [Block]
	Pixels       int
	NR           int
	ReLU6        bool
}

// forward is the Affine that makes Activation.
func (a *AffineGrad) forward() Affine {
	return Affine{Dst: a.Activation, Src: a.Src, Scale: a.Scale, Shift: a.Shift, Pixels: a.Pixels, NR: a.NR, ReLU6: a.ReLU6}
}

// NormGrad is the gradient at the input of a batch normalisation, which is
// linear in that at its output and in the input itself:
//
//	Dst[p][c] = A[c]*Grad[p][c] + B[c]*Src[p][c] + C[c]
type NormGrad struct {
	Dst     []float32 // [Pixels][Block]
	Grad    []float32 // [Pixels][Block]
	Src     []float32 // [Pixels][Block]
	A, B, C []float32 // [Block]
	Pixels  int
	NR      int
}

// PointwiseGrad adds the gradient of a pointwise convolution's weights between
// one block of inputs and one of outputs:
//
//	DW[k][n] += Σp Src[p][k]*Grad[p][n]    (= with First)
//
// for k < K, and perhaps for others up to 32. What lies behind K in Src is read and must be
// there, but reaches only rows of DW that nobody looks at.
type PointwiseGrad struct {
	DW     []float32 // [Block][NR]
	Src    []float32 // [Pixels][Block]
	Grad   []float32 // [Pixels][Block]
	Pixels int
	K      int  // 1 to 32 input channels
	NR     int  // 8, 16, 24 or 32 output channels
	First  bool // what is in DW doesn't count: these are the first pixels
}

// gradPixels is how many pixels of two blocks stay in a first-level cache of
// 32 KB while assembly goes over them tile by tile.
const gradPixels = 112

// cut takes the first pixels off, as many as stay there.
func (a *PointwiseGrad) cut() PointwiseGrad {
	part := *a
	part.Pixels = min(gradPixels, a.Pixels)
	a.Pixels -= part.Pixels
	a.Src, a.Grad, a.First = a.Src[part.Pixels*Block:], a.Grad[part.Pixels*Block:], false
	return part
}

// DepthwiseGrad adds the gradient of a depthwise convolution's weights from some
// output rows of one block:
//
//	DW[3*j+i][c] += Σyx Rows[y*Stride+j][x*Stride-Left+i][c]*Grad[y*Pitch+x][c]
//
// where columns outside of the input count as zero.
type DepthwiseGrad struct {
	DW     []float32   // [9][Block]
	Rows   [][]float32 // each [Width][Block], as Depthwise has them
	Grad   []float32   // [OutHeight()][Pitch][Block]
	Pitch  int         // pixels from a row of Grad to the next: OutWidth() or more
	Width  int         // input columns
	Stride int         // 1 or 2
	Left   int         // columns of padding before the first: 1, or 0 at stride 2 and an even width
	NR     int         // 8, 16, 24 or 32 channels
	cut    gradCut
}

// OutHeight is the number of output rows.
func (a *DepthwiseGrad) OutHeight() int { return (len(a.Rows)-3)/a.Stride + 1 }

// OutWidth is the number of output columns.
func (a *DepthwiseGrad) OutWidth() int { return (a.Width + a.Stride - 1) / a.Stride }

// A gradCut is what a call of assembly does of a row: perhaps an output without the left
// column of the kernel, outputs with all of it, and perhaps one without the right column.
type gradCut struct{ left, middle, right int }

// columns returns the outputs of a row wider than a pixel.
func (a *DepthwiseGrad) columns() gradCut {
	c := gradCut{left: a.Left, middle: a.OutWidth() - a.Left}
	if (a.OutWidth()-1)*a.Stride-a.Left+3 > a.Width {
		c.middle, c.right = c.middle-1, 1
	}
	return c
}

// next takes the first output rows off, as many as stay in a first-level cache with
// their inputs while assembly goes over them vector by vector.
func (a *DepthwiseGrad) next() DepthwiseGrad {
	part := *a
	n := max(1, (2*gradPixels-2*a.Width)/(a.Width*a.Stride+a.OutWidth()))
	n = min(n, a.OutHeight())
	part.Rows = a.Rows[:(n-1)*a.Stride+3]
	a.Rows, a.Grad = a.Rows[n*a.Stride:], a.Grad[min(len(a.Grad), n*a.Pitch*Block):]
	return part
}

// DepthwiseTransposed is one row of one block of the gradient at the input of a
// depthwise 3x3 convolution at stride 2, from two rows of that at the output:
//
//	Dst[2x][c]   = Σj Rows[j][x][c]*W[j][1][c]
//	Dst[2x+1][c] = Σj Rows[j][x][c]*W[j][2][c] + Rows[j][x+1][c]*W[j][0][c]
//
// where Dst begins under the middle of the kernel at the first output column.
type DepthwiseTransposed struct {
	Dst   []float32    // [Width][Block]
	Rows  [2][]float32 // each [Width/2+1][Block], with what is behind the last output column written out
	W     [2][]float32 // each [3][NR]: the row of the kernel that each row of Rows had there
	Width int          // input columns
	NR    int          // 8, 16, 24 or 32 channels
}

// Turn makes columns of rows, as packing weights takes it:
//
//	Dst[c][r] = Src[r][c]
type Turn struct {
	Dst       []float32 // [Columns], each of Rows floats and DstStride behind the one before
	Src       []float32 // [Rows], each of Columns floats and SrcStride behind the one before
	DstStride int
	SrcStride int
	Rows      int
	Columns   int
}

// squares cuts off what assembly does, rows and columns in multiples of 8, and returns the
// rows and the columns that are left.
func (a *Turn) squares() (whole, below, beside Turn) {
	whole, below, beside = *a, *a, *a
	whole.Rows, whole.Columns = a.Rows&^7, a.Columns&^7
	below.Rows -= whole.Rows
	below.Src, below.Dst = a.Src[min(len(a.Src), whole.Rows*a.SrcStride):], a.Dst[min(len(a.Dst), whole.Rows):]
	beside.Rows, beside.Columns = whole.Rows, a.Columns-whole.Columns
	beside.Src, beside.Dst = a.Src[min(len(a.Src), whole.Columns):], a.Dst[min(len(a.Dst), whole.Columns*a.DstStride):]
	return whole, below, beside
}

func (a *Affine) check() {
	checkNR(a.NR)
	n := a.Pixels * Block
	need("Pixels", a.Pixels >= 0)
	need("Dst", len(a.Dst) >= n)
	need("Src", len(a.Src) >= n)
	need("Add", a.Add == nil || len(a.Add) >= n)
	need("Scale and Shift", len(a.Scale) >= Block && len(a.Shift) >= Block)
}

func (a *Moments) check() {
	checkNR(a.NR)
	need("Pixels", a.Pixels >= 0)
	need("Src", len(a.Src) >= a.Pixels*Block)
	need("Center, Sum and Squares", min(len(a.Center), len(a.Sum), len(a.Squares)) >= Block)
}

func (a *AffineGrad) check() {
	checkNR(a.NR)
	n := a.Pixels * Block
	need("Pixels", a.Pixels >= 0)
	need("Grad", len(a.Grad) >= n)
	need("Src", len(a.Src) >= n)
	need("Activation", a.Activation == nil || a.ReLU6 && len(a.Activation) >= n)
	need("Scale, Shift and Mean", min(len(a.Scale), len(a.Shift), len(a.Mean)) >= Block)
	need("Sum and Dot", len(a.Sum) >= Block && len(a.Dot) >= Block)
}

func (a *NormGrad) check() {
	checkNR(a.NR)
	n := a.Pixels * Block
	need("Pixels", a.Pixels >= 0)
	need("Dst", len(a.Dst) >= n)
	need("Grad", len(a.Grad) >= n)
	need("Src", len(a.Src) >= n)
	need("A, B and C", min(len(a.A), len(a.B), len(a.C)) >= Block)
}

func (a *PointwiseGrad) check() {
	checkNR(a.NR)
	n := a.Pixels * Block
	need("Pixels", a.Pixels >= 0)
	need("K", a.K >= 1 && a.K <= Block)
	need("First", a.Pixels > 0 || !a.First)
	need("DW", len(a.DW) >= Block*a.NR)
	need("Src", len(a.Src) >= n)
	need("Grad", len(a.Grad) >= n)
}

func (a *DepthwiseGrad) check() {
	checkNR(a.NR)
	need("Width", a.Width >= 1)
	need("Stride and Left", a.Left == 1 && (a.Stride == 1 || a.Stride == 2) || a.Left == 0 && a.Stride == 2 && a.Width%2 == 0)
	need("DW", len(a.DW) >= 9*Block)
	need("Rows", len(a.Rows) >= 3)
	need("Pitch", a.Pitch >= a.OutWidth())
	need("Grad", len(a.Grad) >= ((a.OutHeight()-1)*a.Pitch+a.OutWidth())*Block)
	for _, row := range a.Rows {
		need("a row", len(row) >= a.Width*Block)
	}
}

func (a *DepthwiseTransposed) check() {
	checkNR(a.NR)
	need("Width", a.Width >= 1)
	need("Dst", len(a.Dst) >= a.Width*Block)
	for j := range a.Rows {
		need("Rows", len(a.Rows[j]) >= (a.Width/2+1)*Block)
		need("W", len(a.W[j]) >= 3*a.NR)
	}
}

func (a *Turn) check() {
	need("Rows and Columns", a.Rows >= 0 && a.Columns >= 0)
	need("SrcStride and DstStride", a.SrcStride >= a.Columns && a.DstStride >= a.Rows)
	if a.Rows > 0 && a.Columns > 0 {
		need("Src", len(a.Src) >= (a.Rows-1)*a.SrcStride+a.Columns)
		need("Dst", len(a.Dst) >= (a.Columns-1)*a.DstStride+a.Rows)
	}
}
