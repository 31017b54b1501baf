package train

import (
	"math/rand/v2"
	"testing"
)

// TestSeen: a mixed image is of the class that its target, without weights, has more of.
func TestSeen(t *testing.T) {
	train, val := photos(t, 4)
	for seed := range uint64(50) {
		o := options(t, train, val)
		o.Model.Config.Resolution = 4
		b := &batch{items: []int{0, 4, 8, 1}, input: make([]float32, 4*4*4*3), target: make([]float32, 4*3)}
		for i, item := range b.items {
			o.target(b.target[3*i:][:3], item)
			if got := o.seen(b, i); got != train.Items[item].Label {
				t.Errorf("not mixed: %d of class %d", got, train.Items[item].Label)
			}
		}
		o.mix(b, rand.New(rand.NewPCG(seed, 0)))
		for i := range b.items {
			row := b.target[3*i:][:3]
			if got := o.seen(b, i); row[got] < row[argmax(row)] {
				t.Errorf("seed %d: image %d counts as %d, and is %v", seed, i, got, row)
			}
		}
	}
}
