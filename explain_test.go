package mobilenet_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mobilenet-go/mobilenet"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
)

// everyClass asks for the maps of all classes of c.
func everyClass(c *mobilenet.Classifier) mobilenet.ExplainOptions {
	var o mobilenet.ExplainOptions
	for i := range c.Config().Outcomes() {
		o.Classes = append(o.Classes, i)
	}
	return o
}

// checkSums wants the mean of each map and the bias to be the logit.
func checkSums(t *testing.T, c *mobilenet.Classifier, img image.Image) {
	t.Helper()
	e, err := c.Explain(t.Context(), img, everyClass(c))
	if err != nil {
		t.Fatal(err)
	}
	logits, err := c.Logits(t.Context(), []image.Image{img})
	if err != nil || !slices.Equal(e.Logits, logits[0]) {
		t.Fatalf("other logits than those of Logits, or %v", err)
	}
	if features, err := c.Embed(t.Context(), img); err != nil || !slices.Equal(e.Features, features) {
		t.Fatalf("other features than those of Embed, or %v", err)
	}
	single := c.Config().Outcomes() != c.Config().Classes
	for i, m := range e.Maps {
		sum := 0.0
		for _, v := range m.Values {
			sum += float64(v)
		}
		want := float64(logits[0][i])
		if single && i == 0 {
			want = -float64(logits[0][1])
		}
		got := sum/float64(len(m.Values)) + float64(m.Bias)
		if !(math.Abs(got-want) <= 1e-4) || m.Logit != float32(want) || m.Index != i {
			t.Fatalf("class %d: mean and bias are %v, the logit is %v (%v)", i, got, want, m.Logit)
		}
	}
	if e.Height*e.Width != len(e.Maps[0].Values) {
		t.Errorf("%d values for %d by %d", len(e.Maps[0].Values), e.Height, e.Width)
	}
}

