package vision

import (
	"math"
	"sync"
)

// Pillow converts CIE Lab with Little CMS, from its Lab profile to its sRGB one
// (both D50). Little CMS computes the colours of a grid of 33x33x33 points and
// interpolates between these in fixed point, in one of the six tetrahedra of a
// cell; so it is done here, to the bit (cmsopt.c, cmsintrp.c).

// labPoints is how many points the grid has along an axis.
const labPoints = 33

// labGrid returns the grid: [L][a][b][RGB], 16 bits each.
var labGrid = sync.OnceValue(func() []uint16 {
	fromXYZ := srgbFromXYZ()
	grid := make([]uint16, 0, labPoints*labPoints*labPoints*3)
	level := func(i int) float64 { // of grid point i, 0 to 1
		return float64(float32(math.Floor(float64(i)*65535/(labPoints-1)+0.5) / 65535))
	}
	for l := range labPoints {
		for a := range labPoints {
			for b := range labPoints {
				xyz := labToXYZ(float64(level(l)*100), float64(level(a)*255)-128, float64(level(b)*255)-128)
				for _, row := range fromXYZ {
					v := float64(row[0]*xyz[0]) + float64(row[1]*xyz[1]) + float64(row[2]*xyz[2])
					v = float64(float32(srgbCurve(float64(float32(v)))))
					grid = append(grid, uint16(min(max(float64(v*65535)+0.5, 0), 65535)))
				}
			}
		}
	}
	return grid
})

// d50 is the white of the profiles' connection space, in XYZ.
var d50 = [3]float64{0.9642, 1, 0.8249}

// labToXYZ returns XYZ, in single precision.
func labToXYZ(l, a, b float64) [3]float64 {
	y := (l + 16) / 116
	out := [3]float64{y + float64(0.002*a), y, y - float64(0.005*b)}
	for i, t := range out {
		if t <= 24.0/116 {
			t = 108.0 / 841 * (t - 16.0/116)
		} else {
			t *= float64(t * t)
		}
		const full = 1 + 32767.0/32768 // the profiles' 1
		out[i] = float64(float32(float64(t*d50[i])/full)) * full
	}
	return out
}

// srgbCurve is the inverse of sRGB's transfer function.
func srgbCurve(v float64) float64 {
	if v < math.Pow(0.04045/1.055+0.055/1.055, 2.4) {
		return v * 12.92
	}
	return float64(math.Pow(v, 1/2.4)*1.055) - 0.055
}

// srgbFromXYZ returns the matrix from XYZ under D50 to linear sRGB: the inverse of
// that of Rec. 709's primaries and D65, adapted to D50 by Bradford's matrix.
func srgbFromXYZ() [3][3]float64 {
	primaries := matrix{{0.64, 0.3, 0.15}, {0.33, 0.6, 0.06}, {1 - 0.64 - 0.33, 1 - 0.3 - 0.6, 1 - 0.15 - 0.06}}
	d65 := [3]float64{0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290}
	bradford := matrix{{0.8951, 0.2664, -0.1614}, {-0.7502, 1.7135, 0.0367}, {0.0389, -0.0685, 1.0296}}
	scale := primaries.inverse().apply(d65)
	for i := range primaries {
		for j := range scale {
			primaries[i][j] *= scale[j]
		}
	}
	from, to := bradford.apply(d65), bradford.apply(d50)
	cone := matrix{{to[0] / from[0]}, {1: to[1] / from[1]}, {2: to[2] / from[2]}}
	return bradford.inverse().times(cone.times(bradford)).times(primaries).inverse()
}

type matrix [3][3]float64

func (m matrix) apply(v [3]float64) (out [3]float64) {
	for i, r := range m {
		out[i] = float64(r[0]*v[0]) + float64(r[1]*v[1]) + float64(r[2]*v[2])
	}
	return out
}

func (m matrix) times(n matrix) (out matrix) {
	for j := range 3 {
		for i, v := range m.apply([3]float64{n[0][j], n[1][j], n[2][j]}) {
			out[i][j] = v
		}
	}
	return out
}

func (m matrix) inverse() (out matrix) {
	minor := func(i, j int) float64 { // of the next two rows and columns
		a, b, c, d := (i+1)%3, (i+2)%3, (j+1)%3, (j+2)%3
		return float64(m[a][c]*m[b][d]) - float64(m[a][d]*m[b][c])
	}
	det := float64(m[0][0]*minor(0, 0)) + float64(m[0][1]*minor(0, 1)) + float64(m[0][2]*minor(0, 2))
	for i := range 3 {
		for j := range 3 {
			out[i][j] = minor(j, i) / det
		}
	}
	return out
}

// labToRGB converts TIFF's CIE Lab: L from 0 to 255 for 0 to 100, a and b signed.
func labToRGB(grid []uint16, l, a, b byte) (rgb [3]byte) {
	at := 0
	var rest, step [3]int
	for i, v := range [3]byte{l, a ^ 128, b ^ 128} {
		fixed := int(v) * 257 * (labPoints - 1)
		fixed += (fixed + 0x7fff) / 0xffff
		step[i] = 3
		for range 2 - i {
			step[i] *= labPoints
		}
		at += fixed >> 16 * step[i]
		if rest[i] = fixed & 0xffff; v == 255 { // there is nothing beyond
			step[i] = 0
		}
	}
	// From the cell's corner along the axes, the one with the largest rest first.
	order := [3]int{2, 1, 0}
	switch x, y, z := rest[0], rest[1], rest[2]; {
	case x >= y && y >= z:
		order = [3]int{0, 1, 2}
	case x >= y && z >= x:
		order = [3]int{2, 0, 1}
	case x >= y:
		order = [3]int{0, 2, 1}
	case x >= z:
		order = [3]int{1, 0, 2}
	case y >= z:
		order = [3]int{1, 2, 0}
	}
	for c := range rgb {
		first := int(grid[at+c])
		sum, from, to := 0x8001, first, at+c
		for _, axis := range order {
			to += step[axis]
			sum += (int(grid[to]) - from) * rest[axis]
			from = int(grid[to])
		}
		v := first + (sum+sum>>16)>>16
		rgb[c] = byte((v*65281 + 8388608) >> 24)
	}
	return rgb
}
