package jpeg

// An upsampler brings the rows of a component to full size, as libjpeg's
// jdsample.c does it.
type upsampler struct {
	*component
	dx, dy int // pixels per sample
	fancy  bool
	from   int      // the samples that are wanted, a multiple of chunk,
	n      int      // and how many, likewise
	sums   []uint16 // of two rows, with a further one at both ends
	out    []byte
}

// chunk is how many samples the vector kernels work on at once; their buffers
// are as long as a multiple of it.
const chunk = 32

func (d *decoder) upsampler(c *component) upsampler {
	u := upsampler{component: c, dx: d.maxH / c.h, dy: d.maxV / c.v}
	// libjpeg interpolates 2:1 only, and not the narrowest images.
	u.fancy = u.dy <= 2 && u.dx == 2 && c.w > 2 || u.dx == 1 && u.dy == 2
	// A sample on either side belongs to the part. The output of a sample at the left
	// that is not the image's first is wrong, and not wanted.
	u.from = max(0, d.part.Min.X/u.dx-1) &^ (chunk - 1)
	u.n = min(roundUp(c.w), roundUp(d.part.Max.X/u.dx+2)) - u.from
	if u.dx > 1 || u.dy > 1 {
		u.sums = make([]uint16, roundUp(c.w)+2+chunk)
		u.out = make([]byte, max(u.dx*roundUp(c.w), roundUp(d.width)))
	}
	return u
}

// samplesOf returns row y of a component's samples and what is behind it.
func (c *component) samplesOf(y, my int) []byte { return c.plane[(y-8*c.v*my+1)*c.stride:] }

func roundUp(n int) int { return (n + chunk - 1) &^ (chunk - 1) }

// row returns row y at full width, with slack behind it, while row my of MCUs is in
// memory. Only the part that is wanted is computed.
func (u *upsampler) row(k *kernels, y, my int) []byte {
	near := u.samplesOf(y/u.dy, my)
	switch {
	case u.dx == 1 && u.dy == 1:
		return near
	case !u.fancy:
		if u.dx == 1 {
			return near
		}
		for x := u.from; x < min(u.w, u.from+u.n); x++ {
			for i := range u.dx {
				u.out[u.dx*x+i] = near[x]
			}
		}
		return u.out
	}
	// The nearer row counts three quarters, the row beyond it one.
	far := near
	if u.dy == 2 {
		at := y/2 - 1 + y%2*2
		far = u.samplesOf(min(max(at, 0), u.rows-1), my)
	}
	sums := u.sums[1+u.from:][:u.n]
	k.blend(sums, near[u.from:], far[u.from:])
	if u.dx == 1 {
		bias, out := uint16(1+y%2), u.out[u.from:]
		for x, s := range sums[:min(u.n, u.w-u.from)] {
			out[x] = byte((s + bias) >> 2)
		}
		return u.out
	}
	u.sums[0], u.sums[u.w+1] = u.sums[1], u.sums[u.w]
	// The biases make the rounding errors of even and odd columns cancel out.
	even, odd := uint16(8), uint16(7)
	if u.dy == 1 {
		even, odd = 4, 8
	}
	k.spread(u.out[2*u.from:][:2*u.n], u.sums[u.from:][:u.n+2], even, odd)
	return u.out
}

// blendGeneric sets sums to 3*near + far. There are a multiple of chunk.
func blendGeneric(sums []uint16, near, far []byte) {
	near, far = near[:len(sums)], far[:len(sums)]
	for i := range sums {
		sums[i] = 3*uint16(near[i]) + uint16(far[i])
	}
}

// spreadGeneric doubles the width of sums, which has a further one at both ends
// for the neighbours: an output counts the nearer sum three times and the one
// beyond it once.
func spreadGeneric(dst []byte, sums []uint16, even, odd uint16) {
	left, s := sums[0], sums[1]
	for _, right := range sums[2:] {
		d := dst[:2]
		d[0] = byte((3*s + left + even) >> 4)
		d[1] = byte((3*s + right + odd) >> 4)
		dst, left, s = dst[2:], s, right
	}
}
