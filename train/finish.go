package train

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// finish writes what stands at the end of a run. It measures the best weights as they
// are in their file, which is what others will use.
func (t *trainer) finish(ctx context.Context) (*Result, error) {
	best, err := t.openBest()
	if err != nil {
		return nil, err
	}
	r := &Result{Epochs: t.history, Best: t.best, Model: best, Diverged: t.diverged}
	if t.validator != nil {
		if r.Evaluation, err = t.validator.run(ctx, best); err != nil {
			return nil, err
		}
		if err := t.validator.pictures(r.Evaluation); err != nil {
			return nil, err
		}
	}
	if t.Test != nil && len(t.Test.Items) > 0 {
		if r.Test, err = t.test(ctx, best); err != nil {
			return nil, fmt.Errorf("test: %w", err)
		}
	}
	if t.Int8 || t.QAT {
		if err := t.quantised(ctx, r); err != nil {
			return nil, err
		}
	}
	r.Unreadable = len(t.unreadable.seen)
	if t.Test != nil {
		r.UnreadableTest = len(t.lostOf(t.Test))
	}
	for _, n := range t.counts(t.Train) {
		r.Trained += n
	}
	if err := t.unreadable.write(t.RunDir); err != nil {
		return nil, err
	}
	return r, t.writeCard(ctx, r)
}

// pictures shows what the last run, which e is of, made of the images to validate with.
func (v *validator) pictures(e *report.Evaluation) error {
	if err := report.WriteConfusionPNG(filepath.Join(v.RunDir, "confusion_matrix.png"), e); err != nil {
		return err
	}
	return v.predictions.WriteSheet(filepath.Join(v.RunDir, "val_predictions.jpg"), v.picture)
}

// writeCard describes what came of the run to somebody who finds it.
func (t *trainer) writeCard(ctx context.Context, r *Result) error {
	c := report.Card{
		Classes: t.Train.Classes, Train: t.counts(t.Train), Weights: weightsOf(t.Model.Config), File: BestFile,
		Epochs: r.Epochs, Best: r.Best, Evaluation: r.Evaluation, Test: r.Test, UnreadableTest: r.UnreadableTest,
		Frozen: t.Freeze == FreezeBackbone, Balanced: t.Balance != "" && t.Balance != NoBalance,
		Contradictions: len(t.Division.Contradictions()),
	}
	lost := t.lostOnes()
	c.Unreadable = len(lost.Train) + len(lost.Val)
	h, w := t.Model.Config.InputSize()
	c.Input = fmt.Sprintf("%dx%d", h, w)
	if t.validator != nil {
		c.Val, c.ValShared = t.counts(t.Val), len(t.Division.Shared())
	}
	if r.Test != nil {
		known, err := t.Division.Known(ctx, t.Test)
		if err != nil {
			return err
		}
		c.TestShared = len(known)
	}
	if err := t.leaks(ctx, &c, r.Test != nil); err != nil {
		return err
	}
	switch q := r.Int8; {
	case q == nil:
	case q.Trained:
		c.File, c.Evaluation, c.Test = Int8File, q.Evaluation, q.Test
		c.Calibration, c.Calibrated = q.Photos, q.Calibrated != nil && q.Calibrated == q.Evaluation
	default:
		c.Int8File, c.Int8, c.Int8Test = Int8File, q.Evaluation, q.Test
	}
	settings, err := os.ReadFile(filepath.Join(t.RunDir, ArgsFile))
	if err != nil { // of a program that has none
		if settings, err = json.MarshalIndent(t.Hyperparameters, "", "  "); err != nil {
			return err
		}
	}
	c.Settings = string(settings)
	return report.WriteCard(t.RunDir, c)
}

// leaks counts the images to measure with that were known before the run began: to the
// weights or to the teacher.
func (t *trainer) leaks(ctx context.Context, c *report.Card, test bool) error {
	for _, from := range []struct {
		by        *dataset.Division
		val, test *int
	}{{t.Before, &c.ValBefore, &c.TestBefore}, {t.TeacherBefore, &c.ValTaught, &c.TestTaught}} {
		if from.by == nil {
			continue
		}
		for _, of := range []struct {
			set      *dataset.Set
			measured bool
			n        *int
		}{{t.Val, t.validator != nil, from.val}, {t.Test, test, from.test}} {
			if !of.measured {
				continue
			}
			known, err := from.by.Known(ctx, of.set)
			if err != nil {
				return err
			}
			*of.n = len(known)
		}
	}
	return nil
}

// counts are the images of each class that could be read.
func (t *trainer) counts(set *dataset.Set) []int {
	counts := set.Counts()
	for _, item := range set.Items {
		if t.unreadable.seen[item.Name] != nil {
			counts[item.Label]--
		}
	}
	return counts
}

// test measures the best weights with images that no choice was made with.
func (t *trainer) test(ctx context.Context, best *model.Model) (*report.Evaluation, error) {
	v := &validator{Options: t.Options, set: t.Test}
	e, err := v.run(ctx, best)
	if err != nil {
		return nil, err
	}
	return e, v.writeTest(e)
}

// writeTest keeps what the last run, which e is of, made of the test images.
func (v *validator) writeTest(e *report.Evaluation) error {
	dir := filepath.Join(v.RunDir, TestDir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for i, item := range v.items {
		v.predictions.Images[i].Name = fullName(v.set, item)
	}
	return v.predictions.WriteFolder(dir, e, v.picture)
}
