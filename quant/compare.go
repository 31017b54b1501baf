package quant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"iter"
	"math"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
)

// A Comparison is how far a network is from the model that it was made of.
type Comparison struct {
	Photos    int       `json:"photos"`
	Agreement float64   `json:"top1_agreement"` // share of the photos with the same best class
	SQNR      Decibels  `json:"logit_sqnr_db"`  // of the logits
	KL        float64   `json:"kl"`             // mean Kullback-Leibler divergence of the probabilities, nats
	Accuracy  *Accuracy `json:"top1_accuracy,omitempty"`
}

// Accuracy is how often each has the right best class, of the photos with labels.
type Accuracy struct {
	Photos  int     `json:"photos"`
	Float32 float64 `json:"float32"`
	Int8    float64 `json:"int8"`
}

// Decibels are a ratio of signal to noise, 10*log10(Σ signal² / Σ noise²): +Inf where
// there is no noise, which JSON, without a number for it, has as null.
type Decibels float64

func decibels(signal, noise float64) Decibels {
	if noise == 0 {
		return Decibels(math.Inf(1))
	}
	return Decibels(10 * math.Log10(signal/noise))
}

// String is the number with one decimal, or "no noise".
func (d Decibels) String() string {
	if math.IsInf(float64(d), 1) {
		return "no noise"
	}
	return fmt.Sprintf("%.1f dB", float64(d))
}

// MarshalJSON writes a number, or null for an infinite one.
func (d Decibels) MarshalJSON() ([]byte, error) {
	if math.IsInf(float64(d), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(d))
}

// CompareOptions are the choices of [Compare] and [Calibration.Sensitivity].
type CompareOptions struct {
	Threads int // 0 means all cores; the result doesn't depend on it

	// Labels are the classes of the photos, in their order, -1 for one that nobody
	// knows; nil means that of all.
	Labels []int

	// Progress is called after every photo; may be nil.
	Progress func(photos int)
}

// Compare runs both over photos, which should not be those of the calibration: a
// network suits these best.
func Compare(ctx context.Context, m *model.Model, q *Network, photos iter.Seq2[image.Image, error], o CompareOptions) (Comparison, error) {
	var c Comparison
	exact, err := engine.Compile(m, engine.Options{Threads: o.Threads})
	if err != nil {
		return c, err
	}
	defer exact.Close()
	rounded, err := engine.CompileQuantized(q, engine.Options{Threads: o.Threads})
	if err != nil {
		return c, err
	}
	defer rounded.Close()
	h, w := m.Config.InputSize()
	want, got := make([]float32, m.Config.Classes), make([]float32, m.Config.Classes)
	var off errorSum
	var right Accuracy
	for photo, err := range photos {
		if err != nil {
			return c, err
		}
		pixels, err := prepare(photo, m.Config)
		if err != nil {
			return c, err
		}
		in := engine.Input{Pixels: pixels.Pix, N: 1, H: h, W: w}
		if err := errors.Join(exact.Run(ctx, in, engine.Output{Logits: want}), rounded.Run(ctx, in, engine.Output{Logits: got})); err != nil {
			return c, err
		}
		off.add(want, got)
		if best(want) == best(got) {
			c.Agreement++
		}
		if c.Photos < len(o.Labels) && o.Labels[c.Photos] >= 0 {
			right.count(o.Labels[c.Photos], want, got)
		}
		c.KL += divergence(want, got)
		c.Photos++
		if o.Progress != nil {
			o.Progress(c.Photos)
		}
	}
	if c.Photos == 0 {
		return c, errors.New("no photos to compare with")
	}
	c.Agreement /= float64(c.Photos)
	c.KL /= float64(c.Photos)
	c.SQNR = off.ratio()
	if n := float64(right.Photos); n > 0 {
		c.Accuracy = &Accuracy{right.Photos, right.Float32 / n, right.Int8 / n}
	}
	return c, nil
}

// count counts a photo and who is right about it.
func (a *Accuracy) count(label int, want, got []float32) {
	a.Photos++
	if best(want) == label {
		a.Float32++
	}
	if best(got) == label {
		a.Int8++
	}
}

// An errorSum sums the squares of logits, and of what is wrong about others.
type errorSum struct{ signal, noise float64 }

func (e *errorSum) add(want, got []float32) {
	for i := range want {
		d := float64(got[i]) - float64(want[i])
		e.signal += float64(want[i]) * float64(want[i])
		e.noise += d * d
	}
}

func (e *errorSum) ratio() Decibels { return decibels(e.signal, e.noise) }

// best is the class with the largest logit.
func best(logits []float32) int {
	at := 0
	for i, v := range logits {
		if v > logits[at] {
			at = i
		}
	}
	return at
}

// divergence is Σ p*log(p/q) of the probabilities of two sets of logits.
func divergence(p, q []float32) float64 {
	logP, logQ := logSoftmax(p), logSoftmax(q)
	sum := 0.0
	for i := range logP {
		sum += math.Exp(logP[i]) * (logP[i] - logQ[i])
	}
	return sum
}

func logSoftmax(v []float32) []float64 {
	largest := float64(v[best(v)])
	sum := 0.0
	for _, x := range v {
		sum += math.Exp(float64(x) - largest)
	}
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x) - largest - math.Log(sum)
	}
	return out
}
