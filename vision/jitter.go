package vision

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// A Jitter changes colours at random, in random order: torchvision's ColorJitter
// with Pillow's pixels. The first three are factors from 1-v (0 if v is more than 1)
// to 1+v, the hue moves by up to so much of the colour circle, either way. 0 leaves
// that alone.
type Jitter struct {
	Brightness, Contrast, Saturation float64
	Hue                              float64 // at most 0.5
}

func (j Jitter) apply(m *Image, rng *rand.Rand) *Image {
	for _, i := range rng.Perm(4) {
		// Drawn whether or not it is used, so that one setting doesn't change another's.
		v := 2*rng.Float64() - 1
		switch {
		case i == 0 && j.Brightness > 0:
			m = brightness(m, factor(j.Brightness, v))
		case i == 1 && j.Contrast > 0:
			m = contrast(m, factor(j.Contrast, v))
		case i == 2 && j.Saturation > 0:
			m = saturation(m, factor(j.Saturation, v))
		case i == 3 && j.Hue > 0:
			m = turnHue(m, j.Hue*v)
		}
	}
	return m
}

// factor is uniform in max(0, 1-most) to 1+most for v uniform in -1 to 1.
func factor(most, v float64) float64 {
	low := max(0, 1-most)
	return low + (1+most-low)*(v+1)/2
}

// brightness, contrast and saturation are torchvision's adjust_brightness,
// adjust_contrast and adjust_saturation: a factor of 0 is black, grey, and without
// colours, 1 the image itself.
func brightness(m *Image, factor float64) *Image { return blend(NewImage(m.W, m.H), m, factor) }
func contrast(m *Image, factor float64) *Image   { return blend(flat(m), m, factor) }
func saturation(m *Image, factor float64) *Image { return blend(grayscale(m), m, factor) }

// turnHue is torchvision's adjust_hue: the hue, of 256 steps, moves by a share of -0.5
// to 0.5 of the circle.
func turnHue(m *Image, share float64) *Image {
	turn := uint8(int(share * 255)) // modulo 256, as NumPy adds
	dst := NewImage(m.W, m.H)
	for i := 0; i < len(m.Pix); i += 3 {
		h, s, v := toHSV(m.Pix[i], m.Pix[i+1], m.Pix[i+2])
		dst.Pix[i], dst.Pix[i+1], dst.Pix[i+2] = fromHSV(h+turn, s, v)
	}
	return dst
}

// toHSV is Pillow's conversion from RGB to HSV (rgb2hsv_row in Convert.c), with its
// float in some places and double in others. Products are rounded by a conversion
// before they are added to, so that no CPU does both at once.
func toHSV(r, g, b uint8) (h, s, v uint8) {
	v = max(r, g, b)
	least := min(r, g, b)
	if v == least {
		return 0, 0, v
	}
	spread := float32(v - least)
	rc, gc, bc := float32(v-r)/spread, float32(v-g)/spread, float32(v-b)/spread
	var hue float32
	switch v {
	case r:
		hue = bc - gc
	case g:
		hue = float32(2 + float64(rc) - float64(bc))
	default:
		hue = float32(4 + float64(gc) - float64(rc))
	}
	hue = float32(math.Mod(float64(hue)/6+1, 1))
	share := spread / float32(v)
	return uint8(float64(hue) * 255), uint8(float64(share) * 255), v
}

// fromHSV is Pillow's conversion back (hsv2rgb).
func fromHSV(h, s, v uint8) (r, g, b uint8) {
	if s == 0 {
		return v, v, v
	}
	sixth := float64(float32(h)) * 6 / 255
	i := math.Floor(sixth)
	f := float64(float32(sixth - i))
	fs := float64(float32(float64(s) / 255))
	at := func(share float64) uint8 { return uint8(math.Round(float64(v) * share)) }
	p, q, t := at(1-fs), at(1-float64(fs*f)), at(1-float64(fs*(1-f)))
	switch int(i) % 6 {
	case 0:
		return v, t, p
	case 1:
		return q, v, p
	case 2:
		return p, v, t
	case 3:
		return p, q, v
	case 4:
		return t, p, v
	default:
		return v, p, q
	}
}

// MarshalText writes the four strengths, such as 0.4,0.4,0.4,0.1, or 0 for none.
func (j Jitter) MarshalText() ([]byte, error) {
	if (j == Jitter{}) {
		return []byte("0"), nil
	}
	return fmt.Appendf(nil, "%v,%v,%v,%v", j.Brightness, j.Contrast, j.Saturation, j.Hue), nil
}

// UnmarshalText reads brightness, contrast, saturation and hue, or one number for the
// first three, as timm's --color-jitter has it.
func (j *Jitter) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), ",")
	var v [4]float64
	for i, part := range parts[:min(4, len(parts))] {
		var err error
		if v[i], err = strconv.ParseFloat(strings.TrimSpace(part), 64); err != nil {
			return fmt.Errorf("%q: want a number", part)
		}
	}
	switch {
	case len(parts) == 1:
		v[1], v[2] = v[0], v[0]
	case len(parts) != 4:
		return fmt.Errorf("%d numbers: want brightness, contrast, saturation and hue, or one for the first three", len(parts))
	}
	r := Jitter{Brightness: v[0], Contrast: v[1], Saturation: v[2], Hue: v[3]}
	if err := r.Validate(); err != nil {
		return err
	}
	*j = r
	return nil
}

// Validate reports what can't be applied.
func (j Jitter) Validate() error {
	const most = 10 // leaves next to nothing of a photo
	for _, v := range []float64{j.Brightness, j.Contrast, j.Saturation} {
		if !(v >= 0 && v <= most) {
			return fmt.Errorf("strength %v: want 0 to %d", v, most)
		}
	}
	if !(j.Hue >= 0 && j.Hue <= 0.5) {
		return fmt.Errorf("hue %v: want 0 to 0.5", j.Hue)
	}
	return nil
}
