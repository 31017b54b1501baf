package train

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// phases are options of a training of two phases.
func phases(t *testing.T, train, val *dataset.Set) Options {
	o := options(t, train, val)
	o.Optimizer, o.LR, o.HeadEpochs, o.HeadLR, o.LayerDecay, o.Undo, o.WarmupSteps = AdamW, 0.002, 3, 0.01, 0.8, true, 5
	return o
}

// TestClassifierAlone checks that epoch 0 is what a training with a frozen backbone
// ends in, that it can be the best, and that nothing else has changed by then.
func TestClassifierAlone(t *testing.T) {
	train, val := photos(t, 9)
	frozen := phases(t, train, val)
	frozen.Hyperparameters = frozen.Hyperparameters.alone()
	frozen.Warmup = 0.75
	want, err := Fit(t.Context(), frozen)
	if err != nil {
		t.Fatal(err)
	}
	o := phases(t, train, val)
	o.Epochs, o.Warmup, o.LR, o.Undo = 1, 0.75, 30, false // such a rate spoils what epoch 0 left
	got, err := Fit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got.Best != 0 || got.Epochs[0].Epoch != 0 || got.Epochs[0].Phase != "classifier" || got.Epochs[1].Phase != "all layers" {
		t.Errorf("best %d of %+v", got.Best, got.Epochs)
	}
	for name, v := range want.Model.Dict {
		near(t, name, got.Model.Dict[name].Data, v.Data, 0)
		if !slices.Equal(got.Model.Dict[name].Data, v.Data) {
			t.Errorf("%s is not that of a frozen backbone", name)
		}
	}
	best := want.Epochs[want.Best-1]
	if e := got.Epochs[0]; e.ValAcc1 != best.ValAcc1 || e.ValLoss != best.ValLoss || e.TrainLoss != best.TrainLoss {
		t.Errorf("epoch 0 is %+v, want %+v", e, best)
	}
	if len(got.Epochs) != 2 || got.Evaluation.Top1Accuracy != best.ValAcc1 {
		t.Errorf("%d epochs, accuracy %v", len(got.Epochs), got.Evaluation.Top1Accuracy)
	}
}

