package kernel

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
	"unsafe"
)

// An ortCase is an operator that ONNX Runtime has run: see testdata/ort.py.
// Tensors are [C][H][W].
type ortCase struct {
	Op                 string
	N, K, H, W         int
	Stride             int
	X, B, Y            []uint8
	Weights            []byte
	ZW                 *uint8 // of unsigned weights, signed ones have none
	Bias, M            []byte
	Products, Floats   []byte // m without the output's scale, and the output with that
	SX, SY             float32
	SA, SB, SC         float32
	ZX, ZY, ZA, ZB, ZC uint8
	Origin             uint8 // of the bytes of an addition, see [AddInt8]
}

// numbersOf are little-endian numbers, as all systems here have them.
func numbersOf[T int32 | float32](b []byte) []T {
	s := make([]T, len(b)/4)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(b)), b)
	return s
}

func (c *ortCase) weights(m []byte) Weights {
	w := Weights{N: c.N, K: c.K, Zero: c.ZX, Bias: numbersOf[int32](c.Bias), M: numbersOf[float32](m)}
	for _, b := range c.Weights {
		v := int16(int8(b))
		if c.ZW != nil {
			v = int16(b) - int16(*c.ZW)
		}
		w.W = append(w.W, v)
	}
	return w
}

// blocked returns a tensor of so many pixels in the blocked layout.
func blocked[T any](x []T, pixels int) []T {
	channels := len(x) / pixels
	out := make([]T, Blocks(channels)*pixels*Block)
	for i, v := range x {
		c, p := i/pixels, i%pixels
		out[(c/Block*pixels+p)*Block+c%Block] = v
	}
	return out
}

// planar is the way back.
func planar[T any](x []T, channels, pixels int) []T {
	out := make([]T, channels*pixels)
	for i := range out {
		c, p := i/pixels, i%pixels
		out[i] = x[(c/Block*pixels+p)*Block+c%Block]
	}
	return out
}

var bytes255 = Range{Max: 255}

func (c *ortCase) pointwise(set *Int8, w Weights, float bool) (dst []uint8, floats []float32) {
	pixels := c.H * c.W
	x := c.X
	if c.Op == "classifier" { // [W][K]: images for pixels
		x = nil
		for k := range c.K {
			for p := range pixels {
				x = append(x, c.X[p*c.K+k])
			}
		}
	}
	src := blocked(x, pixels)
	dst, floats = make([]uint8, Blocks(c.N)*pixels*Block), make([]float32, Blocks(c.N)*pixels*Block)
	for b := range Blocks(c.N) {
		a := PointwiseInt8{Src: src, SrcStride: pixels * Block, Pixels: pixels, Filter: set.PackPointwise(w, b), Range: bytes255}
		a.Range.Zero = int32(c.ZY)
		if float {
			a.Float = floats[b*pixels*Block:]
		} else {
			a.Dst = dst[b*pixels*Block:]
		}
		set.Pointwise(a)
	}
	return planar(dst, c.N, pixels), planar(floats, c.N, pixels)
}

func (c *ortCase) depthwise(set *Int8, w Weights) []uint8 {
	src := blocked(c.X, c.H*c.W)
	line := c.W * Block
	pad := slices.Repeat([]uint8{c.ZX}, line)
	h, width := (c.H+c.Stride-1)/c.Stride, (c.W+c.Stride-1)/c.Stride
	dst := make([]uint8, h*width*Block)
	for y := range h {
		a := DepthwiseInt8{
			Dst: dst[y*width*Block:], Filter: set.PackDepthwise(w, 0), Range: bytes255,
			Width: c.W, Stride: c.Stride, Left: 1, Pad: c.ZX,
		}
		a.Range.Zero = int32(c.ZY)
		for j := range a.Rows {
			a.Rows[j] = pad
			if in := y*c.Stride - 1 + j; in >= 0 && in < c.H {
				a.Rows[j] = src[in*line:][:line]
			}
		}
		set.Depthwise(a)
	}
	return planar(dst, c.N, h*width)
}

