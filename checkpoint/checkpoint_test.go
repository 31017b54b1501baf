package checkpoint

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
	"pgregory.net/rapid"

	"github.com/mobilenet-go/mobilenet/internal/half"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
)

// golden is the network that testdata/golden.py saves.
func golden(t testing.TB) *model.Model {
	t.Helper()
	m, err := Open("testdata/zip.pth")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestGoldenConfig(t *testing.T) {
	c := golden(t).Config
	n := c.Network()
	if c.Classes != 5 || n.First.Out != 8 || n.Last.Out != 64 || len(n.Blocks) != 6 {
		t.Errorf("config %+v", c)
	}
	var strides []int
	for _, b := range n.Blocks {
		strides = append(strides, b.Stride)
	}
	if want := []int{1, 2, 1, 2, 1, 2}; !slices.Equal(strides, want) {
		t.Errorf("strides %v, want %v", strides, want)
	}
}

func TestEveryFormatHoldsTheSameWeights(t *testing.T) {
	want := golden(t)
	for file, tol := range map[string]float64{
		"legacy.pth":              0,
		"training.pth":            0x1p-11, // float16
		"bfloat16.pth":            0x1p-8,
		"timm.safetensors":        0,
		"huggingface.safetensors": 0,
	} {
		t.Run(file, func(t *testing.T) {
			m, err := Open(filepath.Join("testdata", file))
			if err != nil {
				t.Fatal(err)
			}
			sameWeights(t, m.Dict, want.Dict, tol)
		})
	}
}

// sameWeights fails unless all values are within a relative tolerance.
func sameWeights(t *testing.T, got, want model.StateDict, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d tensors, want %d", len(got), len(want))
	}
	for name, w := range want {
		g := got[name]
		if !slices.Equal(g.Shape, w.Shape) || len(g.Data) != len(w.Data) {
			t.Errorf("%s: shape %v, want %v", name, g.Shape, w.Shape)
			continue
		}
		for i, v := range w.Data {
			if d := math.Abs(float64(g.Data[i] - v)); !(d <= tol*math.Abs(float64(v))+tol*1e-4) {
				t.Errorf("%s: value %d is %v, want %v", name, i, g.Data[i], v)
				break
			}
		}
	}
}

func TestNamingSaysPaddingAndPreprocessing(t *testing.T) {
	timm, err := Open("testdata/timm.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if p := timm.Config.Preprocess; p.Interpolation != model.Bicubic {
		t.Errorf("timm: %+v", p)
	}
	hf, err := Open("testdata/huggingface.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if c := hf.Config; c.Padding != model.PadSame || c.BNEps != 1e-3 || c.Preprocess.Mean[0] != 0.5 {
		t.Errorf("Hugging Face: %+v", c)
	}
}

func TestSaveAndOpen(t *testing.T) {
	m := golden(t)
	m.Labels = []string{"a", "b", "ç", "\"d\"", "e"}
	m.Config.Resolution, m.Config.Padding = 96, model.PadSame
	dir := t.TempDir()
	for _, names := range Namings() {
		for _, ext := range []string{".pth", ".safetensors"} {
			path := filepath.Join(dir, string(names)+ext)
			if err := Save(path, m, SaveOptions{Naming: names}); err != nil {
				t.Fatal(err)
			}
			got, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			sameWeights(t, got.Dict, m.Dict, 0)
			if diff := cmp.Diff(m.Config, got.Config); diff != "" {
				t.Errorf("%s: config (-want +got):\n%s", path, diff)
			}
			if !slices.Equal(got.Labels, m.Labels) {
				t.Errorf("%s: labels %q", path, got.Labels)
			}
		}
	}
}

