package train

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// What distillation is done with where nothing else is said, as in docs/train.md.
const (
	defaultTemperature   = 4
	defaultTeacherWeight = 0.7
)

// A teacher is a trained model that a network, the student, is to imitate: what it
// holds of the wrong classes says more of a photo than its label does (distillation,
// arXiv 1503.02531). Both look at the same part of a photo, changed in the same way,
// each in its own resolution and normalisation (arXiv 2106.05237 finds that this
// matters).
type teacher struct {
	model  *model.Model
	engine *engine.Engine
	class  []int // of the teacher, for each of the student's
	levels *model.Levels
	same   bool // the student's pixels are the teacher's

	known [][]float32 // logits of training images that are the same in every epoch; nil before they are computed
}

// newTeacher prepares o's teacher for the student's classes, but for its engine.
func newTeacher(o *Options) (*teacher, error) {
	m := o.Data.Teacher
	t := &teacher{model: m, levels: m.Config.Preprocess.Levels()}
	if h, w := m.Config.InputSize(); h != w {
		return nil, fmt.Errorf("the teacher's input is %dx%d: want a square one", h, w)
	}
	if m.Config.Head.Sigmoid || m.Config.Classes == 0 {
		return nil, fmt.Errorf("the teacher has no softmax over its classes to learn from")
	}
	if err := t.matchClasses(o.Train.Classes); err != nil {
		return nil, err
	}
	s, c := o.Model.Config, m.Config
	t.same = c.Resolution == s.Resolution && c.Preprocess.Resize == s.Preprocess.Resize && c.Preprocess.Interpolation == s.Preprocess.Interpolation
	return t, nil
}

// matchClasses finds the student's classes among the teacher's, by name. Both have to
// have the same ones: a teacher that knows others, too, has told them apart, and one
// that lacks some says nothing of them.
func (t *teacher) matchClasses(classes []string) error {
	labels := t.model.Labels
	if len(labels) != t.model.Config.Classes {
		return fmt.Errorf("the teacher's %d classes have no names to match with those of the photos", t.model.Config.Classes)
	}
	var missing, other []string
	for _, name := range classes {
		at := slices.Index(labels, name)
		if at < 0 {
			missing = append(missing, name)
		}
		t.class = append(t.class, at)
	}
	for _, name := range labels {
		if !slices.Contains(classes, name) {
			other = append(other, name)
		}
	}
	if len(missing)+len(other) == 0 && len(labels) == len(classes) {
		return nil
	}
	err := fmt.Sprintf("the teacher's %d classes are not the %d of the photos", len(labels), len(classes))
	for _, part := range []struct {
		names []string
		what  string
	}{{missing, "it lacks"}, {other, "it has, too,"}} {
		if n := len(part.names); n > 0 {
			some := fmt.Sprintf("%.40q", part.names[:min(3, n)])
			err += fmt.Sprintf("; %s %s", part.what, strings.Trim(some, "[]"))
			if n > 3 {
				err += fmt.Sprintf(" and %d more", n-3)
			}
		}
	}
	return fmt.Errorf("%s", err)
}

// view is what the teacher gets of a photo of which the student gets img.
func (t *teacher) view(o *Options, photo, img *vision.Image, epoch, item int) *vision.Image {
	if t.same {
		return img
	}
	// The same random numbers are the same crop, mirroring and operations. What is in
	// pixels is as many of the teacher's.
	a, side := o.Augment, t.model.Config.Resolution
	a.Pad = (2*a.Pad*side/o.Model.Config.Resolution + 1) / 2
	return a.Apply(photo, t.model.Config.Preprocess, side, o.rng(forImage, epoch, item))
}

// side is how many numbers an image has.
func (t *teacher) side() int { return t.model.Config.Resolution * t.model.Config.Resolution * 3 }

