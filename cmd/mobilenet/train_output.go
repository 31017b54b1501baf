package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/train"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// warn says what makes the validation say less than it seems to: classes of which
// there is nothing to validate with, and photos that are trained with, too.
func (f *trainFlags) warn(ctx context.Context, w io.Writer) (err error) {
	f.warnUnbalanced(w)
	if f.o.Val == nil && f.val > 0 {
		fmt.Fprintln(w, "warning: no photos to validate with: that takes a class of at least 2, or --data with a val folder")
	}
	if f.o.Resume {
		return nil // it was said at the beginning
	}
	if f.o.Division, err = dataset.Divide(ctx, f.o.Train, f.o.Val); err != nil {
		return err
	}
	if several := f.o.Division.Contradictions(); len(several) > 0 {
		fmt.Fprintf(w, "warning: the same photo in more than one class, byte for byte: %s: %s\n", plural(len(several), "pair"), few(f.pairs(several)))
	}
	if f.o.Val == nil {
		return nil
	}
	if shared := f.o.Division.Shared(); len(shared) > 0 {
		fmt.Fprintf(w, "warning: %d of the %d photos to validate with %s trained with, too, byte for byte: %s\n", len(shared), len(f.o.Val.Items), isAre(len(shared)), few(f.pairs(shared)))
	}
	if err := f.warnKnown(ctx, w, f.o.Val, "validate"); err != nil {
		return err
	}
	none := slices.DeleteFunc(without(f.o.Val), func(name string) bool { // a note has said it of an empty folder
		return slices.ContainsFunc(f.o.Val.Notes, func(note string) bool { return strings.HasSuffix(note, "class "+name+" has no images") })
	})
	if len(none) > 0 {
		fmt.Fprintln(w, "warning: no photos to validate with of", few(none))
	}
	return nil
}

// warnKnown says how many photos to measure with the weights that the run begins with, or
// its teacher, were trained with.
func (f *trainFlags) warnKnown(ctx context.Context, w io.Writer, set *dataset.Set, to string) error {
	for _, from := range []struct {
		name, is string
		with     *dataset.Division
	}{{f.model, "it is", f.o.Before}, {f.teacher, "the teacher is", f.o.TeacherBefore}} {
		if from.with == nil {
			continue
		}
		known, err := from.with.Known(ctx, set)
		if err != nil {
			return err
		}
		if n := len(known); n > 0 {
			fmt.Fprintf(w, "warning: %s was trained with %d of the %d photos to %s with: %s better on them than on others\n", shown(from.name), n, len(set.Items), to, from.is)
		}
	}
	return nil
}

// without are the classes of which a set has no photos.
func without(set *dataset.Set) (names []string) {
	for i, n := range set.Counts() {
		if n == 0 {
			names = append(names, strconv.Quote(set.Classes[i]))
		}
	}
	return names
}

// unbalanced is of how many times as many photos of one class as of another it is said
// what can be done: at 1 to 50 sampling took three classes from 45 to 75 % (docs/finetune.md).
const unbalanced = 10

func (f *trainFlags) warnUnbalanced(w io.Writer) {
	counts := slices.DeleteFunc(f.o.Train.Counts(), func(n int) bool { return n == 0 })
	if f.o.Resume || len(counts) == 0 || f.o.Balance != train.NoBalance {
		return
	}
	if low, high := slices.Min(counts), slices.Max(counts); high >= unbalanced*low {
		fmt.Fprintf(w, "note: classes have from %d to %d photos to train with; --balance sampling shows rare ones as often as the others\n", low, high)
	}
}

// warnUniform names photos in which there is nothing to see.
func warnUniform(w io.Writer, names []string) {
	if len(names) > 0 {
		fmt.Fprintf(w, "warning: photos of one colour, or nearly: %d: %s\n", len(names), few(names))
	}
}

// pairs names both files of each pair, with paths like those of --data.
func (f *trainFlags) pairs(copies []dataset.Copy) []string {
	name := func(path string) string {
		if here, err := filepath.Abs("."); err == nil && !filepath.IsAbs(f.data) && filepath.IsAbs(path) {
			if near, err := filepath.Rel(here, path); err == nil {
				path = near
			}
		}
		return shown(path)
	}
	var texts []string
	for _, c := range copies {
		texts = append(texts, fmt.Sprintf("%s (%s) = %s (%s)", name(c.Path), shown(c.Label), name(c.Of), shown(c.OfLabel)))
	}
	return texts
}

