package checkpoint_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
)

// A peer is what another library says of a model.
type peer struct {
	Logits []float32
	About  []any
}

// ask runs testdata/peers.py with the interpreter that a variable names.
func ask(t *testing.T, variable string, args ...string) (p peer) {
	t.Helper()
	python := os.Getenv(variable)
	if python == "" {
		testenv.Skip(t, variable, "no interpreter is named by "+variable)
	}
	cmd := exec.Command(python, append([]string{"testdata/peers.py"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out[slices.Index(out, '{'):], &p)
	}
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return p
}

// lively is a network of random weights whose activations don't vanish.
func lively(t testing.TB, width float64, padding model.Padding) *model.Model {
	t.Helper()
	c := model.Default()
	c.Width, c.Classes, c.Padding, c.Preprocess.Resize = width, 3, padding, 80
	c.Resolution = 64
	if padding == model.PadSame {
		c.BNEps = 1e-3
	}
	c.NoStemResidual = c.Network().Blocks[0].Residual()
	m, err := model.New(c, 7)
	if err != nil {
		t.Fatal(err)
	}
	m.Labels = []string{"a", "b", "c"}
	for _, conv := range c.Network().Convs() {
		shift, variance := m.Dict[conv.Norm+".bias"].Data, m.Dict[conv.Norm+".running_var"].Data
		for i := range shift {
			shift[i], variance[i] = float32(i%7)/4-0.5, 0.5+float32(i%5)/10
		}
	}
	for i, w := range m.Dict["classifier.1.weight"].Data {
		m.Dict["classifier.1.weight"].Data[i] = 10 * w
	}
	return m
}

func same(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d logits, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if d := math.Abs(float64(got[i] - w)); !(d < 1e-4*math.Max(1, math.Abs(float64(w)))) {
			t.Errorf("%s: logit %d is %v, want %v", what, i, got[i], w)
		}
	}
}

