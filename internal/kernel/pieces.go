//go:build (amd64 || arm64) && !purego

package kernel

// pieces cuts a pointwise convolution into calls of assembly: runs of pixels
// short enough for a call to be over soon (it can't be preempted), and chunks of
// K with few enough weights to stay in the first-level cache over a run. A chunk
// goes on from the sums that the one before left in Dst: for each output the
// operations and their order are those of a single call.
type pieces struct {
	whole    *Pointwise
	pixel, k int // where the next piece begins
	run      int // pixels a piece
	chunk    int // k a piece, a multiple of Block
}

// pieceMACs takes a CPU with vectors less than 100 microseconds.
const pieceMACs = 1 << 21

// short reports whether a needs no cutting: most calls, which would feel the
// time it takes.
func (a *Pointwise) short(weights int) bool {
	return a.K*a.NR <= weights && a.Pixels*a.K*a.NR <= pieceMACs
}

// pieces cuts a so that a piece has about as many weights.
func (a *Pointwise) pieces(weights int) pieces {
	chunks := (a.K*a.NR + weights - 1) / weights
	blocks := (Blocks(a.K) + chunks - 1) / chunks
	chunk := Block * blocks
	return pieces{whole: a, run: max(1, pieceMACs/(chunk*a.NR)), chunk: chunk}
}

// next makes piece, a copy of the whole at first, the next piece. It reports
// whether there is one.
func (p *pieces) next(piece *Pointwise) bool {
	a := p.whole
	if p.pixel >= a.Pixels {
		return false
	}
	at := p.pixel * Block
	if at > 0 || p.k > 0 {
		piece.Next = nil // fetched by the first piece
	}
	piece.Pixels = min(p.run, a.Pixels-p.pixel)
	piece.K = min(p.chunk, a.K-p.k)
	piece.Dst = a.Dst[at:]
	piece.Src = a.Src[p.k/Block*a.SrcStride+at:]
	piece.W = a.W[p.k*a.NR:]
	piece.Add, piece.Bias = a.Add, a.Bias
	if p.k > 0 {
		piece.Add, piece.Bias = piece.Dst, nil
	} else if a.Add != nil {
		piece.Add = a.Add[at:]
	}
	p.k += piece.K
	piece.ReLU6 = a.ReLU6 && p.k == a.K
	if p.k == a.K {
		p.k = 0
		p.pixel += p.run
	}
	return true
}

// parts cuts a depthwise convolution, two output rows at a time, into columns that
// stay in the first-level cache while assembly goes over them vector by vector.
type parts struct {
	whole *Depthwise
	y     int // output row where the next part begins
	out   int // and output column
	width int // output columns a part
}

// partWidth output columns at stride 2 are 5 times 57 columns in and 2 times 28 out.
const partWidth = 28

func (a *Depthwise) parts() parts { return parts{whole: a, width: partWidth} }

// short reports whether a needs no cutting, and prepares it for assembly.
func (a *Depthwise) short() bool {
	n := a.OutWidth()
	a.cut = depthwiseCut{outputs: n, pitch: n * Block}
	return n <= partWidth
}

// next makes part, a copy of the whole at first, the next part. It reports
// whether there is one.
func (p *parts) next(part *Depthwise) bool {
	a := p.whole
	if p.out >= a.cut.outputs {
		p.y, p.out = p.y+2, 0
	}
	rows := min(2, a.OutHeight()-p.y)
	if rows <= 0 {
		return false
	}
	part.Rows = a.Rows[p.y*a.Stride:][:(rows-1)*a.Stride+3]
	part.Dst = a.Dst[p.y*a.cut.pitch+p.out*Block:]
	n := min(p.width, a.cut.outputs-p.out)
	part.Left, part.cut.outputs, part.cut.column = a.Left, n, 0
	if p.out > 0 {
		part.Left, part.cut.column = 0, p.out*a.Stride-a.Left
	}
	end := min((p.out+n-1)*a.Stride-a.Left+3, a.Width)
	part.Width = end - part.cut.column
	p.out += n
	return true
}
