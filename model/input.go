package model

import (
	"errors"
	"fmt"
	"math"
)

// InputSize is the height and width of the network's input, in pixels.
func (c Config) InputSize() (h, w int) {
	if c.InputWidth != 0 {
		return c.Resolution, c.InputWidth
	}
	return c.Resolution, c.Resolution
}

// DefaultResize is what photos are resized to, where nobody says otherwise, for an
// input whose longer side has so many pixels: 256 for 224, as torchvision's
// IMAGENET1K_V1 has it, and the same share of the photo for any other.
func DefaultResize(side int) int { return int(math.Round(float64(side) * 256 / 224)) }

// SetInput changes the input to h by w pixels. Photos are resized in proportion,
// so that the network sees the same share of them as before.
func (c *Config) SetInput(h, w int) {
	oldH, oldW := c.InputSize()
	before, after := max(oldH, oldW), max(h, w)
	if before != after && before > 0 {
		c.Preprocess.Resize = int(math.Round(float64(c.Preprocess.Resize) * float64(after) / float64(before)))
	}
	c.Resolution, c.InputWidth = h, 0
	if w != h {
		c.InputWidth = w
	}
}

// Assumed says which parts of a config nobody has said: a file of weights alone
// shows no more than the channels.
type Assumed struct {
	Resolution    bool `json:"resolution,omitempty"`
	Resize        bool `json:"resize,omitempty"` // and the centre crop
	Interpolation bool `json:"interpolation,omitempty"`
	Norm          bool `json:"norm,omitempty"` // mean and standard deviation
	Mean          bool `json:"mean,omitempty"` // of these only the mean
	Std           bool `json:"std,omitempty"`  // and only the standard deviation
	Head          bool `json:"head,omitempty"` // softmax behind several classes, where it could be sigmoid; not in List
}

// AllAssumed is for a file that says nothing of its input.
var AllAssumed = Assumed{Resolution: true, Resize: true, Interpolation: true, Norm: true}

