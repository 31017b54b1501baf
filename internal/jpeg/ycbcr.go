package jpeg

import (
	"errors"
	"image"
)

// FromYCbCr returns m, which another decoder has made of a JPEG file, as RGB,
// upsampled and converted as here. Which sample of chroma a pixel has,
// [image.YCbCr.COffset] says: where m is a part of an image, or begins at a
// negative coordinate, that of the first pixel may belong to it alone, and that of
// the pixel at 0 to three.
func FromYCbCr(m *image.YCbCr) ([]byte, error) {
	g, err := newGrid(m)
	if err != nil {
		return nil, err
	}
	if b := m.Rect; b.Min.X >= 0 && b.Min.Y >= 0 && b.Min.X%g.dx == 0 && b.Min.Y%g.dy == 0 {
		return g.aligned(), nil
	}
	return g.shifted(), nil
}

var errPlanes = errors.New("an image whose planes don't hold its pixels")

// holds reports whether a plane has h rows of w samples, stride apart.
func holds(plane []byte, stride, w, h int) bool {
	return w > 0 && h > 0 && stride >= w && len(plane) >= w && (len(plane)-w)/stride >= h-1
}

// A grid is an image whose chroma has w by h samples, one for dx by dy pixels.
type grid struct {
	m            *image.YCbCr
	dx, dy, w, h int
}

func newGrid(m *image.YCbCr) (grid, error) {
	g := grid{m: m, dx: 1, dy: 1}
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		g.dx = 2
	case image.YCbCrSubsampleRatio420:
		g.dx, g.dy = 2, 2
	case image.YCbCrSubsampleRatio440:
		g.dy = 2
	case image.YCbCrSubsampleRatio411:
		g.dx = 4
	case image.YCbCrSubsampleRatio410:
		g.dx, g.dy = 4, 2
	}
	b := m.Rect
	if b.Empty() || !holds(m.Y, m.YStride, b.Dx(), b.Dy()) {
		return g, errPlanes
	}
	g.w, g.h = (b.Max.X-1)/g.dx-b.Min.X/g.dx+1, (b.Max.Y-1)/g.dy-b.Min.Y/g.dy+1
	if !holds(m.Cb, m.CStride, g.w, g.h) || !holds(m.Cr, m.CStride, g.w, g.h) {
		return g, errPlanes
	}
	return g, nil
}

// aligned converts an image whose first pixel is the first of its sample: as a
// file's.
func (g *grid) aligned() []byte {
	m, w, h := g.m, g.m.Rect.Dx(), g.m.Rect.Dy()
	d := decoder{width: w, height: h, maxH: g.dx, maxV: g.dy, mcuY: ceil(h, 8*g.dy), jfif: true, k: fastest()}
	d.comps = []component{
		{index: 0, h: g.dx, v: g.dy, w: w, rows: h},
		{index: 1, h: 1, v: 1, w: g.w, rows: g.h},
		{index: 2, h: 1, v: 1, w: g.w, rows: g.h},
	}
	for i := range d.comps {
		d.comps[i].padW = ceil(w, 8*g.dx) * d.comps[i].h
	}
	d.newPlanes()
	d.limit(image.Rectangle{})
	pix := make([]byte, 3*w*h)
	out := d.output(Rows{Row: func(y int) []byte { return pix[3*w*y:] }, Done: func(int) {}})
	for my := range d.mcuY {
		for i, plane := range [][]byte{m.Y, m.Cb, m.Cr} {
			c, stride := &d.comps[i], m.CStride
			if i == 0 {
				stride = m.YStride
			}
			for y := 8 * c.v * my; y < min(8*c.v*(my+1), c.rows); y++ {
				copy(c.samplesOf(y, my)[:c.w], plane[y*stride:])
			}
		}
		out.strip(my)
	}
	return pix
}

// shifted converts any image, pixel by pixel.
func (g *grid) shifted() []byte {
	b, w := g.m.Rect, g.m.Rect.Dx()
	pix := make([]byte, 3*w*b.Dy())
	cb, cr := make([]byte, w), make([]byte, w)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		g.chroma(cb, g.m.Cb, y)
		g.chroma(cr, g.m.Cr, y)
		rgbGeneric(pix[3*w*(y-b.Min.Y):][:3*w], g.m.Y[(y-b.Min.Y)*g.m.YStride:], cb, cr)
	}
	return pix
}

// chroma writes row y of a chroma plane at full width, as [upsampler] does.
func (g *grid) chroma(dst, plane []byte, y int) {
	b := g.m.Rect
	i := y/g.dy - b.Min.Y/g.dy
	near := plane[i*g.m.CStride:][:g.w]
	wide := g.dx == 2 && g.w > 2
	if !wide && (g.dx > 1 || g.dy == 1) {
		for x := range dst {
			dst[x] = near[(b.Min.X+x)/g.dx-b.Min.X/g.dx]
		}
		return
	}
	far, down := near, 0
	if g.dy == 2 {
		down = side(y, b.Min.Y)
		far = plane[min(max(i+down, 0), g.h-1)*g.m.CStride:][:g.w]
	}
	sum := func(x int) int { return 3*int(near[x]) + int(far[x]) }
	left, right := 8, 7 // see [upsampler.row]
	if g.dy == 1 {
		left, right = 4, 8
	}
	for x := range dst {
		if !wide {
			dst[x] = byte((sum(x) + 1 + max(down, 0)) >> 2)
			continue
		}
		j, beside, bias := (b.Min.X+x)/2-b.Min.X/2, side(b.Min.X+x, b.Min.X), left
		if beside > 0 {
			bias = right
		}
		dst[x] = byte((3*sum(j) + sum(min(max(j+beside, 0), g.w-1)) + bias) >> 4)
	}
}

// side returns on which side of its pixel, -1 or 1, the second nearest sample is,
// where a sample is for two pixels of an image that begins at first. Division
// rounds to 0, so that the sample of -1 and 1 is in the middle of the pixel at 0.
func side(at, first int) int {
	switch {
	case at == 0 && first < 0:
		return 0
	case at > 0 && at%2 == 1, at < 0 && at%2 == 0:
		return 1
	}
	return -1
}
