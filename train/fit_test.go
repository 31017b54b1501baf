package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train/report"
	"github.com/mobilenet-go/mobilenet/vision"
)

// photos writes n images of each of three colours and opens them.
func photos(t *testing.T, n int) (train, val *dataset.Set) {
	t.Helper()
	dir := t.TempDir()
	for class, c := range map[string]color.NRGBA{"red": {200, 30, 30, 255}, "green": {30, 200, 30, 255}, "blue": {30, 30, 200, 255}} {
		if err := os.MkdirAll(filepath.Join(dir, class), 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			m := image.NewNRGBA(image.Rect(0, 0, 40+i%5, 36))
			for p := 0; p < len(m.Pix); p += 4 {
				noise := uint8((p*7919 + i*104729) % 50)
				m.Pix[p], m.Pix[p+1], m.Pix[p+2], m.Pix[p+3] = c.R+noise, c.G+noise, c.B+noise, 255
			}
			var b bytes.Buffer
			if err := png.Encode(&b, m); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, class, string(rune('a'+i))+".png"), b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	train, val, err := dataset.Open(dir, dataset.Options{Val: 0.25})
	if err != nil {
		t.Fatal(err)
	}
	return train, val
}

func options(t *testing.T, train, val *dataset.Set) Options {
	c := model.Default()
	c.Width, c.Classes, c.Resolution, c.LastChannels = 0.1, 3, 32, 32
	c.Preprocess.Resize = 32
	c.Table = []model.Stage{{T: 1, C: 16, N: 1, S: 1}, {T: 6, C: 24, N: 2, S: 2}}
	m, err := model.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	m.Labels = train.Classes
	return Options{
		Data: Data{Model: m, Train: train, Val: val},
		Hyperparameters: Hyperparameters{
			Epochs: 4, Batch: 8, LR: 0.05, Optimizer: SGD, Momentum: 0.9,
			WeightDecay: 1e-4, Schedule: Cosine, Warmup: 1, LabelSmoothing: 0.1, EMA: 0.9, Clip: 5,
			Augment: vision.Augment{MinScale: 0.5, Flip: 0.5, Erase: 0.2}, Mixup: 0.2, CutMix: 1,
		},
		Run: Run{RunDir: t.TempDir(), Seed: 7},
	}
}

// last is the bytes of the last weights of a run.
func last(t *testing.T, o Options) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(o.RunDir, LastFile))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestFit checks that a training learns and leaves what it should.
func TestFit(t *testing.T) {
	train, val := photos(t, 12)
	o := options(t, train, val)
	o.Mixup, o.CutMix, o.Epochs, o.EMA, o.Augment.Erase = 0, 0, 20, 0, 0
	r, err := Fit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Evaluation.Top1Accuracy < 0.9 {
		t.Errorf("accuracy %v", r.Evaluation.Top1Accuracy)
	}
	for _, name := range []string{BestFile, LastFile, StateFile, "results.csv", "results.png", "README.md", "split.csv", "confusion_matrix.png", "train_batch.jpg", "val_predictions.jpg"} {
		if info, err := os.Stat(filepath.Join(o.RunDir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(o.RunDir, "events.out.tfevents.*")); len(files) != 1 {
		t.Errorf("%d event files, want 1", len(files))
	}
	m, err := checkpoint.Open(filepath.Join(o.RunDir, BestFile))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(m.Labels, " ") != "blue green red" || !m.Config.Equal(o.Model.Config) {
		t.Errorf("labels %v, config %+v", m.Labels, m.Config)
	}
}

// TestResume checks that an interrupted training ends in the weights of one that
// was not, whatever the threads, for every optimizer.
func TestResume(t *testing.T) {
	train, val := photos(t, 9)
	colours := vision.Augment{MinScale: 0.5, Flip: 0.5, Erase: 0.2, Rand: vision.RandAugment{Operations: 2, Magnitude: 9}, Jitter: vision.Jitter{Brightness: 0.4, Hue: 0.1}}
	for _, rule := range []Optimizer{SGD, RMSprop, AdamW} {
		whole := options(t, train, val)
		whole.Optimizer, whole.LR, whole.Threads, whole.Augment = rule, 0.002, 1, colours
		if _, err := Fit(t.Context(), whole); err != nil {
			t.Fatal(err)
		}
		parts := options(t, train, val)
		parts.Optimizer, parts.LR, parts.Threads, parts.Augment = rule, 0.002, 3, colours
		for _, end := range []int{2, 5, 8} { // batches after which the process dies
			ctx, cancel := context.WithCancel(t.Context())
			steps := 0
			parts.Progress = func(Progress) {
				if steps++; steps == end {
					cancel()
				}
			}
			if _, err := Fit(ctx, parts); !errors.Is(err, context.Canceled) && err != nil {
				t.Fatal(err)
			}
			cancel()
			parts.Resume = true
			parts.Model = options(t, train, val).Model // a new process
		}
		parts.Progress = nil
		if _, err := Fit(t.Context(), parts); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(last(t, whole), last(t, parts)) {
			t.Errorf("%s: the weights differ", rule)
		}
	}
}

// TestResumeChangedData checks that a run does not go on with other images.
func TestResumeChangedData(t *testing.T) {
	train, val := photos(t, 9)
	o := options(t, train, val)
	o.Epochs, o.Warmup = 1, 0
	if _, err := Fit(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.Resume = true
	classes := slices.Clone(train.Classes)
	slices.Reverse(classes)
	items := slices.Clone(train.Items)
	items[0].Label = 1 - items[0].Label
	for name, set := range map[string]*dataset.Set{
		"classes": {Classes: classes, Items: train.Items},
		"images":  {Classes: train.Classes, Items: train.Items[1:]},
		"labels":  {Classes: train.Classes, Items: items},
	} {
		o.Train = set
		if _, err := Fit(t.Context(), o); err == nil || !strings.Contains(err.Error(), "the data is not what the run began with") {
			t.Errorf("%s changed: error %v", name, err)
		}
	}
}

// TestFreeze checks what a frozen backbone keeps, and that the head learns.
func TestFreeze(t *testing.T) {
	train, val := photos(t, 8)
	o := options(t, train, val)
	o.Freeze, o.Mixup, o.CutMix, o.EMA = FreezeBackbone, 0, 0, 0
	before := append([]float32(nil), o.Model.Dict["features.1.conv.1.weight"].Data...)
	head := append([]float32(nil), o.Model.Dict["classifier.1.weight"].Data...)
	if _, err := Fit(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	near(t, "backbone", o.Model.Dict["features.1.conv.1.weight"].Data, before, 0)
	if after := o.Model.Dict["classifier.1.weight"].Data; after[0] == head[0] {
		t.Error("the classifier did not change")
	}
}

// TestCanceled checks that a training ends when it is told to, whatever it is
// doing, and without leaving an epoch that was not validated.
func TestCanceled(t *testing.T) {
	train, val := photos(t, 12)
	for name, freeze := range map[string]int{"nothing frozen": 0, "modules frozen": 3, "backbone frozen": FreezeBackbone} {
		o := options(t, train, val)
		o.Freeze, o.Mixup, o.CutMix, o.Augment = freeze, 0, 0, vision.Augment{}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		o.Progress = func(Progress) { t.Errorf("%s: a step after the end", name) }
		if _, err := Fit(ctx, o); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v before the first step", name, err)
		}
	}
	o := options(t, train, val)
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(p Progress) {
		if p.Batch == p.Batches { // validation follows
			cancel()
		}
	}
	if _, err := Fit(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v in the validation", err)
	}
	if _, err := os.Stat(filepath.Join(o.RunDir, StateFile)); err == nil {
		t.Error("an epoch without validation was kept")
	}
}

// TestKnown checks that keeping what frozen modules put out changes no bit.
func TestKnown(t *testing.T) {
	train, val := photos(t, 8)
	run := func(keep bool) []byte {
		o := options(t, train, val)
		o.Freeze, o.Mixup, o.CutMix, o.Augment = 3, 0, 0, vision.Augment{}
		if err := o.complete(); err != nil {
			t.Fatal(err)
		}
		tr, err := newTrainer(o)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.close()
		if keep {
			if err := tr.freeze(t.Context()); err != nil || tr.known == nil {
				t.Fatalf("nothing is kept (error %v)", err)
			}
		}
		for epoch := range o.Epochs {
			if err := tr.epoch(t.Context(), epoch+1); err != nil {
				t.Fatal(err)
			}
		}
		return last(t, o)
	}
	if !bytes.Equal(run(true), run(false)) {
		t.Error("the weights differ")
	}
}

// TestBad checks the ends of trainings that can't go on.
func TestBad(t *testing.T) {
	train, val := photos(t, 4)
	for name, test := range map[string]struct {
		change func(o *Options)
		err    string
	}{
		"diverges":     {func(o *Options) { o.LR, o.Clip, o.Warmup = 1e30, 0, 0 }, "epoch 1"},
		"classes":      {func(o *Options) { o.Model.Config.Classes = 7 }, "3 classes, the model 7"},
		"one class":    {func(o *Options) { o.Train = &dataset.Set{Classes: []string{"red"}} }, `one class, "red"`},
		"bad state":    {func(o *Options) { o.Resume = true; breakState(t, o) }, "state.safetensors"},
		"epochs":       {func(o *Options) { o.Epochs = 0 }, "epochs 0"},
		"not a number": {func(o *Options) { o.Momentum, o.Clip = math.NaN(), math.Inf(1) }, "momentum NaN: want 0 to less than 1; clip +Inf: want 0 or more"},
		"unknown rule": {func(o *Options) { o.Optimizer = "adam" }, `"adam"`},
		"freeze":       {func(o *Options) { o.Freeze = 99 }, "freeze 99"},
		"no square":    {func(o *Options) { o.Model.Config.SetInput(32, 64) }, "resolution 32x64: want a square"},
		"no model":     {func(o *Options) { o.Model = nil }, "Model is nil"},
		"no folder":    {func(o *Options) { o.RunDir = "" }, "RunDir is empty"},
		"label": {func(o *Options) {
			o.Train = &dataset.Set{Classes: o.Train.Classes, Items: []dataset.Item{{Label: 0}, {Name: "x", Label: 3}}}
		}, "x: label 3"},
		"broken image":  {func(o *Options) { breakImage(t, o) }, "broken.png"},
		"unwritable":    {func(o *Options) { o.RunDir = "/dev/null/run" }, "/dev/null"},
		"label unknown": {func(o *Options) { o.Schedule = "linear" }, `"linear"`},
	} {
		o := options(t, train, val)
		o.EMA = 0
		test.change(&o)
		if _, err := Fit(t.Context(), o); err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: error %v, want %q", name, err, test.err)
		}
	}
}

func breakState(t *testing.T, o *Options) {
	if err := os.WriteFile(filepath.Join(o.RunDir, StateFile), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// breakImage gives o a set with an image that isn't one.
func breakImage(t *testing.T, o *Options) {
	dir := t.TempDir()
	for _, class := range []string{"a", "b", "c"} {
		os.MkdirAll(filepath.Join(dir, class), 0o755)
		os.WriteFile(filepath.Join(dir, class, "broken.png"), []byte("x"), 0o644)
	}
	var err error
	if o.Train, _, err = dataset.Open(dir, dataset.Options{}); err != nil {
		t.Fatal(err)
	}
	o.Val = nil
}

// TestUniform checks that images of one colour are told of once, by name, and before
// the first step where frozen modules have looked at all images. OfOneColour knows them
// before: edge.png, which has a border, is one where it is cut off before anybody looks.
func TestUniform(t *testing.T) {
	dir := t.TempDir()
	train, val := photos(t, 9)
	for i, name := range []string{"edge.png", "b.png", "a.png"} {
		m := image.NewGray(image.Rect(0, 0, 40, 36))
		for y := 0; y < 36 && name == "edge.png"; y++ {
			m.Pix[40*y] = 255
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		train.Items = append(train.Items, dataset.Item{Name: filepath.Join(dir, name), Label: i})
	}
	val.Items = append(val.Items, train.Items[len(train.Items)-2])
	val.Items[len(val.Items)-1].Label = 2
	for freeze, want := range map[int]string{0: "a.png b.png", FreezeBackbone: "a.png b.png edge.png"} {
		o := options(t, train, val)
		o.Freeze, o.Epochs = freeze, 2
		var known []string
		for _, set := range []*dataset.Set{train, val} {
			for i, item := range set.Items {
				whole, err := set.Image(t.Context(), i)
				if err != nil {
					t.Fatal(err)
				}
				if o.OfOneColour(set, whole) {
					known = append(known, filepath.Base(item.Name))
				}
			}
		}
		slices.Sort(known)
		if known = slices.Compact(known); strings.Join(known, " ") != want {
			t.Errorf("freeze %d: known are %q, want %s", freeze, known, want)
		}
		steps := 0
		var told []string
		o.Progress = func(Progress) { steps++ }
		o.Uniform = func(names []string) {
			if freeze == FreezeBackbone && steps > 0 {
				t.Error("told after the first step")
			}
			for _, name := range names {
				told = append(told, filepath.Base(name))
			}
		}
		if _, err := Fit(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if strings.Join(told, " ") != want {
			t.Errorf("freeze %d: told of %q, want %s", freeze, told, want)
		}
	}
}

// TestPatienceResumed: a run that patience has stopped says so where it is resumed, and
// goes on with more patience. Its rate is so low that no epoch is better than the first.
func TestPatienceResumed(t *testing.T) {
	train, val := photos(t, 6)
	o := options(t, train, val)
	o.EMA, o.LR, o.Freeze, o.Patience = 0, 1e-300, FreezeBackbone, 1
	if r, err := Fit(t.Context(), o); err != nil || len(r.Epochs) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, c := range []struct{ patience, epochs, is int }{{1, 6, 2}, {2, 6, 3}, {0, 6, 6}, {0, 6, 6}} {
		again := options(t, train, val)
		again.Hyperparameters, again.RunDir, again.Resume, again.Extend = o.Hyperparameters, o.RunDir, true, true
		again.Patience, again.Epochs = c.patience, c.epochs
		var begun, epochs, over int
		again.Begun = func() { begun++ }
		again.EpochDone = func(report.Epoch, report.Epoch) { epochs++ }
		again.Over = func(last, best report.Epoch) {
			if over++; last.Epoch != c.is || best.Epoch != 1 {
				t.Errorf("%+v: the last is %d, the best %d", c, last.Epoch, best.Epoch)
			}
		}
		r, err := Fit(t.Context(), again)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Epochs) != c.is || begun+over != 1 || (epochs == 0) != (over == 1) {
			t.Errorf("%+v: %d epochs, of them %d now; begun %d, over %d", c, len(r.Epochs), epochs, begun, over)
		}
	}
}

// TestResumeElsewhere: a run with photos of relative names, some of them without a folder,
// goes on from another folder and leaves the same lists; so does one of a version whose
// state had the names as they were opened.
func TestResumeElsewhere(t *testing.T) {
	dir := t.TempDir()
	train, val := photos(t, 6)
	list := "path,label,split\n"
	n := 0
	for part, set := range []*dataset.Set{train, val} {
		for _, item := range set.Items {
			name := fmt.Sprintf("%02d.png", n)
			if err := os.Rename(item.Name, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			list += fmt.Sprintf("%s,%s,%s\n", name, set.Classes[item.Label], []string{"train", "val"}[part])
			n++
		}
	}
	list += "broken.png,red,train\n"
	for name, text := range map[string]string{"list.csv": list, "broken.png": "no image"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	begin := func(path string) Options {
		train, val, err := dataset.Open(path, dataset.Options{})
		if err != nil {
			t.Fatal(err)
		}
		o := options(t, train, val)
		o.Epochs, o.Warmup, o.Freeze, o.EMA, o.Test, o.MaxErrors = 1, 0, FreezeBackbone, 0, val, 1
		o.LR = 1e-300 // so that the best weights stay the best
		return o
	}
	t.Chdir(dir)
	first := begin("list.csv")
	if _, err := Fit(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	lists := func() (all []byte) {
		for _, name := range []string{UnreadableFile, filepath.Join(TestDir, "predictions.csv"), SplitFile} {
			data, err := os.ReadFile(filepath.Join(first.RunDir, name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, data...)
		}
		return all
	}
	was := lists()
	again := begin("list.csv") // with the state of an older version
	again.RunDir, again.Resume = first.RunDir, true
	if err := again.complete(); err != nil {
		t.Fatal(err)
	}
	old, err := newTrainer(again)
	if err != nil {
		t.Fatal(err)
	}
	old.data = again.fingerprintOf(func(set *dataset.Set, i int) string { return set.Items[i].Name })
	if err := old.save(); err != nil || old.data == again.fingerprint() {
		t.Fatal(err)
	}
	old.close()
	for _, from := range []string{"list.csv", filepath.Join(dir, "list.csv")} {
		again := begin(from)
		again.RunDir, again.Resume, again.Extend, again.Epochs = first.RunDir, true, true, 2 // whose state is of this version
		if _, err := Fit(t.Context(), again); err != nil {
			t.Fatalf("from %s: %v", from, err)
		}
		t.Chdir(t.TempDir())
	}
	broken := filepath.Join(dir, "broken.png")
	if now := lists(); !bytes.Contains(was, []byte(broken+`,"`+broken+": not an image")) || !bytes.Equal(was, now) {
		t.Errorf("lists\n%s\nand then\n%s", was, now)
	}
}
