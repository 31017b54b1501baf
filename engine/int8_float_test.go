package engine

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// exact gives q scales that are powers of two, so that float32 computes its layers
// without rounding: the weights are small and the sums short.
func exact(q *model.Quantized) *model.Quantized {
	power := func(v float32) float32 {
		if v == 0 {
			return 0
		}
		return float32(math.Exp2(math.Round(math.Log2(float64(v)))))
	}
	q.Input.Scale, q.Pool.Scale = power(q.Input.Scale), power(q.Pool.Scale)
	for i := range q.Sums {
		q.Sums[i].Scale = power(q.Sums[i].Scale)
	}
	for _, p := range q.Parts() {
		p.Layer.Out.Scale = power(p.Layer.Out.Scale)
		for o, s := range p.Layer.Scale {
			p.Layer.Scale[o] = power(s)
		}
	}
	// Its kernel in float32 ends at 6, as calibration has it.
	first := &q.Convs[0]
	first.Out, first.Min, first.Max = model.Quantization{Scale: 1. / 64}, 0, 255
	return q
}

// kept returns q with layers in float32, those that choose wants.
func kept(q *model.Quantized, choose func(i int) bool) *model.Quantized {
	f := *q
	f.Convs = slices.Clone(q.Convs)
	inputs, _ := q.Inputs()
	inputs = append(inputs, q.Pool)
	for i, p := range f.Parts() {
		if !choose(i) {
			continue
		}
		l := *p.Layer
		float := &model.FloatLayer{}
		per := len(l.Weight) / len(l.Bias)
		for o, s := range l.Scale {
			for _, w := range l.Weight[o*per : (o+1)*per] {
				float.Weight = append(float.Weight, float32(w)*s)
			}
			float.Bias = append(float.Bias, float32(l.Bias[o])*inputs[i].Scale*s)
		}
		l.Float, l.Weight, l.Scale, l.Bias = float, nil, nil, nil
		*p.Layer = l
	}
	return &f
}

// TestInt8KeptFloat has layers in float32 that compute what the integers do, without
// rounding: all bytes are the same, whichever layers they are.
func TestInt8KeptFloat(t *testing.T) {
	for name, choose := range map[string]func(i int) bool{
		"all":    func(int) bool { return true },
		"first":  func(i int) bool { return i == 0 },
		"thirds": func(i int) bool { return i%3 == 1 },
		"halves": func(i int) bool { return i%2 == 0 },
	} {
		for _, wide := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/wide=%v", name, wide), func(t *testing.T) {
				t.Parallel()
				c := small()
				c.Width = 0.35
				q := exact(randomInt8(c, 7, 15, wide, !wide))
				floats := kernel.Available()
				for i, set := range kernel.AvailableInt8() {
					with := set.With(floats[min(i, len(floats)-1)])
					checkInt8Like(t, q, kept(q, choose), with, size{48, 59}, []int{1, 3}, []int{9, int8StripWidth})
				}
			})
		}
	}
}

// TestKeptFloatBatch: the same answer for a photo alone and among others, and no memory
// taken in a run.
func TestKeptFloatBatch(t *testing.T) {
	c := small()
	q := kept(randomInt8(c, 3, 127, false, false), func(i int) bool { return i%2 == 1 })
	e, err := CompileQuantized(q, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	const n, side = 5, 48
	in := Input{Pixels: noise(n * side * side * 3), N: n, H: side, W: side}
	all := outputs(t, e, in)
	for i := range n {
		one := outputs(t, e, Input{Pixels: in.Pixels[i*side*side*3:][:side*side*3], N: 1, H: side, W: side})
		same(t, "logits", one.Logits, all.Logits[i*c.Classes:][:c.Classes])
	}
}

// TestKeptFloatIsNotCached: packed files have no place for such layers.
func TestKeptFloatIsNotCached(t *testing.T) {
	dir := t.TempDir()
	q := randomInt8(small(), 3, 127, false, false)
	for want, q := range []*model.Quantized{kept(q, func(i int) bool { return i == 4 }), q} {
		e, _, err := Cached(dir, "key", Options{}, func() (Source, string, error) { return Source{Quantized: q}, "key", nil })
		if err != nil {
			t.Fatal(err)
		}
		e.Close()
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) > want { // a changed build has no cache
			t.Errorf("%d files, %v", len(files), err)
		}
	}
}
