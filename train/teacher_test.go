package train

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// TestDistilLoss compares the loss with PyTorch's, by testdata/distil.py: its gradient
// at the logits, and what it sends back through a network.
func TestDistilLoss(t *testing.T) {
	text, err := os.ReadFile("testdata/distil.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Losses struct {
			Classes                  int
			Logits, Teacher, Targets []float32
			Rows                     []struct {
				Temperature, Weight, Loss float64
				Grad                      []float32
			}
		}
		Step struct {
			Temperature, Weight, Loss float64
			Teacher                   []float32
			Grads                     map[string][]float32
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	l := file.Losses
	grad := make([]float32, len(l.Logits))
	for _, r := range l.Rows {
		loss := distilLoss(grad, l.Logits, l.Targets, l.Teacher, l.Classes, r.Temperature, r.Weight)
		if !(math.Abs(loss-r.Loss) <= 1e-6*r.Loss) {
			t.Errorf("T %v, weight %v: loss %v, want %v", r.Temperature, r.Weight, loss, r.Loss)
		}
		near(t, "gradient", grad, r.Grad, 0)
	}

	g, s := readGolden(t), file.Step
	n, err := newNetwork(g.model(t), 2, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	logits, err := n.forward(g.input(0), len(g.labels), g.mask())
	if err != nil {
		t.Fatal(err)
	}
	grad = make([]float32, len(logits))
	loss := distilLoss(grad, logits, g.targets(0), s.Teacher, 5, s.Temperature, s.Weight)
	n.backward(grad)
	near(t, "loss", []float32{float32(loss)}, []float32{float32(s.Loss)}, 0)
	compared := 0
	for _, p := range n.params {
		if want, ok := s.Grads[p.Name]; ok {
			near(t, "gradient of "+p.Name, p.Grad, want, 1e-2)
			compared++
		}
	}
	if compared != len(s.Grads) || compared == 0 {
		t.Errorf("%d gradients compared, want %d", compared, len(s.Grads))
	}
}

// teacherFor returns a model of the classes of o in another order, with another
// resolution and normalisation.
func teacherFor(t *testing.T, o Options, side int) *model.Model {
	c := o.Model.Config
	c.Resolution, c.Preprocess.Resize = side, side
	c.Preprocess.Mean, c.Preprocess.Std = [3]float32{0.5, 0.5, 0.5}, [3]float32{0.5, 0.5, 0.5}
	m, err := model.New(c, 99)
	if err != nil {
		t.Fatal(err)
	}
	m.Labels = []string{o.Train.Classes[2], o.Train.Classes[0], o.Train.Classes[1]}
	return m
}

// TestTeacherAnswers checks what a batch brings to the student: the teacher's logits of
// the same photos, in the student's order, as the engine computes them of the
// evaluation's crop where nothing is augmented, and of the same crop where it is.
func TestTeacherAnswers(t *testing.T) {
	train, val := photos(t, 6)
	for _, side := range []int{32, 48} {
		o := options(t, train, val)
		o.Mixup, o.CutMix, o.Data.Teacher, o.Threads = 0, 0, teacherFor(t, o, side), 2
		o.Augment = vision.Augment{MinScale: 1, Flip: 1} // a crop of a ratio of its own, mirrored
		if err := o.complete(); err != nil {
			t.Fatal(err)
		}
		tr, err := newTrainer(o)
		if err != nil {
			t.Fatal(err)
		}
		items := []int{3, 0, 7, 1}
		b, err := tr.prepare(t.Context(), 1, 0, items, o.Model.Config.Preprocess.Levels())
		if err != nil {
			t.Fatal(err)
		}
		var soft []float32
		if err := tr.taught(t.Context(), b, func(b *batch) error { soft = slices.Clone(b.soft); return nil }); err != nil {
			t.Fatal(err)
		}
		known := tr.targets(0, items)
		if err := tr.teacher.recall(t.Context(), &tr.Options, known); err != nil {
			t.Fatal(err)
		}
		c := o.Data.Teacher.Config
		logits := make([]float32, 3)
		for i, item := range items {
			photo, err := train.Image(t.Context(), item)
			if err != nil {
				t.Fatal(err)
			}
			want := func(img *vision.Image) []float32 {
				if err := tr.teacher.engine.Run(t.Context(), engine.Input{Pixels: img.Pix, N: 1, H: side, W: side}, engine.Output{Logits: logits}); err != nil {
					t.Fatal(err)
				}
				// The teacher's classes are c a b.
				return []float32{logits[1], logits[2], logits[0]}
			}
			seen := o.Augment.Apply(photo, c.Preprocess, side, o.rng(forImage, 1, item))
			near(t, "augmented", soft[3*i:][:3], want(seen), 0)
			near(t, "as it is", known.soft[3*i:][:3], want(vision.Crop(photo, c.Preprocess, side)), 0)
		}
		tr.close()
	}
}

// TestTeacherFit checks that a student with a teacher ends in the same bits at any
// number of threads and after an interruption, learns of its teacher, and is not
// resumed with another.
func TestTeacherFit(t *testing.T) {
	train, val := photos(t, 9)
	for name, change := range map[string]func(*Options){
		"augmented": func(o *Options) {},
		"as it is":  func(o *Options) { o.Augment, o.Mixup, o.CutMix = vision.Augment{}, 0, 0 },
		"frozen":    func(o *Options) { o.Freeze = FreezeBackbone },
		"modules":   func(o *Options) { o.Freeze, o.Augment, o.Mixup, o.CutMix = 3, vision.Augment{}, 0, 0 },
	} {
		begin := func(threads int) Options {
			o := options(t, train, val)
			o.Data.Teacher, o.Threads, o.Epochs = teacherFor(t, o, 48), threads, 2
			change(&o)
			return o
		}
		whole := begin(1)
		if _, err := Fit(t.Context(), whole); err != nil {
			t.Fatal(name, err)
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
		alone := begin(2)
		alone.Data.Teacher = nil
		if _, err := Fit(t.Context(), alone); err != nil {
			t.Fatal(name, err)
		}
		if bytes.Equal(last(t, whole), last(t, alone)) {
			t.Errorf("%s: the teacher changes nothing", name)
		}
		other := begin(2)
		other.RunDir, other.Resume = parts.RunDir, true
		other.Data.Teacher.Dict["classifier.1.bias"].Data[0]++
		if _, err := Fit(t.Context(), other); err == nil || !strings.Contains(err.Error(), "the teacher is another") {
			t.Errorf("%s: another teacher: %v", name, err)
		}
	}
}

// TestTeacherRefused checks teachers that can't be learned from, which are found before
// there is a run folder.
func TestTeacherRefused(t *testing.T) {
	train, val := photos(t, 4)
	for want, change := range map[string]func(*model.Model){
		`the teacher's 3 classes are not the 3 of the photos; it lacks "blue"; it has, too, "teal"`: func(m *model.Model) { m.Labels[1] = "teal" },
		"the teacher's 3 classes have no names":                                                     func(m *model.Model) { m.Labels = nil },
		"the teacher's input is 32x64":                                                              func(m *model.Model) { m.Config.InputWidth = 64 },
		"the teacher has no softmax over its classes":                                               func(m *model.Model) { m.Config.Head.Sigmoid = true },
	} {
		o := options(t, train, val)
		o.Data.Teacher = teacherFor(t, o, 32)
		o.RunDir += "/new"
		change(o.Data.Teacher)
		if _, err := Fit(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if _, err := os.Stat(o.RunDir); err == nil {
			t.Errorf("%s: there is a run folder", want)
		}
	}
}
