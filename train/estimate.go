package train

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"time"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// A Cost is what training steps take.
type Cost struct {
	Steps []time.Duration // sorted
	Bytes int64           // of a batch's activations and gradients
	CPU   string          // instruction set of the kernels
}

// Measure trains o.Model for so many steps of o.Batch random images and says what
// they took: forward, backward and update. It changes o.Model.
func Measure(o Options, steps int) (*Cost, error) {
	if o.Model == nil || o.Batch < 1 || steps < 1 {
		return nil, fmt.Errorf("measuring takes a model, images in a batch and steps: have %v, %d and %d", o.Model != nil, o.Batch, steps)
	}
	t, err := newTrainer(Options{Data: Data{Model: o.Model}, Hyperparameters: o.Hyperparameters, Run: Run{Threads: cmp.Or(o.Threads, runtime.GOMAXPROCS(0))}})
	if err != nil {
		return nil, err
	}
	n, c := t.network, o.Model.Config
	input := make([]float32, o.Batch*c.Resolution*c.Resolution*3)
	for i := range input {
		input[i] = float32(i*7919%1000)/500 - 1
	}
	target := make([]float32, o.Batch*c.Classes)
	for i := range o.Batch {
		oneHot(target[i*c.Classes:][:c.Classes], i%c.Classes, 0)
	}
	cost := &Cost{CPU: n.set.Name}
	for i := range steps + 1 { // the first one makes the buffers
		began := time.Now()
		logits, err := n.forward(input, o.Batch, nil)
		if err != nil {
			return nil, err
		}
		grad := make([]float32, len(logits))
		softmaxLoss(grad, logits, target, c.Classes)
		n.backward(grad)
		t.optimizer.step(t.Threads, 1e-6, 1)
		if i > 0 {
			cost.Steps = append(cost.Steps, time.Since(began))
		}
	}
	slices.Sort(cost.Steps)
	cost.Bytes = n.buffers.bytes()
	return cost, nil
}

// An Estimate is what a training will take.
type Estimate struct {
	Time time.Duration
	More int64 // bytes that the training takes and its rehearsal did not
}

// The rehearsal looks at so many photos in each way, and makes so many steps.
const (
	rehearsedPhotos = 64
	rehearsedSteps  = 8
	rehearsedFor    = 10 * time.Second // no more steps after that
)

