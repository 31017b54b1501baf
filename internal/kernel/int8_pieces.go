//go:build (amd64 || arm64) && !purego

package kernel

// runs cuts an 8-bit pointwise convolution into runs of pixels short enough for a
// call of assembly to be over soon: it can't be preempted.
type runs struct {
	whole *PointwiseInt8
	pixel int // where the next run begins
	run   int // pixels a run
}

// short reports whether a needs no cutting.
func (a *PointwiseInt8) short() bool { return a.Pixels*a.Filter.K*a.Filter.NR <= pieceMACs }

func (a *PointwiseInt8) runs() runs {
	const tiles = 56 // a multiple of the tallest tiles' pixels but for 6
	return runs{whole: a, run: max(tiles, pieceMACs/(a.Filter.K*a.Filter.NR)/tiles*tiles)}
}

// next makes run, a copy of the whole at first, the next run. It reports whether
// there is one.
func (r *runs) next(run *PointwiseInt8) bool {
	a := r.whole
	if r.pixel >= a.Pixels {
		return false
	}
	at := r.pixel * Block
	run.Pixels = min(r.run, a.Pixels-r.pixel)
	run.Src = a.Src[at:]
	if a.Float == nil {
		run.Dst = a.Dst[at:]
	} else {
		run.Float = a.Float[at:]
		if a.Add != nil {
			run.Add = a.Add[at:]
		}
	}
	r.pixel += run.Pixels
	return true
}

// split returns the part of a that is whole blocks, and the rest.
func (a QuantizeInt8) split() (whole, rest QuantizeInt8) {
	n := len(a.Dst) / Block * Block
	whole, rest = a, a
	whole.Dst = a.Dst[:n]
	rest.Dst, rest.Src = a.Dst[n:], a.Src[n:]
	return whole, rest
}
