package half

import (
	"math"
	"testing"
)

// TestHalf holds every binary16 value against its definition.
func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		exp, frac := h>>10&31, float64(h&1023)/1024
		want := math.Ldexp(1+frac, exp-15)
		switch {
		case exp == 0:
			want = math.Ldexp(frac, -14)
		case exp == 31 && frac == 0:
			want = math.Inf(1)
		case exp == 31:
			want = math.NaN()
		}
		if h>>15 == 1 {
			want = -want
		}
		got := float64(ToFloat32(uint16(h)))
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) || math.Signbit(got) != (h>>15 == 1) {
			t.Fatalf("%#04x: %v, want %v", h, got, want)
		}
	}
}

func TestHalfRoundTrip(t *testing.T) {
	for h := range 1 << 16 {
		f := ToFloat32(uint16(h))
		if f != f {
			if back := ToFloat32(FromFloat32(f)); back == back {
				t.Errorf("%#04x: NaN became %v", h, back)
			}
			continue
		}
		if back := FromFloat32(f); back != uint16(h) {
			t.Errorf("%#04x became %v became %#04x", h, f, back)
		}
		// Halfway to the next larger magnitude goes to the even one.
		if next := ToFloat32(uint16(h + 1)); h&0x7fff < 0x7bff {
			want := uint16(h + h&1)
			if got := FromFloat32((f + next) / 2); got != want {
				t.Errorf("halfway above %#04x: got %#04x, want %#04x", h, got, want)
			}
		}
	}
	if got := FromFloat32(float32(math.Inf(-1))); got != 0xfc00 {
		t.Errorf("-Inf became %#04x", got)
	}
}