// few lists some names and counts the rest.
func few(names []string) string {
	const most = 5
	for i, name := range names {
		names[i] = shown(name)
	}
	if n := len(names) - most; n > 0 {
		names = append(names[:most:most], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(names, ", ")
}

// describe is the dry run. To open data and weights has taken some time by then, as it
// will before a training.
func (f *trainFlags) describe(ctx context.Context, w io.Writer, opened time.Duration) error {
	c := f.o.Model.Config
	broken := 0
	var uniform, clipped []string
	var counts [3][]int // of the classes' photos that can be read
	for part, set := range []*dataset.Set{f.o.Train, f.o.Val, f.o.Test} {
		counts[part] = make([]int, c.Classes)
		if set == nil {
			continue
		}
		counts[part] = set.Counts()
		for i, item := range set.Items {
			img, err := set.Image(ctx, i)
			if err == nil && img.Clipped {
				clipped = append(clipped, item.Name)
			}
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				fmt.Fprintln(w, "broken:", printable(err.Error()))
				broken++
				counts[part][item.Label]--
			case f.o.OfOneColour(set, img):
				uniform = append(uniform, item.Name)
			}
		}
	}
	slices.Sort(uniform) // as training tells of them
	warnUniform(w, slices.Compact(uniform))
	warnClipped(w, len(clipped), clipped...)
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"class", "train", "val"})
	for i, n := range counts[0] {
		t.AppendRow(table.Row{shown(f.o.Train.Classes[i]), n, counts[1][i]})
	}
	fmt.Fprintln(w, t.Render())
	fmt.Fprintf(w, "network: width %v, %d x %d, %d classes\n", c.Width, c.Resolution, c.Resolution, c.Classes)
	if f.o.HeadEpochs > 0 {
		fmt.Fprintf(w, "training: the classifier alone, %s at %v, then\n", plural(f.o.HeadEpochs, "epoch"), f.o.HeadLR)
	}
	fmt.Fprintf(w, "training: %s in batches of %d, %s %v, %s\n", plural(f.o.Epochs, "epoch"), f.o.Batch, f.o.Optimizer, f.o.LR, f.o.Schedule)
	if broken > f.o.MaxErrors {
		return errBroken(broken)
	}
	cost, err := train.Rehearse(ctx, f.o)
	if err != nil {
		return err
	}
	took, unit := opened+cost.Time, time.Second
	if took < 10*unit {
		unit /= 10
	}
	fmt.Fprintf(w, "memory: about %d MB; time: about %v\n", (peakRSS()+cost.More)>>20, took.Round(unit))
	if f.o.Resume {
		fmt.Fprintln(w, "that is the whole run: what is left of it takes less time, of a finished one next to none")
	} else if err := f.warnNearly(ctx, w); err != nil { // behind the estimate: it takes memory of its own
		return err
	}
	if broken > 0 {
		return errBroken(broken)
	}
	return nil
}

func errBroken(n int) error {
	if n == 1 {
		return errors.New("1 image is broken")
	}
	return fmt.Errorf("%d images are broken", n)
}

