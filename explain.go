package mobilenet

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"strings"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A Method is a way to find out where in a photo a network sees a class.
type Method string

const (
	// CAM is the class activation map (Zhou et al., arXiv 1512.04150). Where one linear
	// layer stands behind the global average pool it is exact, and costs next to nothing:
	// the class's weights, applied to each pixel of the last map. Its mean and the bias
	// add up to the logit.
	CAM Method = "cam"
	// GradCAM (Selvaraju et al., arXiv 1610.02391) is for any module and any head: each
	// channel of what the module puts out, times the mean of the logit's gradient there. At
	// the last module, before one linear layer, it is CAM divided by the number of pixels.
	// Networks of 8-bit integers have no gradients: they have to run in Float32.
	GradCAM Method = "gradcam"
	// Occlusion covers one part of the photo after the other with the mean colour
	// (Zeiler and Fergus, arXiv 1311.2901). The map is by how much the logit falls. It
	// works for every network, and runs it 196 times.
	Occlusion Method = "occlusion"
)

// ExplainOptions say what [Classifier.Explain] shows.
type ExplainOptions struct {
	Classes []int  // by index; nil for the most probable ones
	Top     int    // how many of these; 0 is 1
	Method  Method // "" is CAM, or GradCAM where Layer is another than the last
	Layer   string // the module to look at, as [engine.Module] has them: "features.14"; "" is the last, "features.18"
}

// An Explanation is where in a photo a network sees some classes.
type Explanation struct {
	Method        Method
	Layer         string    // the module whose output was looked at, such as "features.18"; empty for Occlusion
	Height, Width int       // of the maps
	Logits        []float32 // of all outcomes, see [Classifier.Logits]
	Features      []float32 // by CAM, of the same run: as [Classifier.Embed] has them
	Maps          []ClassMap
}

// A ClassMap is where in a photo a network sees a class. The map lies over the part of
// the photo that the network sees ([Classifier.Seen]), each value in the middle of a
// rectangle of it.
type ClassMap struct {
	Prediction
	Logit float32
	Bias  float32 // by CAM: Logit is this and the mean of Values; 0 by others

	// Values are [Height][Width]: what speaks for the class, and where negative against
	// it. Those of several classes of a photo compare. By CAM and Occlusion they are in the
	// unit of logits.
	Values []float32
}

// Layers lists the modules that [Classifier.Explain] can look at, in the network's order.
func (c *Classifier) Layers() []string {
	var names []string
	for _, m := range c.engine.Modules() {
		names = append(names, m.Name)
	}
	return names
}

// Explain returns where in a photo the network sees some of its classes: those that
// options name, in that order, or the most probable ones. By CAM it takes little
// longer than [Classifier.Classify].
//
// In networks of 8-bit integers, pool and logits are rounded, which no pixel is the
// cause of: what that adds is spread evenly over the map by CAM.
//
// Of a single output z, whose outcomes are not and yes, the map of not is that of -z.
//
// CAM wants exactly one linear layer behind the pool. Its error otherwise is
// [engine.ErrNotLinear].
func (c *Classifier) Explain(ctx context.Context, img image.Image, o ExplainOptions) (*Explanation, error) {
	if err := c.usable(ctx); err != nil {
		return nil, err
	}
	if c.config.Classes == 0 {
		return nil, ErrNoClasses
	}
	o, err := c.settleExplain(o)
	if err != nil {
		return nil, err
	}
	p, err := c.prepare(img)
	if err != nil {
		return nil, err
	}
	switch o.Method {
	case Occlusion:
		return c.occlusion(ctx, p, o)
	case GradCAM:
		return c.gradCAM(ctx, p, o)
	}
	return c.cam(ctx, p, o)
}

// Seen returns the part of a photo of w by h pixels, upright, that the network sees: a
// map of [Classifier.Explain] lies over that.
func (c *Classifier) Seen(w, h int) vision.Region {
	height, width := c.config.InputSize()
	return vision.Seen(w, h, c.config.Preprocess, height, width)
}

