package report

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// threeClasses is an evaluation that can be checked by hand: two ants, one of
// them taken for a bee, one bee, two cats taken for a bee and a cat.
func threeClasses(t *testing.T) *Evaluation {
	t.Helper()
	ln2 := float32(math.Ln2)
	ant, bee, cat := []float32{ln2, 0, 0}, []float32{0, ln2, 0}, []float32{-1, -1, ln2 - 1} // probabilities 1/2, 1/4, 1/4
	e, err := Evaluate([]string{"ant", "bee", "cat"}, []int{0, 0, 1, 2, 2}, [][]float32{ant, bee, bee, bee, cat})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEvaluate(t *testing.T) {
	half := Bin{From: 7.0 / 15, To: 8.0 / 15, Images: 5, Confidence: 0.5, Accuracy: 0.6}
	want := &Evaluation{
		Images: 5, Top1Accuracy: 0.6, Top1Error: 0.4, Top5Accuracy: 1,
		Loss: (3*math.Ln2 + 2*math.Log(4)) / 5, ECE: 0.1,
		Precision: (1 + 1.0/3 + 1) / 3, Recall: (0.5 + 1 + 0.5) / 3, F1: (2.0/3 + 0.5 + 2.0/3) / 3,
		PerClass: []Class{
			{0, "ant", 2, 1, 1, 1, 0.5, 2.0 / 3},
			{1, "bee", 1, 3, 1, 1.0 / 3, 1, 0.5},
			{2, "cat", 2, 1, 1, 1, 0.5, 2.0 / 3},
		},
		Confusion:   []Cell{{0, 0, 1}, {0, 1, 1}, {1, 1, 1}, {2, 1, 1}, {2, 2, 1}},
		Reliability: make([]Bin, 15),
	}
	for i := range want.Reliability {
		want.Reliability[i] = Bin{From: float64(i) / 15, To: float64(i+1) / 15}
	}
	want.Reliability[7] = half
	got := threeClasses(t)
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-7)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]Class{want.PerClass[1], want.PerClass[0]}, got.Worst(2), cmpopts.EquateApprox(0, 1e-7)); diff != "" {
		t.Errorf("worst classes: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]Cell{{0, 1, 1}, {2, 1, 1}}, got.MostConfused(9)); diff != "" {
		t.Errorf("most confused: -want +got:\n%s", diff)
	}
}

func TestEvaluateRejects(t *testing.T) {
	nan := float32(math.NaN())
	for _, test := range []struct {
		labels []int
		logits [][]float32
		want   string
	}{
		{[]int{0}, nil, "1 labels for the outputs of 0 images"},
		{[]int{0, 2}, [][]float32{{1, 0}, {1, 0}}, "image 1: label 2: the model has 2 classes"},
		{[]int{-1}, [][]float32{{1, 0}}, "image 0: label -1"},
		{[]int{0}, [][]float32{{1}}, "image 0: 1 logits for 2 classes"},
		{[]int{0}, [][]float32{{1, nan}}, "image 0: the output for class 1 is NaN"},
		{[]int{0}, [][]float32{{float32(math.Inf(1)), 0}}, "class 0 is +Inf"},
	} {
		if _, err := Evaluate([]string{"a", "b"}, test.labels, test.logits); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %q", err, test.want)
		}
	}
}

func TestEvaluateNothing(t *testing.T) {
	e := NewTally([]string{"a"}).Evaluation()
	var out bytes.Buffer
	if err := e.WriteJSON(&out); err != nil {
		t.Errorf("NaN somewhere: %v", err)
	}
	if len(e.Worst(3))+len(e.MostConfused(3)) != 0 {
		t.Error("classes without images are judged")
	}
}

// What holds for every model: the matrix counts every image once, its diagonal
// is the top-1 accuracy, and shares are shares.
func TestEvaluationProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		classes := make([]string, rapid.IntRange(1, 8).Draw(t, "classes"))
		n := rapid.IntRange(0, 30).Draw(t, "images")
		labels, logits := make([]int, n), make([][]float32, n)
		for i := range labels {
			labels[i] = rapid.IntRange(0, len(classes)-1).Draw(t, "label")
			logits[i] = rapid.SliceOfN(rapid.Float32(), len(classes), len(classes)).Draw(t, "logits")
		}
		e, err := Evaluate(classes, labels, logits)
		if err != nil {
			t.Fatal(err)
		}
		images, correct := 0, 0
		for _, c := range e.Confusion {
			images += c.Count
			if c.True == c.Predicted {
				correct += c.Count
			}
		}
		if images != n || e.Images != n || share(correct, n) != e.Top1Accuracy {
			t.Errorf("%d images, %d in the matrix, %d of them right; top-1 %v", n, images, correct, e.Top1Accuracy)
		}
		if len(classes) <= 5 && n > 0 && e.Top5Accuracy != 1 {
			t.Errorf("top-5 of %d classes is %v", len(classes), e.Top5Accuracy)
		}
		for _, v := range []float64{e.Top1Error, e.Top5Error, e.ECE, e.Precision, e.Recall, e.F1} {
			if !(v >= 0 && v <= 1+1e-9) {
				t.Errorf("%v is no share", v)
			}
		}
		if !(e.Loss >= 0) || math.IsInf(e.Loss, 0) {
			t.Errorf("loss %v", e.Loss)
		}
	})
}

func TestWriteEvaluation(t *testing.T) {
	e := threeClasses(t)
	var text bytes.Buffer
	if err := e.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var again Evaluation
	if err := json.Unmarshal(text.Bytes(), &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, &again); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
	text.Reset()
	if err := e.WriteCSV(&text); err != nil {
		t.Fatal(err)
	}
	const perClass = `index,class,support,predicted,correct,precision,recall,f1
0,ant,2,1,1,1,0.5,0.666667
1,bee,1,3,1,0.333333,1,0.5
2,cat,2,1,1,1,0.5,0.666667
`
	if diff := cmp.Diff(perClass, text.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	text.Reset()
	if err := e.WriteConfusionCSV(&text); err != nil {
		t.Fatal(err)
	}
	const matrix = "true \\ predicted,ant,bee,cat\nant,1,1,0\nbee,0,1,0\ncat,0,1,1\n"
	if diff := cmp.Diff(matrix, text.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWriteResultsCSV(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.csv")
	nan := math.NaN()
	epochs := []Epoch{{1, 2.25, 0.5, 2, 0.75, 1, 0.045, 12.5, 300, "classifier", 0}, {2, 1.0 / 3, 0.5, nan, nan, nan, 1e-5, 12.5, 300, "all layers", 3}}
	if err := WriteResultsCSV(path, epochs); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const want = `epoch,train_loss,train_accuracy,val_loss,val_top1,val_top5,lr,seconds,images_per_second,phase,undone
1,2.25,0.5,2,0.75,1,0.045,12.5,300,classifier,0
2,0.333333,0.5,,,,1e-05,12.5,300,all layers,3
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWriteSummaryCSV(t *testing.T) {
	e := threeClasses(t)
	e.ImagesPerSecond = 12.5
	var text bytes.Buffer
	if err := e.WriteSummaryCSV(&text); err != nil {
		t.Fatal(err)
	}
	const want = `images,top1_accuracy,top1_error,top5_accuracy,top5_error,loss,ece,macro_precision,macro_recall,macro_f1,images_per_second
5,0.6,0.4,1,0,0.970406,0.1,0.777778,0.666667,0.611111,12.5
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
