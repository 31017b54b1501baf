package quant

import (
	"context"
	"errors"
	"image"
	"iter"
	"math"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/model"
)

// A Comparison is how far a network is from the model that it was made of.
type Comparison struct {
	Photos    int     `json:"photos"`
	Agreement float64 `json:"top1_agreement"` // share of the photos with the same best class
	SQNR      float64 `json:"logit_sqnr_db"`  // of the logits: 10*log10(Σ logit² / Σ difference²)
	KL        float64 `json:"kl"`             // mean Kullback-Leibler divergence of the probabilities, nats
}

// Compare runs both over photos, which should not be those of the calibration: a
// network suits these best.
func Compare(ctx context.Context, m *model.Model, q *Network, photos iter.Seq2[image.Image, error], threads int) (Comparison, error) {
	var c Comparison
	exact, err := engine.Compile(m, engine.Options{Threads: threads})
	if err != nil {
		return c, err
	}
	defer exact.Close()
	rounded, err := engine.CompileQuantized(q, engine.Options{Threads: threads})
	if err != nil {
		return c, err
	}
	defer rounded.Close()
	h, w := m.Config.InputSize()
	want, got := make([]float32, m.Config.Classes), make([]float32, m.Config.Classes)
	signal, noise := 0.0, 0.0
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
		for i := range want {
			d := float64(got[i]) - float64(want[i])
			signal += float64(want[i]) * float64(want[i])
			noise += d * d
		}
		if best(want) == best(got) {
			c.Agreement++
		}
		c.KL += divergence(want, got)
		c.Photos++
	}
	if c.Photos == 0 {
		return c, errors.New("no photos to compare with")
	}
	c.Agreement /= float64(c.Photos)
	c.KL /= float64(c.Photos)
	c.SQNR = 10 * math.Log10(signal/noise)
	return c, nil
}

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