// settleExplain checks options and puts what they stand for in place of zeros.
func (c *Classifier) settleExplain(o ExplainOptions) (ExplainOptions, error) {
	layers := c.Layers()
	last := layers[len(layers)-1]
	switch {
	case o.Method == Occlusion && o.Layer != "":
		return o, fmt.Errorf("%s looks at no layer", Occlusion)
	case o.Layer == "":
		o.Layer = last
	case !slices.Contains(layers, o.Layer):
		return o, fmt.Errorf("no layer %q: the last is %s, others are %s", o.Layer, last, strings.Join(layers[:min(5, len(layers)-1)], ", "))
	}
	switch o.Method {
	case "":
		if o.Method = CAM; o.Layer != last {
			o.Method = GradCAM
		}
	case CAM:
		if o.Layer != last {
			return o, fmt.Errorf("%s is of the last layer, %s: %s is for %s", CAM, last, GradCAM, o.Layer)
		}
	case GradCAM, Occlusion:
	default:
		return o, fmt.Errorf("method %q: want %s, %s or %s", o.Method, CAM, GradCAM, Occlusion)
	}
	switch {
	case o.Top < 0:
		return o, tooFew(o.Top)
	case o.Top > 0 && o.Classes != nil:
		return o, errors.New("both classes and a number of the most probable ones")
	}
	for i, class := range o.Classes {
		if n := c.config.Outcomes(); class < 0 || class >= n {
			return o, fmt.Errorf("class %d: want 0 to %d", class, n-1)
		}
		if slices.Contains(o.Classes[:i], class) {
			return o, fmt.Errorf("class %d is there twice", class)
		}
	}
	return o, nil
}

// maps returns a map without values for each class that is wanted of a photo with these
// logits.
func (c *Classifier) maps(logits []float32, o ExplainOptions) ([]ClassMap, error) {
	p, err := c.Probabilities(logits)
	if err != nil {
		return nil, err
	}
	classes := o.Classes
	if classes == nil {
		for _, best := range top(logits, p, c.labels, max(1, o.Top)) {
			classes = append(classes, best.Index)
		}
	}
	maps := make([]ClassMap, len(classes))
	for i, class := range classes {
		maps[i] = ClassMap{
			Prediction: Prediction{Index: class, Label: c.labels[class], Probability: float32(p[class])},
			Logit:      c.logit(logits, class),
		}
	}
	return maps, nil
}

// output returns the network's output that is behind a class, and its sign: of a single
// one, not is -1 times yes.
func (c *Classifier) output(class int) (o int, sign float32) {
	if c.config.Outcomes() != c.config.Classes {
		return 0, float32(2*class - 1)
	}
	return class, 1
}

// logit is the output behind a class with its sign.
func (c *Classifier) logit(logits []float32, class int) float32 {
	o, sign := c.output(class)
	return sign * logits[len(logits)-c.config.Classes+o] // [0, z] of a single one
}

// cam explains a photo with the weights of its classes.
func (c *Classifier) cam(ctx context.Context, photo *Prepared, o ExplainOptions) (*Explanation, error) {
	modules := c.engine.Modules()
	last := modules[len(modules)-1]
	h, w := c.config.InputSize()
	channels, height, width := last.Shape(h, w)
	weights := make([]float32, channels)
	if _, err := c.engine.ClassWeights(0, weights); err != nil { // before the network runs
		return nil, fmt.Errorf("%w: %s is for such a head", err, GradCAM)
	}
	features := make([]float32, channels*height*width)
	out := engine.Output{
		Logits: make([]float32, c.config.Classes), Features: make([]float32, c.config.Network().Features()),
		Taps: []engine.Tap{{Module: last.Name, Data: features}},
	}
	if err := c.engine.Run(ctx, engine.Input{Pixels: photo.pixels.Pix, N: 1, H: h, W: w}, out); err != nil {
		return nil, err
	}
	e := &Explanation{Method: CAM, Layer: last.Name, Height: height, Width: width, Logits: c.outcomes(out.Logits), Features: out.Features}
	var err error
	if e.Maps, err = c.maps(e.Logits, o); err != nil {
		return nil, err
	}
	for i := range e.Maps {
		m := &e.Maps[i]
		output, sign := c.output(m.Index)
		bias, err := c.engine.ClassWeights(output, weights)
		if err != nil {
			return nil, err
		}
		for k := range weights {
			weights[k] *= sign
		}
		m.Bias = sign * bias
		m.Values = weighted(features, weights)
		if c.Precision() == Int8 {
			m.settle()
		}
	}
	return e, nil
}

