package jpeg

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
)

// guard is what must be left around what a kernel writes.
const guard = 0xa5

func guarded(n int) []byte { return bytes.Repeat([]byte{guard}, n) }

// each calls f for every set with assembly.
func each(t *testing.T, f func(t *testing.T, k *kernels)) {
	if len(native()) == 0 {
		testenv.Skip(t, "avx2", "not in this machine or build")
	}
	for _, k := range native() {
		t.Run(k.name, func(t *testing.T) { f(t, k) })
	}
}

// TestIDCT compares with plain Go, on blocks of photos' and of broken files'
// coefficients: where 16 bits wrap and saturate.
func TestIDCT(t *testing.T) {
	each(t, func(t *testing.T, k *kernels) {
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range 20000 {
			limit := 1 << (1 + i%16)
			var q queue
			for j := range q.coefs {
				for range 1 + rng.IntN(64) {
					q.coefs[j][rng.IntN(64)] = int16(rng.IntN(2*limit) - limit)
				}
			}
			strides := [2]int{8 + rng.IntN(20), 8 + rng.IntN(20)}
			run := func(k *kernels) (out [2][]byte) {
				q := q
				q.stride = strides
				for j := range out {
					out[j] = guarded(8*strides[j] + 8)
					q.dst[j] = out[j][:7*strides[j]+8]
				}
				k.idct(&q)
				if q.coefs != [2][64]int16{} {
					t.Fatal("coefficients are not cleared")
				}
				return out
			}
			got, want := run(k), run(&generic)
			for j := range got {
				if !bytes.Equal(got[j], want[j]) {
					t.Fatalf("coefficients %v: samples %d, want %d", q.coefs[j], got[j], want[j])
				}
			}
		}
	})
}

// TestFillBlock: a block of one coefficient is what the transform makes of it.
func TestFillBlock(t *testing.T) {
	for dc := -1 << 15; dc < 1<<15; dc++ {
		var got, want [64]byte
		fillBlock(got[:], 8, int16(dc))
		idctBlock(&[64]int16{int16(dc)}, want[:], 8)
		if got != want {
			t.Fatalf("%d: %d, want %d", dc, got[0], want[0])
		}
	}
}

func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		switch rng.IntN(4) {
		case 0: // the ends of the range, where sums are largest
			b[i] = 255 * byte(rng.IntN(2))
		default:
			b[i] = byte(rng.Uint32())
		}
	}
	return b
}

// TestUpsampling compares with plain Go.
func TestUpsampling(t *testing.T) {
	each(t, func(t *testing.T, k *kernels) {
		rng := rand.New(rand.NewPCG(2, 2))
		for n := chunk; n <= 6*chunk; n += chunk {
			near, far := noise(rng, n), noise(rng, n)
			got, sums := make([]uint16, n+2), make([]uint16, n+2)
			k.blend(got[1:1+n], near, far)
			generic.blend(sums[1:1+n], near, far)
			if !slices.Equal(got, sums) {
				t.Fatalf("%d sums differ", n)
			}
			sums[0], sums[n+1] = 1020, 77
			for _, bias := range [][2]uint16{{8, 7}, {4, 8}} {
				got, want := guarded(2*n+8), guarded(2*n+8)
				k.spread(got[:2*n], sums, bias[0], bias[1])
				generic.spread(want[:2*n], sums, bias[0], bias[1])
				if !bytes.Equal(got, want) {
					t.Fatalf("%d samples with biases %d differ", n, bias)
				}
			}
		}
	})
}

// TestRGB compares with plain Go, for all of YCbCr and for all widths.
func TestRGB(t *testing.T) {
	each(t, func(t *testing.T, k *kernels) {
		check := func(y, cb, cr []byte) {
			t.Helper()
			n := len(y)
			got, want := guarded(3*n+8), guarded(3*n+8)
			k.rgb(got[:3*n], y, cb, cr)
			generic.rgb(want[:3*n], y, cb, cr)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d pixels differ", n)
			}
		}
		rng := rand.New(rand.NewPCG(3, 3))
		for n := 1; n < 200; n++ {
			check(noise(rng, n), noise(rng, n), noise(rng, n))
		}
		ramp := make([]byte, 256)
		for i := range ramp {
			ramp[i] = byte(i)
		}
		for cb := range 256 {
			for cr := range 256 {
				check(ramp, bytes.Repeat([]byte{byte(cb)}, 256), bytes.Repeat([]byte{byte(cr)}, 256))
			}
		}
	})
}
