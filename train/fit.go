package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"time"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train/report"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A Result is what a training ended with.
type Result struct {
	Epochs     []report.Epoch
	Best       int                // the best epoch, from 1
	Evaluation *report.Evaluation // of the best weights; nil without validation images
	Test       *report.Evaluation // of the best weights on Data.Test; nil without
	Model      *model.Model       // the best weights
	Diverged   error              // why an epoch that was undone could not be made again at any rate, and the run ended before; nil otherwise
	Trained    int                // images that could be read of those to train with
	Unreadable int                // images that were left out, those of Data.Test too

	UnreadableTest int // those of Data.Test

	Int8 *Int8 // of the best weights, with Run.Int8
}

// Fit trains o.Model and leaves in the run folder the best and the last weights,
// curves, the confusion matrix and pictures. The same options and seed give the
// same weights to the bit, whatever the number of threads, and so does a run that
// was interrupted and resumed. It ends early with an error when the context does.
// While it runs no other training may use the folder, and a folder that holds a run
// is only for resuming it. Damaged files of the run are *[fault.Error].
func Fit(ctx context.Context, o Options) (_ *Result, err error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := o.seeClasses(ctx); err != nil { // before a folder is made
		return nil, err
	}
	release, err := o.claim()
	if err != nil {
		return nil, err
	}
	defer release()
	var t *trainer
	defer func() { // an interrupted run can go on, and one that has made a step
		if err != nil && !o.Resume && ctx.Err() == nil && (t == nil || t.untouched()) {
			o.withdraw()
		}
	}()
	if !o.Resume {
		o.begins()
	}
	defer o.unreadable.report() // an error may be for the lack of these
	defer o.remark()            // on Data.Test
	if o.QAT {
		if err := o.calibrated(ctx); err != nil {
			return nil, err
		}
	}
	if err := o.divide(ctx); err != nil { // before weights are written, which remember it
		return nil, err
	}
	if t, err = newTrainer(o); err != nil {
		return nil, err
	}
	defer t.close()
	if err := o.lookAgain(ctx, t.lost); err != nil {
		return nil, err
	}
	if o.Resume { // now that nothing speaks against it
		if err := o.writeArgs(); err != nil {
			return nil, err
		}
		t.goesOn()
	}
	if err := o.writeDivision(); err != nil {
		return nil, err
	}
	if err := t.freeze(ctx); err != nil {
		return nil, err
	}
	o.remark() // if frozen modules have looked at all images; otherwise after an epoch
	for epoch := t.done() + 1; !t.over(); epoch++ {
		err := t.epoch(ctx, epoch)
		if t.Undo && len(t.history) > 0 && errors.Is(err, report.ErrDiverged) {
			t.diverged = err // at the lowest rate: the best so far stays the best
			break
		}
		if err != nil {
			return nil, err
		}
	}
	t.rest()
	return t.finish(ctx)
}

// A trainer is a training under way.
type trainer struct {
	Options
	network   *network
	optimizer *optimizer
	average   *average // nil without EMA
	validator *validator
	data      string // fingerprint
	settings  string // see settingsOf
	history   []report.Epoch
	best      int             // epoch; of no account before the first
	bestSum   string          // modelSum of its weights
	features  []float32       // of a frozen backbone
	known     []float32       // of fewer frozen modules: see activations
	lost      lost            // images that could not be read before the run went on
	missing   map[int]bool    // training images that features or known have nothing of
	losses    []batchLoss     // of the batches of the pass under way, or of the last one
	before    model.StateDict // the tensors before an epoch that may be undone
	slower    float64         // factor of the learning rate after epochs that were undone
	events    *report.Events  // nil before the first epoch ends
	diverged  error           // see Result
}

