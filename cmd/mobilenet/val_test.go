package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// TestValPhotos measures on labelled photos what torchvision's logits for them
// give: 143 of 160 right, 159 among the best five; loss and calibration computed
// with NumPy.
func TestValPhotos(t *testing.T) {
	weights, dir := testenv.Shared(t, "weights/mobilenet_v2_imagenet.pth"), testenv.Shared(t, "images/nips17")
	out := t.TempDir()
	var stdout bytes.Buffer
	stderr, err := mobilenetCommand(context.Background(), t, &stdout,
		"val", "--data", filepath.Join(dir, "images.csv"), "--model", weights, "--format", "json", "--out", out)
	if err != nil || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "assumed: ") {
		t.Fatalf("%v, %q on standard error", err, stderr)
	}
	var e report.Evaluation
	if err := json.Unmarshal(stdout.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	if e.Images != 160 || e.Top1Accuracy != 0.89375 || e.Top5Accuracy != 0.99375 || !(e.ImagesPerSecond > 0) {
		t.Errorf("%d images, top-1 %v, top-5 %v, %v images/s", e.Images, e.Top1Accuracy, e.Top5Accuracy, e.ImagesPerSecond)
	}
	const loss, ece = 0.387055, 0.103297
	if !(math.Abs(e.Loss-loss) < 1e-4 && math.Abs(e.ECE-ece) < 1e-4) {
		t.Errorf("loss %v, ECE %v; want %v, %v", e.Loss, e.ECE, loss, ece)
	}
	saved, err := os.ReadFile(filepath.Join(out, "evaluation.json"))
	if err != nil || !bytes.Equal(saved, stdout.Bytes()) {
		t.Errorf("evaluation.json is not what was printed (%v)", err)
	}
}

// TestValCanceled wants no result, no report of images, and no folder half full.
func TestValCanceled(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list.csv")
	photo, err := filepath.Abs(drawing)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, []byte("path,label\n"+photo+",4\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	out := t.TempDir()
	var stdout bytes.Buffer
	stderr, err := mobilenetCommand(ctx, t, &stdout, "val", "-d", list, "-m", smallModel, "-o", out)
	files, _ := os.ReadDir(out)
	if !errors.Is(err, context.Canceled) || stderr != "" || stdout.Len() > 0 || len(files) > 0 {
		t.Errorf("error %v, %q on standard error, %d files", err, stderr, len(files))
	}
}
