package kernel

// pieces cuts a pointwise convolution into calls of assembly: runs of pixels
// short enough for a call to be over soon (it can't be preempted), and chunks of
// K with few enough weights to stay in the first-level cache over a run. A chunk
// goes on from the sums that the one before left in Dst: for each output the
// operations and their order are those of a single call.
type pieces struct {
	Pointwise // the piece
	whole     Pointwise
	pixel, k  int // where the piece begins
	run       int // pixels a piece
	chunk     int // k a piece
}

// pieceMACs takes the slowest CPU with vectors below 100 microseconds.
const pieceMACs = 1 << 21

// pieces checks a and begins before its first piece. Weights is the number of
// weights that a piece may use.
func (a Pointwise) pieces(weights int) pieces {
	a.check()
	p := pieces{whole: a}
	// Blocks of K stay whole. A short last chunk would cost more than it saves.
	p.chunk = max(1, weights/(Block*a.NR)) * Block
	if n := (a.K + p.chunk - 1) / p.chunk; n > 1 {
		p.chunk = (Blocks(a.K) + n - 1) / n * Block
	} else {
		p.chunk = a.K
	}
	p.run = max(1, pieceMACs/(p.chunk*a.NR))
	p.k = -p.chunk
	return p
}

// next moves on to the next piece and reports whether there is one.
func (p *pieces) next() bool {
	a := &p.whole
	p.k += p.chunk
	if p.k >= a.K {
		p.k = 0
		p.pixel += p.run
	}
	if p.pixel >= a.Pixels {
		return false
	}
	at := p.pixel * Block
	p.Pointwise = *a
	p.Pixels = min(p.run, a.Pixels-p.pixel)
	p.K = min(p.chunk, a.K-p.k)
	p.Dst = a.Dst[at:]
	p.Src = a.Src[p.k/Block*a.SrcStride+at:]
	p.W = a.W[p.k*a.NR:]
	if a.Add != nil {
		p.Add = a.Add[at:]
	}
	if p.k > 0 {
		p.Add, p.Bias = p.Dst, nil
	}
	p.ReLU6 = a.ReLU6 && p.k+p.K == a.K
	return true
}