// TestSaveHalf rounds what is a matrix to float16, and nothing else.
func TestSaveHalf(t *testing.T) {
	m := golden(t)
	for _, ending := range []string{".safetensors", ".pth"} {
		path := filepath.Join(t.TempDir(), "half"+ending)
		if err := Save(path, m, SaveOptions{Half: true}); err != nil {
			t.Fatal(err)
		}
		got, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range m.Dict {
			for i, v := range want.Data {
				if len(want.Shape) > 1 {
					v = half.ToFloat32(half.FromFloat32(v))
				}
				if got := got.Dict[name].Data[i]; got != v {
					t.Fatalf("%s: %s[%d]: %v, want %v", ending, name, i, got, v)
				}
			}
		}
	}
	m.Dict["classifier.1.weight"].Data[0] = 70000
	large := filepath.Join(t.TempDir(), "large.safetensors")
	if err := Save(large, m, SaveOptions{Half: true}); err == nil || !strings.Contains(err.Error(), "classifier.1.weight") {
		t.Errorf("error %v, want it to name the tensor", err)
	}
	if _, err := os.Stat(large); err == nil {
		t.Error("a file in spite of the error")
	}
}

// TestAnyNetworkComesBack saves networks of arbitrary tables.
func TestAnyNetworkComesBack(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		c := model.Default()
		c.Classes, c.RoundTo = rapid.IntRange(1, 4).Draw(t, "classes"), 1
		c.FirstChannels, c.LastChannels = rapid.IntRange(1, 8).Draw(t, "first"), rapid.IntRange(1, 8).Draw(t, "last")
		c.Table = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) model.Stage {
			return model.Stage{
				T: rapid.SampledFrom([]float64{0.3, 1, 2, 6}).Draw(t, "t"), C: rapid.IntRange(1, 8).Draw(t, "c"),
				N: rapid.IntRange(1, 3).Draw(t, "n"), S: rapid.IntRange(1, 2).Draw(t, "s"),
			}
		}), 1, 4).Draw(t, "table")
		m, err := model.New(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		names := rapid.SampledFrom(Namings()).Draw(t, "names")
		path := filepath.Join(dir, "m"+rapid.SampledFrom([]string{".pth", ".safetensors"}).Draw(t, "ending"))
		if err := Save(path, m, SaveOptions{Naming: names}); err != nil {
			t.Fatal(err)
		}
		got, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Fatalf("model (-want +got):\n%s", diff)
		}
	})
}