// TestPeers has other libraries open what is written here, and opens what they write.
func TestPeers(t *testing.T) {
	for _, width := range []float64{0.35, 1.4} {
		for _, padding := range []model.Padding{model.PadTorch, model.PadSame} {
			m := lively(t, width, padding)
			want := logits(t, m, kerasGolden{Shape: [2]int{64, 64}})
			for kind, naming := range map[string]checkpoint.Naming{"transformers": checkpoint.HuggingFace, "timm": checkpoint.TIMM} {
				dir := t.TempDir()
				if err := checkpoint.SaveFolder(dir, m, checkpoint.SaveOptions{Naming: naming}); err != nil {
					t.Fatal(err)
				}
				p := ask(t, "MOBILENET_TRANSFORMERS", kind, dir)
				same(t, kind, p.Logits, want)
				if diff := cmp.Diff([]any{80., 64., "b"}, p.About); diff != "" {
					t.Errorf("%s: resize, crop and label (-want +got):\n%s", kind, diff)
				}
			}
			dir := t.TempDir()
			p := ask(t, "MOBILENET_TRANSFORMERS", "new", fmt.Sprint(width), string(padding), dir)
			theirs, err := checkpoint.Open(filepath.Join(dir, "model.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			if err := checkpoint.ReadSidecars(theirs, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if c := theirs.Config; c.Resolution != 64 || c.Preprocess.Resize != 80 || theirs.Assumed != (model.Assumed{}) {
				t.Errorf("resolution %d, resize %d, assumed %v", c.Resolution, c.Preprocess.Resize, theirs.Assumed)
			}
			same(t, "a network of transformers", logits(t, theirs, kerasGolden{Shape: [2]int{64, 64}}), p.Logits)
		}
	}
}

// TestKerasPeer has Keras open what is written here.
func TestKerasPeer(t *testing.T) {
	for _, padding := range []model.Padding{model.PadTorch, model.PadSame} {
		m := lively(t, 0.35, padding)
		m.Config.NoStemResidual = false
		m.Config.Head.Sigmoid = padding == model.PadTorch // Keras gives probabilities
		want := logits(t, m, kerasGolden{Shape: [2]int{64, 64}})
		path := filepath.Join(t.TempDir(), "m.keras")
		if err := checkpoint.Save(path, m, checkpoint.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		p := ask(t, "MOBILENET_KERAS", "keras", path)
		probabilities := slices.Clone(want)
		for i, v := range want {
			sum := float32(0)
			for _, w := range want[i/3*3:][:3] {
				sum += float32(math.Exp(float64(w)))
			}
			if probabilities[i] = float32(math.Exp(float64(v))) / sum; m.Config.Head.Sigmoid {
				probabilities[i] = float32(1 / (1 + math.Exp(-float64(v))))
			}
		}
		same(t, "keras", p.Logits, probabilities)
		path = filepath.Join(t.TempDir(), "m.weights.h5")
		err := checkpoint.Save(path, m, checkpoint.SaveOptions{})
		if padding == model.PadTorch {
			if err == nil || !strings.Contains(err.Error(), "pads as TensorFlow") {
				t.Errorf("error %v for weights that Keras would pad otherwise", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		p = ask(t, "MOBILENET_KERAS", "keras", path, "0.35", "3")
		same(t, "keras.applications", p.Logits, want)
	}
}

// TestWritten reads back what is written: the same bits.
func TestWritten(t *testing.T) {
	for _, padding := range []model.Padding{model.PadTorch, model.PadSame} {
		for _, head := range []model.Head{{}, {Hidden: []int{8}}, {Sigmoid: true}} {
			m := lively(t, 0.35, padding)
			m.Config.NoStemResidual, m.Config.Head = false, head
			if head.Hidden != nil {
				n := m.Config.Network()
				for _, l := range n.Linears() {
					m.Dict[l.Name+".weight"] = model.Tensor{Shape: []int{l.Out, l.In}, Data: slices.Repeat([]float32{0.01}, l.Out*l.In)}
					m.Dict[l.Name+".bias"] = model.Tensor{Shape: []int{l.Out}, Data: make([]float32, l.Out)}
				}
			}
			for _, name := range []string{"m.keras", "m.weights.h5", "m.pth", "m.safetensors"} {
				path := filepath.Join(t.TempDir(), name)
				err := checkpoint.Save(path, m, checkpoint.SaveOptions{})
				if name == "m.weights.h5" && (padding == model.PadTorch || head.Hidden != nil) {
					if !errors.Is(err, errors.ErrUnsupported) {
						t.Errorf("%s: error %v", name, err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				got, err := checkpoint.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				for name, want := range m.Dict {
					if !slices.Equal(want.Data, got.Dict[name].Data) || !slices.Equal(want.Shape, got.Dict[name].Shape) {
						t.Errorf("%s: other values of %s", path, name)
					}
				}
				if !slices.Equal(got.Labels, m.Labels) || !got.Config.Equal(m.Config) || got.Assumed != m.Assumed {
					t.Errorf("%s: config %+v, labels %q", path, got.Config, got.Labels)
				}
				if name != "m.keras" {
					continue
				}
				// Without our own metadata it is the same network all the same.
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				entries := unzip(t, data)
				key := []byte(model.ConfigKey)
				weights := bytes.ReplaceAll(entries["model.weights.h5"], key, bytes.ToUpper(key))
				foreign, err := checkpoint.Parse(zipOf(t, "config.json", string(entries["config.json"]), "model.weights.h5", string(weights)))
				if err != nil {
					t.Fatal(err)
				}
				foreign.Config.Preprocess = m.Config.Preprocess // of which the layers say nothing
				foreign.Config.BNMomentum = m.Config.BNMomentum
				if diff := cmp.Diff(m.Config, foreign.Config); diff != "" {
					t.Errorf("by Keras' config (-want +got):\n%s", diff)
				}
			}
		}
	}
}
