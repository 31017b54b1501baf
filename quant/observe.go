package quant

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"math"
	"sync"

	"github.com/mobilenet-go/mobilenet/engine"
	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/model"
	"github.com/mobilenet-go/mobilenet/vision"
)

// A tensor is what was seen of an activation, channel by channel, and by what its
// channels are scaled.
type tensor struct {
	module   string // the engine's name for it; "" if it has none
	channels []channel
	windows  [][]float32 // of the image: see addWindows
}

// A channel is what was seen of one, before scaling.
type channel struct {
	min, max float64
	sum      float64
	count    int
	samples  []float32 // some of the values
	factor   float64   // scales it: equalisation
}

func newTensor(module string, channels int) tensor {
	t := tensor{module: module, channels: make([]channel, channels)}
	for i := range t.channels {
		t.channels[i] = channel{min: math.Inf(1), max: math.Inf(-1), factor: 1}
	}
	return t
}

// mean is that of a scaled channel.
func (c *channel) mean() float64 { return c.sum / float64(c.count) * c.factor }

// samplesPerPhoto is how many values of a channel are kept of each photo: enough, over
// some dozens of photos, for the shape of its distribution.
const samplesPerPhoto = 8

// add counts a photo's values of a channel.
func (c *channel) add(v []float32) {
	low, high, sum := c.min, c.max, 0.0
	for _, x := range v {
		x := float64(x)
		low, high = min(low, x), max(high, x) // NaN stays
		sum += x
	}
	c.min, c.max, c.sum, c.count = low, high, c.sum+sum, c.count+len(v)
	// At a stride without a common divisor with the width, so that they are from all
	// over the map.
	step := max(1, len(v)/samplesPerPhoto) | 1
	for at, kept := step/2, 0; at < len(v) && kept < samplesPerPhoto; at, kept = at+step, kept+1 {
		c.samples = append(c.samples, v[at])
	}
}

// observe runs the model over the photos, in order, and returns how many there were.
func (n *network) observe(ctx context.Context, m *model.Model, photos iter.Seq2[image.Image, error], o Options) (int, error) {
	e, err := engine.Compile(m, engine.Options{Threads: o.Threads})
	if err != nil {
		return 0, err
	}
	defer e.Close()
	h, w := m.Config.InputSize()
	tensors := n.tapped()
	taps := make([]engine.Tap, len(tensors))
	for _, module := range e.Modules() {
		for i, t := range tensors {
			if t.module == module.Name {
				c, th, tw := module.Shape(h, w)
				taps[i] = engine.Tap{Module: t.module, Data: make([]float32, c*th*tw)}
			}
		}
	}
	features, logits := make([]float32, len(n.pool.channels)), make([]float32, len(n.logits.channels))
	seen := 0
	for photo, err := range photos {
		if err != nil {
			return seen, err
		}
		if seen == maxPhotos {
			return seen, fmt.Errorf("more than %d photos to calibrate with", maxPhotos)
		}
		pixels, err := prepare(photo, m.Config)
		if err != nil {
			return seen, fmt.Errorf("photo %d: %w", seen, err)
		}
		in := engine.Input{Pixels: pixels.Pix, N: 1, H: h, W: w}
		if err := e.Run(ctx, in, engine.Output{Features: features, Logits: logits, Taps: taps}); err != nil {
			return seen, err
		}
		n.count(pixels, features, tensors, taps)
		for c := range logits {
			n.logits.channels[c].add(logits[c : c+1])
		}
		seen++
		if o.Progress != nil {
			o.Progress(seen)
		}
	}
	return seen, n.sane(tensors)
}

// prepare makes the network's input of a photo, or takes what was prepared already.
func prepare(photo image.Image, c model.Config) (*vision.Image, error) {
	h, w := c.InputSize()
	if photo == nil {
		return nil, errors.New("no image")
	}
	pixels, err := vision.FromImage(photo)
	if err != nil {
		return nil, err
	}
	return vision.CropTo(pixels, c.Preprocess, h, w), nil
}

// tapped lists the tensors that the engine can show.
func (n *network) tapped() []*tensor {
	var all []*tensor
	for i := range n.convs {
		all = append(all, n.convs[i].out)
	}
	for _, b := range n.blocks {
		if b.Residual() {
			all = append(all, b.sum)
		}
	}
	return all
}

// count adds one photo. Each tensor is counted on its own, so that the sums don't
// depend on the number of cores.
func (n *network) count(pixels *vision.Image, features []float32, tensors []*tensor, taps []engine.Tap) {
	var wg sync.WaitGroup
	for i, t := range tensors {
		wg.Go(func() {
			size := len(taps[i].Data) / len(t.channels)
			for c := range t.channels {
				t.channels[c].add(taps[i].Data[c*size : (c+1)*size])
			}
		})
	}
	for c := range n.pool.channels {
		n.pool.channels[c].add(features[c : c+1])
	}
	levels := n.config.Preprocess.Levels()
	plane := make([]float32, pixels.W*pixels.H)
	for c := range n.input.channels {
		for p := range plane {
			plane[p] = levels[c][pixels.Pix[3*p+c]]
		}
		n.input.channels[c].add(plane)
		n.input.addWindows(c, plane, pixels.W, pixels.H)
	}
	wg.Wait()
}

// sane refuses a model that computes something else than numbers.
func (n *network) sane(tensors []*tensor) error {
	for _, t := range tensors {
		for i := range t.channels {
			c := &t.channels[i]
			if c.count > 0 && !(c.max-c.min < math.MaxFloat32) {
				return &fault.Error{Kind: fault.Broken, Place: t.module, Reason: fmt.Sprintf("channel %d is from %v to %v: its weights are damaged", i, c.min, c.max)}
			}
		}
	}
	return nil
}
