// Package kernel computes the layers of MobileNetV2 on one CPU core. It is the
// only package with assembly.
//
// Activations are float32 in the blocked layout [C/32][H][W][32]: channels in
// blocks of 32, pixels row by row within a block, so that a pixel is always 128
// bytes from the next and one kernel serves every layer. Where the channel count
// is no multiple of 32 the last block is padded: kernels may write anything to
// the padding and never read it.
//
// A [Set] holds the kernels for one instruction set. The plain Go one is always
// there and is what the others are tested against. Within a set every output
// value is computed by the same operations in the same order whatever the tile
// or the pixel run it falls into, so results do not depend on how the work is
// cut up.
//
// An [Int8] is the same for networks of 8-bit integers: activations are bytes in
// that layout, sums are exact in int32, and one formula makes bytes of them. So
// their sets don't differ in a single bit, either from each other or from ONNX
// Runtime, of which testdata/ort.json has results.
//
//	              float32  8 bits
//	generic       x        x       plain Go
//	avx2          x        x       16-bit products: those of bytes that AVX2 has saturate
//	avxvnni                x
//	avx512        x
//	avx2+avx512   x                tiles of AVX2, all else of AVX-512: the same bits as either
//	avx512vnni             x
//	neon          x        x       16-bit products
//	dotprod                x       signed products: bytes minus 128
//
// Where there is assembly for amd64 it is generated, by _asm; what an instruction
// set's kernels differ in is a table there. That for arm64 is written by hand.
package kernel

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Block is the number of channels in a block of the activation layout.
const Block = 32

// Blocks returns the number of blocks that hold n channels.
func Blocks(n int) int { return (n + Block - 1) / Block }

// NR returns the row length of the packed weights of output block b of n
// channels: 32, or for the last block what is left rounded up to 8, the widest
// vector that all sets can hold.
func NR(n, b int) int { return min(Block, (n-b*Block+7)/8*8) }

// A Set is the kernels of one instruction set. Every function panics where its
// arguments are too short, and reads and writes nothing outside of them.
type Set struct {
	Name      string // as in MOBILENET_CPU
	Pointwise func(Pointwise)
	Depthwise func(Depthwise)
	First     func(First)
	Pool      func(Pool)
	Peak      func(iterations int) (flops int) // multiplies and adds as fast as it can, for comparison
	Training

	Choices []Choice // of a set that takes its kernels from others
}

// A Choice says which instruction set computes some kinds of layers, and why.
type Choice struct{ Layers, ISA, Why string }

// Training is the kernels of a set that only training needs.
type Training struct {
	Affine              func(Affine)
	Moments             func(Moments)
	AffineGrad          func(AffineGrad)
	NormGrad            func(NormGrad)
	PointwiseGrad       func(PointwiseGrad)
	DepthwiseGrad       func(DepthwiseGrad)
	DepthwiseTransposed func(DepthwiseTransposed)
	Turn                func(Turn)
}

// Pointwise is a 1x1 convolution into one block of output channels, with the
// residual, the bias and ReLU6 fused:
//
//	Dst[p][n] = clamp(Bias[n] + Add[p][n] + Σk Src[p][k]*W[k][n])
//
// for p < Pixels and n < NR. It is also the classifier, with images for pixels.
type Pointwise struct {
	Dst       []float32 // [Pixels][Block]
	Src       []float32 // blocks [Pixels][Block], SrcStride floats apart
	Add       []float32 // [Pixels][Block], or nil; may be Dst, otherwise overlaps nothing
	W         []float32 // [K][NR], as Pack returns it
	Bias      []float32 // [NR]
	Pixels    int
	K         int // input channels
	SrcStride int
	NR        int // 8, 16, 24 or 32 output channels
	ReLU6     bool

	// What is read or written after this, for a kernel to fetch into the second-level cache
	// while it computes: memory is idle then. Without it these are the weights behind W.
	Next [][]float32
}

