package vision

import "math"

// Uniform reports whether an image is of one colour, or nearly: a lens cap, a blank
// page, a download that went wrong. That is so if no channel has a standard deviation
// of more than 3 of 255, which compression and a sensor's noise stay below and fog does
// not. It looks at no more than 256 rows and 256 columns, evenly spread.
func (m *Image) Uniform() bool {
	const most, side = 3.0, 256
	dy, dx := (m.H+side-1)/side, (m.W+side-1)/side
	var n int
	var sum, squares [3]int
	for y := 0; y < m.H; y += dy {
		row := m.row(y)
		for x := 0; x < m.W; x += dx {
			for c, v := range row[3*x:][:3] {
				sum[c] += int(v)
				squares[c] += int(v) * int(v)
			}
			n++
		}
	}
	for c := range sum {
		mean := float64(sum[c]) / float64(n)
		if math.Sqrt(max(0, float64(squares[c])/float64(n)-mean*mean)) > most {
			return false
		}
	}
	return true
}
