package report

import (
	"cmp"
	"fmt"
	"slices"
)

// An Evaluation is how good a model is on labelled images. Shares are from 0 to
// 1; what would be 0/0 is 0.
type Evaluation struct {
	Images       int     `json:"images"`
	Top1Accuracy float64 `json:"top1_accuracy"`
	Top1Error    float64 `json:"top1_error"`
	Top5Accuracy float64 `json:"top5_accuracy"`
	Top5Error    float64 `json:"top5_error"`
	Loss         float64 `json:"loss"` // mean cross-entropy, in nats

	// ECE is the expected calibration error: the difference between accuracy and
	// mean confidence over 15 bins of confidence, weighted by their images.
	ECE float64 `json:"ece"`

	// The means over the classes that have images.
	Precision float64 `json:"macro_precision"`
	Recall    float64 `json:"macro_recall"`
	F1        float64 `json:"macro_f1"`

	// ImagesPerSecond is for whoever measured it to fill in.
	ImagesPerSecond float64 `json:"images_per_second,omitempty"`

	PerClass    []Class `json:"per_class"`   // one per class, by index
	Confusion   []Cell  `json:"confusion"`   // the cells that are not 0, row by row
	Reliability []Bin   `json:"reliability"` // 15, by confidence
}

// A Class is how a model does on one class.
type Class struct {
	Index     int     `json:"index"`
	Name      string  `json:"class"`
	Support   int     `json:"support"`   // images of the class
	Predicted int     `json:"predicted"` // images said to be of the class
	Correct   int     `json:"correct"`   // both
	Precision float64 `json:"precision"` // Correct/Predicted
	Recall    float64 `json:"recall"`    // Correct/Support
	F1        float64 `json:"f1"`        // 2*Correct/(Support+Predicted)
}

// A Cell of the confusion matrix: how many images of one class were said to be
// of another, or of the same.
type Cell struct {
	True      int `json:"true"`
	Predicted int `json:"predicted"`
	Count     int `json:"count"`
}

// A Bin is the images whose confidence, the probability of the predicted class,
// is at least From and below To; the last bin has 1, too.
type Bin struct {
	From       float64 `json:"from"`
	To         float64 `json:"to"`
	Images     int     `json:"images"`
	Confidence float64 `json:"confidence"` // mean
	Accuracy   float64 `json:"accuracy"`
}

// Evaluate is the evaluation of a model whose outputs are in memory. classes
// names the model's classes, labels the true class of each image by index, and
// logits is [images][classes].
func Evaluate(classes []string, labels []int, logits [][]float32) (*Evaluation, error) {
	if len(labels) != len(logits) {
		return nil, fmt.Errorf("%d labels for the outputs of %d images", len(labels), len(logits))
	}
	t := NewTally(classes)
	for i, row := range logits {
		if _, err := t.Add(labels[i], row); err != nil {
			return nil, fmt.Errorf("image %d: %w", i, err)
		}
	}
	return t.Evaluation(), nil
}

// Evaluation returns the measures over the images added so far.
func (t *Tally) Evaluation() *Evaluation {
	e := &Evaluation{
		Images:       t.images,
		Top1Accuracy: share(t.top1, t.images), Top1Error: share(t.images-t.top1, t.images),
		Top5Accuracy: share(t.top5, t.images), Top5Error: share(t.images-t.top5, t.images),
		Loss:      t.loss / float64(max(1, t.images)),
		Confusion: make([]Cell, 0, len(t.confusion)),
	}
	for at, count := range t.confusion {
		e.Confusion = append(e.Confusion, Cell{at[0], at[1], count})
	}
	slices.SortFunc(e.Confusion, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(a.True, b.True), cmp.Compare(a.Predicted, b.Predicted))
	})
	e.judgeClasses(t.classes)
	e.judgeConfidence(t.bins[:])
	return e
}

func (e *Evaluation) judgeClasses(names []string) {
	e.PerClass = make([]Class, len(names))
	for i, name := range names {
		e.PerClass[i].Index, e.PerClass[i].Name = i, name
	}
	for _, c := range e.Confusion {
		e.PerClass[c.True].Support += c.Count
		e.PerClass[c.Predicted].Predicted += c.Count
		if c.True == c.Predicted {
			e.PerClass[c.True].Correct += c.Count
		}
	}
	present := 0
	for i := range e.PerClass {
		c := &e.PerClass[i]
		c.Precision, c.Recall = share(c.Correct, c.Predicted), share(c.Correct, c.Support)
		c.F1 = share(2*c.Correct, c.Support+c.Predicted)
		if c.Support > 0 {
			present++
			e.Precision, e.Recall, e.F1 = e.Precision+c.Precision, e.Recall+c.Recall, e.F1+c.F1
		}
	}
	n := float64(max(1, present))
	e.Precision, e.Recall, e.F1 = e.Precision/n, e.Recall/n, e.F1/n
}

func (e *Evaluation) judgeConfidence(tallies []binTally) {
	for i, t := range tallies {
		b := Bin{From: float64(i) / bins, To: float64(i+1) / bins, Images: t.images, Accuracy: share(t.correct, t.images)}
		if t.images > 0 {
			b.Confidence = t.confidence / float64(t.images)
		}
		e.Reliability = append(e.Reliability, b)
		e.ECE += share(t.images, e.Images) * max(b.Accuracy-b.Confidence, b.Confidence-b.Accuracy)
	}
}

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// Worst returns the n classes with the lowest F1 among those that have images,
// the worst first, and among equals the one with more images.
func (e *Evaluation) Worst(n int) []Class {
	worst := slices.DeleteFunc(slices.Clone(e.PerClass), func(c Class) bool { return c.Support == 0 })
	slices.SortStableFunc(worst, func(a, b Class) int {
		return cmp.Or(cmp.Compare(a.F1, b.F1), cmp.Compare(b.Support, a.Support))
	})
	return worst[:min(n, len(worst))]
}

// MostConfused returns the n largest cells off the diagonal, the largest first.
func (e *Evaluation) MostConfused(n int) []Cell {
	wrong := slices.DeleteFunc(slices.Clone(e.Confusion), func(c Cell) bool { return c.True == c.Predicted })
	slices.SortStableFunc(wrong, func(a, b Cell) int { return cmp.Compare(b.Count, a.Count) })
	return wrong[:min(n, len(wrong))]
}