func TestSaveIsDeterministic(t *testing.T) {
	m := golden(t)
	for _, ext := range []string{".pth", ".safetensors"} {
		var files [2][]byte
		for i := range files {
			path := filepath.Join(t.TempDir(), "m"+ext)
			if err := Save(path, m, SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			files[i], _ = os.ReadFile(path)
		}
		if !slices.Equal(files[0], files[1]) {
			t.Errorf("%s: other bytes the second time", ext)
		}
	}
}

func TestInferPublishedWidths(t *testing.T) {
	for _, w := range []float64{0.1, 0.25, 0.35, 0.5, 0.75, 1, 1.3, 1.4} {
		c := model.Default()
		c.Width, c.Classes = w, 3
		m, err := model.New(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := InferConfig(m.Dict)
		if err != nil || !got.Equal(c) {
			t.Errorf("width %v: %+v, %v", w, got, err)
		}
	}
}

// TestInferNarrow has a width that is not published, where several stages in a
// row have the same channels: only the number of blocks shows the strides.
func TestInferNarrow(t *testing.T) {
	c := model.Default()
	c.Width = 0.15
	m, err := model.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := InferConfig(m.Dict)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Network(), got.Network()); diff != "" {
		t.Errorf("network (-want +got):\n%s", diff)
	}
}

// TestNearestNetwork lacks one tensor of a half-width network: that one is
// missing, and not every other misshapen.
func TestNearestNetwork(t *testing.T) {
	c := model.Default()
	c.Width, c.Classes = 0.5, 3
	m, err := model.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	delete(m.Dict, "features.9.conv.0.0.weight")
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := WriteTensors(path, m.Dict, nil); err != nil {
		t.Fatal(err)
	}
	_, err = Open(path)
	var e *model.MismatchError
	if !errors.As(err, &e) || !slices.Equal(e.Missing, []string{"features.9.conv.0.0.weight"}) || len(e.Misshapen) > 0 {
		t.Errorf("error %v", err)
	}
}

// TestInferTIMMVariants has timm's mobilenetv2_110d and 120d: more blocks, and a
// first and last convolution that the width does not change.
func TestInferTIMMVariants(t *testing.T) {
	for _, v := range []struct {
		width, depth float64
		blocks       int
	}{{1.1, 1.2, 22}, {1.2, 1.4, 26}} {
		c := model.Default()
		c.Width, c.Table, c.FirstChannels, c.LastChannels = v.width, deeper(v.depth), 32, 1280
		if n := len(c.Network().Blocks); n != v.blocks {
			t.Errorf("depth %v: %d blocks, want %d", v.depth, n, v.blocks)
		}
		m, err := model.New(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := InferConfig(m.Dict); err != nil || !slices.Equal(got.Table, c.Table) || got.Width != v.width {
			t.Errorf("width %v: %+v, %v", v.width, got, err)
		}
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	whole, err := os.ReadFile("testdata/zip.pth")
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.ReadFile("testdata/timm.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	huge := slices.Clone(st[:3000])
	copy(huge, []byte{255, 255, 255, 5})
	call := []byte("\x80\x02\x8a\x0a" + legacyMagic + ".\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.")
	for path, want := range map[string]string{
		"testdata/resnet18.pth":                   "unexpected (bn1.bias",
		"testdata/module.pth":                     "2 unexpected (bias; weight)",
		"testdata/absent.pth":                     "no such file",
		"testdata":                                "a folder",
		write("empty.pth", nil):                   "empty file",
		write("text.pth", []byte("hello")):        "a text file, not a checkpoint",
		write("noise.pth", []byte{3, 1, 4, 1, 5}): "neither a torch checkpoint nor safetensors",
		write("cut.pth", whole[:len(whole)/2]):    "zip: not a valid zip file",
		write("cut.safetensors", st[:len(st)/2]):  "bytes",
		write("cut header.safetensors", st[:100]): "unexpected end",
		write("long header.safetensors", huge):    "header of 100663295 bytes",
		write("call.pth", call):                   "pickle: unexpected end",
	} {
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("error %q, want it to begin with %q and to contain %q", err, path, want)
		}
	}
	_, err = Open("testdata/resnet18.pth")
	var mismatch *model.MismatchError
	if !errors.As(err, &mismatch) || len(mismatch.Missing) == 0 || len(mismatch.Unexpected) == 0 {
		t.Errorf("ResNet-18: %v", err)
	}
}

// TestBadMetadata has files whose metadata does not belong to their weights.
func TestBadMetadata(t *testing.T) {
	data, err := os.ReadFile("testdata/zip.pth")
	if err != nil {
		t.Fatal(err)
	}
	c := golden(t).Config
	c.Classes = 6
	six, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for want, metadata := range map[string]map[string]string{
		"metadata mobilenet.config: model config: width multiplier -1": {model.ConfigKey: `{"width": -1}`},
		"metadata mobilenet.config: model config: unexpected end":      {model.ConfigKey: `{`},
		"2 misshapen (classifier.1.weight":                             {model.ConfigKey: string(six)},
		"metadata mobilenet.labels: json: ":                            {model.LabelsKey: `{}`},
		"metadata mobilenet.labels: 2 labels for 5 classes":            {model.LabelsKey: `["a", "b"]`},
	} {
		f, err := parseTorch(data, true)
		if err != nil {
			t.Fatal(err)
		}
		f.metadata = metadata
		if _, err := f.model(len(data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
}

func TestSaveErrorsLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	if err := Save(filepath.Join(dir, "model.txt"), golden(t), SaveOptions{}); err == nil {
		t.Error("no error for an unknown ending")
	}
	if err := Save(filepath.Join(dir, "m.pth"), golden(t), SaveOptions{Naming: "keras"}); err == nil {
		t.Error("no error for unknown names")
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("%d files left", len(files))
	}
}

func TestSharedWeights(t *testing.T) {
	m, err := Open(testenv.Shared(t, "weights/mobilenet_v2_imagenet.pth"))
	if err != nil {
		t.Fatal(err)
	}
	if !m.Config.Equal(model.Default()) || len(m.Dict) != 314 {
		t.Errorf("%+v with %d tensors", m.Config, len(m.Dict))
	}
}

func BenchmarkOpen(b *testing.B) {
	m, err := model.New(model.Default(), 1)
	if err != nil {
		b.Fatal(err)
	}
	for _, ext := range []string{".pth", ".safetensors"} {
		b.Run(ext, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "m"+ext)
			if err := Save(path, m, SaveOptions{}); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := Open(path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
