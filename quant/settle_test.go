package quant

import (
	"math"
	"math/rand/v2"
	"testing"
)

// objective is what settleRow makes less, the slow way.
func objective(q []int16, w []float64, scale float64, xs [][]float64) float64 {
	sum := 0.0
	for s := range xs[0] {
		off := 0.0
		for k, x := range xs {
			off += (float64(q[k])*scale - w[k]) * x[s]
		}
		sum += off * off
	}
	for k, x := range xs {
		d := float64(q[k])*scale - w[k]
		for _, v := range x {
			sum += ridge * d * d * v * v
		}
	}
	return sum
}

// TestSettleRow: the error gets less, weights stay within a step, and inputs that have
// nothing in common leave the nearest ones.
func TestSettleRow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	for _, common := range []float64{0, 1, 5} {
		before, after := 0.0, 0.0
		for range 30 {
			b, a := settleSome(t, rng, common)
			before, after = before+b, after+a
		}
		if common == 0 && after != before || common > 0 && !(after < 0.95*before) {
			t.Errorf("common part %v: an error of %v becomes %v", common, before, after)
		}
	}
}

// settleSome settles a row of random weights for inputs with something in common.
func settleSome(t *testing.T, rng *rand.Rand, common float64) (before, after float64) {
	const k, n, scale = 12, 200, 0.01
	xs, w, power := make([][]float64, k), make([]float64, k), make([]float64, k)
	q, nearest := make([]int16, k), make([]int16, k)
	shared := make([]float64, n)
	for i := range shared {
		shared[i] = rng.NormFloat64()
	}
	for j := range xs {
		xs[j] = make([]float64, n)
		for i := range xs[j] {
			switch {
			case common > 0:
				xs[j][i] = common*shared[i] + rng.NormFloat64()
			case i%k == j:
				xs[j][i] = 1
			}
		}
		power[j] = dot(xs[j], xs[j])
		w[j] = (rng.Float64()*2 - 1) * 127 * scale
		if j == 3 {
			w[j] = 127.4 * scale // has no other neighbour
		}
		q[j] = int16(min(math.RoundToEven(w[j]/scale), largest))
		nearest[j] = q[j]
	}
	settleRow(q, w, scale, xs, power, make([]float64, n))
	before, after = objective(nearest, w, scale, xs), objective(q, w, scale, xs)
	if after > before {
		t.Errorf("common part %v: an error of %v becomes %v", common, before, after)
	}
	for j := range q {
		if !(math.Abs(float64(q[j])-w[j]/scale) < 1 && q[j] <= largest) {
			t.Errorf("weight %v becomes %d", w[j]/scale, q[j])
		}
	}
	return before, after
}

// TestWindows: each window is what the weights of one place see, and all planes have the
// same places.
func TestWindows(t *testing.T) {
	const w, h = 9, 7
	var image tensor
	for c := range 3 {
		plane := make([]float32, w*h)
		for i := range plane {
			plane[i] = float32(1000*c + i)
		}
		image.addWindows(c, plane, w, h)
	}
	if n := len(image.windows[0]); n != 35 {
		t.Fatalf("%d windows of 35 places", n)
	}
	for i, corner := range image.windows[0] {
		for k, samples := range image.windows {
			want := corner + float32(1000*(k/9)+k%9/3*w+k%3)
			if samples[i] != want {
				t.Fatalf("window %d at %v: input %d is %v, want %v", i, corner, k, samples[i], want)
			}
		}
	}
	image.addWindows(0, []float32{1, 2}, 2, 1) // none
	if n := len(image.windows[0]); n != 35 {
		t.Errorf("%d windows", n)
	}
}
