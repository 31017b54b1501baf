package engine

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// TestClassWeights wants what was packed.
func TestClassWeights(t *testing.T) {
	c := small()
	m := random(t, c)
	e := compile(t, m, 1)
	l := c.Network().Classifier
	row := make([]float32, l.In)
	for class := range l.Out {
		bias, err := e.ClassWeights(class, row)
		if err != nil {
			t.Fatal(err)
		}
		if want := m.Dict[l.Name+".weight"].Data[class*l.In:][:l.In]; !slices.Equal(row, want) || bias != m.Dict[l.Name+".bias"].Data[class] {
			t.Fatalf("class %d: other weights", class)
		}
	}
	for _, class := range []int{-1, l.Out} {
		if _, err := e.ClassWeights(class, row); err == nil {
			t.Errorf("class %d of %d has weights", class, l.Out)
		}
	}
	if _, err := e.ClassWeights(0, row[1:]); err == nil {
		t.Error("too little room is no error")
	}
	for _, classes := range []int{0, 5} {
		c.Classes, c.Head.Hidden = classes, nil
		if classes > 0 {
			c.Head.Hidden = []int{7}
		}
		other := compile(t, random(t, c), 1)
		if _, err := other.ClassWeights(0, row); !errors.Is(err, ErrNotLinear) {
			t.Errorf("%d classes, hidden layers %v: error %v", classes, c.Head.Hidden, err)
		}
	}
}

// TestClassWeightsInt8 wants the numbers that the weights stand for, whatever the order
// in which a set has them, and the logit of them and the features.
func TestClassWeightsInt8(t *testing.T) {
	for seed, most := range []int{127, 255, 127, 127, 127} { // 255 doesn't fit into bytes
		q := randomInt8(small(), uint64(seed), most, seed == 3, seed%2 == 1)
		switch seed {
		case 2:
			q = foreign(q)
		case 4:
			q = kept(exact(q), func(i int) bool { return i == len(q.Convs) })
		}
		in := Input{Pixels: noise(40 * 40 * 3), N: 1, H: 40, W: 40}
		for _, set := range kernel.AvailableInt8() {
			t.Run(fmt.Sprintf("%d/%s", seed, set.Name), func(t *testing.T) {
				if seed == 4 {
					set = set.With(&kernel.Generic)
				}
				checkClassWeights(t, q, compileInt8(t, q, set, 1, int8StripWidth), in)
			})
		}
	}
}

func checkClassWeights(t *testing.T, q *model.Quantized, e *Engine, in Input) {
	t.Helper()
	out := outputs(t, e, in)
	l := q.Config.Network().Classifier
	row := make([]float32, l.In)
	step := 1e-5 // what may be between the logit and the sum
	if q.Logits {
		step += float64(q.Classifier.Out.Scale) * 0.5
	}
	if b := q.ClassBias; b != nil {
		step += float64(b.Sum.Scale)
	}
	for class := range l.Out {
		bias, err := e.ClassWeights(class, row)
		if err != nil {
			t.Fatal(err)
		}
		sum := float64(bias)
		for k, w := range row {
			sum += float64(w) * float64(out.Features[k])
			if f := q.Classifier.Float; f == nil {
				want := float64(q.Classifier.Weight[class*l.In+k]) * float64(q.Classifier.Scale[class])
				if !(math.Abs(float64(w)-want) <= 1e-5*math.Abs(want)) {
					t.Fatalf("class %d, feature %d: weight %v, want %v", class, k, w, want)
				}
			}
		}
		sum = asBytes(q, class, sum)
		if logit := float64(out.Logits[class]); !(math.Abs(logit-sum) <= step*max(1, math.Abs(sum))) {
			t.Fatalf("class %d: logit %v, and %v of weights, features and bias", class, logit, sum)
		}
	}
}

// asBytes is what becomes of a logit that leaves as bytes: it may be beyond them.
func asBytes(q *model.Quantized, class int, logit float64) float64 {
	clamp := func(v float64, to model.Quantization) float64 {
		low, high := to.Range()
		return max(float64(low), min(float64(high), v))
	}
	if !q.Logits {
		return logit
	}
	b := q.ClassBias
	if b == nil {
		return clamp(logit, q.Classifier.Out)
	}
	added := float64(b.Of.Dequantize(b.Bytes[class]))
	return clamp(clamp(logit-added, q.Classifier.Out)+added, b.Sum.Quantization)
}
