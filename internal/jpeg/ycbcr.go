package jpeg

import "image"

// FromYCbCr returns m, which another decoder has made of a JPEG file, as RGB,
// upsampled and converted as here.
func FromYCbCr(m *image.YCbCr) []byte {
	b := m.Bounds()
	if b.Empty() {
		return nil
	}
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
	d := decoder{width: b.Dx(), height: b.Dy(), maxH: dx, maxV: dy, jfif: true, k: fastest()}
	w, h := ceil(d.width, dx), ceil(d.height, dy)
	d.comps = []component{
		{h: dx, v: dy, w: d.width, rows: d.height},
		{h: 1, v: 1, w: w, rows: h},
		{h: 1, v: 1, w: w, rows: h},
	}
	for i, plane := range [][]byte{m.Y[m.YOffset(b.Min.X, b.Min.Y):], m.Cb, m.Cr} {
		c, stride := &d.comps[i], m.CStride
		if i == 0 {
			stride = m.YStride
		}
		c.stride = roundUp(c.w)
		c.plane = make([]byte, c.stride*c.rows+slack)
		for y := range c.rows {
			copy(c.plane[y*c.stride:], plane[y*stride:][:c.w])
		}
	}
	return d.pixels()
}