// Rehearse does a little of everything that Fit would do with o, with the same images,
// and says how long all of it would take on this machine as busy as it is. What the
// process takes of memory meanwhile is, but for More, what Fit would take. It changes
// o.Model, and writes nothing to o.RunDir.
func Rehearse(ctx context.Context, o Options) (*Estimate, error) {
	dir, err := os.MkdirTemp("", "rehearsal")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	o.RunDir, o.Resume, o.Progress, o.EpochDone, o.Unreadable = dir, false, nil, nil, nil
	if err := o.complete(); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := o.seeClasses(ctx); err != nil {
		return nil, err
	}
	seeing := time.Since(began)
	o.unreadable.max = len(o.Train.Items) // counted elsewhere
	var calibrating time.Duration
	if o.QAT {
		if calibrating, err = o.rehearseQAT(ctx); err != nil {
			return nil, err
		}
	}
	t, err := newTrainer(o)
	if err != nil {
		return nil, err
	}
	defer t.close()
	if o.Undo {
		t.before = t.copied(nil)
	}

	r := &rehearsal{trainer: t, Estimate: Estimate{Time: seeing + calibrating}, epochs: time.Duration(o.Epochs)}
	if o.Freeze == FreezeBackbone || o.HeadEpochs > 0 {
		if err := r.features(ctx); err != nil {
			return nil, err
		}
	}
	if o.Freeze != FreezeBackbone {
		if err := r.steps(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.ends(ctx); err != nil {
		return nil, err
	}
	r.More += max(0, r.top-max(r.heap, heap()))
	return &r.Estimate, nil
}

// rehearseQAT makes the run one in 8 bits, as calibrated does, with a few of the photos,
// and says how long that takes with those of a training.
func (o *Options) rehearseQAT(ctx context.Context) (time.Duration, error) {
	few := *o
	few.Train = some(o.Train)
	began := time.Now()
	if err := few.calibrated(ctx); err != nil {
		return 0, err
	}
	o.Model, o.ranges, o.calibration = few.Model, few.ranges, few.calibration
	took := scaled(time.Since(began), min(calibration, images(o.Train)), few.calibration)
	runtime.GC()
	return took, nil
}

// A rehearsal adds up what the parts of a training take.
type rehearsal struct {
	*trainer
	Estimate
	epochs    time.Duration
	photo     time.Duration // that an engine takes for one
	few       *validator    // of a few images; nil without any
	heap, top int64         // at most so far, and what it grows to in an epoch, whose garbage is more
	learning  mark          // of the heap, amid the steps
	garbage   int64         // bytes, of the steps of an epoch
}

func images(set *dataset.Set) int {
	if set == nil {
		return 0
	}
	return len(set.Items)
}

// some are a few images of a set, from all over it, and one of every class: the picture
// of the confusion matrix grows with the classes that occur.
func some(set *dataset.Set) *dataset.Set {
	s := *set
	step := max(1, len(set.Items)/rehearsedPhotos)
	s.Items = nil
	seen := make([]bool, len(set.Classes))
	for i, item := range set.Items {
		if i%step == 0 || !seen[item.Label] {
			s.Items = append(s.Items, item)
			seen[item.Label] = true
		}
	}
	return &s
}

// features is the training of the classifier alone.
func (r *rehearsal) features(ctx context.Context) error {
	compiling, err := compile(&r.Options)
	if err != nil {
		return err
	}
	few := some(r.Train)
	began := time.Now()
	if _, _, err := r.featuresOf(ctx, few); err != nil {
		return err
	}
	all := images(r.Train) + images(r.Val)
	r.photo = scaled(time.Since(began)-compiling, 1, len(few.Items))
	if images(r.Val) > 0 { // with an engine of its own, when the one before is garbage
		few := some(r.Val)
		r.few = &validator{Options: r.Options, set: few}
		if r.few.features, r.few.missing, err = r.featuresOf(ctx, few); err != nil {
			return err
		}
	}
	r.Time += 2*compiling + r.photo*time.Duration(all)

	c, passes := r.trainer, r.Epochs
	if r.HeadEpochs > 0 {
		if c, err = newTrainer(r.alone()); err != nil {
			return err
		}
		defer c.close()
		passes = r.HeadEpochs
		c.validator = nil
	}
	if err := r.teach(ctx, c); err != nil {
		return err
	}
	width := r.Model.Config.Network().Features()
	r.More = int64(all) * int64(width) * 4
	order := r.order(1)
	began = time.Now()
	// The same features for all: what is measured is how long it takes.
	c.features = make([]float32, images(r.Train)*width)
	n := min(len(order), rehearsedSteps)
	for i := range n {
		if err := learn(ctx, c, c.targets(i, order[i])); err != nil {
			return err
		}
	}
	r.Time += scaled(time.Since(began), passes*len(order), n)
	c.features = nil
	return nil
}

// learn makes a step that changes next to nothing.
func learn(ctx context.Context, t *trainer, b *batch) error {
	return t.taught(ctx, b, func(b *batch) error {
		_, _, err := t.step(1, b, 1e-9)
		return err
	})
}

// teach has the teacher look at a few photos that are the same in every epoch, and say of
// the others the same.
func (r *rehearsal) teach(ctx context.Context, t *trainer) error {
	if t.teacher == nil {
		return nil
	}
	few := t.Options
	few.Train = some(t.Train)
	compiling, err := compile(&Options{Data: Data{Model: t.teacher.model}, Run: Run{Threads: t.Threads}})
	if err != nil {
		return err
	}
	began := time.Now()
	if err := t.teacher.recall(ctx, &few, &batch{}); err != nil {
		return err
	}
	r.Time += compiling + scaled(time.Since(began)-compiling, images(t.Train), len(few.Train.Items))
	logits := make([]float32, len(t.Train.Classes))
	for _, v := range t.teacher.known {
		if v != nil { // of a photo that can be read
			logits = v
		}
	}
	t.teacher.known = make([][]float32, images(t.Train))
	for i := range t.teacher.known {
		t.teacher.known[i] = slices.Clone(logits)
	}
	return nil
}

// steps is the epochs of all layers, without what ends them.
func (r *rehearsal) steps(ctx context.Context) error {
	order := r.order(1)
	known := r.network.knownBytes(images(r.Train))
	if !r.unchanged() {
		known = 0
	}
	// The features are gone by then, and their memory is used again.
	defer func() { r.More = max(0, r.More-r.network.buffers.bytes()) + known }()
	if known > 0 {
		return r.fromKnown(ctx, order)
	}
	// The first step makes the buffers. What is measured begins as an epoch does, with no
	// batch prepared.
	var began time.Time
	var m mark
	measured, first := 0, 0 // images
	for _, batches := range [][][]int{order[:1], order[:min(len(order), rehearsedSteps)]} {
		began, measured = time.Now(), 0
		end := began.Add(rehearsedFor)
		for b, err := range r.loader(ctx, 1, batches) {
			if err != nil {
				return err
			}
			if !r.enough(b) {
				return fmt.Errorf("the photos of a batch can't be read")
			}
			if err := learn(ctx, r.trainer, b); err != nil {
				return err
			}
			if measured == 0 { // batches are waiting by now, which are memory, too
				pause := time.Now()
				m, first = markHeap(), len(b.items)
				began = began.Add(time.Since(pause))
			}
			if measured += len(b.items); time.Now().After(end) {
				break
			}
		}
	}
	r.Time += r.epochs * scaled(time.Since(began), images(r.Train), measured)
	r.heap, r.learning, r.garbage = heap(), m, scaled(allocated()-m.made, images(r.Train)-first, measured-first)
	return nil
}

// fromKnown is the epochs with what frozen modules put out, which is computed once.
func (r *rehearsal) fromKnown(ctx context.Context, order [][]int) error {
	few := *r.trainer
	few.Train = some(r.Train)
	began := time.Now()
	if _, err := few.activations(ctx); err != nil {
		return err
	}
	r.Time += scaled(time.Since(began), images(r.Train), len(few.Train.Items))
	if err := r.teach(ctx, r.trainer); err != nil {
		return err
	}
	n := min(len(order), rehearsedSteps)
	size := r.network.layers[r.network.frozen-1].imageSize()
	r.known = make([]float32, images(r.Train)*size) // the same for all: it takes as long
	m := markHeap()
	began = time.Now()
	for i := range n {
		if err := learn(ctx, r.trainer, r.targets(i, order[i])); err != nil {
			return err
		}
	}
	r.Time += r.epochs * scaled(time.Since(began), len(order), n)
	r.learning, r.garbage = m.without(int64(len(r.known))*4), scaled(allocated()-m.made, len(order), n) // More has the known
	r.known = nil
	return nil
}

// ends is what comes at the end of each epoch, and of all: validation and files.
func (r *rehearsal) ends(ctx context.Context) (err error) {
	runtime.GC() // what follows is far later in a training
	before, began := allocated(), time.Now()
	r.history = append(r.history, report.Epoch{Epoch: r.first()})
	r.best = r.first()
	if err := r.save(); err != nil {
		return err
	}
	r.Time += (r.epochs + 1) * time.Since(began)
	// What is saved leaves garbage for the next epoch.
	r.top = min(r.learning.goal, r.learning.live+allocated()-before+r.garbage)
	runtime.GC()
	var validating time.Duration
	switch {
	case r.validator == nil:
	case r.Freeze == FreezeBackbone: // features are known: it takes no engine
		began := time.Now()
		if _, err := r.few.run(ctx, r.weights()); err != nil {
			return err
		}
		validating = scaled(time.Since(began), images(r.Val), len(r.few.set.Items))
	default:
		r.few = &validator{Options: r.Options, set: some(r.Val)}
		if validating, err = r.validation(ctx, r.few); err != nil {
			return err
		}
	}
	r.Time += validating * (r.epochs + 1)
	r.heap = max(r.heap, heap())

	learned := r.weights()
	r.rest()
	r.Time += r.photo * time.Duration(images(r.Test))
	if r.QAT { // what it began with is measured, too
		r.Time += validating
	}
	if r.Int8 && !r.QAT {
		if err := r.calibrations(ctx, learned); err != nil {
			return err
		}
		r.Time += r.photo * time.Duration(images(r.Val))
	}
	last := *r.trainer
	last.validator, last.Int8, last.QAT = r.few, false, false
	last.Division = cmp.Or(r.Division, &dataset.Division{}) // for the card, which nobody reads
	if images(r.Test) > 0 {
		last.Test = some(r.Test)
	}
	began = time.Now()
	_, err = last.finish(ctx) // pictures take a second, and tens of megabytes
	r.Time += time.Since(began)
	return err
}

// validation says how long one takes, of which v has a few images.
func (r *rehearsal) validation(ctx context.Context, v *validator) (time.Duration, error) {
	compiling, err := compile(&r.Options)
	if err != nil {
		return 0, err
	}
	before := allocated()
	began := time.Now()
	e, err := v.compile(r.weights())
	if err != nil {
		return 0, err
	}
	made := allocated()
	_, err = v.through(ctx, e, r.Model.Config)
	whole := time.Since(began)
	photos := scaled(allocated()-made, images(r.Val), len(v.set.Items))
	// What an epoch left is there, too, unless it is collected.
	r.top = max(r.top, min(markHeap().goal, r.top+made-before+photos))
	release(e)
	r.photo = scaled(whole-compiling, 1, len(v.set.Items))
	return compiling + scaled(whole-compiling, images(r.Val), len(v.set.Items)), err
}

// calibrations is the 8-bit network at the end, without its validation.
func (r *rehearsal) calibrations(ctx context.Context, m *model.Model) error {
	few := r.Options
	few.Train = some(r.Train)
	began := time.Now()
	_, n, err := few.calibrate(ctx, m)
	r.Time += scaled(time.Since(began), min(calibration, images(r.Train)), n)
	runtime.GC() // as in compile
	return err
}

// compile says how long it takes to make an engine.
func compile(o *Options) (time.Duration, error) {
	began := time.Now()
	e, err := engine.Compile(o.Model, engine.Options{Threads: o.Threads})
	if err != nil {
		return 0, err
	}
	took := time.Since(began)
	release(e)
	return took, nil
}

// A mark is how the heap was without garbage.
type mark struct {
	live int64 // bytes
	goal int64 // that it grows to before garbage is collected
	made int64 // bytes allocated since the process began
}

// overshoot is the share of its goal by which the heap grows beyond it, while the garbage
// is collected: 87 to 95 MB at a goal of 90, 84 to 84 at 89.
const overshoot = 25

func markHeap() mark {
	runtime.GC()
	goal := memory("/gc/heap/goal:bytes")
	return mark{memory("/gc/heap/live:bytes"), goal + goal/overshoot, allocated()}
}

// without is m, had so many bytes that live not been there.
func (m mark) without(bytes int64) mark {
	m.live, m.goal = m.live-bytes, m.goal-bytes
	return m
}

func allocated() int64 { return memory("/gc/heap/allocs:bytes") }

// heap is the memory that the heap has of the system, used or not.
func heap() int64 {
	return memory("/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes", "/memory/classes/heap/free:bytes")
}

// memory is the sum of some of the runtime's metrics.
func memory(names ...string) (sum int64) {
	samples := make([]metrics.Sample, len(names))
	for i, name := range names {
		samples[i].Name = name
	}
	metrics.Read(samples)
	for _, s := range samples {
		sum += int64(s.Value.Uint64())
	}
	return sum
}

// scaled is what n take, time or bytes, if some of them took d.
func scaled[T ~int64](d T, n, some int) T {
	return T(float64(max(0, d)) * float64(max(0, n)) / float64(max(1, some)))
}
