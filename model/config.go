package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// A Stage is one row of the paper's Table 2: N inverted residuals with C
// output channels (before the width multiplier) and expand ratio T, the first
// of them with stride S.
type Stage struct {
	T float64 `json:"t"` // expand ratio: hidden channels = round(in * T)
	C int     `json:"c"` // output channels at width 1
	N int     `json:"n"` // blocks
	S int     `json:"s"` // stride of the first block, 1 or 2

	// Expand has blocks of expand ratio 1 expand all the same, by a 1x1 convolution
	// to as many channels, as Gluon's and ncnn's networks do in the first block.
	Expand bool `json:"expand,omitempty"`
}

// Table2 returns the body of the network (arXiv 1801.04381, Table 2), which is
// also inverted_residual_setting in torchvision.
func Table2() []Stage {
	return []Stage{
		{T: 1, C: 16, N: 1, S: 1},
		{T: 6, C: 24, N: 2, S: 2},
		{T: 6, C: 32, N: 3, S: 2},
		{T: 6, C: 64, N: 4, S: 2},
		{T: 6, C: 96, N: 3, S: 1},
		{T: 6, C: 160, N: 3, S: 2},
		{T: 6, C: 320, N: 1, S: 1},
	}
}

// Padding says how the 3x3 convolutions pad their input.
type Padding string

const (
	// PadTorch pads one pixel on every side, as torchvision does.
	PadTorch Padding = "torch"
	// PadSame pads as TensorFlow's 'SAME': at stride 2 an even input gets its
	// one pixel of padding at the bottom and right only. Checkpoints trained
	// in TensorFlow need it.
	PadSame Padding = "same"
)

// Before returns the rows (or columns) of padding before an input of n rows
// for a 3x3 convolution of the given stride. What is missing after the last
// row follows from the output size, which is ceil(n/stride) for both paddings.
func (p Padding) Before(n, stride int) int {
	if p == PadSame && stride == 2 && n%2 == 0 {
		return 0
	}
	return 1
}

// Interpolation names a resize filter; both are antialiased as in Pillow.
type Interpolation string

// The filters that published MobileNetV2 weights were evaluated with.
const (
	Bilinear Interpolation = "bilinear"
	Bicubic  Interpolation = "bicubic"
)

// Preprocess says how a photo becomes an input tensor: the shorter side is
// resized to Resize pixels, the centre of the input's size is cut out, and
// each channel of it becomes (v/255 - Mean) / Std, in RGB order (torchvision's Resize,
// CenterCrop, ToTensor and Normalize).
type Preprocess struct {
	Resize        int           `json:"resize"`           // pixels
	Squash        bool          `json:"squash,omitempty"` // instead: resized to the input's size, whatever the photo's shape
	Interpolation Interpolation `json:"interpolation"`
	Mean          [3]float32    `json:"mean"`
	Std           [3]float32    `json:"std"`
}

// ImageNetPreprocess is the evaluation transform of torchvision's
// MobileNet_V2_Weights with the given resize size: 256 for IMAGENET1K_V1, 232
// for IMAGENET1K_V2.
func ImageNetPreprocess(resize int) Preprocess {
	return Preprocess{
		Resize:        resize,
		Interpolation: Bilinear,
		Mean:          [3]float32{0.485, 0.456, 0.406},
		Std:           [3]float32{0.229, 0.224, 0.225},
	}
}

// TFPreprocess maps pixels to [-1, 1], as checkpoints trained in TensorFlow
// expect (and Hugging Face's MobileNetV2ImageProcessor does).
func TFPreprocess(resize int) Preprocess {
	half := [3]float32{0.5, 0.5, 0.5}
	return Preprocess{Resize: resize, Interpolation: Bilinear, Mean: half, Std: half}
}

// Levels are what each 8-bit level of each channel becomes.
type Levels [3][256]float32

// Levels returns what preprocessing makes of pixels, in torchvision's order of
// float32 operations: ToTensor divides by 255, Normalize subtracts the mean and
// divides by the standard deviation.
func (p Preprocess) Levels() *Levels {
	var t Levels
	for c := range t {
		for v := range t[c] {
			t[c][v] = (float32(v)/255 - p.Mean[c]) / p.Std[c]
		}
	}
	return &t
}

