package vision

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mobilenet-go/mobilenet/internal/testenv"
	"github.com/mobilenet-go/mobilenet/model"
)

// guard is what must be left around what a kernel writes.
const guard = 0xa5

// guarded returns n bytes with guards behind them.
func guarded(n int) (b, behind []byte) {
	all := bytes.Repeat([]byte{guard}, n+16)
	return all[:n:n], all[n:]
}

func intact(t *testing.T, behind []byte) {
	t.Helper()
	if !bytes.Equal(behind, bytes.Repeat([]byte{guard}, len(behind))) {
		t.Fatalf("written behind the end: %x", behind)
	}
}

// each calls f for every set with assembly.
func each(t *testing.T, f func(t *testing.T, k *kernels)) {
	if len(native()) == 0 {
		testenv.Skip(t, "avx2", "not in this machine or build")
	}
	for _, k := range native() {
		t.Run(k.name, func(t *testing.T) { f(t, k) })
	}
}

func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
		if rng.IntN(4) == 0 { // the ends of the range, where sums are largest
			b[i] = 255 * byte(rng.IntN(2))
		}
	}
	return b
}

// TestResizeKernels compares both passes with plain Go: scaling up and down by little
// and by much, parts of images, and the narrowest ones.
func TestResizeKernels(t *testing.T) {
	each(t, func(t *testing.T, k *kernels) {
		rng := rand.New(rand.NewPCG(1, 1))
		for range 2000 {
			src := &Image{W: 1 + rng.IntN(90), H: 1 + rng.IntN(40)}
			src.Pix = noise(rng, 3*src.W*src.H)
			w, h := 1+rng.IntN(90), 1+rng.IntN(60)
			win := window{x: rng.IntN(w), y: rng.IntN(h)}
			win.w, win.h = 1+rng.IntN(w-win.x), 1+rng.IntN(h-win.y)
			filter := []model.Interpolation{model.Bilinear, model.Bicubic}[rng.IntN(2)]
			name := fmt.Sprintf("%dx%d to %+v of %dx%d, %s", src.W, src.H, win, w, h, filter)

			columns := newTaps(src.W, w, win.x, win.w, filter)
			scratch := make([]byte, 3*strip*(columns.end()-columns.start[0]+win.w))
			pass := func(k *kernels) *Image {
				pix, behind := guarded(3 * win.w * src.H)
				dst := &Image{W: win.w, H: src.H, Pix: pix}
				for y := 0; y < dst.H; y += strip {
					k.columns(&columns, dst, src, y, 0, scratch)
				}
				intact(t, behind)
				return dst
			}
			got, want := pass(k), pass(&generic)
			if !bytes.Equal(got.Pix, want.Pix) {
				t.Fatalf("%s: columns differ", name)
			}

			rows := newTaps(src.H, h, win.y, win.h, filter)
			part := want.Pix[3*want.W*rows.start[0] : 3*want.W*rows.end()]
			for y := range win.h {
				a, behind := guarded(3 * win.w)
				b, _ := guarded(3 * win.w)
				k.rows(&rows, a, part, y)
				generic.rows(&rows, b, part, y)
				intact(t, behind)
				if !bytes.Equal(a, b) {
					t.Fatalf("%s: row %d differs", name, y)
				}
			}
		}
	})
}

// TestPaeth compares with plain Go, for rows of all lengths.
func TestPaeth(t *testing.T) {
	each(t, func(t *testing.T, k *kernels) {
		rng := rand.New(rand.NewPCG(2, 2))
		for _, back := range []int{1, 2, 3, 4, 6, 8} {
			for pixels := 1; pixels < 60; pixels++ {
				row, above := noise(rng, back*pixels), noise(rng, back*pixels)
				got, behind := guarded(len(row))
				copy(got, row)
				k.paeth(got, above, back)
				generic.paeth(row, above, back)
				intact(t, behind)
				if !bytes.Equal(got, row) {
					t.Fatalf("%d pixels of %d bytes: %d, want %d", pixels, back, got, row)
				}
			}
		}
	})
}

// TestGenerated writes the generated assembly anew and compares.
func TestGenerated(t *testing.T) { testenv.CheckGenerated(t, "avx2_amd64", "-pkg", "vision") }