// Depthwise is output rows of one block of a depthwise 3x3 convolution with bias
// and perhaps ReLU6:
//
//	Dst[y][x][c] = clamp(Bias[c] + Σji Rows[y*Stride+j][x*Stride-Left+i][c]*W[3*j+i][c])
//
// where columns outside of the input count as zero. The sets are fastest with two
// output rows or more, which share input rows.
type Depthwise struct {
	Dst    []float32   // [OutHeight()][OutWidth()][Block]
	Rows   [][]float32 // each [Width][Block]: the input rows, from the one above the first output row's on; zeros for a row of padding
	W      []float32   // [9][NR]
	Bias   []float32   // [NR]
	Width  int         // input columns
	Stride int         // 1 or 2
	Left   int         // columns of padding before the first: 1, or 0 at stride 2
	NR     int         // 8, 16, 24 or 32 channels
	ReLU6  bool
	cut    depthwiseCut // the columns of a call of assembly
}

// A depthwiseCut is what a call of assembly does of the output rows of a Depthwise.
// Width, Left and Dst are those of its columns.
type depthwiseCut struct {
	column  int // the input column that it begins with
	outputs int // output columns
	pitch   int // floats from an output row to the next
}

// OutHeight is the number of output rows.
func (a Depthwise) OutHeight() int { return (len(a.Rows)-3)/a.Stride + 1 }

// OutWidth is the number of output columns.
func (a Depthwise) OutWidth() int { return (a.Width + a.Stride - 1) / a.Stride }

// First is one output row of one block of the first convolution, 3x3 at stride
// 2 from 3 channels, with bias and ReLU6:
//
//	Dst[x][n] = clamp(Bias[n] + Σji Rows[j][6*x+i]*W[9*j+i][n])
//
// Its input rows are interleaved RGB with the padding written out, so that
// output column x reads 9 floats from 6*x on.
type First struct {
	Dst   []float32    // [Width][Block]
	Rows  [3][]float32 // each at least 6*Width+3 floats
	W     []float32    // [27][NR]
	Bias  []float32    // [NR]
	Width int          // output columns
	NR    int          // 8, 16, 24 or 32 output channels
}

// Pool is the global average pool of one block, summed pixel by pixel:
//
//	Dst[c] = Σp Src[p][c] / Pixels
type Pool struct {
	Dst    []float32 // [Block]
	Src    []float32 // [Pixels][Block]
	Pixels int
}

// Available returns the sets that this CPU can run, the fastest first. The last
// one is the plain Go set.
func Available() []*Set { return append(native(), &Generic) }

// Choose returns the set called name: avx2+avx512, avx512, avx2, neon or generic. Without a
// name it is the one that the environment variable MOBILENET_CPU names, or else
// the fastest. The names of 8-bit sets are allowed as well: see levels.
func Choose(name string) (*Set, error) {
	sets := Available()
	i, err := choose(name, len(sets), func(i int) string { return sets[i].Name })
	if err != nil {
		return nil, err
	}
	return sets[i], nil
}

// ChooseInt8 is Choose for 8-bit networks, of which the sets are avx512vnni,
// avxvnni, avx2, dotprod, neon and generic.
func ChooseInt8(name string) (*Int8, error) {
	sets := AvailableInt8()
	i, err := choose(name, len(sets), func(i int) string { return sets[i].Name })
	if err != nil {
		return nil, err
	}
	return sets[i], nil
}

// levels are the names of all sets, each the instructions of those before it and
// some more. Networks of float32 and of 8 bits have sets for different ones: a
// name that has none means the fastest set without any instructions beyond it.
var levels = []string{"generic", "avx2", "avxvnni", "avx2+avx512", "avx512", "avx512vnni", "neon", "dotprod"}

// choose returns which of n sets the name means. They are in falling order.
func choose(name string, n int, set func(int) string) (int, error) {
	asked := "kernels for "
	if name == "" {
		name, asked = os.Getenv("MOBILENET_CPU"), "MOBILENET_CPU="
	}
	if name == "" {
		return 0, nil
	}
	have := map[string]bool{}
	for _, s := range Available() {
		have[s.Name] = true
	}
	for _, s := range AvailableInt8() {
		have[s.Name] = true
	}
	if !have[name] {
		var names []string
		for _, l := range slices.Backward(levels) {
			if have[l] {
				names = append(names, l)
			}
		}
		return 0, fmt.Errorf("%s%s: this machine and build have %s", asked, name, strings.Join(names, ", "))
	}
	level := slices.Index(levels, name)
	best := -1
	for i := range n {
		switch {
		case set(i) == name:
			return i, nil
		case best < 0 && slices.Index(levels, set(i)) < level:
			best = i
		}
	}
	return best, nil
}