// Apply writes pixels [n][3], RGB, to dst of the same shape, each level as what it
// becomes.
func (t *Levels) Apply(dst []float32, pixels []byte) {
	r, g, b := &t[0], &t[1], &t[2]
	for len(dst) >= 12 && len(pixels) >= 12 { // four at a time: 42 µs an image of 224x224, not 49
		d, p := (*[12]float32)(dst), (*[12]byte)(pixels)
		d[0], d[1], d[2] = r[p[0]], g[p[1]], b[p[2]]
		d[3], d[4], d[5] = r[p[3]], g[p[4]], b[p[5]]
		d[6], d[7], d[8] = r[p[6]], g[p[7]], b[p[8]]
		d[9], d[10], d[11] = r[p[9]], g[p[10]], b[p[11]]
		dst, pixels = dst[12:], pixels[12:]
	}
	for len(dst) >= 3 && len(pixels) >= 3 {
		dst[0], dst[1], dst[2] = r[pixels[0]], g[pixels[1]], b[pixels[2]]
		dst, pixels = dst[3:], pixels[3:]
	}
}

// A Config is a MobileNetV2 architecture together with the input it expects.
// The zero value is not valid; start from [Default].
type Config struct {
	Width      float64 `json:"width"`                 // multiplies every channel count
	Classes    int     `json:"classes"`               // outputs of the classifier
	Resolution int     `json:"resolution"`            // input height and width, pixels
	InputWidth int     `json:"input_width,omitempty"` // input width, where it is not the height
	Table      []Stage `json:"table"`
	RoundTo    int     `json:"round_to"` // channel counts are multiples of it

	// FirstChannels and LastChannels, when not 0, are the exact output channels
	// of the first and last convolution. 0 means what the paper and torchvision
	// do: 32 and 1280 scaled by Width and rounded, the last one never scaled
	// down.
	FirstChannels int `json:"first_channels,omitempty"`
	LastChannels  int `json:"last_channels,omitempty"`

	// NoStemResidual has no residual around the first block, even where it has as many
	// channels in as out (at width 0.25): Hugging Face's MobileNetV2Stem.
	NoStemResidual bool `json:"no_stem_residual,omitempty"`

	Head       Head       `json:"head,omitzero"`
	Dropout    float64    `json:"dropout"` // before the classifier, in training
	BNEps      float64    `json:"bn_eps"`
	BNMomentum float64    `json:"bn_momentum"`
	Padding    Padding    `json:"padding"`
	Preprocess Preprocess `json:"preprocess"`
}

// A Head is what differs behind the global average pool from torchvision's one linear
// layer with a softmax.
type Head struct {
	// Hidden are the outputs of linear layers before the classifier, each with ReLU
	// behind it.
	Hidden []int `json:"hidden,omitempty"`
	// Sigmoid has a probability for each class on its own, for photos of several
	// classes or of none. A single class has two outcomes: it and not it.
	Sigmoid bool `json:"sigmoid,omitempty"`
}

// Plain reports whether the head is torchvision's.
func (h Head) Plain() bool { return len(h.Hidden) == 0 && !h.Sigmoid }

// Outcomes is how many answers the network gives, each with a name: the classes, or
// not and yes for a single one.
func (c Config) Outcomes() int {
	if c.Classes == 1 && c.Head.Sigmoid {
		return 2
	}
	return c.Classes
}

// Default is torchvision's mobilenet_v2 with IMAGENET1K_V1's preprocessing:
// width 1, 1000 classes, 224x224 input.
func Default() Config {
	return Config{
		Width:      1,
		Classes:    1000,
		Resolution: 224,
		Table:      Table2(),
		RoundTo:    8,
		Dropout:    0.2,
		BNEps:      1e-5,
		BNMomentum: 0.1,
		Padding:    PadTorch,
		Preprocess: ImageNetPreprocess(256),
	}
}

// ParseConfig reads a Config from JSON, as written in a checkpoint's metadata.
// Fields that are absent keep the values of [Default]; the result is validated.
func ParseConfig(text []byte) (Config, error) {
	c := Default()
	if err := json.Unmarshal(text, &c); err != nil {
		return Config{}, fmt.Errorf("model config: %w", err)
	}
	return c, c.Validate()
}

// Bounds that keep a config from an untrusted file from asking for absurd
// amounts of memory. The largest published MobileNetV2 has width 1.4, 1001
// classes, 1792 channels and 28 blocks.
const (
	maxWidth      = 16
	maxClasses    = 1 << 20
	maxResolution = 1 << 13
	maxChannels   = 1 << 15
	maxBlocks     = 256
	maxHidden     = 8
)

