package onnx

import (
	"math"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

func TestHalfRoundTrip(t *testing.T) {
	for h := range 1 << 16 {
		f := fromHalf(uint16(h))
		if f != f {
			if back := fromHalf(toHalf(f)); back == back {
				t.Errorf("%#04x: NaN became %v", h, back)
			}
			continue
		}
		if back := toHalf(f); back != uint16(h) {
			t.Errorf("%#04x became %v became %#04x", h, f, back)
		}
		// Halfway to the next larger magnitude goes to the even one.
		if next := fromHalf(uint16(h + 1)); h&0x7fff < 0x7bff {
			want := uint16(h + h&1)
			if got := toHalf((f + next) / 2); got != want {
				t.Errorf("halfway above %#04x: got %#04x, want %#04x", h, got, want)
			}
		}
	}
	if got := toHalf(float32(math.Inf(-1))); got != 0xfc00 {
		t.Errorf("-Inf became %#04x", got)
	}
}

func TestReadModelZoo(t *testing.T) {
	p, err := Read(testenv.Shared(t, "weights/mobilenetv2-12-int8.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if got := opset(p); got != 12 {
		t.Errorf("opset %d, want 12", got)
	}
	for _, tensor := range tensors(p.Graph) {
		if _, err := elements(tensor); err != nil {
			t.Error(err)
		}
	}
}