// TestSlow checks the rates of the modules, and that a step goes so far.
func TestSlow(t *testing.T) {
	g := readGolden(t)
	step1 := func(decay float64) (*network, [][]float32) {
		n, err := newNetwork(g.model(t), 1, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		var before [][]float32
		for _, p := range n.params {
			before = append(before, slices.Clone(p.Value))
		}
		n.slow(decay)
		step(t, n, g.input(0), g.targets(0), nil)
		o, err := newOptimizer(hyper{rule: SGD}, n.params)
		if err != nil {
			t.Fatal(err)
		}
		o.step(1, 0.1, 1)
		return n, before
	}
	whole, before := step1(1)
	slow, _ := step1(0.5)
	last := whole.layers[len(whole.layers)-1].module
	rates := map[string]float64{"classifier.1.bias": 1, "features.0.0.weight": math.Pow(0.5, float64(last+1))}
	for i, p := range slow.params {
		if want, ok := rates[p.Name]; ok && p.Rate != want {
			t.Errorf("%s learns at %v, want %v", p.Name, p.Rate, want)
		}
		for k, b := range before[i] {
			full, part := float64(whole.params[i].Value[k]-b), float64(p.Value[k]-b)
			if d := math.Abs(part - p.Rate*full); !(d <= 1e-6*(1+math.Abs(float64(b)))) {
				t.Fatalf("%s[%d] goes %v, want %v of %v", p.Name, k, part, p.Rate, full)
			}
		}
	}
}

// TestResumePhases interrupts a training in both phases, and where an epoch is
// undone, and compares what it ends in with one left alone, on other threads.
func TestResumePhases(t *testing.T) {
	train, val := photos(t, 9) // 3 batches an epoch, after 9 of the classifier
	for name, change := range map[string]func(o *Options){
		"all layers": func(o *Options) {},
		"undone":     func(o *Options) { o.LR, o.Warmup, o.WarmupSteps, o.Clip = 40, 0, 0, 0 },
		"some": func(o *Options) {
			o.Freeze, o.Mixup, o.CutMix, o.Augment.MinScale, o.Augment.Flip, o.Augment.Erase = 2, 0, 0, 0, 0, 0
		},
		"no average": func(o *Options) { o.EMA, o.FixNorm = 0, true },
	} {
		whole := phases(t, train, val)
		change(&whole)
		whole.Threads = 1
		want, err := Fit(t.Context(), whole)
		if err != nil {
			t.Fatal(name, err)
		}
		undone := 0
		for _, e := range want.Epochs {
			undone += e.Undone
		}
		if (name == "undone") != (undone > 0) {
			t.Errorf("%s: %d epochs undone", name, undone)
		}
		parts := phases(t, train, val)
		change(&parts)
		parts.Threads = 3
		for _, end := range []int{2, 8, 11, 2, 7, 4} { // batches after which the process dies
			ctx, cancel := context.WithCancel(t.Context())
			steps := 0
			parts.Progress = func(Progress) {
				if steps++; steps == end {
					cancel()
				}
			}
			if _, err := Fit(ctx, parts); !errors.Is(err, context.Canceled) && err != nil {
				t.Fatal(name, err)
			}
			cancel()
			again := phases(t, train, val) // a new process
			change(&again)
			parts.Resume, parts.Model = true, again.Model
		}
		parts.Progress = nil
		got, err := Fit(t.Context(), parts)
		if err != nil {
			t.Fatal(name, err)
		}
		if !bytes.Equal(last(t, whole), last(t, parts)) {
			t.Errorf("%s: the weights differ", name)
		}
		if len(got.Epochs) != len(want.Epochs) || got.Best != want.Best {
			t.Fatalf("%s: %d epochs and %d the best, want %d and %d", name, len(got.Epochs), got.Best, len(want.Epochs), want.Best)
		}
		for i, e := range got.Epochs {
			e.Seconds, e.ImagesPerSecond = want.Epochs[i].Seconds, want.Epochs[i].ImagesPerSecond
			if e != want.Epochs[i] {
				t.Errorf("%s: epoch %+v, want %+v", name, e, want.Epochs[i])
			}
		}
	}
}

// TestDiverged: where an epoch diverges at every rate, the run ends with what was the best
// before, the same if it is resumed. Without Undo, or before any epoch, it is an error.
func TestDiverged(t *testing.T) {
	train, val := photos(t, 9)
	begin := func() Options {
		o := phases(t, train, val)
		o.LR = 1e300 // no number of 32 bits, however often it is halved
		return o
	}
	o := begin()
	undone := 0
	o.Undone = func(report.Epoch, error) { undone++ }
	for range 2 {
		r, err := Fit(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(r.Diverged, report.ErrDiverged) || r.Best != 0 || len(r.Epochs) != 1 || r.Evaluation.Loss != r.Epochs[0].ValLoss || undone != halvings {
			t.Errorf("%v; best %d of %+v; undone %d times", r.Diverged, r.Best, r.Epochs, undone)
		}
		for _, name := range []string{report.CardFile, "confusion_matrix.png"} {
			if _, err := os.Stat(filepath.Join(o.RunDir, name)); err != nil {
				t.Error(err)
			}
		}
		o.Model, o.Resume, undone = begin().Model, true, 0
	}
	for name, change := range map[string]func(o *Options){
		"not undone": func(o *Options) { o.Undo = false },
		"one phase":  func(o *Options) { o.HeadEpochs = 0 },
	} {
		o := begin()
		change(&o)
		if _, err := Fit(t.Context(), o); !errors.Is(err, report.ErrDiverged) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestUndo checks that what spoils the network is undone and told, until the rate is
// one that it can take, and that it ends well.
func TestUndo(t *testing.T) {
	train, val := photos(t, 9)
	for name, lr := range map[string]float64{"a loss too high": 3, "not finite": 1e12} {
		o := phases(t, train, val)
		o.LR, o.Warmup, o.WarmupSteps, o.Clip, o.Optimizer, o.EMA, o.Mixup, o.CutMix = lr, 0, 0, 0, SGD, 0, 0, 0
		o.Epochs = 12
		var told []report.Epoch
		var errs int
		o.Undone = func(e report.Epoch, err error) {
			if told = append(told, e); err != nil {
				errs++
			}
		}
		r, err := Fit(t.Context(), o)
		if name == "not finite" {
			if err != nil {
				t.Fatal(name, err)
			}
			if !errors.Is(r.Diverged, report.ErrDiverged) || len(told) != halvings || errs != halvings {
				t.Errorf("%s: %v after %d times", name, r.Diverged, len(told))
			}
			m, err := checkpoint.Open(filepath.Join(o.RunDir, BestFile))
			if err != nil || m.Dict["classifier.1.bias"].Data[0] == 0 {
				t.Errorf("%s: the classifier is not kept: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(name, err)
		}
		undone := 0
		for _, e := range r.Epochs {
			undone += e.Undone
		}
		if undone == 0 || undone != len(told) {
			t.Errorf("%s: %d undone, %d told", name, undone, len(told))
		}
		first := r.Epochs[1]
		if want := lr * math.Pow(0.5, float64(first.Undone)); !(first.LR < want*1.01) {
			t.Errorf("%s: the rate is %v after %d times", name, first.LR, first.Undone)
		}
		if end := r.Epochs[len(r.Epochs)-1]; !(end.TrainLoss < math.Log(3)) {
			t.Errorf("%s: it ends in a loss of %v, which is chance", name, end.TrainLoss)
		}
	}
}

// TestBegun checks the learning rate of the first steps: it rises over so many,
// through epochs, and does so again when they are undone.
func TestBegun(t *testing.T) {
	train, val := photos(t, 9) // 3 batches an epoch
	o := phases(t, train, val)
	o.Warmup, o.Schedule, o.Gamma, o.LR = 0, Exponential, 1, 0.001
	var rates []float64
	o.Progress = func(p Progress) {
		if p.Epoch > 0 {
			rates = append(rates, p.LR/0.001)
		}
	}
	if _, err := Fit(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	want := []float64{0.2, 0.4, 0.6, 0.8, 1, 1}
	for i, r := range rates[:len(want)] {
		if math.Abs(r-want[i]) > 1e-9 {
			t.Errorf("step %d: %v of the rate, want %v", i+1, r, want[i])
		}
	}
}

// TestSuspect checks which epochs are looked at again, and what validation says alone.
func TestSuspect(t *testing.T) {
	train, val := photos(t, 4)
	tr := &trainer{Options: phases(t, train, val)} // of 3 classes: chance is 1.1
	tr.history = []report.Epoch{{Epoch: 0, TrainLoss: 0.01, ValLoss: 0.2}, {Epoch: 1, TrainLoss: 0.4, ValLoss: 0.3}}
	batches := func(losses []float64) (all []batchLoss) {
		for i, loss := range losses {
			all = append(all, batchLoss{i, tr.Batch, loss})
		}
		return all
	}
	tr.Batch = spoilImages
	for name, test := range map[string]struct {
		losses []float64
		want   bool
	}{
		"as before":      {[]float64{0.4, 0.5, 0.3, 0.4}, false},
		"noise":          {[]float64{0.4, 0.5, 0.3, 0.7}, false},
		"at the end":     {[]float64{0.4, 0.4, 0.4, 1.1}, true},
		"from the start": {[]float64{1.1, 1.1, 1.1, 1.1}, true},
		"one batch":      {[]float64{1.1}, true},
	} {
		tr.losses = batches(test.losses)
		if got := tr.suspect(); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	// A quarter of these epochs is 4 images: too few to say that 0.9 is more than before.
	tr.Batch = 2
	if tr.losses = batches([]float64{0.1, 0.2, 0.6, 0.4, 0.5, 0.2, 0.9, 0.9}); tr.suspect() {
		t.Error("the loss of 4 images spoils an epoch")
	}
	// What is looked at again is 16 images at least, where the last batch has fewer.
	tr.losses = []batchLoss{{0, 16, 0.4}, {1, 16, 0.4}, {2, 4, 0.9}}
	if end := tr.end(); len(end) != 2 || imagesOf(end) != 20 || math.Abs(meanLoss(end)-0.5) > 1e-9 {
		t.Errorf("the end of an epoch is %v", end)
	}
	tr.losses = batches([]float64{0.3, 0.3, 0.3, 0.3})
	for name, test := range map[string]struct {
		val  float64
		want string
	}{
		"sure of itself":    {0.9, ""},
		"worse than chance": {1.5, "the loss in validation is 1.5000, and was 0.2000 after epoch 0"},
		"not validated":     {math.NaN(), ""},
	} {
		why, err := tr.spoilt(t.Context(), report.Epoch{ValLoss: test.val}, 0)
		if got := fmt.Sprint(why); err != nil || got != cmp.Or(test.want, "<nil>") {
			t.Errorf("%s: %v, error %v", name, got, err)
		}
	}
}

// TestHardEnd: where the photos at the end of an epoch are harder than those at its
// beginning, that isn't the steps' doing. The epoch stays to the bit what it is where
// nothing is undone.
func TestHardEnd(t *testing.T) {
	train, val := photos(t, 9)
	for _, teacher := range []bool{false, true} {
		begin := func() Options {
			o := phases(t, train, val)
			o.Epochs, o.Warmup, o.LR, o.HeadEpochs, o.HeadLR, o.Mixup, o.CutMix, o.Batch = 1, 0, 1e-4, 60, 0.3, 0, 0, 16
			if teacher {
				o.Data.Teacher, o.TeacherWeight = o.Model, 0.1
			}
			return o
		}
		// The labels of the batch that comes last are wrong.
		o := begin()
		order := o.order(1)
		if len(order) != 2 || len(order[1]) != 5 {
			t.Fatalf("batches of %d photos", len(order[len(order)-1]))
		}
		wrong := *train
		wrong.Items = slices.Clone(train.Items)
		for _, item := range order[1] {
			wrong.Items[item].Label = (wrong.Items[item].Label + 1) % 3
		}
		var last [][]byte
		for _, undo := range []bool{true, false} {
			o := begin()
			o.Train, o.Undo = &wrong, undo
			o.Undone = func(e report.Epoch, err error) { t.Errorf("teacher %v: epoch %d undone: %v", teacher, e.Epoch, err) }
			if _, err := Fit(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(o.RunDir, LastFile))
			if err != nil {
				t.Fatal(err)
			}
			last = append(last, text)
		}
		if !bytes.Equal(last[0], last[1]) {
			t.Errorf("teacher %v: an epoch that was looked at again is another", teacher)
		}
	}
}

// TestKnownRate: the rate of an epoch with known features is that of its seconds.
func TestKnownRate(t *testing.T) {
	train, val := photos(t, 6)
	o := options(t, train, val)
	o.Freeze, o.Epochs, o.Warmup = FreezeBackbone, 1, 0
	r, err := Fit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if e := r.Epochs[0]; math.Abs(e.ImagesPerSecond*e.Seconds-float64(len(train.Items))) > 1e-6 {
		t.Errorf("%v images/s in %v s, of %d images", e.ImagesPerSecond, e.Seconds, len(train.Items))
	}
}