func (c *ortCase) first(set *Int8, w Weights) []uint8 {
	interleaved := w
	interleaved.W = make([]int16, len(w.W))
	for i, v := range w.W { // [N][RGB][3][3] to [N][3][3][RGB]
		interleaved.W[i/27*27+i%9*3+i%27/9] = v
	}
	h, width := c.H/2, c.W/2
	dst := make([]uint8, h*width*Block)
	for y := range h {
		a := FirstInt8{Dst: dst[y*width*Block:], Filter: set.PackFirst(interleaved, 0), Range: bytes255, Width: width}
		a.Range.Zero = int32(c.ZY)
		for j := range a.Rows {
			row := slices.Repeat([]uint8{c.ZX}, 6*width+6)
			if in := 2*y - 1 + j; in >= 0 && in < c.H {
				for i := range 3 * c.W {
					row[3+i] = c.X[(i%3*c.H+in)*c.W+i/3]
				}
			}
			a.Rows[j] = row
		}
		set.First(a)
	}
	return planar(dst, c.N, h*width)
}

// TestONNXRuntime compares every value with ONNX Runtime's.
func TestONNXRuntime(t *testing.T) {
	data, err := os.ReadFile("testdata/ort.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Cases []ortCase }
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	eachInt8(t, func(t *testing.T, set *Int8) {
		for i, c := range golden.Cases {
			t.Run(fmt.Sprintf("%d-%s", i, c.Op), func(t *testing.T) { c.check(t, set) })
		}
	})
}

func (c *ortCase) check(t *testing.T, set *Int8) {
	var got []uint8
	switch c.Op {
	case "pointwise":
		got, _ = c.pointwise(set, c.weights(c.M), false)
	case "depthwise":
		got = c.depthwise(set, c.weights(c.M))
	case "first":
		got = c.first(set, c.weights(c.M))
	case "classifier":
		y, _ := c.pointwise(set, c.weights(c.M), false)
		got = transposed(y, c.N)
		if c.Floats != nil {
			_, logits := c.pointwise(set, c.weights(c.Products), true)
			for i, want := range numbersOf[float32](c.Floats) {
				if v := transposed(logits, c.N)[i]; math.Float32bits(v) != math.Float32bits(want) {
					t.Fatalf("logit %d is %v, want %v", i, v, want)
				}
			}
		}
	case "add":
		a := NewAddInt8(Scale{c.SA, c.ZA}, Scale{c.SB, c.ZB}, Scale{c.SC, c.ZC}, c.Origin)
		a.A, a.B, a.Dst = c.X, c.B, make([]uint8, len(c.X))
		set.Add(a)
		got = a.Dst
	case "pool":
		pixels := c.H * c.W
		a := PoolInt8{Dst: make([]uint8, Block), Src: blocked(c.X, pixels), Pixels: pixels, Range: bytes255, Zero: c.ZX}
		a.Range.Zero, a.M = int32(c.ZY), c.SX/(c.SY*float32(pixels))
		set.Pool(a)
		got = a.Dst
	case "quantize":
		a := QuantizeInt8{Src: numbersOf[float32](c.X), M: 1 / c.SX, Range: bytes255, Dst: make([]uint8, len(c.X)/4)}
		a.Range.Zero = int32(c.ZY)
		set.Quantize(a)
		got = a.Dst
	default:
		t.Fatal("the test doesn't know this operator")
	}
	if len(got) != len(c.Y) {
		t.Fatalf("%d values, want %d", len(got), len(c.Y))
	}
	for i, want := range c.Y {
		if got[i] != want {
			t.Fatalf("value %d is %d, want %d", i, got[i], want)
		}
	}
}

// transposed makes rows of images of rows of n channels.
func transposed[T any](x []T, n int) []T {
	images := len(x) / n
	out := make([]T, len(x))
	for i, v := range x {
		out[i%images*n+i/images] = v
	}
	return out
}
