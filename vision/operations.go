package vision

import "math"

// affine takes every pixel from where the matrix sends its centre, or is black
// there: Pillow's Image.transform with AFFINE and NEAREST, in its 16 binary
// places.
func affine(m *Image, a [6]float64) *Image {
	fix := func(v float64) int { return int(math.Floor(v*65536 + 0.5)) }
	dst := NewImage(m.W, m.H)
	x0, y0 := fix(a[2]+a[0]/2+a[1]/2), fix(a[5]+a[3]/2+a[4]/2)
	for y := range m.H {
		for x := range m.W {
			sx, sy := (x0+x*fix(a[0])+y*fix(a[1]))>>16, (y0+x*fix(a[3])+y*fix(a[4]))>>16
			if sx >= 0 && sx < m.W && sy >= 0 && sy < m.H {
				copy(dst.Pix[(y*m.W+x)*3:][:3], m.Pix[(sy*m.W+sx)*3:])
			}
		}
	}
	return dst
}

// rotate turns the image counter-clockwise around its centre.
func rotate(m *Image, degrees float64) *Image {
	sin, cos := math.Sincos(-degrees * math.Pi / 180)
	cx, cy := float64(m.W)/2, float64(m.H)/2
	return affine(m, [6]float64{cos, sin, cx - cos*cx - sin*cy, -sin, cos, cy + sin*cx - cos*cy})
}

// blend is a + share*(b-a), cut off at 0 and 255 and rounded down (Pillow's
// Image.blend).
func blend(a, b *Image, share float64) *Image {
	dst := NewImage(b.W, b.H)
	alpha := float32(share)
	for i, v := range a.Pix {
		t := float32(v) + float32(alpha*(float32(b.Pix[i])-float32(v))) // rounded in between on every CPU
		dst.Pix[i] = uint8(min(255, max(0, t)))
	}
	return dst
}

// luma is Pillow's conversion to L.
func luma(p []byte) uint8 {
	return uint8((uint32(p[0])*19595 + uint32(p[1])*38470 + uint32(p[2])*7471 + 1<<15) >> 16)
}

func grayscale(m *Image) *Image {
	dst := NewImage(m.W, m.H)
	for i := 0; i < len(m.Pix); i += 3 {
		v := luma(m.Pix[i:])
		dst.Pix[i], dst.Pix[i+1], dst.Pix[i+2] = v, v, v
	}
	return dst
}

// flat is an image of the mean lightness.
func flat(m *Image) *Image {
	dst := NewImage(m.W, m.H)
	sum := 0
	for i := 0; i < len(m.Pix); i += 3 {
		sum += int(luma(m.Pix[i:]))
	}
	mean := uint8(float64(sum)/float64(m.W*m.H) + 0.5)
	for i := range dst.Pix {
		dst.Pix[i] = mean
	}
	return dst
}

// smooth is Pillow's filter SMOOTH; the border stays as it is.
func smooth(m *Image) *Image {
	dst := NewImage(m.W, m.H)
	copy(dst.Pix, m.Pix)
	row := 3 * m.W
	for y := 1; y < m.H-1; y++ {
		for i := y*row + 3; i < (y+1)*row-3; i++ {
			sum := 4 * int(m.Pix[i])
			for _, r := range [3]int{i - row, i, i + row} {
				sum += int(m.Pix[r-3]) + int(m.Pix[r]) + int(m.Pix[r+3])
			}
			dst.Pix[i] = uint8((2*sum + 13) / 26)
		}
	}
	return dst
}

// table maps every value of every channel.
func table(m *Image, f func(c int, v uint8) uint8) *Image {
	dst := NewImage(m.W, m.H)
	for i, v := range m.Pix {
		dst.Pix[i] = f(i%3, v)
	}
	return dst
}

func posterize(m *Image, bits int) *Image {
	mask := ^uint8(1<<(8-bits) - 1)
	return table(m, func(_ int, v uint8) uint8 { return v & mask })
}

func solarize(m *Image, threshold float64) *Image {
	return table(m, func(_ int, v uint8) uint8 {
		if float64(v) < threshold {
			return v
		}
		return 255 - v
	})
}

// histogram counts the values of the channels.
func histogram(m *Image) *[3][256]int {
	var h [3][256]int
	for i, v := range m.Pix {
		h[i%3][v]++
	}
	return &h
}

// autoContrast stretches each channel to 0 to 255 (Pillow's ImageOps.autocontrast).
func autoContrast(m *Image) *Image {
	var lut [3][256]uint8
	for c, h := range histogram(m) {
		lo, hi := 0, 255
		for lo < 255 && h[lo] == 0 {
			lo++
		}
		for hi > 0 && h[hi] == 0 {
			hi--
		}
		for v := range lut[c] {
			if hi <= lo {
				lut[c][v] = uint8(v)
				continue
			}
			scale := 255 / float64(hi-lo)
			lut[c][v] = uint8(min(255, max(0, math.Trunc(float64(v)*scale-float64(lo)*scale))))
		}
	}
	return table(m, func(c int, v uint8) uint8 { return lut[c][v] })
}

// equalize spreads the values of each channel evenly (Pillow's ImageOps.equalize).
func equalize(m *Image) *Image {
	var lut [3][256]uint8
	for c, h := range histogram(m) {
		total, last, used := 0, 0, 0
		for _, n := range h {
			if n > 0 {
				total += n
				last = n
				used++
			}
		}
		step := (total - last) / 255
		n := step / 2
		for v := range lut[c] {
			lut[c][v] = uint8(v)
			if used > 1 && step > 0 {
				lut[c][v] = uint8(min(255, n/step))
				n += h[v]
			}
		}
	}
	return table(m, func(c int, v uint8) uint8 { return lut[c][v] })
}