func newTrainer(o Options) (*trainer, error) {
	frozen := o.Freeze
	if frozen == FreezeBackbone {
		frozen = len(o.Model.Config.Network().Blocks) + 2
	}
	n, err := newNetwork(o.Model, o.Threads, frozen, o.FixNorm || o.QAT)
	if err != nil {
		return nil, err
	}
	if o.ranges != nil {
		n.quantise(o.ranges)
	}
	opt, err := newOptimizer(hyper{
		rule: o.Optimizer, momentum: o.Momentum, alpha: 0.9, beta1: 0.9, beta2: 0.999,
		eps: ruleOf(o.Optimizer).eps, decay: o.WeightDecay,
	}, n.params)
	if err != nil {
		return nil, err
	}
	n.slow(cmp.Or(o.LayerDecay, 1))
	t := &trainer{Options: o, network: n, optimizer: opt, data: o.fingerprint(), slower: 1}
	if t.settings, err = settingsOf(o); err != nil {
		return nil, err
	}
	if o.Data.Teacher != nil {
		if t.teacher, err = newTeacher(&o); err != nil {
			return nil, err
		}
		if t.teacher.engine, err = engine.Compile(o.Data.Teacher, engine.Options{Threads: o.Threads}); err != nil {
			return nil, fmt.Errorf("teacher: %w", err)
		}
	}
	if o.EMA > 0 {
		t.average = newAverage(o.Model, o.EMA)
	}
	if o.Resume { // last: load fills what the options have made
		if err := t.load(); err != nil {
			return nil, err
		}
	}
	if o.Val != nil && len(o.Val.Items) > 0 {
		t.validator = &validator{Options: o, set: o.Val}
	}
	return t, nil
}

// freeze computes what is known of the images for all epochs.
func (t *trainer) freeze(ctx context.Context) (err error) {
	switch {
	case t.Freeze == FreezeBackbone:
		t.Augment, t.Mixup, t.CutMix = vision.Augment{}, 0, 0
		if t.features, t.missing, err = t.featuresOf(ctx, t.Train); err == nil && t.validator != nil {
			t.validator.features, t.validator.missing, err = t.featuresOf(ctx, t.Val)
		}
	case t.unchanged() && t.network.knownBytes(len(t.Train.Items)) > 0:
		t.known, err = t.activations(ctx)
	}
	return err
}

// close closes TensorBoard's file, whose records are complete after every epoch.
func (t *trainer) close() {
	if t.teacher != nil {
		t.teacher.engine.Close()
	}
	if t.events != nil {
		t.events.Close()
	}
}

// rest gives up what learns, and its memory: pictures of many classes and 8-bit networks
// take as much.
func (t *trainer) rest() {
	if t.teacher != nil {
		t.teacher.engine.Close()
		t.teacher = nil
	}
	t.network, t.optimizer, t.average, t.before, t.features, t.known = nil, nil, nil, nil, nil, nil
	runtime.GC()
}

// first is the number of the first epoch: 0 is the classifier alone.
func (o *Options) first() int {
	if o.HeadEpochs > 0 {
		return 0
	}
	return 1
}

// untouched reports whether no step was made.
func (t *trainer) untouched() bool { return len(t.history) == 0 && t.optimizer.steps == 0 }

// done is the last epoch that is over.
func (t *trainer) done() int { return t.first() + len(t.history) - 1 }

// over reports whether no epoch is left to train.
func (t *trainer) over() bool { return t.done() >= t.Epochs || t.exhausted() }

func (o *Options) begins() {
	if o.Begun != nil {
		o.Begun()
	}
}

// goesOn tells whether a run that is resumed trains any further.
func (t *trainer) goesOn() {
	switch {
	case !t.over():
		t.begins()
	case t.Over != nil:
		t.Over(t.history[len(t.history)-1], report.Best(t.history))
	}
}

// exhausted reports whether the best epoch is too long ago.
func (t *trainer) exhausted() bool {
	return t.Patience > 0 && t.Val != nil && len(t.history) > 0 && t.done()-t.best >= t.Patience
}

// weights are what is validated and kept: the averaged ones if there are any.
func (t *trainer) weights() *model.Model {
	if t.average != nil {
		return t.average.model
	}
	return t.Model
}