// gradCAM explains a photo with the gradients at a module.
func (c *Classifier) gradCAM(ctx context.Context, photo *Prepared, o ExplainOptions) (*Explanation, error) {
	h, w := c.config.InputSize()
	tape, err := c.engine.Record(ctx, engine.Input{Pixels: photo.pixels.Pix, N: 1, H: h, W: w}, o.Layer)
	if err != nil {
		return nil, err
	}
	modules := c.engine.Modules()
	layer := modules[slices.IndexFunc(modules, func(m engine.Module) bool { return m.Name == o.Layer })]
	_, height, width := layer.Shape(h, w)
	e := &Explanation{Method: GradCAM, Layer: o.Layer, Height: height, Width: width, Logits: c.outcomes(tape.Logits)}
	if e.Maps, err = c.maps(e.Logits, o); err != nil {
		return nil, err
	}
	for i := range e.Maps {
		m := &e.Maps[i]
		output, sign := c.output(m.Index)
		weights, err := tape.MeanGradient(output)
		if err != nil {
			return nil, err
		}
		for k := range weights {
			weights[k] *= sign
		}
		m.Values = weighted(tape.Output, weights)
	}
	return e, nil
}

// weighted returns the sum of the planes of features, [channels][pixels], each times its
// weight.
func weighted(features, weights []float32) []float32 {
	pixels := len(features) / len(weights)
	sum := make([]float64, pixels)
	for k, w := range weights {
		for p, v := range features[k*pixels:][:pixels] {
			sum[p] += float64(w) * float64(v)
		}
	}
	out := make([]float32, pixels)
	for p, v := range sum {
		out[p] = float32(v)
	}
	return out
}

// settle spreads over the map what is missing between its mean, the bias and the logit:
// the rounding of pool and logits to bytes.
func (m *ClassMap) settle() {
	sum := 0.0
	for _, v := range m.Values {
		sum += float64(v)
	}
	missing := float32(float64(m.Logit) - float64(m.Bias) - sum/float64(len(m.Values)))
	for i := range m.Values {
		m.Values[i] += missing
	}
}

// occluded is how many values the map by Occlusion has a side.
const occluded = 14

// occlusion explains a photo by covering parts of it, each of 3 by 3 cells of a grid.
func (c *Classifier) occlusion(ctx context.Context, photo *Prepared, o ExplainOptions) (*Explanation, error) {
	h, w := c.config.InputSize()
	out, err := c.Infer(ctx, []*Prepared{photo}, logits)
	if err != nil {
		return nil, err
	}
	e := &Explanation{Method: Occlusion, Height: occluded, Width: occluded, Logits: out.Logits}
	if e.Maps, err = c.maps(e.Logits, o); err != nil {
		return nil, err
	}
	for i := range e.Maps {
		e.Maps[i].Values = make([]float32, occluded*occluded)
	}
	n := 3 * h * w
	most := c.inMemory()
	copies := make([]byte, most*n)
	for at := 0; at < occluded*occluded; at += most {
		batch := min(most, occluded*occluded-at)
		for i := range batch {
			copied := vision.Image{W: w, H: h, Pix: copies[i*n:][:n]}
			copy(copied.Pix, photo.pixels.Pix)
			c.cover(&copied, (at+i)%occluded, (at+i)/occluded)
		}
		covered, err := c.infer(ctx, engine.Input{Pixels: copies[:batch*n], N: batch, H: h, W: w}, logits)
		if err != nil {
			return nil, err
		}
		for i := range batch {
			own := covered.Logits[i*len(e.Logits):][:len(e.Logits)]
			for j := range e.Maps {
				m := &e.Maps[j]
				m.Values[at+i] = m.Logit - c.logit(own, m.Index)
			}
		}
	}
	return e, nil
}

// cover paints the cells around a cell of the grid with the mean colour of photos, which
// is 0 once it is normalised.
func (c *Classifier) cover(m *vision.Image, x, y int) {
	var mean [3]byte
	for i, v := range c.config.Preprocess.Mean {
		mean[i] = byte(math.Round(255 * float64(min(1, max(0, v)))))
	}
	side := func(at, n int) (from, to int) {
		return max(0, at-1) * n / occluded, min(occluded, at+2) * n / occluded
	}
	left, right := side(x, m.W)
	top, bottom := side(y, m.H)
	for y := top; y < bottom; y++ {
		for x := left; x < right; x++ {
			copy(m.Pix[3*(y*m.W+x):], mean[:])
		}
	}
}
