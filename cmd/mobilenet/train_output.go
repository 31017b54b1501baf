package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/train"
)

// warn says what makes the validation say less than it seems to: classes of which
// there is nothing to validate with, and photos that are trained with, too.
func (f *trainFlags) warn(ctx context.Context, w io.Writer) (err error) {
	if f.o.Val == nil {
		if f.val > 0 {
			fmt.Fprintln(w, "warning: no photos to validate with: that takes a class of at least 2, or --data with a val folder")
		}
		return nil
	}
	if f.o.Resume {
		return nil // it was said at the beginning
	}
	if f.o.Division, err = dataset.Divide(ctx, f.o.Train, f.o.Val); err != nil {
		return err
	}
	if shared := f.o.Division.Shared(); len(shared) > 0 {
		fmt.Fprintf(w, "warning: %d of the %d photos to validate with are trained with, too, by their content: %s\n", len(shared), len(f.o.Val.Items), few(shared))
	}
	var without []string
	for i, n := range f.o.Val.Counts() {
		if n == 0 {
			without = append(without, strconv.Quote(f.o.Val.Classes[i]))
		}
	}
	if len(without) > 0 {
		fmt.Fprintln(w, "warning: no photos to validate with of", few(without))
	}
	return nil
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

// describe is the dry run.
func (f *trainFlags) describe(ctx context.Context, w io.Writer) error {
	c := f.o.Model.Config
	broken := 0
	for _, set := range []*dataset.Set{f.o.Train, f.o.Val} {
		if set == nil {
			continue
		}
		for i := range set.Items {
			if _, err := set.Image(ctx, i); ctx.Err() != nil {
				return ctx.Err()
			} else if err != nil {
				fmt.Fprintln(w, "broken:", printable(err.Error()))
				broken++
			}
		}
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"class", "train", "val"})
	var val []int
	if f.o.Val != nil {
		val = f.o.Val.Counts()
	} else {
		val = make([]int, c.Classes)
	}
	for i, n := range f.o.Train.Counts() {
		t.AppendRow(table.Row{f.o.Train.Classes[i], n, val[i]})
	}
	fmt.Fprintln(w, t.Render())
	o := f.o
	o.Batch = min(o.Batch, len(o.Train.Items))
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	cost, err := train.Measure(o, 1)
	if err != nil {
		return err
	}
	images := len(f.o.Train.Items) * f.o.Epochs
	if o.Freeze == train.FreezeBackbone { // looks at each once
		images = len(f.o.Train.Items)
	}
	steps := (images + o.Batch - 1) / o.Batch
	fmt.Fprintf(w, "network: width %v, %d x %d, %d classes\n", c.Width, c.Resolution, c.Resolution, c.Classes)
	fmt.Fprintf(w, "training: %d epochs in batches of %d, %s %v, %s\n", f.o.Epochs, f.o.Batch, f.o.Optimizer, f.o.LR, f.o.Schedule)
	memory := max(cost.Bytes, peakRSS()) + cost.Kept
	fmt.Fprintf(w, "memory: about %d MB; time: about %v and validation\n", memory>>20, (time.Duration(steps) * cost.Steps[0]).Round(time.Second))
	if broken > 0 {
		return fmt.Errorf("%d images are broken", broken)
	}
	return nil
}

func (f *trainFlags) print(w io.Writer, r *train.Result, took time.Duration) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"epoch", "loss", "accuracy", "val loss", "val top-1", "seconds"})
	for _, e := range r.Epochs {
		mark := ""
		if e.Epoch == r.Best {
			mark = " *"
		}
		t.AppendRow(table.Row{
			fmt.Sprint(e.Epoch, mark), fmt.Sprintf("%.4f", e.TrainLoss), share(e.TrainAcc),
			number(e.ValLoss), share(e.ValAcc1), fmt.Sprintf("%.1f", e.Seconds),
		})
	}
	fmt.Fprintln(w, t.Render())
	if n := len(r.Epochs); n < f.o.Epochs {
		fmt.Fprintf(w, "stopped after %d of %d epochs: none of the last %d was better\n", n, f.o.Epochs, f.o.Patience)
	}
	if r.Evaluation != nil {
		fmt.Fprintf(w, "best: epoch %d, top-1 %s of %d images\n", r.Best, share(r.Evaluation.Top1Accuracy), r.Evaluation.Images)
	}
	fmt.Fprintf(w, "took %v; results are in %s\n", took.Round(100*time.Millisecond), f.o.RunDir)
	_, err := fmt.Fprintf(w, "try: mobilenet predict --model %s PHOTO\n", filepath.Join(f.o.RunDir, train.BestFile))
	return err
}

// number prints a loss, or a dash where none was measured.
func number(v float64) string {
	if v != v {
		return "-"
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

// progressLine prints a line per epoch that is written anew while the epoch goes
// on, or once where w is no terminal.
func progressLine(w io.Writer) func(train.Progress) {
	var last time.Time
	began := time.Now()
	seen := 0
	return func(p train.Progress) {
		seen++
		end := p.Batch == p.Batches
		if !end && (!isTerminal(w) || time.Since(last) < 100*time.Millisecond) {
			return
		}
		last = time.Now()
		total := p.Epochs * p.Batches
		left := total - (p.Epoch-1)*p.Batches - p.Batch
		eta := time.Duration(float64(time.Since(began)) / float64(seen) * float64(left))
		line := fmt.Sprintf("epoch %d/%d  batch %d/%d  loss %.4f  accuracy %.2f %%  %.1f images/s  ETA %v",
			p.Epoch, p.Epochs, p.Batch, p.Batches, p.Loss, 100*p.Accuracy, p.ImagesPerSecond, eta.Round(time.Second))
		if isTerminal(w) {
			line = "\r\x1b[K" + line
		}
		if end {
			line += "\n"
		}
		fmt.Fprint(w, line)
	}
}