// epoch trains with all images once, validates, and saves. Until it has saved, nothing
// of the epoch counts: a run that ends in between begins it anew.
func (t *trainer) epoch(ctx context.Context, epoch int) error {
	began := time.Now()
	if epoch == t.first() { // before the first step, so that wrong colours are seen at once
		if err := t.sheet(ctx); err != nil {
			return err
		}
	}
	var e report.Epoch
	var err error
	switch {
	case epoch == 0:
		e, err = t.classifier(ctx)
	case t.Undo:
		e, err = t.careful(ctx, epoch)
	default:
		e, err = t.attempt(ctx, epoch)
	}
	if err != nil {
		return err
	}
	e.Seconds = time.Since(began).Seconds()
	if epoch == 0 || t.features != nil { // steps with known features take next to no time, and not the epoch's
		e.ImagesPerSecond = float64(len(t.Train.Items)-len(t.lostOnes().Train)) / e.Seconds
	}
	t.history = append(t.history, e)
	best := report.Best(t.history)
	t.best = best.Epoch
	if err := t.save(); err != nil {
		return err
	}
	t.unreadable.report()
	t.remark()
	if t.EpochDone != nil {
		t.EpochDone(e, best)
	}
	return nil
}

// attempt trains with all images once, and validates.
func (t *trainer) attempt(ctx context.Context, epoch int) (report.Epoch, error) {
	e, err := t.pass(ctx, epoch)
	if err == nil {
		err = t.validate(ctx, &e)
	}
	return e, err
}

// pass trains with all images once.
func (t *trainer) pass(ctx context.Context, epoch int) (report.Epoch, error) {
	began := time.Now()
	order := t.order(epoch)
	e := report.Epoch{Epoch: epoch, Phase: t.phase(), ValLoss: math.NaN(), ValAcc1: math.NaN(), ValAcc5: math.NaN()}
	var images, right int
	t.losses = t.losses[:0]
	one := func(b *batch) error {
		// By the batch's number, not by the steps so far: those of batches of which
		// nothing could be read are missing.
		e.LR = t.rate(float64(epoch-1)+float64(b.number)/float64(len(order))) * t.begun(t.optimizer.steps) * t.slower
		loss, hits, err := t.step(epoch, b, e.LR)
		if err != nil {
			return fmt.Errorf("epoch %d, batch %d of %d: %w", epoch, b.number+1, len(order), err)
		}
		e.TrainLoss += loss * float64(len(b.items))
		images += len(b.items)
		right += hits
		t.losses = append(t.losses, batchLoss{b.number, len(b.items), loss})
		if t.Progress != nil {
			t.Progress(Progress{
				Epoch: epoch, Epochs: t.Epochs, Batch: b.number + 1, Batches: len(order),
				Loss: e.TrainLoss / float64(images), Accuracy: float64(right) / float64(images),
				ImagesPerSecond: float64(images) / time.Since(began).Seconds(), LR: e.LR,
			})
		}
		return nil
	}
	if err := t.batches(ctx, epoch, order, one); err != nil {
		return e, err
	}
	if images == 0 {
		return e, errors.New("none of the training images can be read")
	}
	e.TrainLoss /= float64(images)
	e.TrainAcc = float64(right) / float64(images)
	e.ImagesPerSecond = float64(images) / time.Since(began).Seconds()
	return e, nil
}

// phase names what learns.
func (t *trainer) phase() string {
	switch t.Freeze {
	case 0:
		return "all layers"
	case FreezeBackbone:
		return "classifier"
	}
	return fmt.Sprintf("from features.%d", t.Freeze)
}

// validate measures the weights after an epoch.
func (t *trainer) validate(ctx context.Context, e *report.Epoch) error {
	if t.validator == nil {
		return nil
	}
	v, err := t.validator.run(ctx, t.weights())
	if err != nil {
		return fmt.Errorf("epoch %d: validation: %w", e.Epoch, err)
	}
	e.ValLoss, e.ValAcc1, e.ValAcc5 = v.Loss, v.Top1Accuracy, v.Top5Accuracy
	return nil
}