// TestCAMAddsUp: all classes, several photos, widths, paddings, inputs, precisions.
func TestCAMAddsUp(t *testing.T) {
	c := open(t)
	for _, img := range photos() {
		checkSums(t, c, img)
	}
	for _, width := range []float64{0.35, 1} {
		for _, padding := range []model.Padding{model.PadTorch, model.PadSame} {
			for _, size := range [][2]int{{96, 96}, {64, 160}, {224, 224}} {
				t.Run(fmt.Sprintf("width=%v/%s/%v", width, padding, size), func(t *testing.T) {
					config := model.Default()
					config.Width, config.Padding, config.Classes = width, padding, 11
					config.SetInput(size[0], size[1])
					m, err := model.New(config, 7)
					if err != nil {
						t.Fatal(err)
					}
					c, err := mobilenet.New(m)
					if err != nil {
						t.Fatal(err)
					}
					checkSums(t, c, photos()[1])
				})
			}
		}
	}
	t.Run("int8", func(t *testing.T) {
		c, err := mobilenet.NewQuantized(quantised(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, img := range photos() {
			checkSums(t, c, img)
		}
	})
	t.Run("single", func(t *testing.T) {
		c, err := mobilenet.New(headed(t, 1, model.Head{Sigmoid: true}))
		if err != nil {
			t.Fatal(err)
		}
		checkSums(t, c, photos()[0])
	})
}

// TestCAMOfSharedWeights: the published networks, in float32 and in 8-bit integers of
// three kinds, add up on photos, and the int8 map is nearly that of float32.
func TestCAMOfSharedWeights(t *testing.T) {
	files, _ := testenv.NIPS17(t)
	for _, name := range []string{"mobilenet_v2_imagenet.pth", "mobilenetv2-12-int8.onnx", "tf2_mobilenet_v2_1.0_224_ptq.tflite"} {
		c, err := mobilenet.Open(t.Context(), testenv.Shared(t, "weights/"+name))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files[:3] {
			img, err := mobilenet.DecodeFile(t.Context(), file)
			if err != nil {
				t.Fatal(err)
			}
			checkSums(t, c, img)
		}
	}
}

// TestCAMInt8IsNearFloat32: the maps of a network of 8-bit integers are those of the same
// weights in float32, but for its rounding.
func TestCAMInt8IsNearFloat32(t *testing.T) {
	files, classes := testenv.NIPS17(t)
	maps := func(file string, class int, p mobilenet.Precision) []float32 {
		c, err := mobilenet.Open(t.Context(), testenv.Shared(t, "weights/mobilenetv2-12-int8.onnx"), mobilenet.WithPrecision(p))
		if err != nil {
			t.Fatal(err)
		}
		img, err := mobilenet.DecodeFile(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		e, err := c.Explain(t.Context(), img, mobilenet.ExplainOptions{Classes: []int{class}})
		if err != nil {
			t.Fatal(err)
		}
		return e.Maps[0].Values
	}
	for i, file := range files[:3] {
		got, want := maps(file, classes[i], mobilenet.Int8), maps(file, classes[i], mobilenet.Float32)
		if r := correlation(got, want); !(r > 0.95) {
			t.Errorf("%s: the maps correlate by %v: %v, %v", file, r, got, want)
		}
	}
}

// correlation is Pearson's.
func correlation(a, b []float32) float64 {
	mean := func(v []float32) (sum float64) {
		for _, x := range v {
			sum += float64(x) / float64(len(v))
		}
		return sum
	}
	ma, mb := mean(a), mean(b)
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i])-ma, float64(b[i])-mb
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	return ab / math.Sqrt(aa*bb)
}

// TestExplainChooses: the most probable classes, or those that are named, in order.
func TestExplainChooses(t *testing.T) {
	c, img := open(t), photos()[2]
	best, err := c.Classify(t.Context(), img, 3)
	if err != nil {
		t.Fatal(err)
	}
	of := func(o mobilenet.ExplainOptions) (p []mobilenet.Prediction) {
		e, err := c.Explain(t.Context(), c.Prepare(img), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range e.Maps {
			p = append(p, m.Prediction)
		}
		return p
	}
	if got := of(mobilenet.ExplainOptions{}); !slices.Equal(got, best[:1]) {
		t.Errorf("%v, want %v", got, best[:1])
	}
	if got := of(mobilenet.ExplainOptions{Top: 3}); !slices.Equal(got, best) {
		t.Errorf("%v, want %v", got, best)
	}
	named := []mobilenet.Prediction{best[2], best[0]}
	if got := of(mobilenet.ExplainOptions{Classes: []int{best[2].Index, best[0].Index}}); !slices.Equal(got, named) {
		t.Errorf("%v, want %v", got, named)
	}
}

func TestExplainErrors(t *testing.T) {
	c, img := open(t), photos()[0]
	for want, o := range map[string]mobilenet.ExplainOptions{
		"want 0 to":       {Classes: []int{c.Config().Outcomes()}},
		"class -1":        {Classes: []int{-1}},
		"is there twice":  {Classes: []int{2, 1, 2}},
		"at least 1":      {Top: -1},
		"both classes":    {Top: 1, Classes: []int{1}},
		"no layer":        {Layer: "features.0.0"},
		"is of the last":  {Layer: "features.0", Method: mobilenet.CAM},
		"at no layer":     {Layer: "features.0", Method: mobilenet.Occlusion},
		`method "smooth"`: {Method: "smooth"},
	} {
		if _, err := c.Explain(t.Context(), img, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
	if _, err := damaged(t).Explain(t.Context(), img, mobilenet.ExplainOptions{}); !errors.Is(err, mobilenet.ErrNotFinite) {
		t.Errorf("damaged weights: %v", err)
	}
	hidden, err := mobilenet.New(headed(t, 4, model.Head{Hidden: []int{20}}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hidden.Explain(t.Context(), img, mobilenet.ExplainOptions{}); !errors.Is(err, engine.ErrNotLinear) {
		t.Errorf("hidden layers: %v", err)
	}
	m := headed(t, 4, model.Head{})
	m.Config.Classes = 0
	delete(m.Dict, "classifier.1.weight")
	delete(m.Dict, "classifier.1.bias")
	none, err := mobilenet.New(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := none.Explain(t.Context(), img, mobilenet.ExplainOptions{}); !errors.Is(err, mobilenet.ErrNoClasses) {
		t.Errorf("no classes: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Explain(ended, img, mobilenet.ExplainOptions{Method: mobilenet.Occlusion}); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
}

// TestGradCAM: at the last layer it is CAM over the number of pixels; hidden layers and
// a single output have it, 8-bit integers not.
func TestGradCAM(t *testing.T) {
	single, err := mobilenet.New(headed(t, 1, model.Head{Sigmoid: true}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*mobilenet.Classifier{open(t), single} {
		img := photos()[3]
		cam, err := c.Explain(t.Context(), img, everyClass(c))
		if err != nil {
			t.Fatal(err)
		}
		o := everyClass(c)
		o.Method = mobilenet.GradCAM
		grad, err := c.Explain(t.Context(), img, o)
		if err != nil {
			t.Fatal(err)
		}
		if grad.Layer != cam.Layer || grad.Width != cam.Width || !slices.Equal(grad.Logits, cam.Logits) {
			t.Errorf("layer %s, width %d, logits %v, want %s, %d, %v", grad.Layer, grad.Width, grad.Logits, cam.Layer, cam.Width, cam.Logits)
		}
		for i, m := range grad.Maps {
			if m.Prediction != cam.Maps[i].Prediction || m.Logit != cam.Maps[i].Logit {
				t.Errorf("%v, want %v", m.Prediction, cam.Maps[i].Prediction)
			}
			for p, v := range m.Values {
				want := float64(cam.Maps[i].Values[p]) / float64(len(m.Values))
				if !(math.Abs(float64(v)-want) <= 1e-5*(1+math.Abs(want))) {
					t.Fatalf("class %d: %v at %d, want %v", i, v, p, want)
				}
			}
		}
		if e, err := c.Explain(t.Context(), img, mobilenet.ExplainOptions{Layer: "features.1"}); err != nil || e.Method != mobilenet.GradCAM {
			t.Errorf("another layer: %v, %v", e, err)
		}
	}
	hidden, err := mobilenet.New(headed(t, 4, model.Head{Hidden: []int{20}}))
	if err != nil {
		t.Fatal(err)
	}
	if e, err := hidden.Explain(t.Context(), photos()[0], mobilenet.ExplainOptions{Method: mobilenet.GradCAM}); err != nil || len(e.Maps) != 1 {
		t.Errorf("hidden layers: %v, %v", e, err)
	}
	q, err := mobilenet.NewQuantized(quantised(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Explain(t.Context(), photos()[0], mobilenet.ExplainOptions{Method: mobilenet.GradCAM}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("8 bits: %v", err)
	}
}

// TestOcclusion: a part that has the mean colour already changes nothing when it is
// covered; that of the single cell that differs does.
func TestOcclusion(t *testing.T) {
	m := headed(t, 3, model.Head{})
	m.Config.Preprocess.Mean = [3]float32{0.5, 0.25, 0.75}
	for i := range m.Dict["classifier.1.weight"].Data {
		m.Dict["classifier.1.weight"].Data[i] *= 1e4
	}
	c, err := mobilenet.New(m)
	if err != nil {
		t.Fatal(err)
	}
	h, w := c.Config().InputSize()
	resize := c.Config().Preprocess.Resize
	img := image.NewNRGBA(image.Rect(0, 0, resize, resize)) // not resized
	for y := range resize {
		for x := range resize {
			img.SetNRGBA(x, y, color.NRGBA{128, 64, 191, 255})
		}
	}
	left, top := (resize-w)/2, (resize-h)/2
	for y := top + h*9/14; y < top+h*10/14; y++ { // in cell 5, 9
		for x := left + w*5/14; x < left+w*6/14; x++ {
			img.SetNRGBA(x, y, color.NRGBA{uint8(x * 40), uint8(y * 60), 0, 255})
		}
	}
	e, err := c.Explain(t.Context(), img, mobilenet.ExplainOptions{Method: mobilenet.Occlusion, Classes: []int{0, 2}})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range e.Maps {
		for i, v := range m.Values {
			x, y := i%e.Width, i/e.Width
			if around := x >= 4 && x <= 6 && y >= 8 && y <= 10; around != (v != 0) {
				t.Errorf("class %d: %v at %d, %d", m.Index, v, x, y)
			}
		}
	}
}

// TestSeen: photos of a colour that differs inside and outside of the region.
func TestSeen(t *testing.T) {
	c := open(t)
	r := c.Seen(800, 400)
	config := c.Config()
	resize, side := float64(config.Preprocess.Resize), float64(config.Resolution)
	if margin := (resize - side) / 2 * 400 / resize; math.Abs(r.Top-margin) > 1 || math.Abs(r.Bottom-(400-margin)) > 1 {
		t.Errorf("rows %v to %v, want %v to %v", r.Top, r.Bottom, margin, 400-margin)
	}
	if math.Abs(r.Left+r.Right-800) > 2 || math.Abs((r.Right-r.Left)-(r.Bottom-r.Top)) > 1e-9 {
		t.Errorf("columns %v to %v", r.Left, r.Right)
	}
	// What is outside is not seen, what is inside is.
	for _, inside := range []bool{true, false} {
		img := image.NewNRGBA(image.Rect(0, 0, 800, 400))
		for y := range 400 {
			for x := range 800 {
				v := byte(x / 4)
				if in := float64(x) > r.Left-4 && float64(x) < r.Right+4 && float64(y) > r.Top-4 && float64(y) < r.Bottom+4; in == inside {
					v = byte(x * y)
				}
				img.SetNRGBA(x, y, color.NRGBA{v, v, v, 255})
			}
		}
		plain := image.NewNRGBA(image.Rect(0, 0, 800, 400))
		for y := range 400 {
			for x := range 800 {
				v := byte(x / 4)
				plain.SetNRGBA(x, y, color.NRGBA{v, v, v, 255})
			}
		}
		logits, err := c.Logits(t.Context(), []image.Image{img, plain})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(logits[0], logits[1]) == inside {
			t.Errorf("inside %v: it was seen: %v", inside, !inside)
		}
	}
}

// BenchmarkExplainOverClassify runs both on a prepared photo, in alternation, and reports
// the least time of each, and of Grad-CAM.
func BenchmarkExplainOverClassify(b *testing.B) {
	m, err := model.New(model.Default(), 1)
	if err != nil {
		b.Fatal(err)
	}
	for _, threads := range []int{1, 0} {
		c, err := mobilenet.New(m, mobilenet.WithThreads(threads))
		if err != nil {
			b.Fatal(err)
		}
		photo := c.Prepare(photos()[0])
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			least := [4]time.Duration{time.Hour, time.Hour, time.Hour, time.Hour}
			for b.Loop() {
				for i, run := range []func() error{
					func() error { _, err := c.Classify(b.Context(), photo, 1); return err },
					func() error { _, err := c.Explain(b.Context(), photo, mobilenet.ExplainOptions{}); return err },
					func() error { _, err := c.Explain(b.Context(), photo, mobilenet.ExplainOptions{Top: 5}); return err },
					func() error {
						_, err := c.Explain(b.Context(), photo, mobilenet.ExplainOptions{Layer: "features.14"})
						return err
					},
				} {
					start := time.Now()
					if err := run(); err != nil {
						b.Fatal(err)
					}
					least[i] = min(least[i], time.Since(start))
				}
			}
			for i, unit := range []string{"classify-ms", "cam-ms", "cam-top5-ms", "gradcam14-ms"} {
				b.ReportMetric(least[i].Seconds()*1e3, unit)
			}
		})
	}
}
