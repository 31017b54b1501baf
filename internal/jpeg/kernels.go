package jpeg

// kernels are the inner loops that CPUs have vector instructions for. Every set
// gives the same bytes.
type kernels struct {
	name   string
	idct   func(q *queue)
	blend  func(sums []uint16, near, far []byte)
	spread func(dst []byte, sums []uint16, even, odd uint16)
	rgb    func(dst, luma, cb, cr []byte)
}

var generic = kernels{"generic", idctGeneric, blendGeneric, spreadGeneric, rgbGeneric}

// sets returns the sets that this CPU can run, the fastest first.
func sets() []*kernels { return append(native(), &generic) }

func fastest() *kernels { return sets()[0] }