// answer computes the teacher's logits of a batch.
func (t *teacher) answer(ctx context.Context, b *batch) error {
	n, classes := len(b.items), t.model.Config.Classes
	logits := make([]float32, n*classes)
	side := t.model.Config.Resolution
	if err := t.engine.Run(ctx, engine.Input{Data: b.shown, N: n, H: side, W: side}, engine.Output{Logits: logits}); err != nil {
		return fmt.Errorf("teacher: %w", err)
	}
	for i := range n {
		b.soft = append(b.soft, t.ordered(logits[i*classes:][:classes])...)
	}
	return nil
}

// ordered brings logits into the order of the student's classes.
func (t *teacher) ordered(logits []float32) []float32 {
	out := make([]float32, len(t.class))
	for i, c := range t.class {
		out[i] = logits[c]
	}
	return out
}

// recall takes the teacher's logits of images that are the same in every epoch.
func (t *teacher) recall(ctx context.Context, o *Options, b *batch) error {
	if t.known == nil {
		known := make([][]float32, len(o.Train.Items))
		classes := t.model.Config.Classes
		err := o.eachBatch(ctx, t.model, o.Train, func(e *engine.Engine, in engine.Input, items []int) error {
			logits := make([]float32, in.N*classes)
			if err := e.Run(ctx, in, engine.Output{Logits: logits}); err != nil {
				return fmt.Errorf("teacher: %w", err)
			}
			for i, item := range items {
				known[item] = t.ordered(logits[i*classes:][:classes])
			}
			return nil
		})
		if err != nil {
			return err
		}
		t.known = known
	}
	for _, item := range b.items {
		if t.known[item] == nil { // changed on disk meanwhile
			return fmt.Errorf("teacher: %s could not be read", o.Train.Items[item].Name)
		}
		b.soft = append(b.soft, t.known[item]...)
	}
	return nil
}

// loss is that of a batch, with its gradient at the logits: cross-entropy with the
// labels, and with a teacher that and the distance from what the teacher says.
func (o *Options) loss(grad, logits []float32, b *batch) float64 {
	classes := o.Model.Config.Classes
	if o.teacher == nil {
		return softmaxLoss(grad, logits, b.target, classes)
	}
	return distilLoss(grad, logits, b.target, b.soft, classes, o.TeacherTemperature, o.TeacherWeight)
}

// distilLoss returns the mean over a batch of
//
//	(1-w)*CE(student, target) + w*T²*KL(softmax(teacher/T) || softmax(student/T))
//
// and writes its gradient at the student's logits to grad (arXiv 1503.02531; PyTorch's
// CrossEntropyLoss and KLDivLoss with "batchmean"). T² makes up for the gradient of the
// second part, which is as small as 1/T².
func distilLoss(grad, logits, target, teacher []float32, classes int, temperature, weight float64) float64 {
	loss := (1 - weight) * softmaxLoss(grad, logits, target, classes)
	n := len(logits) / classes
	p, q := make([]float64, classes), make([]float64, classes)
	var divergence float64
	for i := range n {
		logSoftmax(p, teacher[i*classes:][:classes], temperature)
		logSoftmax(q, logits[i*classes:][:classes], temperature)
		g := grad[i*classes:][:classes]
		for c := range g {
			share := math.Exp(p[c])
			divergence += share * (p[c] - q[c])
			soft := temperature * (math.Exp(q[c]) - share) / float64(n)
			g[c] = float32((1-weight)*float64(g[c]) + weight*soft)
		}
	}
	return loss + weight*temperature*temperature*divergence/float64(n)
}

// logSoftmax writes the logarithms of the probabilities of logits/temperature.
func logSoftmax(dst []float64, logits []float32, temperature float64) {
	top := slices.Max(logits)
	var sum float64
	for c, v := range logits {
		dst[c] = float64(v-top) / temperature
		sum += math.Exp(dst[c])
	}
	for c := range dst {
		dst[c] -= math.Log(sum)
	}
}
