package main

import (
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// TestExportSaysRounding: torch's rounding is lost in ONNX, and export says so.
func TestExportSaysRounding(t *testing.T) {
	const said = "has QNNPACK's rounding: ONNX Runtime's differs"
	for format, want := range map[string]bool{"qdq": true, "float": false} {
		stderr, err := mobilenetCommand(t.Context(), t, io.Discard, "export", "-m", "../../checkpoint/testdata/torchvision_int8_channels.pth",
			"-o", filepath.Join(t.TempDir(), "q.onnx"), "--format", format)
		if err != nil || strings.Contains(stderr, said) != want {
			t.Errorf("--format %s: %v, standard error %q", format, err, stderr)
		}
	}
}
