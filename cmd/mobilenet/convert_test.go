package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet"
)

// TestConvertHead: weights alone don't say what is behind the classes; the flag does, and
// OUT keeps it.
func TestConvertHead(t *testing.T) {
	const assumed = "softmax at the end"
	out := filepath.Join(t.TempDir(), "out.safetensors")
	for _, head := range []string{"sigmoid", "softmax"} {
		if log, err := mobilenetCommand(t.Context(), t, &bytes.Buffer{}, "convert", "--head", head, smallModel, out); err != nil {
			t.Fatal(err, log)
		}
		m, err := mobilenet.LoadModel(t.Context(), out)
		if err != nil {
			t.Fatal(err)
		}
		if m.Config.Head.Sigmoid != (head == "sigmoid") || m.Assumed.Head {
			t.Errorf("--head %s: %+v, assumed %v", head, m.Config.Head, m.Assumed)
		}
	}
	for file, want := range map[string]bool{smallModel: true, out: false} {
		var table bytes.Buffer
		if _, err := mobilenetCommand(t.Context(), t, &table, "summary", file); err != nil || strings.Contains(table.String(), assumed) != want {
			t.Errorf("summary %s, %v: want %q: %v", file, err, assumed, want)
		}
	}
}

// TestConvertRefuses: what can't be is said before IN is read.
func TestConvertRefuses(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.h5")
	for want, args := range map[string][]string{
		"end in .weights.h5":                 {"convert", "absent.pth", out},
		"--head tanh: want softmax, sigmoid": {"convert", "--head", "tanh", "absent.pth", out + ".pth"},
		"check is for ONNX and TFLite files": {"check", smallModel},
	} {
		if _, err := mobilenetCommand(t.Context(), t, &bytes.Buffer{}, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %s", args, err, want)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("it was written")
	}
}
