package main

import (
	"image"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/quant"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mobilenet": func() { os.Exit(run()) }})
}

// TestScripts runs the command lines in testdata/script. $MODEL is a small
// network of five classes that says how its photos are prepared, $INT8 the same in 8-bit integers, $QUANTISED
// another that ONNX Runtime has quantised, $PHOTO a drawing and $BOOT a boot.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	said := saidModel(t)
	int8 := int8Model(t, said)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("MODEL", said)
			env.Setenv("TESTDATA", filepath.Join(root, "checkpoint", "testdata"))
			env.Setenv("INT8", int8)
			env.Setenv("QUANTISED", filepath.Join(root, "onnx", "testdata", "import", "qdq13.onnx"))
			env.Setenv("UNFIT", filepath.Join(root, "onnx", "testdata", "foreign", "float_first.onnx"))
			env.Setenv("UINT8", filepath.Join(root, "tflite", "testdata", "uint8.tflite"))
			env.Setenv("HYBRID", filepath.Join(root, "tflite", "testdata", "hybrid.tflite"))
			env.Setenv("PHOTO", filepath.Join(root, "testdata", "shapes.png"))
			env.Setenv("BOOT", filepath.Join(root, "testdata", "ankle-boot.png"))
			env.Setenv("MOBILENET_CACHE", filepath.Join(env.WorkDir, "cache"))
			return nil
		},
	})
}

// int8Model returns the path of a model in 8-bit integers.
func int8Model(t *testing.T, path string) string {
	t.Helper()
	m, err := mobilenet.LoadModel(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	photo := func(yield func(image.Image, error) bool) { yield(mobilenet.DecodeFile(t.Context(), drawing)) }
	q, err := quant.Calibrate(t.Context(), m, photo, quant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "int8.safetensors")
	if err := mobilenet.SaveQuantized(path, q); err != nil {
		t.Fatal(err)
	}
	return path
}

// saidModel returns the path of checkpoint/testdata/zip.pth as a file of ours, which
// leaves nothing of its input open.
func saidModel(t *testing.T) string {
	t.Helper()
	m, err := mobilenet.LoadModel(t.Context(), smallModel)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "zip.pth")
	if err := mobilenet.SaveModel(path, m, mobilenet.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return path
}
