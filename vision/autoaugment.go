package vision

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// bins is the number of strengths in torchvision's policies: 0 to 30.
const bins = 31

// An operation is a change of torchvision's policies, with Pillow's pixels. Its
// magnitudes are in the units of apply, at a share of 0 to 1 of the greatest
// strength.
type operation struct {
	name  string
	apply func(m *Image, magnitude float64) *Image
	wide  func(share float64) float64           // in TrivialAugmentWide; nil for none
	rand  func(share float64, m *Image) float64 // in RandAugment; nil for none
	sign  bool                                  // the magnitude may be negative, too
}

// operations are those of both policies, in torchvision's order.
var operations = []operation{
	{name: "Identity", apply: func(m *Image, _ float64) *Image { return m }},
	{"ShearX", func(m *Image, v float64) *Image { return affine(m, [6]float64{1, v, 0, 0, 1, 0}) }, upTo(0.99), within(0.3), true},
	{"ShearY", func(m *Image, v float64) *Image { return affine(m, [6]float64{1, 0, 0, v, 1, 0}) }, upTo(0.99), within(0.3), true},
	{
		"TranslateX", func(m *Image, v float64) *Image { return affine(m, [6]float64{1, 0, -math.Trunc(v), 0, 1, 0}) },
		upTo(32), func(share float64, m *Image) float64 { return single(150.0 / 331 * float64(m.W) * share) }, true,
	},
	{
		"TranslateY", func(m *Image, v float64) *Image { return affine(m, [6]float64{1, 0, 0, 0, 1, -math.Trunc(v)}) },
		upTo(32), func(share float64, m *Image) float64 { return single(150.0 / 331 * float64(m.H) * share) }, true,
	},
	{"Rotate", rotate, upTo(135), within(30), true},
	{"Brightness", func(m *Image, v float64) *Image { return brightness(m, 1+v) }, upTo(0.99), within(0.9), true},
	{"Color", func(m *Image, v float64) *Image { return saturation(m, 1+v) }, upTo(0.99), within(0.9), true},
	{"Contrast", func(m *Image, v float64) *Image { return contrast(m, 1+v) }, upTo(0.99), within(0.9), true},
	{"Sharpness", func(m *Image, v float64) *Image { return blend(smooth(m), m, 1+v) }, upTo(0.99), within(0.9), true},
	{
		"Posterize", func(m *Image, v float64) *Image { return posterize(m, int(v)) },
		func(share float64) float64 { return 8 - math.RoundToEven(6*share) },
		func(share float64, _ *Image) float64 { return 8 - math.RoundToEven(4*share) }, false,
	},
	{
		"Solarize", solarize, func(share float64) float64 { return 255 - 255*share },
		func(share float64, _ *Image) float64 { return single(255 - 255*share) }, false,
	},
	{name: "AutoContrast", apply: func(m *Image, _ float64) *Image { return autoContrast(m) }},
	{name: "Equalize", apply: func(m *Image, _ float64) *Image { return equalize(m) }},
}

// upTo is a magnitude that grows from 0.
func upTo(top float64) func(float64) float64 {
	return func(share float64) float64 { return top * share }
}

// within is upTo in RandAugment, whose magnitudes are torch.linspace's.
func within(top float64) func(float64, *Image) float64 {
	return func(share float64, _ *Image) float64 { return single(top * share) }
}

// single rounds to float32, in which torch keeps magnitudes.
func single(v float64) float64 { return float64(float32(v)) }

// trivial applies one operation of TrivialAugmentWide (arXiv 2103.10158) at a
// random strength, with torchvision's ranges.
func trivial(m *Image, rng *rand.Rand) *Image {
	op := operations[rng.IntN(len(operations))]
	share := float64(rng.IntN(bins)) / (bins - 1)
	return op.apply(m, op.trivial(share, rng.IntN(2) == 1))
}

// trivial is the magnitude at a share of TrivialAugmentWide's greatest.
func (op operation) trivial(share float64, negative bool) float64 {
	if op.wide == nil {
		return 0
	}
	return op.signed(op.wide(share), negative)
}

func (op operation) signed(v float64, negative bool) float64 {
	if op.sign && negative {
		return -v
	}
	return v
}

// A RandAugment applies some random operations at a fixed strength (arXiv
// 1909.13719; torchvision's RandAugment with its ranges). The zero value does
// nothing.
type RandAugment struct {
	Operations int // one after the other; torchvision's default is 2
	Magnitude  int // 0 to [MaxMagnitude]; torchvision's default is 9
}

// MaxMagnitude is the greatest strength of [RandAugment].
const MaxMagnitude = bins - 1

func (a RandAugment) apply(m *Image, rng *rand.Rand) *Image {
	for range a.Operations {
		op := operations[rng.IntN(len(operations))]
		m = op.apply(m, op.random(a.Magnitude, m, rng.IntN(2) == 1))
	}
	return m
}

// random is the magnitude at one of RandAugment's strengths.
func (op operation) random(strength int, m *Image, negative bool) float64 {
	if op.rand == nil {
		return 0
	}
	return op.signed(op.rand(float64(strength)/MaxMagnitude, m), negative)
}

// MarshalText writes operations and magnitude, such as 2,9, or 0 for none.
func (a RandAugment) MarshalText() ([]byte, error) {
	if a.Operations == 0 {
		return []byte("0"), nil
	}
	return fmt.Appendf(nil, "%d,%d", a.Operations, a.Magnitude), nil
}

// UnmarshalText reads the number of operations and their magnitude, or 0.
func (a *RandAugment) UnmarshalText(text []byte) error {
	if string(text) == "0" {
		*a = RandAugment{}
		return nil
	}
	n, m, two := strings.Cut(string(text), ",")
	operations, errN := strconv.Atoi(strings.TrimSpace(n))
	magnitude, errM := strconv.Atoi(strings.TrimSpace(m))
	if !two || errN != nil || errM != nil {
		return fmt.Errorf("%q: want the number of operations and their magnitude, such as 2,9", text)
	}
	r := RandAugment{Operations: operations, Magnitude: magnitude}
	if err := r.Validate(); err != nil {
		return err
	}
	*a = r
	return nil
}

// Validate reports what can't be applied.
func (a RandAugment) Validate() error {
	const most = 14 // a photo is unrecognisable long before
	switch {
	case a.Operations < 0 || a.Operations > most:
		return fmt.Errorf("%d operations: want 0 to %d", a.Operations, most)
	case a.Magnitude < 0 || a.Magnitude > MaxMagnitude:
		return fmt.Errorf("magnitude %d: want 0 to %d", a.Magnitude, MaxMagnitude)
	}
	return nil
}
