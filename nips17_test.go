package mobilenet_test

import (
	"context"
	"encoding/binary"
	"image"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// TestTorchvisionLogits classifies 160 photos and compares with what
// torchvision 0.14.1 gave for the same photos and weights.
func TestTorchvisionLogits(t *testing.T) {
	if testing.Short() {
		t.Skip("160 photos take a while with the race detector")
	}
	files, classes := testenv.NIPS17(t)
	want := readNPY(t, testenv.Shared(t, "golden/nips17_logits.npy"))
	ctx := context.Background()
	c, err := mobilenet.Open(ctx, testenv.Shared(t, "weights/mobilenet_v2_imagenet.pth"))
	if err != nil {
		t.Fatal(err)
	}
	top1, top5, worst := 0, 0, 0.0
	for i, file := range files {
		img, err := mobilenet.DecodeFile(ctx, file)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := c.Logits(ctx, []image.Image{img})
		if err != nil {
			t.Fatal(err)
		}
		logits, golden := rows[0], want[i*1000:(i+1)*1000]
		for j := range logits {
			worst = max(worst, math.Abs(float64(logits[j]-golden[j])))
		}
		best, theirs := bestFive(logits), bestFive(golden)
		if !slices.Equal(best, theirs) {
			t.Errorf("%s: top 5 %v, want %v", file, best, theirs)
		}
		if best[0] == classes[i] {
			top1++
		}
		if slices.Contains(best, classes[i]) {
			top5++
		}
	}
	t.Logf("top-1 %d, top-5 %d of %d, logits within %.2g", top1, top5, len(files), worst)
	if top1 != 143 || top5 != 159 || !(worst < 1e-3) {
		t.Errorf("top-1 %d, top-5 %d, logits within %v; want 143, 159, 1e-3", top1, top5, worst)
	}
}

// readNPY returns the values of a float32 .npy file of version 1.
func readNPY(t testing.TB, path string) []float32 {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body := data[10+int(binary.LittleEndian.Uint16(data[8:])):]
	out := make([]float32, len(body)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(body[4*i:]))
	}
	return out
}

func bestFive(logits []float32) []int {
	order := make([]int, len(logits))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if logits[a] > logits[b] {
			return -1
		}
		if logits[a] < logits[b] {
			return 1
		}
		return 0
	})
	return order[:5]
}
