package train

import (
	"os"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet/dataset"
	"github.com/mobilenet-go/mobilenet/vision"
)

// TestRehearse checks that a rehearsal goes through every kind of training, and leaves
// nothing in its folder.
func TestRehearse(t *testing.T) {
	train, val := photos(t, 9)
	for _, item := range []dataset.Item{train.Items[2], val.Items[1]} {
		if err := os.WriteFile(item.Name, []byte("no image"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		change func(o *Options)
		more   bool // takes memory that the rehearsal does not
	}{
		"two phases": {func(o *Options) { o.Test = val }, false},
		"one phase":  {func(o *Options) { o.HeadEpochs, o.Undo = 0, false }, false},
		"classifier": {func(o *Options) { o.Freeze = FreezeBackbone }, true},
		"some": {func(o *Options) {
			o.Freeze, o.HeadEpochs, o.Mixup, o.CutMix, o.Augment, o.Val = 3, 0, 0, 0, vision.Augment{}, nil
		}, true},
		"in 8 bits, too": {func(o *Options) { o.Int8 = true }, false},
		"teacher":        {func(o *Options) { o.Data.Teacher = teacherFor(t, *o, 32) }, false},
		"teacher of a classifier": {func(o *Options) {
			o.Data.Teacher, o.Freeze = teacherFor(t, *o, 32), FreezeBackbone
		}, true},
		"teacher of some": {func(o *Options) {
			o.Data.Teacher = teacherFor(t, *o, 32)
			o.Freeze, o.HeadEpochs, o.Mixup, o.CutMix, o.Augment, o.EMA = 3, 0, 0, 0, vision.Augment{}, 0.9
		}, true},
		"8 bits": {func(o *Options) {
			o.HeadEpochs, o.QAT, o.LayerDecay, o.WarmupSteps = 0, true, 0, 0
		}, false},
		"large batch": {func(o *Options) { o.Batch = 500 }, false},
	} {
		o := phases(t, train, val)
		test.change(&o)
		o.MaxErrors = 2
		e, err := Rehearse(t.Context(), o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if e.Time <= 0 || e.More < 0 || test.more && e.More == 0 {
			t.Errorf("%s: %+v", name, e)
		}
		if left, err := os.ReadDir(o.RunDir); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, error %v", name, left, err)
		}
	}
}

// TestSome wants an image of every class among a few: pictures of classes grow with them.
func TestSome(t *testing.T) {
	set := &dataset.Set{Classes: make([]string, 200)}
	for i := range 1000 {
		set.Items = append(set.Items, dataset.Item{Label: i / 5})
	}
	few := some(set)
	if n := len(few.Items); n < 200 || n > 200+rehearsedPhotos+1 {
		t.Errorf("%d images of 200 classes", n)
	}
	if slices.Contains(few.Counts(), 0) {
		t.Error("a class has none")
	}
	set.Classes, set.Items = set.Classes[:2], set.Items[:10]
	if n := len(some(set).Items); n != 10 {
		t.Errorf("%d of 10 images", n)
	}
}
