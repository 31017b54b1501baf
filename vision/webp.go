package vision

import (
	"image"
	"io"

	"golang.org/x/image/webp"
)

// decodeWebP decodes a file and converts lossy planes, which image/color would
// take for JPEG's, as libwebp does.
func decodeWebP(r io.Reader) (image.Image, error) {
	src, err := webp.Decode(r)
	if err != nil {
		return nil, err
	}
	switch m := src.(type) {
	case *image.YCbCr:
		return fromWebP(m), nil
	case *image.NYCbCrA:
		return fromWebP(&m.YCbCr), nil
	}
	return src, nil
}

// fromWebP converts 4:2:0 planes in video range (luma 16 to 235), with chroma
// interpolated in both directions (libwebp's "fancy" upsampling.c).
func fromWebP(m *image.YCbCr) *Image {
	b := m.Bounds()
	dst := NewImage(b.Dx(), b.Dy())
	cb, cr := make([]byte, dst.W), make([]byte, dst.W)
	for y := range dst.H {
		near := y / 2 * m.CStride
		far := beyond(y, dst.H) * m.CStride
		blendChroma(cb, m.Cb[near:], m.Cb[far:])
		blendChroma(cr, m.Cr[near:], m.Cr[far:])
		videoToRGB(dst.row(y), m.Y[y*m.YStride:][:dst.W], cb, cr)
	}
	return dst
}

// beyond returns which chroma sample of n pixels' is second nearest to pixel i;
// at the edges, the nearest.
func beyond(i, n int) int {
	j := i/2 - 1
	if i%2 == 1 {
		j = i/2 + 1
	}
	if j < 0 || j > (n-1)/2 {
		return i / 2
	}
	return j
}

// blendChroma doubles the width of a chroma row: of the four samples around a
// pixel the nearest counts 9/16, its neighbours 3/16 and the one across 1/16,
// rounded twice.
func blendChroma(dst, near, far []byte) {
	for x := range dst {
		i, j := x/2, beyond(x, len(dst))
		a, b := int(near[i]), int(far[i])
		if i == j {
			dst[x] = byte((3*a + b + 2) >> 2)
			continue
		}
		c, d := int(near[j]), int(far[j])
		dst[x] = byte((a + (a+3*b+3*c+d+8)>>3) >> 1)
	}
}

// videoToRGB is BT.601 in video range, with six bits of fraction (libwebp,
// yuv.h):
//
//	R = 1.164(Y-16) + 1.596(Cr-128)
//	G = 1.164(Y-16) - 0.813(Cr-128) - 0.391(Cb-128)
//	B = 1.164(Y-16) + 2.018(Cb-128)
func videoToRGB(dst, luma, cb, cr []byte) {
	cb, cr = cb[:len(luma)], cr[:len(luma)]
	for x, v := range luma {
		y, u, w := int32(v)*19077>>8, int32(cb[x]), int32(cr[x])
		r := y + w*26149>>8 - 14234
		g := y - u*6419>>8 - w*13320>>8 + 8708
		b := y + u*33050>>8 - 17685
		d := dst[3*x:][:3]
		d[0], d[1], d[2] = clip(r>>6), clip(g>>6), clip(b>>6)
	}
}

func clip(v int32) byte { return byte(min(max(v, 0), 255)) }
