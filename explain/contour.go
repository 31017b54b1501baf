package explain

// levels are where the lines of a map are: shares of the way from the least value to
// the largest.
var levels = []float32{0.2, 0.4, 0.6, 0.8}

// A segment is a piece of a contour line, in pixels.
type segment struct{ x0, y0, x1, y1 float64 }

// contour returns the line where v, [h][w], is level: marching squares between the
// middles of pixels.
func contour(v []float32, h, w int, level float32) []segment {
	var out []segment
	for y := range h - 1 {
		for x := range w - 1 {
			at := y*w + x
			corners := [4]float32{v[at], v[at+1], v[at+w+1], v[at+w]} // clockwise from the top left
			var cuts [][2]float64
			for i, a := range corners {
				b := corners[(i+1)%4]
				if (a < level) == (b < level) {
					continue
				}
				part := float64((level - a) / (b - a))
				from, to := around[i], around[(i+1)%4]
				cuts = append(cuts, [2]float64{
					float64(x) + 0.5 + from[0] + part*(to[0]-from[0]),
					float64(y) + 0.5 + from[1] + part*(to[1]-from[1]),
				})
			}
			for len(cuts) >= 2 { // 4 at a saddle, in pairs
				out = append(out, segment{cuts[0][0], cuts[0][1], cuts[1][0], cuts[1][1]})
				cuts = cuts[2:]
			}
		}
	}
	return out
}

var around = [4][2]float64{{0, 0}, {1, 0}, {1, 1}, {0, 1}}