// batches calls f with every batch of the epoch, in order.
func (t *trainer) batches(ctx context.Context, epoch int, order [][]int, f func(*batch) error) error {
	if t.features != nil || t.known != nil { // nothing to decode, so no loader
		for i, items := range order {
			if err := ctx.Err(); err != nil {
				return err
			}
			if b := t.targets(i, items); t.enough(b) {
				if err := t.taught(ctx, b, f); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for b, err := range t.loader(ctx, epoch, order) {
		if err != nil {
			return err
		}
		if !t.enough(b) {
			continue
		}
		if err := t.taught(ctx, b, f); err != nil {
			return err
		}
	}
	return nil
}

// taught calls f with a batch, with what the teacher says of it if there is one.
func (t *trainer) taught(ctx context.Context, b *batch, f func(*batch) error) error {
	var err error
	switch {
	case t.teacher == nil:
	case b.shown == nil:
		err = t.teacher.recall(ctx, &t.Options, b)
	default:
		err = t.teacher.answer(ctx, b)
	}
	if err != nil {
		return err
	}
	return f(b)
}

// enough reports whether a step can be made with what could be read of a batch: a
// single image has no statistics, but those of a backbone don't matter to the head.
func (t *trainer) enough(b *batch) bool {
	return len(b.items) > 1 || len(b.items) == 1 && t.features != nil
}

// sheet writes the picture of the first batch.
func (t *trainer) sheet(ctx context.Context) error {
	b, err := t.prepare(ctx, 1, 0, t.order(1)[0], t.Model.Config.Preprocess.Levels())
	if err != nil {
		return err
	}
	if len(b.items) == 0 {
		return nil // nothing to show
	}
	return report.WriteSheet(filepath.Join(t.RunDir, sheetFile), "", t.tiles(b))
}

// targets is a batch of images that are known.
func (t *trainer) targets(number int, items []int) *batch {
	classes := t.Model.Config.Classes
	b := &batch{number: number}
	for _, item := range items {
		if !t.missing[item] {
			b.items = append(b.items, item)
		}
	}
	b.target = make([]float32, len(b.items)*classes)
	for i, item := range b.items {
		t.target(b.target[i*classes:][:classes], item)
	}
	return b
}

var errNotFinite = fmt.Errorf("the loss or its gradient is not finite: the learning rate may be too high: %w", report.ErrDiverged)

// step trains with a batch. hits are the images that were classified right
// before the step.
func (t *trainer) step(epoch int, b *batch, lr float64) (loss float64, hits int, err error) {
	n, c := t.network, t.Model.Config
	mask := dropout(t.rng(forDropout, epoch, b.number), len(b.items)*n.head.In, c.Dropout)
	var logits []float32
	switch {
	case t.features != nil:
		logits = n.head.run(t.features, b.items, mask)
	case t.known != nil:
		logits, err = n.forwardKnown(t.known, b.items, mask)
	default:
		logits, err = n.forward(b.input, len(b.items), mask)
	}
	if err != nil {
		return 0, 0, err
	}
	// Stop before weights are spoiled that cannot be had back.
	grad := make([]float32, len(logits))
	loss = t.loss(grad, logits, b)
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return 0, 0, fmt.Errorf("layer %s: %w", n.head.Name, errNotFinite)
	}
	for i := range b.items {
		if argmax(logits[i*c.Classes:][:c.Classes]) == t.seen(b, i) {
			hits++
		}
	}
	if t.features != nil {
		n.head.backward(grad, false)
	} else {
		n.backward(grad)
	}
	scale := 1.0 // of the gradient; 1e-6 as in torch.nn.utils.clip_grad_norm_
	if t.Clip > 0 {
		norm := gradNorm(t.Threads, n.params)
		if norm-norm != 0 { // Inf-Inf is NaN
			return 0, 0, errNotFinite
		}
		scale = min(1, t.Clip/(norm+1e-6))
	}
	t.optimizer.step(t.Threads, lr, scale)
	if t.average != nil {
		t.average.update(t.Threads, t.Model, t.optimizer.steps)
	}
	return loss, hits, nil
}

func argmax(v []float32) int {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	return best
}
