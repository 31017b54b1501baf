package explain

import "slices"

// levels are where the lines of a map are: shares of the way from the least value to
// the largest.
var levels = []float32{0.2, 0.4, 0.6, 0.8}

// A point is a place in a map, in pixels.
type point struct{ x, y float64 }

// contours returns the lines where v, [h][w], is level: marching squares between the
// middles of pixels.
func contours(v []float32, h, w int, level float32) [][]point {
	var pieces [][2]point
	for y := range h - 1 {
		for x := range w - 1 {
			at := y*w + x
			corners := [4]float32{v[at], v[at+1], v[at+w+1], v[at+w]} // clockwise from the top left
			var cuts []point
			for i, a := range corners {
				b := corners[(i+1)%4]
				if (a < level) == (b < level) {
					continue
				}
				// From the same end for both squares that share the side, for the same bits.
				from, to := around[i], around[(i+1)%4]
				if i >= 2 {
					a, b, from, to = b, a, to, from
				}
				part := float64((level - a) / (b - a))
				cuts = append(cuts, point{
					float64(x) + from.x + part*(to.x-from.x) + 0.5,
					float64(y) + from.y + part*(to.y-from.y) + 0.5,
				})
			}
			for len(cuts) >= 2 { // 4 at a saddle, in pairs
				pieces = append(pieces, [2]point(cuts))
				cuts = cuts[2:]
			}
		}
	}
	return joined(pieces)
}

var around = [4]point{{0, 0}, {1, 0}, {1, 1}, {0, 1}}

// joined puts pieces with a common end together, so that they are drawn in one stroke.
func joined(pieces [][2]point) (lines [][]point) {
	at := map[point][]int{} // the pieces that end there
	for i, p := range pieces {
		at[p[0]], at[p[1]] = append(at[p[0]], i), append(at[p[1]], i)
	}
	done := make([]bool, len(pieces))
	// follow goes on from the end of a line as far as there are pieces.
	follow := func(line []point) []point {
		for {
			end := line[len(line)-1]
			next := slices.IndexFunc(at[end], func(i int) bool { return !done[i] })
			if next < 0 {
				return line
			}
			i := at[end][next]
			done[i] = true
			other := pieces[i][0]
			if other == end {
				other = pieces[i][1]
			}
			line = append(line, other)
		}
	}
	for i, p := range pieces {
		if done[i] {
			continue
		}
		done[i] = true
		line := follow([]point{p[0], p[1]})
		slices.Reverse(line)
		lines = append(lines, follow(line))
	}
	return lines
}
