package jpeg

// sequential decodes a block of a sequential file to samples, by way of the
// queue.
func (d *decoder) sequential(c *scanComponent, bx, by int) bool {
	coefs := d.queue.next()
	ok, flat := d.bits.block(coefs, c)
	if !ok {
		return false
	}
	dst := c.samples(bx, by)
	if flat {
		fillBlock(dst, c.stride, coefs[0])
		coefs[0] = 0
		return true
	}
	d.queue.add(d.k, dst, c.stride)
	return true
}

// samples returns the part of the plane from the first to the last sample of a
// block.
func (c *component) samples(bx, by int) []byte {
	return c.plane[8*(by*c.stride+bx):][:7*c.stride+8]
}

// block decodes a block to b, which is all 0, in natural order and multiplied
// with the quantisation steps. flat is whether there is but the DC coefficient.
//
// The loop is most of the decoder's time. A value is the product of one look-up
// in most cases; bits are filled up when a longest code with its value, 31 bits,
// might not be there.
func (r *bits) block(b *[64]int16, c *scanComponent) (ok, flat bool) {
	buf, acc, n, pos := r.buf, r.acc, r.n, r.pos
	if n < 32 {
		acc, n, pos = fill(buf, acc, n, pos)
	}
	e := c.dc.lut[acc>>(64-lutBits)]
	v := int32(e) >> 16
	if v == 0 && e>>8 != 0 || e == 0 {
		if v, e = c.dc.long(acc); e == 0 {
			return false, false
		}
	}
	acc <<= e & 63
	n -= uint(e & 63)
	c.pred += v
	q, ac := c.quant, c.ac
	b[0] = int16(c.pred * int32(q[0]&0xffff))
	k := 1
	for k < 64 {
		if n < 32 {
			acc, n, pos = fill(buf, acc, n, pos)
		}
		e := ac.lut[acc>>(64-lutBits)]
		v := int32(e) >> 16
		if v == 0 {
			if e-1 < 1<<8-1 { // end of block: symbol 0
				acc <<= e & 63
				n -= uint(e & 63)
				break
			}
			if v, e = ac.long(acc); v == 0 {
				if e == 0 {
					return false, false
				}
				acc <<= e & 63
				n -= uint(e & 63)
				if e>>8 != 15 { // an end whose code is long, or none that a sequential file may have
					break
				}
				k += 16
				continue
			}
		}
		acc <<= e & 63
		n -= uint(e & 63)
		k += int(e >> 8 & 15)
		step := q[k]
		b[step>>16&63] = int16(v * int32(step&0xffff))
		k++
	}
	r.acc, r.n, r.pos = acc, n, pos
	return true, k == 1
}