func (f *trainFlags) print(w io.Writer, r *train.Result, took time.Duration) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"epoch", "learning", "loss", "accuracy", "val loss", "val top-1", "seconds"})
	for _, e := range r.Epochs {
		mark := ""
		if e.Epoch == r.Best {
			mark = " *"
		}
		t.AppendRow(table.Row{
			fmt.Sprint(e.Epoch, mark), e.Phase, number(e.TrainLoss), share(e.TrainAcc),
			number(e.ValLoss), share(e.ValAcc1), fmt.Sprintf("%.1f", e.Seconds),
		})
	}
	fmt.Fprintln(w, t.Render())
	switch n := r.Epochs[len(r.Epochs)-1].Epoch; {
	case r.Diverged != nil:
		fmt.Fprintf(w, "stopped after %d of %s, for the next one diverges at every learning rate: %v\n", n, plural(f.o.Epochs, "epoch"), r.Diverged)
	case n < f.o.Epochs:
		fmt.Fprintf(w, "stopped after %d of %s: none of the last %d was better\n", n, plural(f.o.Epochs, "epoch"), f.o.Patience)
	}
	if r.Evaluation != nil {
		fmt.Fprintf(w, "best: epoch %d, top-1 %s of %s\n", r.Best, share(r.Evaluation.Top1Accuracy), plural(r.Evaluation.Images, "image"))
	}
	test := r.Test
	if r.Int8 != nil && r.Int8.Trained {
		test = r.Int8.Test // of what is kept: there are no figures in float32
	}
	if test != nil {
		fmt.Fprintf(w, "test: top-1 %s of %s, see %s\n", share(test.Top1Accuracy), plural(test.Images, "image"), filepath.Join(f.o.RunDir, train.TestDir))
	}
	if q := r.Int8; q != nil {
		fmt.Fprintf(w, "int8: %s, calibrated with %d photos", filepath.Join(f.o.RunDir, train.Int8File), q.Photos)
		switch {
		case q.Evaluation == nil:
		case q.Calibrated == q.Evaluation:
			fmt.Fprintf(w, "; top-1 %s, which training in 8 bits did not improve: it is kept as it was calibrated", share(q.Evaluation.Top1Accuracy))
		case q.Calibrated != nil:
			fmt.Fprintf(w, " and trained; top-1 %s, calibrated alone %s", share(q.Evaluation.Top1Accuracy), share(q.Calibrated.Top1Accuracy))
		default:
			fmt.Fprintf(w, "; top-1 %s, float32 %s", share(q.Evaluation.Top1Accuracy), share(r.Evaluation.Top1Accuracy))
		}
		if q.Test != nil && !q.Trained {
			fmt.Fprintf(w, "; test: top-1 %s, float32 %s", share(q.Test.Top1Accuracy), share(r.Test.Top1Accuracy))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "took %v; results are in %s\n", took.Round(100*time.Millisecond), f.o.RunDir)
	file := train.BestFile
	if f.o.QAT {
		file = train.Int8File
	}
	_, err := fmt.Fprintf(w, "try: mobilenet predict --model %s PHOTO\n", shellWord(filepath.Join(f.o.RunDir, file)))
	return err
}

// sayUnreadable says what photos were left out of: those of the test of nothing else.
func sayUnreadable(w io.Writer, r *train.Result) {
	text := "mobilenet: can't be read, and left out: " + plural(r.Unreadable, "photo")
	switch n := r.UnreadableTest; {
	case n == r.Unreadable:
		text += " to test with"
	case n > 0:
		text += fmt.Sprintf(", %d to test with", n)
	}
	text += fmt.Sprintf("; trained with %d", r.Trained)
	if r.Evaluation != nil {
		text += fmt.Sprintf(", validated with %d", r.Evaluation.Images)
	}
	if r.Test != nil {
		text += fmt.Sprintf(", tested with %d", r.Test.Images)
	}
	fmt.Fprintln(w, text)
}

// number prints a loss, or a dash where none was measured. Of one that grew beyond a
// million the digits say nothing.
func number(v float64) string {
	switch {
	case v != v:
		return "-"
	case v >= 1e6:
		return fmt.Sprintf("%.4g", v)
	}
	return fmt.Sprintf("%.4f", v)
}

// share prints an accuracy, or a dash where none was measured.
func share(v float64) string {
	if v != v {
		return "-"
	}
	return fmt.Sprintf("%.2f %%", 100*v)
}

// A trainLine shows how a training goes: a line per epoch, and on a terminal, while
// it goes on, one that is written anew.
type trainLine struct {
	w      io.Writer
	last   time.Time // the line was written
	epochs int       // of the run

	// Of epochs that take as long as each other: the classifier's takes seconds.
	began time.Time
	seen  int // batches
	done  int // epochs
}

