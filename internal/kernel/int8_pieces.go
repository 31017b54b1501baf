//go:build (amd64 || arm64) && !purego

package kernel

// pieces8 cuts an 8-bit pointwise convolution into calls of assembly: runs of
// pixels short enough for a call to be over soon (it can't be preempted), and for
// each the panels of output channels that the filter's layout has apart.
type pieces8 struct {
	whole *PointwiseInt8
	panel int // channels a panel
	pixel int // where the next piece begins
	c     int // likewise, its first channel
	run   int // pixels a piece
}

// short reports whether a needs no cutting.
func (a *PointwiseInt8) short(panel int) bool {
	return a.Filter.NR <= panel && a.Pixels*a.Filter.K*a.Filter.NR <= pieceMACs
}

// pieces also returns what next will make the first piece. f, the caller's so that
// nothing moves to the heap, is for its filter.
func (a *PointwiseInt8) pieces(panel int, f *Filter) (p pieces8, piece PointwiseInt8) {
	const tiles = 84 // a multiple of the tallest tiles' pixels
	piece = *a
	piece.Filter = f
	return pieces8{whole: a, panel: panel, run: max(tiles, pieceMACs/(a.Filter.K*panel)/tiles*tiles)}, piece
}

// next makes piece the next one. It reports whether there is one.
func (p *pieces8) next(piece *PointwiseInt8) bool {
	a := p.whole
	if p.pixel >= a.Pixels {
		return false
	}
	at := p.pixel * Block
	piece.Pixels = min(p.run, a.Pixels-p.pixel)
	piece.Src = a.Src[at:]
	at += p.c
	if a.Float == nil {
		piece.Dst = a.Dst[at:]
	} else {
		piece.Float = a.Float[at:]
		if a.Add != nil {
			piece.Add = a.Add[at:]
		}
	}
	*piece.Filter = a.Filter.from(p.c, p.panel)
	if p.c += p.panel; p.c >= a.Filter.NR {
		p.c = 0
		p.pixel += p.run
	}
	return true
}

// from returns the panel that begins with channel c.
func (f *Filter) from(c, panel int) Filter {
	g := *f
	at := c * groups(f.K) * group
	if f.W16 != nil {
		g.W16 = f.W16[at:]
	} else {
		g.W8 = f.W8[at:]
	}
	g.Bias, g.M = f.Bias[c:], f.M[c:]
	g.NR = min(panel, f.NR-c)
	return g
}

// panels cuts the first convolution into panels.
type panels struct {
	whole *FirstInt8
	panel int
	c     int
}

// panels is pieces for a FirstInt8.
func (a *FirstInt8) panels(panel int, f *Filter) (p panels, piece FirstInt8) {
	piece = *a
	piece.Filter = f
	return panels{whole: a, panel: panel}, piece
}

// next is that of pieces8.
func (p *panels) next(piece *FirstInt8) bool {
	a := p.whole
	if p.c >= a.Filter.NR {
		return false
	}
	piece.Dst = a.Dst[p.c:]
	*piece.Filter = a.Filter.from(p.c, p.panel)
	p.c += p.panel
	return true
}

// end ends Dst where its first row does: what assembly goes by. It returns the rows
// behind.
func (a *DepthwiseInt8) end() (rest []uint8) {
	n := a.OutWidth() * Block
	rest = a.Dst[n:]
	a.Dst = a.Dst[:n]
	return rest
}

// next makes a its next row, which is the first of rest, if there is one.
func (a *DepthwiseInt8) next(rest *[]uint8) bool {
	if a.More == 0 {
		return false
	}
	a.More--
	n := a.Stride * a.Width * Block
	for j := range a.Rows {
		a.Rows[j] = a.Rows[j][n:]
	}
	a.Dst = *rest
	*rest = a.end()
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
