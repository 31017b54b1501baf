package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mobilenet": func() { os.Exit(run()) }})
}

// TestScripts runs the command lines in testdata/script. $MODEL is a small
// network of five classes, $PHOTO a drawing.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("MODEL", filepath.Join(root, "checkpoint", "testdata", "zip.pth"))
			env.Setenv("TESTDATA", filepath.Join(root, "checkpoint", "testdata"))
			env.Setenv("PHOTO", filepath.Join(root, "testdata", "shapes.png"))
			env.Setenv("MOBILENET_CACHE", filepath.Join(env.WorkDir, "cache"))
			return nil
		},
	})
}
