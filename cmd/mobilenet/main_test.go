package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mobilenet-go/mobilenet"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mobilenet": func() { os.Exit(run()) }})
}

// TestScripts runs the command lines in testdata/script. $MODEL is a small
// network of five classes that says how its photos are prepared, $PHOTO a drawing.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	said := saidModel(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("MODEL", said)
			env.Setenv("TESTDATA", filepath.Join(root, "checkpoint", "testdata"))
			env.Setenv("QUANTISED", filepath.Join(root, "onnx", "testdata", "import", "qdq13.onnx"))
			env.Setenv("PHOTO", filepath.Join(root, "testdata", "shapes.png"))
			env.Setenv("MOBILENET_CACHE", filepath.Join(env.WorkDir, "cache"))
			return nil
		},
	})
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
