package train

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/quant"
	"github.com/mobilenet-go/mobilenet/train/report"
	"github.com/mobilenet-go/mobilenet/vision"
)

// qatConfig has every kind of layer: strides 1 and 2, with and without expansion and
// residual, more than a block of channels.
func qatConfig() model.Config {
	c := model.Default()
	c.Width, c.Classes, c.Resolution, c.LastChannels = 0.5, 7, 40, 72
	c.Preprocess.Resize = 40
	c.Table = []model.Stage{{T: 1, C: 32, N: 2, S: 1}, {T: 6, C: 48, N: 2, S: 2}, {T: 4, C: 80, N: 1, S: 2}, {T: 2, C: 80, N: 2, S: 1}}
	return c
}

// noise are images of random blocks.
func noise(c model.Config, n int) []*vision.Image {
	rng := rand.New(rand.NewPCG(5, 6))
	var out []*vision.Image
	for range n {
		m := vision.NewImage(c.Resolution, c.Resolution)
		var colour [3]int
		for i := range m.Pix {
			if i%33 == 0 {
				colour = [3]int{rng.IntN(256), rng.IntN(256), rng.IntN(256)}
			}
			m.Pix[i] = uint8(min(255, max(0, colour[i%3]+rng.IntN(40)-20)))
		}
		out = append(out, m)
	}
	return out
}

