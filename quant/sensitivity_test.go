package quant

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"maps"
	"math"
	"testing"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
)

// TestSensitivity holds what can be changed from outside of it against the engine's
// logits: the image, the features in front of the classifier, and all weights.
func TestSensitivity(t *testing.T) {
	for name, change := range map[string]func(*model.Config){
		"plain":                           nil,
		"residual around the first block": func(c *model.Config) { c.Table[0].C, c.FirstChannels = 32, 8 },
		"same padding, odd sides":         func(c *model.Config) { c.Padding, c.Resolution, c.InputWidth = model.PadSame, 47, 62 },
	} {
		t.Run(name, func(t *testing.T) {
			m := small(t, change)
			c, err := Observe(t.Context(), m, noise(6), Options{})
			if err != nil {
				t.Fatal(err)
			}
			layers, err := c.Sensitivity(t.Context(), noise(3), CompareOptions{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			again, err := c.Sensitivity(t.Context(), noise(3), CompareOptions{Threads: 1})
			if err != nil || inJSON(t, layers) != inJSON(t, again) {
				t.Errorf("%v: another number of threads measures something else", err)
			}
			want := map[string]*errorSum{"input bytes": {}, "avgpool bytes": {}, "classifier.1 weights": {}}
			for photo := range noise(3) {
				c.changedOutside(t, photo, want)
			}
			checked := 0
			for _, l := range layers {
				for what, got := range map[string]*Decibels{" bytes": l.Activations, " weights": l.Weights} {
					if got != nil && !(*got > 0) {
						t.Errorf("%s%s: %v", l.Name, what, *got)
					}
					if w := want[l.Name+what]; w != nil {
						checked++
						if got == nil || !(math.Abs(float64(*got-w.ratio())) < 0.1) {
							t.Errorf("%s%s: %v, want %v", l.Name, what, got, w.ratio())
						}
					}
				}
				if (l.Activations != nil) != (l.Output != nil) {
					t.Errorf("%s: measured %v of output %v", l.Name, l.Activations, l.Output)
				}
			}
			if checked != len(want) {
				t.Errorf("%d of %d are there", checked, len(want))
			}
		})
	}
}

// changedOutside adds up what a photo's logits change by.
func (c *Calibration) changedOutside(t *testing.T, photo image.Image, sums map[string]*errorSum) {
	m, q := c.Model, c.Network
	pixels, err := prepare(photo, m.Config)
	if err != nil {
		t.Fatal(err)
	}
	levels := m.Config.Preprocess.Levels()
	exact, rounded := make([]float32, len(pixels.Pix)), make([]float32, len(pixels.Pix))
	for i, v := range pixels.Pix {
		exact[i] = levels[i%3][v]
		rounded[i] = q.Input.Dequantize(q.Input.Quantize(exact[i]))
	}
	logits, features := outputs(t, m, exact)
	changed, _ := outputs(t, m, rounded)
	sums["input bytes"].add(logits, changed)

	for i, v := range features {
		factor := float32(c.made.pool.channels[i].factor)
		features[i] = q.Pool.Dequantize(q.Pool.Quantize(v*factor)) / factor
	}
	classify := func(w, b []float32) []float32 {
		out := make([]float32, len(b))
		for o := range out {
			sum := float64(b[o])
			for i, v := range features {
				sum += float64(v) * float64(w[o*len(features)+i])
			}
			out[o] = float32(sum)
		}
		return out
	}
	w, b := m.Dict["classifier.1.weight"].Data, m.Dict["classifier.1.bias"].Data
	sums["avgpool bytes"].add(logits, classify(w, b))

	_, features = outputs(t, m, exact)
	sums["classifier.1 weights"].add(logits, classify(c.made.linear.numbers(&q.Classifier, q.Pool.Scale)))
	inputs, _ := q.Inputs()
	for i := range c.made.convs {
		l := &c.made.convs[i]
		w, b := l.numbers(&q.Convs[i], inputs[i].Scale)
		other := &model.Model{Config: m.Config, Dict: maps.Clone(m.Dict)}
		model.Unfold(other.Dict, l.Conv, w, b, m.Config.BNEps)
		changed, _ := outputs(t, other, exact)
		name := l.Name + " weights"
		if sums[name] == nil {
			sums[name] = &errorSum{}
		}
		sums[name].add(logits, changed)
	}
}

// outputs are the engine's, of normalised pixels.
func outputs(t *testing.T, m *model.Model, pixels []float32) (logits, features []float32) {
	t.Helper()
	e, err := engine.Compile(m, engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	logits, features = make([]float32, m.Config.Classes), make([]float32, m.Config.Network().Last.Out)
	h, w := m.Config.InputSize()
	if err := e.Run(t.Context(), engine.Input{Data: pixels, N: 1, H: h, W: w}, engine.Output{Logits: logits, Features: features}); err != nil {
		t.Fatal(err)
	}
	return logits, features
}

func inJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestForwardTensors: what lies between is what the engine's taps show.
func TestForwardTensors(t *testing.T) {
	m := small(t, nil)
	n, err := newNetwork(m)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newForward(m, n)
	if err != nil {
		t.Fatal(err)
	}
	for photo := range noise(1) {
		if _, err := n.observe(t.Context(), m, noise(1), Options{}); err != nil {
			t.Fatal(err)
		}
		pixels, err := prepare(photo, m.Config)
		if err != nil {
			t.Fatal(err)
		}
		tensors := make([][]float32, len(f.steps))
		tensors[0] = f.image(pixels)
		for i, s := range f.steps[1:] {
			tensors[i+1] = make([]float32, s.size())
			f.run(i+1, tensors[i+1], s.weights, func(j int) []float32 { return tensors[j] })
			if s.exact == nil { // the logits
				continue
			}
			for c, seen := range s.exact.channels {
				sum, low, high := 0.0, math.Inf(1), math.Inf(-1)
				for p := range s.h * s.w {
					v := float64(tensors[i+1][c/32*s.block()+p*32+c%32])
					sum, low, high = sum+v, min(low, v), max(high, v)
				}
				bound := 1e-4 * (1 + math.Abs(low) + math.Abs(high))
				if !(math.Abs(low-seen.min) < bound && math.Abs(high-seen.max) < bound && math.Abs(sum-seen.sum) < bound*float64(s.h*s.w)) {
					t.Fatalf("step %d, channel %d: from %v to %v, the sum %v; the engine's from %v to %v, %v", i+1, c, low, high, sum, seen.min, seen.max, seen.sum)
				}
			}
		}
	}
}

// TestDecibels: what JSON has no number for.
func TestDecibels(t *testing.T) {
	for want, d := range map[string]Decibels{"null": decibels(3, 0), "20": decibels(100, 1)} {
		if got := inJSON(t, d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
	if got := fmt.Sprint(decibels(0, 0), ", ", decibels(100, 1)); got != "no noise, 20.0 dB" {
		t.Error(got)
	}
}

// TestAccuracy: only photos with labels count, and all of them do.
func TestAccuracy(t *testing.T) {
	m := small(t, nil)
	q, err := Calibrate(t.Context(), m, noise(4), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var labels []int
	for photo := range noise(4) {
		labels = append(labels, best(logits(t, m, photo)))
	}
	labels[1], labels[2] = -1, (labels[2]+1)%7
	for want, labels := range map[*Accuracy][]int{nil: {-1, -1}, {3, 2. / 3, 2. / 3}: labels, {1, 1, 1}: labels[:1]} {
		c, err := Compare(t.Context(), m, q, noise(4), CompareOptions{Labels: labels})
		if err != nil || inJSON(t, c.Accuracy) != inJSON(t, want) {
			t.Errorf("%v: %+v, %v, want %+v", labels, c.Accuracy, err, want)
		}
	}
	if _, err := (&Calibration{Model: m, Network: q}).Sensitivity(t.Context(), nil, CompareOptions{}); !errors.Is(err, errNotMade) {
		t.Errorf("a calibration of one's own: %v", err)
	}
}
