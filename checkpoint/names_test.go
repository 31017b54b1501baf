package checkpoint_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
)

// TestPaddle holds pickles of arrays with PaddleClas' names against what torch computes
// with that network.
func TestPaddle(t *testing.T) {
	text, err := os.ReadFile("testdata/golden_names.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Paddle []float32 }
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for name, tol := range map[string]float64{"paddle.pdparams": 1e-5, "paddle2.pdparams": 1e-5, "paddle5.pdparams": 1e-2} {
		m, err := checkpoint.Open("testdata/" + name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := logits(t, m, kerasGolden{Shape: [2]int{64, 64}})
		if len(got) != len(want.Paddle) {
			t.Fatalf("%s: %d logits, want %d", name, len(got), len(want.Paddle))
		}
		for i, w := range want.Paddle {
			if d := math.Abs(float64(got[i] - w)); !(d < tol) {
				t.Errorf("%s: logit %d is %v, torch has %v", name, i, got[i], w)
			}
		}
		if len(m.Notes) > 0 {
			t.Errorf("%s: notes %q", name, m.Notes)
		}
	}
}
