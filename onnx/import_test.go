package onnx_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/internal/onnx/ir"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/onnx"
	"github.com/mobilenet-go/mobilenet/vision"
)

// logits runs images of checkpoint/testdata/golden.py, [n][side][side][3].
func logits(t testing.TB, m *model.Model, data []float32, n, side int) []float32 {
	t.Helper()
	e, err := engine.Compile(m, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, n*m.Config.Classes)
	if err := e.Run(t.Context(), engine.Input{Data: data, N: n, H: side, W: side}, engine.Output{Logits: out}); err != nil {
		t.Fatal(err)
	}
	return out
}

func goldenInput() []float32 {
	x := make([]float32, 2*64*64*3)
	for i := range x {
		x[i] = float32(uint64(i)*2654435761>>13&255)/64 - 2
	}
	return x
}

// TestImport reads the same network as many tools write it and compares with
// what ONNX Runtime computes with each file.
func TestImport(t *testing.T) {
	text, err := os.ReadFile("testdata/import/logits.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Logits map[string][][]float32 }
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for file, rows := range want.Logits {
		t.Run(file, func(t *testing.T) {
			m, err := onnx.Import(filepath.Join("testdata/import", file))
			if err != nil {
				t.Fatal(err)
			}
			tol := 1e-4
			switch {
			case strings.HasPrefix(file, "half"):
				tol = 0.03 // ONNX Runtime computes in half precision, we don't
			case strings.HasPrefix(file, "q"):
				tol = 0.5 // nor round activations to 8 bits
			}
			for i, got := range logits(t, m, goldenInput(), 2, 64) {
				if w := rows[i/5][i%5]; !(math.Abs(float64(got-w)) < tol) {
					t.Errorf("logit %d: %v, ONNX Runtime has %v", i, got, w)
				}
			}
			if quantised := strings.HasPrefix(file, "q"); m.Dequantized != quantised {
				t.Errorf("dequantised: %v, want %v", m.Dequantized, quantised)
			}
			wantPadding := model.PadTorch
			if strings.HasPrefix(file, "tf") {
				wantPadding = model.PadSame
			}
			if m.Config.Padding != wantPadding {
				t.Errorf("padding %s, want %s", m.Config.Padding, wantPadding)
			}
		})
	}
}

// TestImportTraining has graphs in training form, which ONNX Runtime computes
// with batch statistics: the weights must be those that were exported.
func TestImportTraining(t *testing.T) {
	want, err := checkpoint.Open("../checkpoint/testdata/zip.pth")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"torch_train13.onnx", "torch_train17.onnx", "torch_preserve13.onnx"} {
		m, err := onnx.Import(filepath.Join("testdata/import", file))
		if err != nil {
			t.Error(err)
			continue
		}
		for name, w := range want.Dict {
			if strings.HasSuffix(name, "num_batches_tracked") {
				continue // ONNX has no place for it
			}
			for i, v := range w.Data {
				if m.Dict[name].Data[i] != v {
					t.Errorf("%s: %s: value %d is %v, want %v", file, name, i, m.Dict[name].Data[i], v)
					break
				}
			}
		}
	}
}

