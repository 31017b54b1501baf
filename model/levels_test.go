package model

import "testing"

// TestLevelsApply has rows of every length modulo what is done at a time.
func TestLevelsApply(t *testing.T) {
	p := Default().Preprocess
	levels := p.Levels()
	for n := range 30 {
		pixels := make([]byte, 3*n)
		for i := range pixels {
			pixels[i] = byte(37*i + n)
		}
		dst := make([]float32, 3*n+1)
		dst[3*n] = -99
		levels.Apply(dst[:3*n], pixels)
		for i, v := range pixels {
			want := (float32(v)/255 - p.Mean[i%3]) / p.Std[i%3]
			if dst[i] != want {
				t.Fatalf("%d pixels: value %d of %d is %v, want %v", n, i, v, dst[i], want)
			}
		}
		if dst[3*n] != -99 {
			t.Fatalf("%d pixels: the value behind them was written to", n)
		}
	}
}
