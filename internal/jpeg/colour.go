package jpeg

// A Colour says what the components of a file are.
type Colour byte

const (
	Auto  Colour = iota // as the file's markers and the components' names say
	YCbCr               // three components, whatever the file says
	Plain               // no conversion: three components are RGB, four are inks, 255 is full
)

// converter returns what converts a row of samples, by the rules of libjpeg's
// jdapimin.c for what the components are.
func (d *decoder) converter() func(dst []byte, rows *[4][]byte) {
	switch {
	case d.colour == Plain && len(d.comps) == 4:
		return func(dst []byte, rows *[4][]byte) {
			for x := range len(dst) / 3 {
				p, k := dst[3*x:][:3], 255-int(rows[3][x])
				p[0], p[1], p[2] = ink(k, rows[0][x]), ink(k, rows[1][x]), ink(k, rows[2][x])
			}
		}
	case len(d.comps) == 1:
		return func(dst []byte, rows *[4][]byte) { interleave(dst, rows[0], rows[0], rows[0]) }
	case len(d.comps) == 4 && d.adobe && d.adobeTransform != 0: // YCCK
		return func(dst []byte, rows *[4][]byte) {
			d.k.rgb(dst, rows[0], rows[1], rows[2])
			for x := range len(dst) / 3 {
				p, k := dst[3*x:][:3], int(rows[3][x])
				p[0], p[1], p[2] = ink(k, p[0]), ink(k, p[1]), ink(k, p[2])
			}
		}
	case len(d.comps) == 4:
		return func(dst []byte, rows *[4][]byte) {
			for x := range len(dst) / 3 {
				p, k := dst[3*x:][:3], int(rows[3][x])
				p[0], p[1], p[2] = ink(k, 255-rows[0][x]), ink(k, 255-rows[1][x]), ink(k, 255-rows[2][x])
			}
		}
	case d.isRGB():
		return func(dst []byte, rows *[4][]byte) { interleave(dst, rows[0], rows[1], rows[2]) }
	}
	return func(dst []byte, rows *[4][]byte) { d.k.rgb(dst, rows[0], rows[1], rows[2]) }
}

func (d *decoder) isRGB() bool {
	switch {
	case d.colour != Auto:
		return d.colour == Plain
	case d.jfif:
		return false
	case d.adobe:
		return d.adobeTransform == 0
	}
	return d.comps[0].id == 'R' && d.comps[1].id == 'G' && d.comps[2].id == 'B'
}

func interleave(dst, r, g, b []byte) {
	n := len(dst) / 3
	r, g, b = r[:n], g[:n], b[:n]
	for x, v := range r {
		p := dst[3*x:][:3]
		p[0], p[1], p[2] = v, g[x], b[x]
	}
}

// ink is what is left of white under ink c and k/255 of light, rounded as Pillow
// does (Convert.c, cmyk2rgb). Files that Adobe wrote have all inks inverted, and
// Pillow takes every file for one of these: k is the sample of black.
func ink(k int, c byte) byte {
	t := int(c)*k + 128
	return byte(max(0, k-(t>>8+t)>>8))
}

// rgbGeneric is libjpeg's ycc_rgb_convert (jdcolor.c), with its 16 bits of
// fraction.
func rgbGeneric(dst, luma, cb, cr []byte) {
	const (
		half   = 1 << 15
		crToR  = 91881  // 1.40200
		cbToB  = 116130 // 1.77200
		crToG  = 46802  // 0.71414
		cbToG  = 22554  // 0.34414
		centre = 128
	)
	n := len(dst) / 3
	luma, cb, cr = luma[:n], cb[:n], cr[:n]
	for x, v := range luma {
		y, u, w := int32(v), int32(cb[x])-centre, int32(cr[x])-centre
		r := y + (crToR*w+half)>>16
		g := y + (half-cbToG*u-crToG*w)>>16
		b := y + (cbToB*u+half)>>16
		if uint32(r|g|b) > 255 { // rare: one test for all three
			r, g, b = clip(r), clip(g), clip(b)
		}
		p := dst[:3]
		p[0], p[1], p[2] = byte(r), byte(g), byte(b)
		dst = dst[3:]
	}
}

func clip(v int32) int32 { return min(max(v, 0), 255) }
