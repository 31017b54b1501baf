package checkpoint_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
)

// A kerasGolden is what Keras computes with a file of testdata/golden_keras.py.
type kerasGolden struct {
	Shape      [2]int // of the input
	Logits     []float32
	Raw        bool // the input is levels, which the file normalises itself
	Hidden     []int
	Sigmoid    bool
	Normalised bool
}

// unpacked returns a file of testdata that is packed with gzip.
func unpacked(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func kerasGoldens(t testing.TB) map[string]kerasGolden {
	t.Helper()
	text, err := os.ReadFile("testdata/golden_keras.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	delete(all, "versions")
	goldens := map[string]kerasGolden{}
	for name, text := range all {
		var g kerasGolden
		if err := json.Unmarshal(text, &g); err != nil {
			t.Fatal(err)
		}
		goldens[name] = g
	}
	return goldens
}

// logits runs m on the two images of testdata/golden_keras.py; the rows are cut where
// the golden's are.
func logits(t testing.TB, m *model.Model, g kerasGolden) []float32 {
	t.Helper()
	h, w := g.Shape[0], g.Shape[1]
	in := engine.Input{Data: make([]float32, 2*h*w*3), N: 2, H: h, W: w}
	levels := m.Config.Preprocess.Levels()
	for i := range in.Data {
		v := uint64(i) * 2654435761 >> 13 & 255
		if in.Data[i] = float32(v)/64 - 2; g.Raw {
			in.Data[i] = levels[i%3][v]
		}
	}
	e, err := engine.Compile(m, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	n := m.Config.Classes
	out := engine.Output{Logits: make([]float32, 2*n)}
	got := &out.Logits
	if n == 0 {
		n = m.Config.Network().Features()
		out = engine.Output{Features: make([]float32, 2*n)}
		got = &out.Features
	}
	if err := e.Run(t.Context(), in, out); err != nil {
		t.Fatal(err)
	}
	row := min(n, 16)
	return append((*got)[:row:row], (*got)[n:][:row]...)
}

// TestKerasGoldens holds every kind of file that Keras writes against what Keras
// computes with it.
func TestKerasGoldens(t *testing.T) {
	for name, g := range kerasGoldens(t) {
		t.Run(name, func(t *testing.T) {
			m, err := checkpoint.Parse(unpacked(t, name))
			if err != nil {
				t.Fatal(err)
			}
			c := m.Config
			if !slices.Equal(c.Head.Hidden, g.Hidden) || c.Head.Sigmoid != g.Sigmoid || m.Assumed.Norm == g.Normalised {
				t.Errorf("head %+v, normalisation assumed %v; want %+v", c.Head, m.Assumed.Norm, g)
			}
			if h, w := c.InputSize(); !m.Assumed.Resolution && [2]int{h, w} != g.Shape {
				t.Errorf("input %d x %d, want %v", h, w, g.Shape)
			}
			got := logits(t, m, g)
			if len(got) != len(g.Logits) {
				t.Fatalf("%d values, want %d", len(got), len(g.Logits))
			}
			for i, want := range g.Logits {
				if d := math.Abs(float64(got[i] - want)); !(d < 2e-5) {
					t.Errorf("value %d is %v, Keras has %v", i, got[i], want)
				}
			}
		})
	}
}

// TestKerasRefused has files of other networks, and configs that say something else than
// the weights. The errors say what and where.
func TestKerasRefused(t *testing.T) {
	plain := unpacked(t, "plain.keras")
	entries := unzip(t, plain)
	config := string(entries["config.json"])
	change := func(from, to string) []byte {
		if !strings.Contains(config, from) {
			t.Fatalf("no %s in the config", from)
		}
		return zipOf(t, "metadata.json", "{}", "config.json", strings.Replace(config, from, to, 1), "model.weights.h5", string(entries["model.weights.h5"]))
	}
	weights := func(config string) []byte {
		return zipOf(t, "metadata.json", "{}", "config.json", config, "model.weights.h5", string(entries["model.weights.h5"]))
	}
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"another network":    {unpacked(t, "resnet.weights.h5"), "missing (features.0.0.weight"},
		"another activation": {change(`"max_value": 6.0`, `"max_value": 4.0`), "layer Conv1_relu: a ReLU that is not ReLU6"},
		"another stride":     {change(`"strides": [2, 2]`, `"strides": [1, 1]`), "layer Conv1: a stride of 1 where the table of its channels has 2"},
		"another kernel":     {change(`"kernel_size": [3, 3]`, `"kernel_size": [5, 5]`), "layer Conv1: a convolution of 5 by 5"},
		"another padding":    {change(`"padding": [[0, 1], [0, 1]]`, `"padding": [[2, 1], [0, 1]]`), "layer block_1_pad: padding of [2 1 0 1]"},
		"another epsilon":    {change(`"epsilon": 0.001`, `"epsilon": 0.01`), "an epsilon of 0.001, and 0.01 before"},
		"an attention":       {change(`"class_name": "ReLU"`, `"class_name": "Attention"`), "layer Conv1_relu: a layer of class Attention"},
		"another head":       {change(`"activation": "softmax"`, `"activation": "tanh"`), "layer predictions: the activation tanh in a head"},
		"another pool":       {change(`"class_name": "GlobalAveragePooling2D"`, `"class_name": "GlobalMaxPooling2D"`), "a head with a GlobalMaxPooling2D"},
		"a branch":           {change(`"keras_history": ["bn_Conv1"`, `"keras_history": ["input_layer"`), "layer Conv1_relu: not behind bn_Conv1: only a chain of layers is read"},
		"a class":            {weights(`{"class_name": "MyModel", "config": {"name": "x"}}`), "a model of class MyModel, whose layers its config does not list"},
		"no JSON":            {weights(`{"class_name": `), "config: not JSON"},
		"deep":               {weights(strings.Repeat(`{"class_name": "Functional", "config": {"name": "x", "layers": [`, 50) + strings.Repeat("]}}", 50)), "more than 8 deep"},
		"a bomb":             {weights(strings.Repeat(" ", 3<<20)), "a config of more than 2 MB"},
		"cut":                {weights(config)[:3000], "is the file complete?"},
		"cut weights":        {zipOf(t, "config.json", config, "model.weights.h5", string(entries["model.weights.h5"][:70000])), "model.weights.h5, at byte"},
	} {
		_, err := checkpoint.Parse(test.data)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than a line: %v", name, err)
		}
	}
}

func unzip(t testing.TB, data []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// zipOf is an archive of names and contents in turn.
func zipOf(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: files[i], Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