// Validate returns an error that says which fields of c cannot be built, and why.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Width > 0 && c.Width <= maxWidth, "width multiplier %v: want more than 0 and at most %d", c.Width, maxWidth)
	check(c.Classes >= 0 && c.Classes <= maxClasses, "%d classes: want 0 (for embeddings) to %d", c.Classes, maxClasses)
	check(c.Classes > 0 || c.Head.Plain(), "a head of no classes")
	check(len(c.Head.Hidden) <= maxHidden, "%d hidden layers in the head: want at most %d", len(c.Head.Hidden), maxHidden)
	for _, n := range c.Head.Hidden {
		check(n > 0 && n <= maxChannels, "a hidden layer of %d outputs in the head: want 1 to %d", n, maxChannels)
	}
	check(c.Resolution >= MinResolution && c.Resolution <= maxResolution, "resolution %d: want %d to %d pixels", c.Resolution, MinResolution, maxResolution)
	check(c.InputWidth == 0 || c.InputWidth >= MinResolution && c.InputWidth <= maxResolution, "input width %d: want %d to %d pixels", c.InputWidth, MinResolution, maxResolution)
	check(c.RoundTo > 0 && c.RoundTo <= 1024, "channels rounded to multiples of %d: want 1 to 1024", c.RoundTo)
	check(c.FirstChannels >= 0 && c.FirstChannels <= maxChannels, "%d first channels: want 0 (from the width) to %d", c.FirstChannels, maxChannels)
	check(c.LastChannels >= 0 && c.LastChannels <= maxChannels, "%d last channels: want 0 (from the width) to %d", c.LastChannels, maxChannels)
	check(c.Dropout >= 0 && c.Dropout < 1, "dropout %v: want at least 0 and less than 1", c.Dropout)
	check(c.BNEps > 0 && c.BNEps < 1, "batch norm epsilon %v: want more than 0 and less than 1", c.BNEps)
	check(c.BNMomentum >= 0 && c.BNMomentum <= 1, "batch norm momentum %v: want 0 to 1", c.BNMomentum)
	check(c.Padding == PadTorch || c.Padding == PadSame, "padding %q: want %q or %q", c.Padding, PadTorch, PadSame)
	p := c.Preprocess
	check(p.Resize > 0 && p.Resize <= maxResolution, "resize %d: want 1 to %d pixels", p.Resize, maxResolution)
	check(p.Interpolation == Bilinear || p.Interpolation == Bicubic, "interpolation %q: want %q or %q", p.Interpolation, Bilinear, Bicubic)
	for i := range 3 {
		check(finite(p.Mean[i]) && finite(p.Std[i]) && p.Std[i] > 0, "channel %d has mean %v and std %v: want finite numbers, std above 0", i, p.Mean[i], p.Std[i])
	}
	errs = append(errs, c.validateTable()...)
	if len(errs) > 0 {
		return fmt.Errorf("model config: %s", list(errs))
	}
	return nil
}

func (c Config) validateTable() []error {
	switch {
	case len(c.Table) == 0:
		return []error{errors.New("the table of inverted residuals is empty")}
	case len(c.Table) > maxBlocks:
		return []error{fmt.Errorf("%d rows in the table: want at most %d", len(c.Table), maxBlocks)}
	}
	var errs []error
	blocks, widest := 0, float64(max(c.FirstChannels, 32))
	for i, s := range c.Table {
		switch {
		case !(s.T > 0 && s.T <= 64):
			errs = append(errs, fmt.Errorf("table row %d: expand ratio %v: want more than 0 and at most 64", i, s.T))
		case s.C < 1 || s.C > maxChannels:
			errs = append(errs, fmt.Errorf("table row %d: %d channels: want 1 to %d", i, s.C, maxChannels))
		case s.N < 1 || s.N > maxBlocks:
			errs = append(errs, fmt.Errorf("table row %d: %d blocks: want 1 to %d", i, s.N, maxBlocks))
		case s.S != 1 && s.S != 2:
			errs = append(errs, fmt.Errorf("table row %d: stride %d: want 1 or 2", i, s.S))
		default:
			blocks += s.N
			widest = max(widest, float64(s.C)) * max(1, s.T)
		}
		if widest*c.Width > maxChannels {
			return append(errs, fmt.Errorf("table row %d: more than %d channels at width %v", i, maxChannels, c.Width))
		}
		widest = max(float64(s.C), 32)
	}
	if blocks > maxBlocks {
		errs = append(errs, fmt.Errorf("%d blocks in the table: want at most %d", blocks, maxBlocks))
	}
	return errs
}

// list is the text of errs in one line: a table of 256 rows can have as many.
func list(errs []error) string {
	var texts []string
	for _, err := range errs[:min(shown, len(errs))] {
		texts = append(texts, err.Error())
	}
	if len(errs) > shown {
		texts = append(texts, "...")
	}
	return strings.Join(texts, "; ")
}

func finite(v float32) bool { return !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) }

// Equal reports whether c and d describe the same network and input.
func (c Config) Equal(d Config) bool {
	table := slices.Equal(c.Table, d.Table)
	c.Table, d.Table = nil, nil
	return table && configKey(c) == configKey(d)
}

// configKey prints c so that two configs can be compared; Config itself is not
// comparable because of its table.
func configKey(c Config) string { return fmt.Sprintf("%#v", c) }
