package mobilenet

import (
	"context"
	"errors"
	"fmt"

	"github.com/mobilenet-go/mobilenet/engine"
)

// Wanted says what a run is to put out.
type Wanted struct {
	Logits   bool
	Features bool
}

// Outputs are what a run puts out of n photos; nil where it was not wanted.
type Outputs struct {
	Logits   []float32 // [n][outcomes], as [Classifier.Logits] has them
	Features []float32 // [n][features], as [Classifier.Embed] has them
}

// Infer runs prepared photos together, on all of the classifier's threads. It is what
// [Classifier.Classify] and [Classifier.Embed] stand on, for who schedules the work:
// nothing is prepared or queued here. The photos must be of this classifier, or of one
// that prepares them alike.
func (c *Classifier) Infer(ctx context.Context, photos []*Prepared, w Wanted) (Outputs, error) {
	if err := c.usable(ctx); err != nil {
		return Outputs{}, err
	}
	if len(photos) == 0 {
		return Outputs{}, errors.New("no photos")
	}
	h, width := c.config.InputSize()
	if len(photos) == 1 {
		p, err := c.prepare(photos[0]) // holds it against the model
		if err != nil {
			return Outputs{}, err
		}
		return c.infer(ctx, engine.Input{Pixels: p.pixels.Pix, N: 1, H: h, W: width}, w)
	}
	pixels := make([]byte, 0, len(photos)*h*width*3)
	for _, photo := range photos {
		p, err := c.prepare(photo)
		if err != nil {
			return Outputs{}, err
		}
		pixels = append(pixels, p.pixels.Pix...)
	}
	return c.infer(ctx, engine.Input{Pixels: pixels, N: len(photos), H: h, W: width}, w)
}

// InferTensor is [Classifier.Infer] for n images that somebody else has prepared and
// normalised: data is [n][3][H][W], PyTorch's layout, of the size that
// Config().InputSize() says.
func (c *Classifier) InferTensor(ctx context.Context, data []float32, n int, w Wanted) (Outputs, error) {
	if err := c.usable(ctx); err != nil {
		return Outputs{}, err
	}
	height, width := c.config.InputSize()
	plane := height * width
	if n < 1 || len(data) != n*3*plane {
		return Outputs{}, fmt.Errorf("%d values for %d images: want [%d][3][%d][%d]", len(data), n, n, height, width)
	}
	last := make([]float32, len(data)) // [n][H][W][3]
	for i := range n {
		for ch := range 3 {
			for p, v := range data[(3*i+ch)*plane:][:plane] {
				last[3*(i*plane+p)+ch] = v
			}
		}
	}
	return c.infer(ctx, engine.Input{Data: last, N: n, H: height, W: width}, w)
}

// infer runs a batch.
func (c *Classifier) infer(ctx context.Context, in engine.Input, w Wanted) (Outputs, error) {
	var out engine.Output
	if w.Logits {
		if c.config.Classes == 0 {
			return Outputs{}, ErrNoClasses
		}
		out.Logits = make([]float32, in.N*c.config.Classes)
	}
	if w.Features {
		out.Features = make([]float32, in.N*c.config.Network().Features())
	}
	if err := c.engine.Run(ctx, in, out); err != nil {
		return Outputs{}, err
	}
	return Outputs{Logits: c.outcomes(out.Logits), Features: out.Features}, nil
}

// outcomes makes two of each single output.
func (c *Classifier) outcomes(logits []float32) []float32 {
	if logits != nil && c.config.Outcomes() != c.config.Classes {
		return notAndYes(logits)
	}
	return logits
}

// Probabilities turns the logits of one photo into probabilities: their softmax, or
// the sigmoid of each where the model's head says so. Logits that are not finite are
// [ErrNotFinite].
func (c *Classifier) Probabilities(logits []float32) ([]float64, error) {
	if len(logits) != c.config.Outcomes() {
		return nil, fmt.Errorf("%d logits: want %d", len(logits), c.config.Outcomes())
	}
	if !finite(logits) {
		return nil, ErrNotFinite
	}
	if c.config.Head.Sigmoid && c.config.Classes > 1 {
		return sigmoid(logits), nil
	}
	return softmax(logits), nil
}

// Best returns the k most probable classes of one photo's logits, the best first.
func (c *Classifier) Best(logits []float32, k int) ([]Prediction, error) {
	if k < 1 {
		return nil, tooFew(k)
	}
	p, err := c.Probabilities(logits)
	if err != nil {
		return nil, err
	}
	return top(logits, p, c.labels, k), nil
}
