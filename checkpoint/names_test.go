package checkpoint_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
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
		if len(m.Notes) != 1 || !strings.Contains(m.Notes[0], "strides assumed: 1 2 2") { // the table is short
			t.Errorf("%s: notes %q", name, m.Notes)
		}
	}
}

// TestGrey holds a network of one channel, on grey photos, against what torch computes with
// the channel alone; four channels are refused by name.
func TestGrey(t *testing.T) {
	text, err := os.ReadFile("testdata/golden_names.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Grey []float32 }
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	m, err := checkpoint.Open("testdata/grey.pth")
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Notes) != 2 || !strings.Contains(m.Notes[0], "for grey") || !strings.Contains(m.Notes[1], "strides assumed") {
		t.Errorf("notes %q", m.Notes)
	}
	if p := m.Config.Preprocess; p.Mean[0] != p.Mean[2] || p.Std[0] != p.Std[1] || !m.Assumed.Norm {
		t.Errorf("grey is normalised by %v and %v", p.Mean, p.Std)
	}
	e, err := engine.Compile(m, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	in := engine.Input{Data: make([]float32, 2*64*64*3), N: 2, H: 64, W: 64}
	for i := range in.Data {
		in.Data[i] = float32(uint64(i/3*3)*2654435761>>13&255)/64 - 2 // red everywhere
	}
	out := engine.Output{Logits: make([]float32, len(want.Grey))}
	if err := e.Run(t.Context(), in, out); err != nil {
		t.Fatal(err)
	}
	for i, w := range want.Grey {
		if d := math.Abs(float64(out.Logits[i] - w)); !(d < 1e-5) {
			t.Errorf("logit %d is %v, torch has %v", i, out.Logits[i], w)
		}
	}
	_, err = checkpoint.Open("testdata/four.pth")
	if err == nil || !strings.Contains(err.Error(), "four.pth: features.0.0.weight: a first convolution of 4 channels") {
		t.Errorf("error %v", err)
	}
}

// TestBeginnings has one tensor of each naming: an error of one line that names what is
// missing, whatever the naming.
func TestBeginnings(t *testing.T) {
	for _, name := range []string{
		"features.0.0.weight", "conv_stem.weight", "mobilenet_v2.conv_stem.first_conv.convolution.weight",
		"conv1.conv.weight", "backbone.conv1.conv.weight", "Conv1.weight", "conv1._conv.weight", "conv1._conv.bias",
	} {
		path := filepath.Join(t.TempDir(), "m.safetensors")
		dict := model.StateDict{name: {Shape: []int{8, 3, 3, 3}, Data: make([]float32, 8*27)}}
		if err := checkpoint.WriteTensors(path, dict, nil); err != nil {
			t.Fatal(err)
		}
		_, err := checkpoint.Open(path)
		if err == nil || !strings.Contains(err.Error(), " missing (features.0.") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestOpenMMLabNames has what is written load where it came from: under the same names.
func TestOpenMMLabNames(t *testing.T) {
	m, err := checkpoint.Open("testdata/openmmlab.pth")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := checkpoint.Save(path, m, checkpoint.SaveOptions{Naming: checkpoint.OpenMMLab}); err != nil {
		t.Fatal(err)
	}
	dict, _, err := checkpoint.ReadTensors(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"backbone.conv1.conv.weight", "backbone.layer2.0.conv.2.bn.running_var", "backbone.conv2.bn.bias", "head.fc.weight"} {
		if _, ok := dict[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
}
