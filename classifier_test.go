package mobilenet_test

import (
	"context"
	"errors"
	"image"
	"log"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/model"
)

// TestMain keeps the tests out of the user's cache folder.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mobilenet")
	if err != nil {
		log.Fatal(err)
	}
	os.Setenv("MOBILENET_CACHE", dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func open(t testing.TB, opts ...mobilenet.Option) *mobilenet.Classifier {
	t.Helper()
	c, err := mobilenet.Open(context.Background(), weights, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// photos are of different sizes and kinds.
func photos() []image.Image {
	var out []image.Image
	for i := range 7 {
		m := image.NewNRGBA(image.Rect(0, 0, 200+31*i, 310-17*i))
		for j := range m.Pix {
			m.Pix[j] = byte(j * (i + 3) >> 3)
		}
		out = append(out, m)
	}
	return append(out, image.NewGray(image.Rect(5, 5, 400, 300)), image.NewYCbCr(image.Rect(0, 0, 99, 350), image.YCbCrSubsampleRatio420))
}

func TestBatchIsTheSameAsOneByOne(t *testing.T) {
	c, ctx := open(t), context.Background()
	batch, err := c.ClassifyBatch(ctx, photos(), 5)
	if err != nil {
		t.Fatal(err)
	}
	for i, img := range photos() {
		one, err := c.Classify(ctx, img, 5)
		if err != nil {
			t.Fatal(err)
		}
		ready, err := c.Classify(ctx, c.Prepare(img), 5)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(batch[i], one) + cmp.Diff(ready, one); diff != "" {
			t.Errorf("photo %d: %s", i, diff)
		}
	}
}

func TestOnThreads(t *testing.T) {
	c := open(t, mobilenet.WithThreads(2))
	one, err := c.OnThreads(1)
	if err != nil {
		t.Fatal(err)
	}
	want, err := c.Logits(t.Context(), photos())
	if err != nil {
		t.Fatal(err)
	}
	got, err := one.Logits(t.Context(), photos())
	if err != nil || cmp.Diff(got, want) != "" {
		t.Errorf("other logits on one thread (%v)", err)
	}
	if _, err := (*mobilenet.Classifier)(nil).OnThreads(1); err == nil {
		t.Error("a classifier of nothing")
	}
}

func TestConcurrentUse(t *testing.T) {
	c, ctx := open(t), context.Background()
	want, err := c.Logits(ctx, photos())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i, img := range photos() {
				got, err := c.Logits(ctx, []image.Image{img})
				if err != nil || !slices.Equal(got[0], want[i]) {
					t.Errorf("photo %d: other logits, %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestProbabilities(t *testing.T) {
	c, ctx := open(t), context.Background()
	p, err := c.Classify(ctx, photos()[0], 99)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, v := range p {
		sum += float64(v.Probability)
		if i > 0 && v.Probability > p[i-1].Probability {
			t.Errorf("%v behind %v", v, p[i-1])
		}
	}
	if len(p) != 5 || math.Abs(sum-1) > 1e-6 {
		t.Errorf("%d classes with %v in all", len(p), sum)
	}
	if p[0].Label == "" {
		t.Error("a class without a label")
	}
}

func TestErrors(t *testing.T) {
	ctx := context.Background()
	c := open(t)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Classify(canceled, photos()[0], 1); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	for name, f := range map[string]func() error{
		"best 0 classes":             func() error { _, err := c.Classify(ctx, photos()[0], 0); return err },
		"an image without":           func() error { _, err := c.Classify(ctx, image.NewGray(image.Rectangle{}), 1); return err },
		"no images":                  func() error { _, err := c.Logits(ctx, nil); return err },
		"and no model has that name": func() error { _, err := mobilenet.Open(ctx, "imagenet"); return err },
		"absent.pth: no such":        func() error { _, err := mobilenet.Open(ctx, "absent.pth"); return err },
		"1 labels for a model of 5":  func() error { _, err := mobilenet.Open(ctx, weights, mobilenet.WithLabels([]string{"a"})); return err },
		"-1 threads":                 func() error { _, err := mobilenet.Open(ctx, weights, mobilenet.WithThreads(-1)); return err },
		"doc.go: not an image:":      func() error { _, err := mobilenet.DecodeFile(ctx, "doc.go"); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want it to contain %q", err, name)
		}
	}
}

func TestOfflineSaysWhichFileToPutWhere(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MOBILENET_CACHE", dir)
	_, err := mobilenet.Open(context.Background(), "imagenet1k_v1", mobilenet.WithOffline(true))
	for _, want := range []string{"https://download.pytorch.org/models/mobilenet_v2-b0353104.pth", dir} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
}

func TestLabels(t *testing.T) {
	c := model.Default()
	c.Width, c.Resolution = 0.1, 32
	for _, test := range []struct {
		classes int
		own     []string
		option  []string
		want    string // of class 1
	}{
		{1000, nil, nil, "goldfish"},
		{1001, nil, nil, "tench"},
		{3, nil, nil, "1"},
		{3, []string{"a", "b", "c"}, nil, "b"},
		{3, []string{"a", "b", "c"}, []string{"x", "y", "z"}, "y"},
	} {
		c.Classes = test.classes
		m, err := model.New(c, 1)
		if err != nil {
			t.Fatal(err)
		}
		m.Labels = test.own
		classifier, err := mobilenet.New(m, mobilenet.WithLabels(test.option))
		if err != nil {
			t.Fatal(err)
		}
		if got := classifier.Labels(); len(got) != test.classes || got[1] != test.want {
			t.Errorf("%d classes, class 1 is %q, want %q", len(got), got[1], test.want)
		}
	}
}

func TestDamagedWeights(t *testing.T) {
	c := damaged(t)
	if p, err := c.Classify(t.Context(), photos()[0], 1); !errors.Is(err, mobilenet.ErrNotFinite) {
		t.Errorf("predictions %v, error %v", p, err)
	}
	if p, err := c.ClassifyBatch(t.Context(), photos(), 1); !errors.Is(err, mobilenet.ErrNotFinite) {
		t.Errorf("predictions %v of a batch, error %v", p, err)
	}
}

// damaged is a classifier with a NaN among its weights.
func damaged(t *testing.T) *mobilenet.Classifier {
	t.Helper()
	m, err := mobilenet.LoadModel(t.Context(), weights)
	if err != nil {
		t.Fatal(err)
	}
	m.Dict["classifier.1.bias"].Data[2] = float32(math.NaN())
	c, err := mobilenet.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
