package checkpoint_test

import (
	"encoding/json"
	"errors"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
)

// TestTorchvisionInt8 holds torchvision's quantised networks against what torch computes
// with them: the same bytes, of every module. In float32 they are near the float network
// that they were made of.
func TestTorchvisionInt8(t *testing.T) {
	text, err := os.ReadFile("testdata/golden_quantised.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string]json.RawMessage
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"channels", "tensors", "ties"} {
		var want struct {
			Logits []float32
			Scale  float64
			CRC32  map[string]uint32
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
		in := torchvisionImages(2, 64, 64, 8)
		out := engine.Output{Logits: make([]float32, len(want.Logits))}
		if err := e.Run(t.Context(), in, out); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Logits, out.Logits); diff != "" {
			t.Errorf("%s: logits (-torch +got):\n%s", name, diff)
		}
		sameModules(t, name, q, e, want.CRC32)
		// Kept in a file of ours, it is the same.
		path := filepath.Join(t.TempDir(), "q.safetensors")
		if err := checkpoint.SaveQuantized(path, q, nil); err != nil {
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

// torchvisionImages are those of golden_quantised.py.
func torchvisionImages(n, h, w, bits int) engine.Input {
	in := engine.Input{Data: make([]float32, n*h*w*3), N: n, H: h, W: w}
	for i := range in.Data {
		in.Data[i] = float32(uint64(i)*2654435761>>13&(1<<bits-1))/float32(int(1)<<(bits-2)) - 2
	}
	return in
}

// sameModules holds the checksums of what each module puts out against torch's.
func sameModules(t *testing.T, name string, q *model.Quantized, e *engine.Engine, want map[string]uint32) {
	t.Helper()
	stand := map[string]model.Quantization{}
	n := q.Config.Network()
	for i, c := range n.Convs() {
		module := strings.TrimSuffix(c.Name, ".0")
		stand[module] = q.Convs[i].Out
		if !c.ReLU6 { // the last of its block
			block := module[:strings.Index(module, ".conv")]
			stand[block], stand[block+".conv"] = q.Convs[i].Out, q.Convs[i].Out
		}
	}
	for i, b := range n.Blocks {
		if b.Residual() {
			stand[b.Name] = q.Sums[i].Quantization
		}
	}
	in := torchvisionImages(12, 232, 272, 16)
	out := engine.Output{Logits: make([]float32, in.N*q.Config.Classes), Features: make([]float32, in.N*q.Config.Network().Classifier.In)}
	for _, m := range e.Modules() {
		c, h, w := m.Shape(in.H, in.W)
		out.Taps = append(out.Taps, engine.Tap{Module: m.Name, Data: make([]float32, in.N*c*h*w)})
	}
	if err := e.Run(t.Context(), in, out); err != nil {
		t.Fatal(err)
	}
	sum := func(of model.Quantization, numbers []float32) uint32 {
		bytes := make([]byte, len(numbers))
		for i, v := range numbers {
			bytes[i] = of.Quantize(v)
		}
		return crc32.ChecksumIEEE(bytes)
	}
	for _, tap := range out.Taps {
		of, ok := stand[tap.Module]
		w, said := want[tap.Module]
		if !ok || !said {
			t.Errorf("%s: module %s: known here %v, to torch %v", name, tap.Module, ok, said)
		} else if got := sum(of, tap.Data); got != w {
			t.Errorf("%s: bytes of %s have checksum %08x, torch's %08x", name, tap.Module, got, w)
		}
	}
	if got := sum(q.Pool, out.Features); got != want["avgpool"] {
		t.Errorf("%s: pooled bytes have checksum %08x, torch's %08x", name, got, want["avgpool"])
	}
	if got := sum(q.Classifier.Out, out.Logits); got != want["classifier"] {
		t.Errorf("%s: bytes of logits have checksum %08x, torch's %08x", name, got, want["classifier"])
	}
}

// TestInt8InTorchScript: what is packed is said to be.
func TestInt8InTorchScript(t *testing.T) {
	_, err := checkpoint.Parse(unpacked(t, "torchvision_int8_script.pt"))
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "save its state_dict()") {
		t.Errorf("error %v", err)
	}
}