// TestModelZooQuantized imports the ONNX Model Zoo's int8 file and classifies
// 160 photos with the weights it gives.
func TestModelZooQuantized(t *testing.T) {
	m, err := onnx.Import(testenv.Shared(t, "weights/mobilenetv2-12-int8.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	files, classes := testenv.NIPS17(t)
	e, err := engine.Compile(m, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		img, err := vision.Decode(t.Context(), data, vision.DecodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		crop := vision.Crop(img, m.Config.Preprocess, 224)
		out := make([]float32, 1000)
		if err := e.Run(t.Context(), engine.Input{Pixels: crop.Pix, N: 1, H: 224, W: 224}, engine.Output{Logits: out}); err != nil {
			t.Fatal(err)
		}
		best := 0
		for c, v := range out {
			if v > out[best] {
				best = c
			}
		}
		if best == classes[i] {
			right++
		}
	}
	t.Logf("%d of %d right", right, len(files))
	if right < 138 {
		t.Errorf("%d of %d right, want at least 138", right, len(files))
	}
}

// TestRoundTrip exports and imports: for a folded float32 graph the logits come
// back to the bit, for the others within rounding.
func TestRoundTrip(t *testing.T) {
	m, err := checkpoint.Open("../checkpoint/testdata/zip.pth")
	if err != nil {
		t.Fatal(err)
	}
	m.Labels = []string{"ant", "bee", "cat", "dog", "elk"}
	want := logits(t, m, goldenInput(), 2, 64)
	for _, mode := range []onnx.Mode{onnx.Eval, onnx.Preserve, onnx.Train} {
		for opset := onnx.MinOpset; opset <= onnx.MaxOpset; opset++ {
			p, err := onnx.Export(m, onnx.ExportOptions{Mode: mode, Opset: opset})
			if err != nil {
				t.Fatal(err)
			}
			back, err := onnx.Model(p)
			if err != nil {
				t.Errorf("%s, opset %d: %v", mode, opset, err)
				continue
			}
			if !back.Config.Equal(m.Config) || strings.Join(back.Labels, " ") != "ant bee cat dog elk" {
				t.Errorf("%s, opset %d: %+v with labels %q came back", mode, opset, back.Config, back.Labels)
			}
			for i, v := range logits(t, back, goldenInput(), 2, 64) {
				if v != want[i] {
					t.Errorf("%s, opset %d: logit %d is %v, want %v", mode, opset, i, v, want[i])
				}
			}
		}
	}
}

// TestOtherGraphs changes one thing about a good graph at a time: the error must
// name the node that does not fit.
func TestOtherGraphs(t *testing.T) {
	const block = "/features/features.3/conv/conv."
	for want, change := range map[string]func(n *ir.Node){
		block + `1/conv.1.0/Conv" (Conv): not a MobileNetV2: a 3x3 convolution with stride 3`: func(n *ir.Node) { setInts(n, block+"1/conv.1.0/Conv", "strides", 3, 3) },
		block + `1/conv.1.0/Conv" (Conv): not a MobileNetV2: padding [0 0 0 0]`:               func(n *ir.Node) { setInts(n, block+"1/conv.1.0/Conv", "pads", 0, 0, 0, 0) },
		block + `1/conv.1.0/Conv" (Conv): not a MobileNetV2: dilations [2 2]`:                 func(n *ir.Node) { setInts(n, block+"1/conv.1.0/Conv", "dilations", 2, 2) },
		block + `1/conv.1.2/Clip" (HardSwish): not a MobileNetV2: HardSwish, where the depthwise`: func(n *ir.Node) {
			if n.Name == block+"1/conv.1.2/Clip" {
				n.OpType = "HardSwish"
			}
		},
		`want it to add the input`: func(n *ir.Node) {
			if n.OpType == "Add" {
				n.Input[0] = n.Input[1]
			}
		},
		`nothing before it makes its input "nowhere"`: func(n *ir.Node) {
			if n.Name == block+"2/Conv" {
				n.Input[0] = "nowhere"
			}
		},
		`(Gemm): not a MobileNetV2: nothing before it makes its input "missing"`: func(n *ir.Node) {
			if n.OpType == "Gemm" {
				n.Input[1] = "missing"
			}
		},
	} {
		p, err := onnx.Read("testdata/import/torch_eval17_dynamic.onnx")
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range ir.Unwrap(p).Graph.Node {
			change(n)
		}
		if _, err := onnx.Model(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
}

func setInts(n *ir.Node, node, attribute string, values ...int64) {
	if n.Name != node {
		return
	}
	for _, a := range n.Attribute {
		if a.Name == attribute {
			a.Ints = values
		}
	}
}

// FuzzImport checks that no graph makes the importer panic. What it accepts must
// run through the exporter and come back.
func FuzzImport(f *testing.F) {
	files, err := filepath.Glob("testdata/import/*.onnx")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := onnx.Parse(data, nil)
		if err != nil {
			return
		}
		m, err := onnx.Model(p)
		if err != nil {
			return
		}
		again, err := onnx.Export(m, onnx.ExportOptions{Mode: onnx.Preserve})
		if err != nil {
			t.Fatal(err)
		}
		back, err := onnx.Model(again)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := m.Config.Network(), back.Config.Network(); len(a.Blocks) != len(b.Blocks) || a.First != b.First || a.Last != b.Last {
			t.Errorf("%+v became %+v", a, b)
		}
	})
}
