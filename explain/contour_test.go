package explain

import (
	"math"
	"testing"
)

// TestContours: around a peak there is one closed line, at its distance; along a slope
// an open one.
func TestContours(t *testing.T) {
	const side = 41
	peak, slope := make([]float32, side*side), make([]float32, side*side)
	for p := range peak {
		x, y := float64(p%side-side/2), float64(p/side-side/2)
		peak[p], slope[p] = float32(-math.Hypot(x, y)), float32(x)
	}
	lines := contours(peak, side, side, -10.3)
	if len(lines) != 1 || lines[0][0] != lines[0][len(lines[0])-1] {
		t.Fatalf("%d lines around a peak, or an open one", len(lines))
	}
	for _, at := range lines[0] {
		if r := math.Hypot(at.x-side/2.0, at.y-side/2.0); math.Abs(r-10.3) > 0.1 {
			t.Errorf("a point at %v of the peak, want 10.3", r)
		}
	}
	lines = contours(slope, side, side, 3.25)
	if len(lines) != 1 || len(lines[0]) != side {
		t.Fatalf("%d lines along a slope", len(lines))
	}
	for _, at := range lines[0] {
		if math.Abs(at.x-(side/2.0+3.25)) > 1e-6 {
			t.Errorf("a point in column %v", at.x)
		}
	}
	if lines := contours(slope, side, side, 100); lines != nil {
		t.Errorf("%d lines of a value that is nowhere", len(lines))
	}
}
