package vision

import "image"

// fromYCbCr converts m to RGB with the chroma upsampling and the fixed-point
// colour conversion of libjpeg (jdsample.c, jdcolor.c), which Pillow uses.
func fromYCbCr(dst *Image, m *image.YCbCr) {
	b := m.Bounds()
	cb, cr := make([]byte, b.Dx()+1), make([]byte, b.Dx()+1)
	up := upsamplerFor(m)
	for y := range dst.H {
		luma := m.Y[m.YOffset(b.Min.X, b.Min.Y+y):][:dst.W]
		up.row(cb, m.Cb, y)
		up.row(cr, m.Cr, y)
		toRGB(dst.row(y), luma, cb, cr)
	}
}

// toRGB is libjpeg's ycc_rgb_convert, with the tables' 16 bits of fraction.
func toRGB(dst, luma, cb, cr []byte) {
	const (
		one    = 1 << 16
		half   = one / 2
		crToR  = 91881  // 1.40200
		cbToB  = 116130 // 1.77200
		crToG  = 46802  // 0.71414
		cbToG  = 22554  // 0.34414
		centre = 128
	)
	cb, cr = cb[:len(luma)], cr[:len(luma)]
	for x, v := range luma {
		y, u, w := int32(v), int32(cb[x])-centre, int32(cr[x])-centre
		r := y + (crToR*w+half)>>16
		g := y + (half-cbToG*u-crToG*w)>>16
		b := y + (cbToB*u+half)>>16
		if uint32(r|g|b) > 255 { // rare: one test for all three
			r, g, b = int32(clip(r)), int32(clip(g)), int32(clip(b))
		}
		d := dst[:3]
		d[0], d[1], d[2] = byte(r), byte(g), byte(b)
		dst = dst[3:]
	}
}

func clip(v int32) byte {
	if uint32(v) > 255 {
		if v < 0 {
			return 0
		}
		return 255
	}
	return byte(v)
}

// An upsampler brings chroma rows to full size.
type upsampler struct {
	stride     int
	w, h       int // of the chroma planes, without what pads them to whole blocks
	dx, dy     int // luma pixels per chroma pixel
	triangular bool
	sums       []int32
}

func upsamplerFor(m *image.YCbCr) upsampler {
	dx, dy := 1, 1
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		dx = 2
	case image.YCbCrSubsampleRatio420:
		dx, dy = 2, 2
	case image.YCbCrSubsampleRatio440:
		dy = 2
	case image.YCbCrSubsampleRatio411:
		dx = 4
	case image.YCbCrSubsampleRatio410:
		dx, dy = 4, 2
	}
	b := m.Bounds()
	u := upsampler{
		stride: m.CStride, dx: dx, dy: dy,
		w: (b.Dx() + dx - 1) / dx, h: (b.Dy() + dy - 1) / dy,
	}
	// libjpeg interpolates 2:1 only, and not the narrowest images.
	u.triangular = dx == 2 && u.w > 2 || dx == 1 && dy == 2
	u.sums = make([]int32, u.w)
	return u
}

// row writes row y at full width to dst.
func (u *upsampler) row(dst, plane []byte, y int) {
	near := plane[y/u.dy*u.stride:][:u.w]
	if !u.triangular {
		for x := range len(dst) - 1 {
			dst[x] = near[min(x/u.dx, u.w-1)]
		}
		return
	}
	if u.dy == 1 {
		for x, v := range near {
			u.sums[x] = int32(v)
		}
		u.spread(dst, 2, 1, 2)
		return
	}
	// The nearer row counts three quarters, the row beyond it one.
	far := y/2 - 1
	if y%2 == 1 {
		far = y/2 + 1
	}
	next := plane[min(max(far, 0), u.h-1)*u.stride:][:u.w]
	for x, v := range near {
		u.sums[x] = 3*int32(v) + int32(next[x])
	}
	if u.dx == 1 {
		bias := int32(1 + y%2)
		for x, s := range u.sums {
			dst[x] = byte((s + bias) >> 2)
		}
		return
	}
	u.spread(dst, 4, 8, 7)
}

// spread doubles the width of sums: an output counts the nearer sum three times
// and the one beyond it once. The biases make the rounding errors of even and
// odd columns cancel out.
func (u *upsampler) spread(dst []byte, shift, even, odd int32) {
	sums, last := u.sums, u.w-1
	left := sums[0]
	for x, s := range sums[:last] {
		right := sums[x+1]
		d := dst[:2]
		d[0] = byte((3*s + left + even) >> shift)
		d[1] = byte((3*s + right + odd) >> shift)
		dst, left = dst[2:], s
	}
	s := sums[last]
	dst[0] = byte((3*s + left + even) >> shift)
	dst[1] = byte((4*s + odd) >> shift)
}
