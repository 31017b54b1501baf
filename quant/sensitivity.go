package quant

import (
	"context"
	"errors"
	"image"
	"iter"
	"runtime"
	"sync"

	"github.com/mobilenet-go/mobilenet/internal/kernel"
	"github.com/mobilenet-go/mobilenet/model"
)

// A Layer is what a network has for the output of a layer, and what that costs.
type Layer struct {
	// Name is the module path: a convolution's ("features.3.conv.0.0"), a block's for
	// its residual sum ("features.3"), "avgpool", the classifier's; "input" is the
	// normalised image.
	Name string `json:"name"`
	// Output is what the bytes stand for that it puts out; nil for a classifier whose
	// logits are numbers.
	Output *Output `json:"output,omitempty"`
	// Activations is the signal to noise ratio of the logits when these bytes alone
	// are bytes, and all else is float32; nil if it wasn't measured.
	Activations *Decibels `json:"activation_sqnr_db,omitempty"`
	// Weights is the same for the weights, with the bias that makes their rounding
	// good; nil where there are none, too, or where they stayed in float32.
	Weights *Decibels `json:"weight_sqnr_db,omitempty"`
}

// An Output is a range of numbers, and what its bytes stand for.
type Output struct {
	Low  float32 `json:"low"`
	High float32 `json:"high"`
	model.Quantization
}

// Layers lists what a network has, in the order it runs.
func Layers(q *Network) []Layer {
	layers := []Layer{{Name: "input", Output: output(q.Input, 0, 255)}}
	n := q.Config.Network()
	at := 0
	conv := func(c model.Conv) {
		l := &q.Convs[at]
		layers = append(layers, Layer{Name: c.Name, Output: output(l.Out, l.Min, l.Max)})
		at++
	}
	conv(n.First)
	for i, b := range n.Blocks {
		for _, c := range b.Convs() {
			conv(c)
		}
		if b.Residual() {
			layers = append(layers, Layer{Name: b.Name, Output: output(q.Sums[i].Quantization, 0, 255)})
		}
	}
	conv(n.Last)
	layers = append(layers, Layer{Name: "avgpool", Output: output(q.Pool, 0, 255)}, Layer{Name: n.Classifier.Name})
	if l := &q.Classifier; q.Logits {
		layers[len(layers)-1].Output = output(l.Out, l.Min, l.Max)
	}
	return layers
}

func output(q model.Quantization, low, high uint8) *Output {
	return &Output{q.Dequantize(low), q.Dequantize(high), q}
}

// Sensitivity is [Layers] with what each costs, measured over some photos: two dozen
// say enough. Every photo takes as long as the network does some thirty times. An
// error among the photos ends it. Labels don't matter.
func (c *Calibration) Sensitivity(ctx context.Context, photos iter.Seq2[image.Image, error], o CompareOptions) ([]Layer, error) {
	if c.made == nil {
		return nil, errNotMade
	}
	f, err := newForward(c.Model, c.made)
	if err != nil {
		return nil, err
	}
	layers := Layers(c.Network) // one a step
	changes := c.changes(f, layers)
	seen := 0
	for photo, err := range photos {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		pixels, err := prepare(photo, f.config)
		if err != nil {
			return nil, err
		}
		f.measure(f.image(pixels), changes, o.Threads)
		seen++
		if o.Progress != nil {
			o.Progress(seen)
		}
	}
	if seen == 0 {
		return nil, errors.New("no photos to measure with")
	}
	for _, change := range changes {
		ratio, l := change.off.ratio(), &layers[change.step]
		if change.weights != nil {
			l.Weights = &ratio
		} else {
			l.Activations = &ratio
		}
	}
	return layers, nil
}

var errNotMade = errors.New("a Calibration comes from Observe")

// A change is one thing about a forward that is rounded: the tensor of a step, or the
// weights.
type change struct {
	step    int
	bytes   model.Quantization // of the tensor, where weights is nil
	weights *packed
	off     errorSum
}

// changes are all that there are. Layers are those of the steps.
func (c *Calibration) changes(f *forward, layers []Layer) []change {
	var all []change
	parts := c.Network.Parts()
	inputs, _ := c.Network.Inputs()
	inputs = append(inputs, c.Network.Pool)
	at := 0 // of the parts
	for i, s := range f.steps {
		if out := layers[i].Output; out != nil && s.exact != nil {
			all = append(all, change{step: i, bytes: out.Quantization})
		}
		if s.kind != convStep && s.kind != linearStep {
			continue
		}
		made := &c.made.linear
		if s.kind == convStep {
			made = &c.made.convs[at]
		}
		if !made.float {
			w, b := made.numbers(parts[at].Layer, inputs[at].Scale)
			p := packConv(made.Conv, w, b)
			all = append(all, change{step: i, weights: &p})
		}
		at++
	}
	return all
}

// numbers are what the weights and the biases of a layer that was made of l stand for,
// without l's scaling, for an input of scale sx.
func (l *layer) numbers(q *model.QuantizedLayer, sx float32) (w, b []float32) {
	w, b = make([]float32, len(q.Weight)), make([]float32, len(q.Bias))
	for o := range b {
		scale := float64(q.Scale[o]) / l.factor(o)
		per := l.per()
		for i := range per {
			w[o*per+i] = float32(float64(q.Weight[o*per+i]) * scale * l.in.channels[l.reads(o, i)].factor)
		}
		b[o] = float32(float64(q.Bias[o]) * float64(sx) * scale)
	}
	return w, b
}

// measure adds what each change does to the logits of an image.
func (f *forward) measure(image []float32, changes []change, threads int) {
	exact := make([][]float32, len(f.steps))
	exact[0] = image
	for i := 1; i < len(f.steps); i++ {
		exact[i] = make([]float32, f.steps[i].size())
		f.run(i, exact[i], f.steps[i].weights, func(j int) []float32 { return exact[j] })
	}
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	todo := make(chan *change)
	var wg sync.WaitGroup
	for range threads {
		wg.Go(func() {
			own := make([][]float32, len(f.steps)) // tensors that are changed
			for change := range todo {
				f.apply(change, exact, own)
			}
		})
	}
	for i := range changes {
		todo <- &changes[i]
	}
	close(todo)
	wg.Wait()
}

// apply computes all from the change on, in the tensors own.
func (f *forward) apply(c *change, exact, own [][]float32) {
	for i := c.step; i < len(f.steps); i++ {
		if own[i] == nil {
			own[i] = make([]float32, f.steps[i].size())
		}
		of := func(j int) []float32 {
			if j < c.step {
				return exact[j]
			}
			return own[j]
		}
		switch {
		case i > c.step:
			f.run(i, own[i], f.steps[i].weights, of)
		case c.weights != nil:
			f.run(i, own[i], *c.weights, of)
		default:
			f.steps[i].round(own[i], exact[i], c.bytes)
		}
	}
	last := len(f.steps) - 1
	classes := f.steps[last].c
	c.off.add(exact[last][:classes], own[last][:classes])
}

// round makes dst what bytes of src, scaled channel by channel, stand for.
func (s *step) round(dst, src []float32, q model.Quantization) {
	for c := range s.exact.channels {
		factor := float32(s.exact.channels[c].factor)
		at, step := c/kernel.Block*s.block()+c%kernel.Block, kernel.Block
		if s.kind == imageStep {
			at, step = c, 3
		}
		for p := range s.h * s.w {
			i := at + p*step
			dst[i] = q.Dequantize(q.Quantize(src[i]*factor)) / factor
		}
	}
}
