package checkpoint_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/engine"
)

// TestTorchvisionInt8 holds torchvision's quantised networks against what torch computes
// with them: the same bytes of logits but for one, because torch adds residuals in
// fixed-point numbers. In float32 they are near the float network that they were made of.
func TestTorchvisionInt8(t *testing.T) {
	text, err := os.ReadFile("testdata/golden_quantised.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string]json.RawMessage
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"channels", "tensors"} {
		var want struct {
			Logits []float32
			Scale  float64
		}
		var float []float32
		if err := json.Unmarshal(golden[name], &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(golden[name+"_float"], &float); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile("testdata/torchvision_int8_" + name + ".pth")
		if err != nil {
			t.Fatal(err)
		}
		q, ok, err := checkpoint.ParseQuantized(data)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		e, err := engine.CompileQuantized(q, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		in := engine.Input{Data: make([]float32, 2*64*64*3), N: 2, H: 64, W: 64}
		for i := range in.Data {
			in.Data[i] = float32(uint64(i)*2654435761>>13&255)/64 - 2
		}
		out := engine.Output{Logits: make([]float32, len(want.Logits))}
		if err := e.Run(t.Context(), in, out); err != nil {
			t.Fatal(err)
		}
		off := 0
		for i, w := range want.Logits {
			steps := math.Abs(float64(out.Logits[i]-w)) / want.Scale
			if !(steps < 1.01) {
				t.Errorf("%s: logit %d is %v, torch has %v, %.1f steps away", name, i, out.Logits[i], w, steps)
			}
			if steps > 0.01 {
				off++
			}
		}
		t.Logf("%s: %d of %d logits are a step away from torch's", name, off, len(want.Logits))
		// Kept in a file of ours, it is the same.
		path := filepath.Join(t.TempDir(), "q.safetensors")
		if err := checkpoint.SaveQuantized(path, q); err != nil {
			t.Fatal(err)
		}
		if data, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		again, _, err := checkpoint.ParseQuantized(data)
		if err != nil || cmp.Diff(q, again) != "" {
			t.Errorf("%s: saved and read (-want +got):\n%s\n%v", name, cmp.Diff(q, again), err)
		}
		m, err := checkpoint.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		if !m.Dequantized {
			t.Errorf("%s: not said to be dequantised", name)
		}
		got := logits(t, m, kerasGolden{Shape: [2]int{64, 64}})
		reach := slices.Max(float) - slices.Min(float)
		for i, w := range float {
			if d := math.Abs(float64(got[i] - w)); !(d < 0.08*float64(reach)) {
				t.Errorf("%s: in float32 logit %d is %v, the network had %v", name, i, got[i], w)
			}
		}
	}
}

// TestInt8InTorchScript: what is packed is said to be.
func TestInt8InTorchScript(t *testing.T) {
	_, err := checkpoint.Parse(unpacked(t, "torchvision_int8_script.pt"))
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "save its state_dict()") {
		t.Errorf("error %v", err)
	}
}
