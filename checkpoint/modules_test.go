package checkpoint_test

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
)

// TestModules has whole modules and TorchScript, traced and scripted, of networks that
// differ in what no weight shows: what a config can say gives torch's logits, the rest an
// error that names the module.
func TestModules(t *testing.T) {
	text, err := os.ReadFile("testdata/modules.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Logits map[string][][]float32 }
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	refused := map[string]string{
		"silu":        "features.1.conv.0.2: SiLU",
		"tanh":        "classifier.1: Tanh behind the linear layer classifier.0",
		"linear":      "classifier.2: no activation between it and the linear layer classifier.0",
		"maxpool":     "1: AdaptiveMaxPool2d",
		"functional":  "the code of Functional calls tanh",
		"temperature": "temperature: a parameter that MobileNetV2 does not have",
	}
	z, err := zip.OpenReader("testdata/modules.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if len(z.File) != 3*(len(refused)+len(want.Logits))+2 {
		t.Errorf("%d files", len(z.File))
	}
	for _, f := range z.File {
		t.Run(f.Name, func(t *testing.T) {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			kind, _, _ := strings.Cut(f.Name, ".")
			m, err := checkpoint.Parse(data)
			if f.Name == "functional.whole.pth" { // has no code
				if err != nil || !strings.Contains(strings.Join(m.Notes, "; "), "what the forward of Functional does besides calling modules is not in the file") {
					t.Errorf("notes %q, error %v", m.Notes, err)
				}
				return
			}
			if reason, ok := refused[kind]; ok {
				if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), reason) {
					t.Errorf("error %v, want %s", err, reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Config.NoStemResidual != (kind == "residual") {
				t.Errorf("no residual around the first block: %v", m.Config.NoStemResidual)
			}
			if m.Config.Head.Sigmoid != (kind == "sigmoid") {
				t.Errorf("head %+v", m.Config.Head)
			}
			if notes := strings.Join(m.Notes, "; "); strings.Contains(notes, "assumed") {
				t.Errorf("notes %q", notes)
			}
			got := logits(t, m, kerasGolden{Shape: [2]int{64, 64}})
			for i, w := range want.Logits[kind] {
				for j, w := range w {
					if g := got[i*len(want.Logits[kind][0])+j]; !(math.Abs(float64(g-w)) < 1e-4*(1+math.Abs(float64(w)))) {
						t.Errorf("logit %d of photo %d is %v, torch has %v", j, i, g, w)
					}
				}
			}
		})
	}
}
