package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A tiler emits a convolution that goes over its pixels in tiles, with all sums
// of a tile in registers.
type tiler struct {
	isa    isa
	shape  shape
	nr     int
	pixels reg.Register
	dst    reg.Register
	src    reg.Register // advances with the pixels
	step   int          // bytes from the input of one pixel to the next

	start  func(t *tile)  // emits the sums' first value
	sum    func(t *tile)  // emits the sums
	finish func(t *tile)  // emits what follows the sums
	moved  func(rows int) // emits what else moves; may jump to "next", as it does itself
}

// A tile is the registers of rows pixels.
type tile struct {
	*tiler
	rows  int
	sums  [][]reg.VecPhysical // [rows][vectors]
	free  file                // what the sums leave
	label string
}

// emit emits the loop over tiles.
func (t tiler) emit() { tiles(t.pixels, t.shape.rows, t.tile) }

// tiles emits a loop over pixels in tiles, each of which is one's rows and jumps
// to "next". All have the tallest tile's rows but for the end of a run: what is
// more than one tile and less than two is halved, since with fewer sums than the
// multipliers' latency a tile waits for itself.
func tiles(pixels reg.Register, tallest int, one func(rows int)) {
	Label("next")
	CMPQ(pixels, imm(2*tallest))
	JL(LabelRef("few"))
	one(tallest)
	Label("few")
	rows := GP64()
	MOVQ(pixels, rows)
	CMPQ(rows, imm(tallest))
	JLE(LabelRef("choose"))
	INCQ(rows)
	SHRQ(Imm(1), rows)
	Label("choose")
	for r := tallest; r > 0; r-- {
		CMPQ(rows, imm(r))
		JE(LabelRef(tileLabel(r)))
	}
	VZEROUPPER()
	RET()
	for r := tallest - 1; r > 0; r-- {
		one(r)
	}
}

func tileLabel(rows int) string { return fmt.Sprintf("tile%d", rows) }

func (t *tiler) tile(rows int) {
	c := tile{tiler: t, rows: rows, label: tileLabel(rows)}
	all := t.isa.file()
	c.free = all[:len(all)-rows*t.shape.vectors]
	all = all[len(c.free):]
	for range rows {
		c.sums = append(c.sums, all.take(t.shape.vectors, t.shape.bytes))
	}
	Label(c.label)
	t.start(&c)
	t.sum(&c)
	t.finish(&c)
	c.each(func(at int, sum reg.VecPhysical) {
		VMOVUPS(sum, Mem{Base: t.dst, Disp: at})
	})
	ADDQ(imm(rows*pixelBytes), t.dst)
	ADDQ(imm(rows*t.step), t.src)
	SUBQ(imm(rows), t.pixels)
	t.moved(rows)
	JMP(LabelRef("next"))
}

// each calls f with every sum and its place in the blocked layout.
func (t *tile) each(f func(at int, sum reg.VecPhysical)) {
	for r, sums := range t.sums {
		for i, v := range sums {
			f(r*pixelBytes+i*t.shape.bytes, v)
		}
	}
}

// bias emits the bias as the first value of the sums.
func (t *tile) bias(bias reg.Register) {
	for i, first := range t.sums[0] {
		VMOVUPS(Mem{Base: bias, Disp: i * t.shape.bytes}, first)
		for _, sums := range t.sums[1:] {
			VMOVAPS(first, sums[i])
		}
	}
}

// multiply emits the step of one k: the first row's input is at in, the weights
// are at w. The shorter side of the tile is held in registers, the other one
// goes through a single one.
func (t *tile) multiply(in, w Mem) {
	input := func(r int, x reg.VecPhysical) { VBROADCASTSS(in.Offset(r*t.step), x) }
	weights := func(i int, v reg.VecPhysical) { VMOVUPS(w.Offset(i*t.shape.bytes), v) }
	free := t.free
	if t.rows < t.shape.vectors {
		x, v := free.take(t.rows, t.shape.bytes), free.take(1, t.shape.bytes)[0]
		for r := range x {
			input(r, x[r])
		}
		for i := range t.shape.vectors {
			weights(i, v)
			for r := range x {
				VFMADD231PS(v, x[r], t.sums[r][i])
			}
		}
		return
	}
	v, x := free.take(t.shape.vectors, t.shape.bytes), free.take(1, t.shape.bytes)[0]
	for i := range v {
		weights(i, v[i])
	}
	for r, sums := range t.sums {
		input(r, x)
		for i := range v {
			VFMADD231PS(v[i], x, sums[i])
		}
	}
}

// relu6 emits the clamping of the sums.
func (t *tile) relu6() {
	free := t.free
	c := newClamp(&free, t.shape.bytes)
	t.each(func(_ int, sum reg.VecPhysical) { c.apply(sum) })
}