// batch shows where an epoch is.
func (l *trainLine) batch(p train.Progress) {
	l.seen++
	if !isTerminal(l.w) || p.Batch < p.Batches && time.Since(l.last) < 100*time.Millisecond {
		return
	}
	l.last = time.Now()
	fmt.Fprintf(l.w, "\r\x1b[K%s  batch %d/%d  loss %s  accuracy %.2f %%  %.1f images/s",
		epochName(p.Epoch, p.Epochs), p.Batch, p.Batches, number(p.Loss), 100*p.Accuracy, p.ImagesPerSecond)
	if p.Epoch > 0 {
		left := (p.Epochs-p.Epoch+1)*p.Batches - p.Batch // if no run of bad epochs ends it
		eta := time.Duration(float64(time.Since(l.began)) / float64(l.seen) * float64(left))
		fmt.Fprintf(l.w, "  ETA %v", eta.Round(time.Second))
	}
}

// epoch sums up an epoch, and says which was the best so far.
func (l *trainLine) epoch(e, best report.Epoch) {
	line := fmt.Sprintf("%s  %s  loss %s  accuracy %s", epochName(e.Epoch, l.epochs), e.Phase, number(e.TrainLoss), share(e.TrainAcc))
	if e.ValAcc1 == e.ValAcc1 {
		line += fmt.Sprintf("  val loss %s  val top-1 %s  best %s (epoch %d)", number(e.ValLoss), share(e.ValAcc1), share(best.ValAcc1), best.Epoch)
	}
	if e.Epoch == 0 {
		line += fmt.Sprintf("  %.1f s", e.Seconds)
		l.began, l.seen = time.Now(), 0
	} else {
		l.done++ // of this process: what an interrupted one took is not known
		eta := time.Since(l.began) / time.Duration(l.done) * time.Duration(l.epochs-e.Epoch)
		line += fmt.Sprintf("  %.1f images/s  ETA %v", e.ImagesPerSecond, eta.Round(time.Second))
	}
	l.print(line)
}

// undone says that an epoch is made again.
func (l *trainLine) undone(e report.Epoch, err error) {
	l.print(fmt.Sprintf("%s  undone, and made again at half the learning rate: %s", epochName(e.Epoch, l.epochs), printable(err.Error())))
}

func (l *trainLine) print(line string) {
	if isTerminal(l.w) {
		line = "\r\x1b[K" + line
	}
	fmt.Fprintln(l.w, line)
}

// epochName is the number of an epoch; 0 comes before those that were asked for.
func epochName(epoch, epochs int) string {
	return fmt.Sprintf("epoch %d/%d", epoch, epochs)
}

// sayKnown says what becomes of the classifier of a model that knows the classes.
func (f *trainFlags) sayKnown(w io.Writer, labels []string) {
	classes := f.o.Train.Classes
	switch {
	case f.o.Resume: // it was said at the beginning
	case slices.Equal(labels, classes):
		if f.o.HeadEpochs > 0 && f.o.Freeze != train.FreezeBackbone {
			fmt.Fprintf(w, "%s knows these classes already: its classifier is trained anew all the same, before all layers are; --head-epochs 0 leaves that out\n", shown(f.model))
		}
	case slices.Equal(slices.Sorted(slices.Values(labels)), slices.Sorted(slices.Values(classes))):
		fmt.Fprintf(w, "%s knows these classes already, in another order: its classifier is made and trained anew\n", shown(f.model))
	}
}

// over says why a run that is resumed trains no further, and what lets it.
func (f *trainFlags) over(w io.Writer, last, best report.Epoch) {
	if last.Epoch >= f.o.Epochs {
		fmt.Fprintf(w, "nothing to train: the run has all of its %s; --epochs gives it more\n", plural(f.o.Epochs, "epoch"))
		return
	}
	fmt.Fprintf(w, "nothing to train: the run was stopped by --patience %d after epoch %d of %d, the best being epoch %d; a larger --patience lets it go on, and 0 to the end\n",
		f.o.Patience, last.Epoch, f.o.Epochs, best.Epoch)
}

// begins says what is trained with, and where the results go.
func (f *trainFlags) begins(w io.Writer) {
	what := "training"
	if f.o.Resume {
		what = "going on"
	}
	val := 0
	if f.o.Val != nil {
		val = len(f.o.Val.Items)
	}
	fmt.Fprintf(w, "%s with %s of %d classes, %d to validate with; results go to %s\n",
		what, plural(len(f.o.Train.Items), "photo"), len(f.o.Train.Classes), val, shown(f.o.RunDir))
}
