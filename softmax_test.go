package mobilenet

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTop(t *testing.T) {
	e := math.E
	for _, test := range []struct {
		name   string
		logits []float32
		k      int
		want   []Prediction
	}{
		{"ties go to the lower index", []float32{0, 1, 0, 1}, 3, []Prediction{
			{1, "b", float32(e / (2 + 2*e))}, {3, "d", float32(e / (2 + 2*e))}, {0, "a", float32(1 / (2 + 2*e))},
		}},
		{"more than there are", []float32{0, 1}, 5, []Prediction{
			{1, "b", float32(e / (1 + e))}, {0, "a", float32(1 / (1 + e))},
		}},
		{"exp overflows", []float32{-1000, 1000, 999}, 3, []Prediction{
			{1, "b", float32(e / (1 + e))}, {2, "c", float32(1 / (1 + e))}, {0, "a", 0},
		}},
		{"exp underflows", []float32{-2000, -2000}, 1, []Prediction{{0, "a", 0.5}}},
	} {
		got := top(test.logits, softmax(test.logits), []string{"a", "b", "c", "d"}, test.k)
		if diff := cmp.Diff(test.want, got, cmpopts.EquateApprox(0, 1e-7)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestFinite(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, v := range []float32{inf, -inf, float32(math.NaN())} {
		if finite([]float32{0, v}) {
			t.Errorf("%v is finite", v)
		}
	}
	if !finite([]float32{0, math.MaxFloat32, -math.MaxFloat32}) {
		t.Error("the largest floats are not finite")
	}
}
