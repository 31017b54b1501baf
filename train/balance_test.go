package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/train/report"
)

// TestWeightedLoss compares loss and gradient with PyTorch's, by
// testdata/weighted.py.
func TestWeightedLoss(t *testing.T) {
	text, err := os.ReadFile("testdata/weighted.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Smoothing, Mix, Loss float64
		Labels               []int
		Weights              []float32
		Logits, Grad         [][]float32
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	set := &dataset.Set{Classes: make([]string, 4)}
	for _, label := range g.Labels {
		set.Items = append(set.Items, dataset.Item{Label: label})
	}
	o := Options{Data: Data{Train: set}, Hyperparameters: Hyperparameters{LabelSmoothing: g.Smoothing, Balance: BalanceLoss}}
	o.weights = o.classWeights()
	if !slices.Equal(o.weights, g.Weights) {
		t.Errorf("weights %v, want %v", o.weights, g.Weights)
	}
	var own, targets, logits, want []float32
	for i := range set.Items {
		row := make([]float32, 4)
		o.target(row, i)
		own = append(own, row...)
		logits, want = append(logits, g.Logits[i]...), append(want, g.Grad[i]...)
	}
	for i := range own {
		before := own[(i+len(own)-4)%len(own)]
		targets = append(targets, float32(g.Mix)*own[i]+float32(1-g.Mix)*before)
	}
	grad := make([]float32, len(logits))
	loss := softmaxLoss(grad, logits, targets, 4)
	if math.Abs(loss-g.Loss) > 1e-6 {
		t.Errorf("loss %v, want %v", loss, g.Loss)
	}
	near(t, "gradient", grad, want, 0)
}

// TestSample checks what is seen in an epoch of 7 images of one class, 2 of another
// and none of a third.
func TestSample(t *testing.T) {
	set := &dataset.Set{Classes: []string{"many", "none", "few"}}
	for i := range 9 {
		set.Items = append(set.Items, dataset.Item{Label: 2 * (i / 7)})
	}
	o := Options{Data: Data{Train: set}, Run: Run{Seed: 3}}
	all := o.sample(1)
	slices.Sort(all)
	if !slices.Equal(all, []int{0, 1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("without balance %v", all)
	}
	o.Balance = BalanceSampling
	often := 0
	for epoch := range 40 {
		var counts [9]int
		for _, i := range o.sample(epoch) {
			counts[i]++
		}
		many, few := 0, counts[7]+counts[8]
		for _, n := range counts[:7] {
			many += n
			if n > 1 {
				t.Errorf("epoch %d: %v: one of the many twice", epoch, counts)
			}
		}
		if many+few != 9 || max(many, few) != 5 || max(counts[7], counts[8])-min(counts[7], counts[8]) > 1 {
			t.Errorf("epoch %d: %v", epoch, counts)
		}
		often += many - 4
	}
	if often == 0 || often == 40 {
		t.Error("the same class always gets the odd image")
	}
	if !slices.Equal(o.sample(5), o.sample(5)) {
		t.Error("an epoch has other images the second time")
	}
}

// TestUnreadable trains with photos that can't be read among the others: with any
// part frozen, and interrupted, the weights are those of the whole run.
func TestUnreadable(t *testing.T) {
	for name, freeze := range map[string]int{"nothing frozen": 0, "modules frozen": 3, "backbone frozen": FreezeBackbone} {
		train, val := photos(t, 8)
		for _, item := range []dataset.Item{train.Items[1], train.Items[6], val.Items[2]} {
			if err := os.WriteFile(item.Name, []byte("no image"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		run := func(change func(o *Options)) (Options, *Result, error) {
			o := options(t, train, val)
			o.Freeze, o.Mixup, o.CutMix, o.MaxErrors = freeze, 0, 0, 3
			if freeze != 0 {
				o.Augment = Hyperparameters{}.Augment
			}
			change(&o)
			r, err := Fit(t.Context(), o)
			return o, r, err
		}
		var told []string
		whole, r, err := run(func(o *Options) { o.Unreadable = func(err error) { told = append(told, err.Error()) } })
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(told) != 3 || r.Unreadable != 3 || r.Evaluation.Images != len(val.Items)-1 {
			t.Errorf("%s: told of %q, %d in all; validated with %d", name, told, r.Unreadable, r.Evaluation.Images)
		}
		again := whole // which trains with nothing any more
		again.Resume, told = true, nil
		if r, err = Fit(t.Context(), again); err != nil {
			t.Fatalf("%s: resumed: %v", name, err)
		}
		card, err := os.ReadFile(filepath.Join(again.RunDir, report.CardFile))
		if len(told) != 3 || r.Unreadable != 3 || !strings.Contains(string(card), "3 images could not be read") {
			t.Errorf("%s: resumed, told of %q, %d in all; %v, %s", name, told, r.Unreadable, err, card)
		}
		list, err := os.ReadFile(filepath.Join(again.RunDir, UnreadableFile))
		if err != nil || strings.Count(string(list), "\n") != 4 || !strings.Contains(string(list), "\n"+train.Items[1].Name+",") {
			t.Errorf("%s: %v, %s", name, err, list)
		}
		again.MaxErrors = 2
		if _, err := Fit(t.Context(), again); err == nil || !strings.Contains(err.Error(), "more than the 2 allowed") {
			t.Errorf("%s: resumed with less patience: error %v", name, err)
		}
		parts, _, err := run(func(o *Options) { o.Threads = 2 })
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(last(t, whole), last(t, parts)) {
			t.Errorf("%s: the weights differ", name)
		}
		if _, _, err := run(func(o *Options) { o.MaxErrors = 2 }); err == nil || !strings.Contains(err.Error(), "more than the 2 allowed") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestUnseenClass: a class of which no image can be read is refused before a folder is
// made, by the rehearsal, too.
func TestUnseenClass(t *testing.T) {
	train, val := photos(t, 6)
	for _, item := range train.Items {
		if item.Label == 1 {
			if err := os.WriteFile(item.Name, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	o := options(t, train, val)
	o.MaxErrors, o.RunDir = 10, filepath.Join(t.TempDir(), "run")
	_, err := Fit(t.Context(), o)
	_, rehearsed := Rehearse(t.Context(), o)
	for _, err := range []error{err, rehearsed} {
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("class %q: none of its training images", train.Classes[1])) {
			t.Errorf("error %v", err)
		}
	}
	if _, err := os.Stat(o.RunDir); err == nil {
		t.Error("the refused run has left a folder")
	}
}

// TestTest checks what is measured at the end with images of their own.
func TestTest(t *testing.T) {
	train, val := photos(t, 6)
	o := options(t, train, val)
	o.Epochs, o.Warmup = 2, 0
	o.Test = &dataset.Set{Classes: train.Classes, Items: train.Items[:5]}
	var seen []report.Epoch
	o.EpochDone = func(e, best report.Epoch) {
		seen = append(seen, e)
		if best != report.Best(seen) {
			t.Errorf("epoch %d: the best is said to be %d", e.Epoch, best.Epoch)
		}
	}
	r, err := Fit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Test == nil || r.Test.Images != 5 || len(seen) != 2 || seen[1] != r.Epochs[1] {
		t.Errorf("tested with %+v, epochs %v", r.Test, seen)
	}
	for _, name := range []string{"evaluation.json", "predictions.csv", "val_predictions.jpg"} {
		if _, err := os.Stat(filepath.Join(o.RunDir, TestDir, name)); err != nil {
			t.Error(err)
		}
	}
	o.Test = &dataset.Set{Classes: []string{"other"}}
	if _, err := Fit(t.Context(), o); err == nil || !strings.Contains(err.Error(), "3 classes, others 1") {
		t.Errorf("error %v", err)
	}
}
