package train

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mobilenet-go/mobilenet/checkpoint"
	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/train/report"
	"github.com/mobilenet-go/mobilenet/vision"
)

// TestInt8 checks what a run with Int8 leaves: the network of its file, measured image
// by image as any program would, the same bytes whatever the threads, both figures in
// the report and in the card, and a run that was over before.
func TestInt8(t *testing.T) {
	train, val := photos(t, 9)
	var files [][]byte
	for _, threads := range []int{1, 3} {
		o := options(t, train, val)
		o.Mixup, o.CutMix, o.EMA, o.Augment.Erase = 0, 0, 0, 0
		o.Epochs, o.Threads, o.Test = 8, threads, val
		if threads == 3 { // asked for once the run is over
			if _, err := Fit(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			o.Resume, o.Model = true, options(t, train, val).Model
		}
		o.Int8 = true
		r, err := Fit(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(o.RunDir, Int8File))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, data)
		q, _, err := checkpoint.ParseQuantized(data)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(q.Labels, train.Classes) || r.Int8.Photos != len(train.Items) {
			t.Errorf("labels %q, calibrated with %d photos", q.Labels, r.Int8.Photos)
		}
		e, err := engine.CompileQuantized(q, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		right := 0
		logits := make([]float32, 3)
		for i, item := range val.Items {
			photo, err := val.Image(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			img := vision.Crop(photo, q.Config.Preprocess, q.Config.Resolution)
			if err := e.Run(t.Context(), engine.Input{Pixels: img.Pix, N: 1, H: img.H, W: img.W}, engine.Output{Logits: logits}); err != nil {
				t.Fatal(err)
			}
			if argmax(logits) == item.Label {
				right++
			}
		}
		e.Close()
		want := float64(right) / float64(len(val.Items))
		if r.Int8.Evaluation.Top1Accuracy != want || r.Int8.Test.Top1Accuracy != want || want < 0.5 {
			t.Errorf("accuracy %v and %v, want %v, and more than 0.5", r.Int8.Evaluation.Top1Accuracy, r.Int8.Test.Top1Accuracy, want)
		}
		text, err := os.ReadFile(filepath.Join(o.RunDir, Int8Report))
		if err != nil {
			t.Fatal(err)
		}
		type figures struct {
			Images        int
			Float32, Int8 struct{ Top1 float64 }
		}
		var told struct{ Validation, Test figures }
		if err := json.Unmarshal(text, &told); err != nil || told.Validation.Int8.Top1 != want || told.Validation.Float32.Top1 != r.Evaluation.Top1Accuracy || told.Test.Images != len(val.Items) {
			t.Errorf("%s: %s, %v", Int8Report, text, err)
		}
		card, err := os.ReadFile(filepath.Join(o.RunDir, report.CardFile))
		if err != nil || bytes.Count(card, []byte("| the same in 8 bits | 6 |")) != 2 || !bytes.Contains(card, []byte(Int8File)) {
			t.Errorf("the card says nothing of 8 bits: %v\n%s", err, card)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("other bytes with other threads")
	}
}

// TestInt8Alone checks a run without images to validate with, and with one that can't
// be read.
func TestInt8Alone(t *testing.T) {
	train, _ := photos(t, 5)
	bad := filepath.Join(t.TempDir(), "bad.png")
	if err := os.WriteFile(bad, []byte("no image"), 0o644); err != nil {
		t.Fatal(err)
	}
	train.Items = append(train.Items, dataset.Item{Name: bad})
	o := options(t, train, nil)
	o.Epochs, o.Warmup, o.MaxErrors, o.Int8 = 1, 0, 1, true
	r, err := Fit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Int8.Evaluation != nil || r.Int8.Photos != len(train.Items)-1 {
		t.Errorf("measured %v, calibrated with %d photos", r.Int8.Evaluation, r.Int8.Photos)
	}
	text, err := os.ReadFile(filepath.Join(o.RunDir, Int8Report))
	if err != nil || strings.Contains(string(text), "validation") {
		t.Errorf("%s, %v", text, err)
	}
}

// TestEvenly checks that classes have shares of their size, and images of a class
// come from all of it.
func TestEvenly(t *testing.T) {
	set := &dataset.Set{Classes: []string{"a", "b"}}
	for i := range 40 {
		set.Items = append(set.Items, dataset.Item{Label: min(1, i%4)})
	}
	counts := [2]int{}
	some := evenly(set, 12)
	for _, i := range some {
		counts[set.Items[i].Label]++
	}
	if counts != [2]int{3, 9} || !slices.IsSortedFunc(some[3:], func(a, b int) int { return a - b }) || some[len(some)-1] < 35 {
		t.Errorf("%v, of the classes %v", some, counts)
	}
	if all := evenly(set, 99); len(all) != 40 {
		t.Errorf("%d of 40", len(all))
	}
}
