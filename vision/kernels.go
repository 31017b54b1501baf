package vision

// kernels are the inner loops that CPUs have vector instructions for. Every set gives
// the same bytes.
type kernels struct {
	name string

	// columns writes rows y to y+strip of dst: rows top+y and on of src with the
	// columns combined, output i of a row being that of t. scratch has place for the
	// columns read and written, strip rows of each.
	columns func(t *taps, dst, src *Image, y, top int, scratch []byte)

	// rows writes output i of t, a weighted sum of rows of src. They have len(dst)
	// bytes each, and the first is that at start[0].
	rows func(t *taps, dst, src []byte, i int)

	// paeth undoes the PNG filter of this name in a row. above is the row before it,
	// back how many bytes a pixel has.
	paeth func(row, above []byte, back int)
}

var generic = kernels{"generic", (*taps).horizontal, (*taps).combine, paethGeneric}

// sets returns the sets that this CPU can run, the fastest first.
func sets() []*kernels { return append(native(), &generic) }

func fastest() *kernels { return sets()[0] }