// List returns what c has for the parts of the input that were assumed, each as the flag of the
// command that says it: "--resize 256".
func (a Assumed) List(c Config) []string {
	var list []string
	add := func(assumed bool, format string, args ...any) {
		if assumed {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	p := c.Preprocess
	h, w := c.InputSize()
	add(a.Resolution && h == w, "--resolution %d", h)
	add(a.Resolution && h != w, "--resolution %dx%d", h, w)
	add(a.Resize && !p.Squash, "--resize %d", p.Resize)
	add(a.Interpolation, "--interpolation %s", p.Interpolation)
	add(a.Norm || a.Mean, "--mean %v,%v,%v", p.Mean[0], p.Mean[1], p.Mean[2])
	add(a.Norm || a.Std, "--std %v,%v,%v", p.Std[0], p.Std[1], p.Std[2])
	return list
}

// SetInput applies in to m's config. What in says is no longer listed as assumed.
// A resolution alone leaves the resize assumed, which follows it.
func (m *Model) SetInput(in Input) error { return setInput(&m.Config, &m.Assumed, in) }

// SetInput does as [Model.SetInput] does. The normalised pixels keep their quantisation.
func (q *Quantized) SetInput(in Input) error { return setInput(&q.Config, &q.Assumed, in) }

func setInput(c *Config, a *Assumed, in Input) error {
	if err := in.Apply(c); err != nil {
		return err
	}
	a.Resolution = a.Resolution && in.Height == 0 && in.Width == 0 && in.Crop <= 1
	a.Resize = a.Resize && in.Resize == 0 && !(in.Crop > 0 && in.Crop <= 1) && !in.Squash
	a.Interpolation = a.Interpolation && in.Interpolation == ""
	mean, std := (a.Norm || a.Mean) && in.Rescale == 0 && in.Mean == nil, (a.Norm || a.Std) && in.Rescale == 0 && in.Std == nil
	a.Norm, a.Mean, a.Std = mean && std, mean && !std, std && !mean
	return nil
}

// An Input is what somebody knows of a network's input that its file does not say,
// or says wrongly. Fields that are zero change nothing.
type Input struct {
	Height, Width int           `json:",omitempty"` // pixels, see [Config.SetInput]; of 0 for one of them, it is the other
	Resize        int           `json:",omitempty"` // pixels, see [Preprocess]
	Crop          float64       `json:",omitempty"` // up to 1: the share of the resized photo's shorter side that is kept (timm's crop_pct), in place of Resize; more: pixels of a square input
	Interpolation Interpolation `json:",omitempty"`
	Mean, Std     []float32     `json:",omitempty"` // of levels from 0 to 1: three each, or one for all channels
	// Rescale is what levels from 0 to 255 are multiplied by before Mean is taken off and
	// Std divided by, 1/255 if it is 0. With it they are of such levels, and 0 and 1 if nil:
	// 1 for a network that takes levels as they are, 1/127.5 and a mean of 1 for -1 to 1.
	Rescale float64 `json:",omitempty"`
	Squash  bool    `json:",omitempty"` // resize to the input's size whatever the photo's shape is, and cut nothing off
}

// IsZero reports whether in changes nothing.
func (in Input) IsZero() bool {
	return in.Height == 0 && in.Width == 0 && in.Resize == 0 && in.Crop == 0 && in.Interpolation == "" &&
		in.Mean == nil && in.Std == nil && in.Rescale == 0 && !in.Squash
}

// Apply changes c as in says. The error names what can't be.
func (in Input) Apply(c *Config) error {
	h, w := in.Height, in.Width
	switch {
	case h < 0 || w < 0 || in.Resize < 0 || in.Crop < 0 || in.Crop != in.Crop:
		return errors.New("resolution, resize and crop: want more than 0")
	case in.Crop > 1 && in.Crop != math.Trunc(in.Crop):
		return fmt.Errorf("crop %v: want a share of up to 1, or whole pixels", in.Crop)
	case in.Crop > 1 && h+w == 0:
		h = int(min(in.Crop, maxResolution+1))
	case in.Crop > 1 && (float64(h) != in.Crop || w != 0 && float64(w) != in.Crop):
		return fmt.Errorf("crop %v, resolution %d: what is cut out is the input, so want the same", in.Crop, h)
	case in.Crop > 0 && in.Crop <= 1 && in.Resize != 0:
		return errors.New("crop as a share and resize say the same: want one of them")
	case in.Squash && (in.Resize != 0 || in.Crop != 0):
		return errors.New("squash resizes to the resolution: want neither resize nor crop with it")
	}
	if h == 0 {
		h = w
	}
	if w == 0 {
		w = h
	}
	if h != 0 {
		c.SetInput(h, w)
	}
	p := &c.Preprocess
	if in.Resize != 0 {
		p.Resize, p.Squash = in.Resize, false
	}
	if in.Crop > 0 && in.Crop <= 1 {
		h, w := c.InputSize()
		p.Resize, p.Squash = int(float64(max(h, w))/in.Crop), false // rounded down, as timm does
	}
	if in.Interpolation != "" {
		p.Interpolation = in.Interpolation
	}
	p.Squash = p.Squash || in.Squash
	if in.Rescale != 0 {
		p.Mean, p.Std = [3]float32{}, [3]float32{1, 1, 1}
	}
	if err := channels("mean", p.Mean[:], in.Mean); err != nil {
		return err
	}
	if err := channels("std", p.Std[:], in.Std); err != nil {
		return err
	}
	if in.Rescale != 0 {
		whole := 255 * in.Rescale // what the highest level becomes
		if !(whole > 0 && whole <= math.MaxFloat32) {
			return fmt.Errorf("rescale %v: want more than 0", in.Rescale)
		}
		for i := range p.Mean { // (v*rescale - mean)/std is (v/255 - mean/whole)/(std/whole)
			p.Mean[i] = float32(float64(p.Mean[i]) / whole)
			p.Std[i] = float32(float64(p.Std[i]) / whole)
		}
	}
	return c.Validate()
}

// channels sets one value for each channel.
func channels(name string, dst, values []float32) error {
	switch len(values) {
	case 0:
	case 1:
		fill(dst, values[0])
	case len(dst):
		copy(dst, values)
	default:
		return fmt.Errorf("%s has %d values: want 1 or %d", name, len(values), len(dst))
	}
	return nil
}