// calibratedNetwork is a random network in 8 bits, calibrated with images.
func calibratedNetwork(t *testing.T, c model.Config, images []*vision.Image) *model.Quantized {
	m, err := model.New(c, 3)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for _, s := range c.Network().Specs() { // norms that do something
		v := m.Dict[s.Name].Data
		for i := range v {
			switch {
			case len(s.Shape) > 1:
			case s.Trained():
				v[i] += 0.3 * rng.Float32()
			}
		}
	}
	q, err := quant.Calibrate(t.Context(), m, func(yield func(image.Image, error) bool) {
		for _, img := range images {
			if !yield(img, nil) {
				return
			}
		}
	}, quant.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestQATForward checks that the training's forward pass is the 8-bit engine's to the
// bit, with the weights of the calibration and with others.
func TestQATForward(t *testing.T) {
	c := qatConfig()
	images := noise(c, 9)
	q := calibratedNetwork(t, c, images)
	m := q.Dequantize()
	n, err := newNetwork(m, 3, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	n.quantise(q)
	side := c.Resolution * c.Resolution * 3
	levels := c.Preprocess.Levels()
	input := make([]float32, len(images)*side)
	var pixels []uint8
	for i, img := range images {
		levels.Apply(input[i*side:][:side], img.Pix)
		pixels = append(pixels, img.Pix...)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for round := range 3 {
		got, err := n.forward(input, len(images), nil)
		if err != nil {
			t.Fatal(err)
		}
		e, err := engine.CompileQuantized(withWeights(q, m), engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float32, len(got))
		if err := e.Run(context.Background(), engine.Input{Pixels: pixels, N: len(images), H: c.Resolution, W: c.Resolution}, engine.Output{Logits: want}); err != nil {
			t.Fatal(err)
		}
		e.Close()
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: logits\n%v, want\n%v", round, got[:14], want[:14])
		}
		n.release()
		for _, p := range n.params { // as if a step had been made
			for i := range p.Value {
				p.Value[i] *= 1 + 0.1*rng.Float32()
			}
		}
	}
}

// TestTorchQAT compares a step with PyTorch's fake quantisation: loss, logits, and the
// gradients of all weights and biases; see testdata/qat.py.
func TestTorchQAT(t *testing.T) {
	tensors, meta, err := checkpoint.ReadTensors("testdata/qat.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string, v any) {
		if err := json.Unmarshal([]byte(meta[name]), v); err != nil {
			t.Fatal(name, err)
		}
	}
	c := model.Default()
	c.Classes, c.Resolution = 3, 32
	read("width", &c.Width)
	read("last_channels", &c.LastChannels)
	var table [][4]float64
	read("table", &table)
	c.Table = nil
	for _, s := range table {
		c.Table = append(c.Table, model.Stage{T: s[0], C: int(s[1]), N: int(s[2]), S: int(s[3])})
	}
	m, err := model.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	folded := model.StateDict{}
	spec := c.Network()
	for _, conv := range spec.Convs() {
		model.Unfold(folded, conv, tensors[conv.Name+".weight"].Data, tensors[conv.Norm+".bias"].Data, c.BNEps)
	}
	for name, v := range folded {
		copy(m.Dict[name].Data, v.Data)
	}
	for _, name := range []string{".weight", ".bias"} {
		copy(m.Dict[spec.Classifier.Name+name].Data, tensors[spec.Classifier.Name+name].Data)
	}

	q := &model.Quantized{Config: c, Classifier: model.QuantizedLayer{Max: 255, Out: model.Quantization{Scale: 1}}}
	of := func(r [2]float64) model.Quantization {
		return model.Quantization{Scale: float32(r[0]), Zero: uint8(r[1])}
	}
	var input, pool [2]float64
	var convs [][2]float64
	var sums []*[2]float64
	read("input", &input)
	read("convs", &convs)
	read("sums", &sums)
	read("pool", &pool)
	q.Input, q.Pool = of(input), of(pool)
	for _, r := range convs {
		q.Convs = append(q.Convs, model.QuantizedLayer{Out: of(r), Max: 255})
	}
	for _, r := range sums {
		s := model.QuantizedSum{Quantization: model.Quantization{Scale: 1}}
		if r != nil {
			s.Quantization = of(*r)
		}
		q.Sums = append(q.Sums, s)
	}
	q = withWeights(q, m)
	if err := q.Validate(); err != nil {
		t.Fatal(err)
	}

	x := tensors["x"]
	images, side := x.Shape[0], x.Shape[2]
	photo := make([]float32, len(x.Data))
	for i := range images {
		for ch := range 3 {
			for p := range side * side {
				photo[(i*side*side+p)*3+ch] = x.Data[(i*3+ch)*side*side+p]
			}
		}
	}
	target := make([]float32, images*3)
	for i, label := range tensors["labels"].Data {
		oneHot(target[3*i:][:3], int(label), 0)
	}
	for _, threads := range []int{1, 3} {
		n, err := newNetwork(m, threads, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		n.quantise(q)
		loss, logits := step(t, n, photo, target, nil)
		near(t, "loss", []float32{float32(loss)}, tensors["loss"].Data, 0)
		near(t, "logits", logits, tensors["logits"].Data, 0)
		if want := 2*len(spec.Convs()) + 2; len(n.params) != want {
			t.Errorf("%d parameters, want %d", len(n.params), want)
		}
		for _, p := range n.params {
			near(t, "gradient of "+p.Name, p.Grad, tensors["grad."+p.Name].Data, 1e-6)
		}
	}
}

// TestQATFit checks a run in 8 bits from end to end: the same bits at any number of
// threads and after an interruption, validation and the file of the result being the
// 8-bit network, never worse than calibration alone, and a model that doesn't change.
func TestQATFit(t *testing.T) {
	train, val := photos(t, 9)
	first := options(t, train, val)
	first.Mixup, first.CutMix, first.EMA, first.Augment.Erase, first.Epochs = 0, 0, 0, 0, 6
	trained, err := Fit(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"SGD":            func(o *Options) {},
		"average, AdamW": func(o *Options) { o.EMA, o.Optimizer, o.LR = 0.9, AdamW, 0.0005 },
		"modules":        func(o *Options) { o.Freeze, o.Augment, o.Mixup, o.CutMix = 2, vision.Augment{}, 0, 0 },
		"taught":         func(o *Options) { o.Data.Teacher = trained.Model },
	} {
		begin := func(threads int) Options {
			o := options(t, train, val)
			o.Model, o.QAT, o.Threads, o.Epochs, o.EMA, o.LR = trained.Model, true, threads, 2, 0, 0.001
			change(&o)
			return o
		}
		weights := modelSum(trained.Model)
		whole := begin(1)
		r, err := Fit(t.Context(), whole)
		if err != nil {
			t.Fatal(name, err)
		}
		if modelSum(trained.Model) != weights {
			t.Errorf("%s: the model has changed", name)
		}
		parts := begin(3)
		ctx, cancel := context.WithCancel(t.Context())
		parts.Progress = func(p Progress) {
			if p.Epoch == 2 {
				cancel()
			}
		}
		if _, err := Fit(ctx, parts); err == nil {
			t.Fatal(name, "not interrupted")
		}
		again := begin(2)
		again.RunDir, again.Resume = parts.RunDir, true
		if _, err := Fit(t.Context(), again); err != nil {
			t.Fatal(name, err)
		}
		if !bytes.Equal(last(t, whole), last(t, again)) {
			t.Errorf("%s: the weights differ", name)
		}
		var eight [][]byte
		for _, dir := range []string{whole.RunDir, again.RunDir} {
			data, err := os.ReadFile(filepath.Join(dir, Int8File))
			if err != nil {
				t.Fatal(name, err)
			}
			eight = append(eight, data)
		}
		if !bytes.Equal(eight[0], eight[1]) {
			t.Errorf("%s: the integers differ", name)
		}
		q, _, err := checkpoint.ParseQuantized(eight[0])
		if err != nil {
			t.Fatal(name, err)
		}
		best := r.Epochs[r.Best-1]
		if r.Int8.Evaluation.Top1Accuracy < r.Int8.Calibrated.Top1Accuracy || best.ValLoss != r.Evaluation.Loss {
			t.Errorf("%s: %v, calibrated alone %v; epoch %+v, measured %v", name, r.Int8.Evaluation.Top1Accuracy, r.Int8.Calibrated.Top1Accuracy, best, r.Evaluation.Loss)
		}
		v := &validator{Options: whole, set: val}
		e, err := engine.CompileQuantized(q, engine.Options{})
		if err != nil {
			t.Fatal(name, err)
		}
		measured, err := v.through(t.Context(), e, q.Config)
		e.Close()
		if err != nil || measured.Loss != r.Int8.Evaluation.Loss {
			t.Errorf("%s: the file's network has loss %v, want %v, %v", name, measured.Loss, r.Int8.Evaluation.Loss, err)
		}
		other := begin(2)
		other.RunDir, other.Resume, other.Model = parts.RunDir, true, options(t, train, val).Model
		if _, err := Fit(t.Context(), other); err == nil || !strings.Contains(err.Error(), "ranges was ") {
			t.Errorf("%s: resumed from another model: %v", name, err)
		}
	}
}

// TestQATCalibrated: where training in 8 bits makes the network worse, card, pictures and
// test are those of the calibrated one, which is kept.
func TestQATCalibrated(t *testing.T) {
	train, val := photos(t, 9)
	o := options(t, train, val)
	o.Mixup, o.CutMix, o.EMA, o.Augment.Erase, o.Epochs = 0, 0, 0, 0, 6
	trained, err := Fit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	o = options(t, train, val)
	o.Mixup, o.CutMix, o.EMA, o.Augment.Erase, o.Epochs = 0, 0, 0, 0, 1
	o.Model, o.QAT, o.Test, o.Warmup, o.LR, o.Clip = trained.Model, true, val, 0, 100, 1
	r, err := Fit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	q := r.Int8
	if q.Evaluation != q.Calibrated || q.Evaluation.Loss >= r.Evaluation.Loss {
		t.Fatalf("loss %v, calibrated %v, trained %v", q.Evaluation.Loss, q.Calibrated.Loss, r.Evaluation.Loss)
	}
	var told struct{ Loss float64 }
	data, err := os.ReadFile(filepath.Join(o.RunDir, TestDir, "evaluation.json"))
	if err := cmp.Or(err, json.Unmarshal(data, &told)); err != nil || told.Loss != q.Evaluation.Loss || q.Test.Loss != told.Loss {
		t.Errorf("the test has loss %v, want %v; error %v", told.Loss, q.Evaluation.Loss, err)
	}
	card, err := os.ReadFile(filepath.Join(o.RunDir, report.CardFile))
	if err != nil || !bytes.Contains(card, []byte("8-bit integers, calibrated with 21 images and not trained further: no epoch in 8 bits, of 1, was")) {
		t.Errorf("error %v, card\n%s", err, card)
	}
	kept := &validator{Options: o, set: val}
	e, err := engine.CompileQuantized(q.Network, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	judged, err := kept.through(t.Context(), e, q.Network.Config)
	if err != nil {
		t.Fatal(err)
	}
	kept.RunDir = t.TempDir()
	if err := kept.pictures(judged); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"confusion_matrix.png", "val_predictions.jpg"} {
		want, err := os.ReadFile(filepath.Join(kept.RunDir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(o.RunDir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not of the network that is kept; error %v", name, err)
		}
	}
}
