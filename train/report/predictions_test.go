package report

import (
	"bytes"
	"errors"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// predicted are a right one, two mistakes, the second of them the surer, and a right
// one that is less sure than the first.
func predicted(t *testing.T) *Predictions {
	p := NewPredictions([]string{"ant", "蜂", "बिल्ली"})
	for _, i := range []struct {
		name   string
		label  int
		logits []float32
	}{
		{"a.png", 0, []float32{4, 0, 0}}, {"b.png", 1, []float32{1, 0, 0}}, {"c.png", 2, []float32{0, 3, 0}}, {"d.png", 1, []float32{0, 1, 0}},
	} {
		if err := p.Add(i.name, i.label, i.logits); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestPredictions(t *testing.T) {
	p := predicted(t)
	if got := p.Worst(9); !slices.Equal(got, []int{2, 1, 3, 0}) {
		t.Errorf("the worst are %v", got)
	}
	if got := p.Worst(1); !slices.Equal(got, []int{2}) {
		t.Errorf("the worst is %v", got)
	}
	if e := p.Evaluation(); e.Images != 4 || e.Top1Accuracy != 0.5 {
		t.Errorf("%d images, %v right", e.Images, e.Top1Accuracy)
	}
	if got := p.title(); got != "2 of 4 wrong, the worst first; "+byNumber { // of the third there are no letters
		t.Errorf("title %q", got)
	}
	var text bytes.Buffer
	if err := p.WriteCSV(&text); err != nil {
		t.Fatal(err)
	}
	if want := "file,true,predicted,probability,rank,loss\na.png,ant,ant,0.964663,1,0.0359763\nb.png,蜂,ant,0.576117,2,1.55144\n"; !strings.HasPrefix(text.String(), want) {
		t.Errorf("%s, want %s", text.String(), want)
	}
	if err := p.Add("x.png", 7, []float32{0, 0, 0}); err == nil || !strings.Contains(err.Error(), "x.png: label 7") {
		t.Errorf("error %v", err)
	}
	for class, want := range []string{"ant", "蜂", "#2"} {
		if got := ClassName(p.Classes, class); got != want {
			t.Errorf("class %d is shown as %q, want %q", class, got, want)
		}
	}
}

func TestDiffering(t *testing.T) {
	for _, test := range [][4]string{
		{"ant", "bee", "ant", "bee"},
		{"spotted beetle", "spotted bee", "spotted beetle", "spotted bee"}, // there is room
		{"the greater spotted beetle, male, north", "the greater spotted beetle, young", "…le, male, north", "…le, young"},
		{"the greater spotted beetle", "the greater spotted beetle, male", "…ed beetle", "…ed beetle, male"},
		{"Japanese_katakana-character26", "Japanese_katakana-character38", "…ana-character26", "…ana-character38"},
		{"beetles of the north, male", "ants", "beetles of the north, male", "ants"},
	} {
		if a, b := differing(test[0], test[1]); a != test[2] || b != test[3] {
			t.Errorf("%q, want %q", []string{a, b}, test[2:])
		}
	}
}

func TestPredictionsFolder(t *testing.T) {
	p, dir := predicted(t), t.TempDir()
	var asked []int
	picture := func(i int) (image.Image, error) {
		asked = append(asked, i)
		return image.NewGray(image.Rect(0, 0, 8, 8)), nil
	}
	for _, name := range []string{".evaluation.json.12", ".val_predictions.jpg.3"} { // of a process that was killed
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.WriteFolder(dir, p.Evaluation(), picture); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if !slices.Equal(asked, p.Worst(4)) {
		t.Errorf("pictures of %v", asked)
	}
	for _, name := range []string{"evaluation.json", "predictions.csv", "val_predictions.jpg", "reliability.png"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Error(name, err)
		}
	}
	gone := errors.New("gone")
	if err := p.WriteSheet(filepath.Join(dir, "x.jpg"), func(int) (image.Image, error) { return nil, gone }); err != gone {
		t.Errorf("error %v", err)
	}
}
