package jpeg

// sequential decodes blocks of a sequential file to samples, by way of the queue.
// It is not inlined because the copy of the closure would not inline what it calls,
// which takes 1 % more time.
//
//go:noinline
func (d *decoder) sequential(r *bits) blockDecoder {
	return func(c *scanComponent, bx, by int) bool {
		ok, flat := r.block(d.queue.next(), c)
		if ok {
			d.emit(c.component, bx, by, flat)
		}
		return ok
	}
}

// emit turns the queue's next block into samples, if they are wanted.
func (d *decoder) emit(c *component, bx, by int, flat bool) {
	if c.first <= bx && bx < c.end {
		d.queue.put(d.k, c.samples(bx, by), c.stride, flat)
	} else {
		d.queue.drop()
	}
}

// samples returns the part of the plane from the first to the last sample of a
// block in the row of MCUs.
func (c *component) samples(bx, by int) []byte {
	return c.plane[(1+8*by)*c.stride+8*bx:][:7*c.stride+8]
}

// block decodes a block to b, which is all 0, in natural order and multiplied
// with the quantisation steps. flat is whether there is but the DC coefficient.
//
// The loop is most of the decoder's time. A look-up gives most values at once;
// bits are filled up when a longest code with its value, 31 bits, might not be
// there. It calls nothing, so that its variables stay in registers.
func (r *bits) block(b *[64]int16, c *scanComponent) (ok, flat bool) {
	v, _, ok := r.value(c.dc)
	if !ok {
		return false, false
	}
	c.pred += v
	b[0] = int16(c.pred * int32(c.quant[0]&0xffff))

	buf, acc, n, pos := r.buf, r.acc, r.n, r.pos
	q, ac, lut := c.quant, c.ac, &c.ac.lut
	k := 1
	for k < 64 {
		if n < 32 {
			acc, n, pos = fill(buf, acc, n, pos)
		}
		e := lut[acc>>(64-lutBits)]
		v := int32(e) >> 16
		if v == 0 {
			if e == 0 {
				if e = ac.long(acc); e == 0 {
					return false, false
				}
			}
			acc <<= e & 63
			n -= uint(e & 63)
			size := e >> 8 & 15
			e >>= 4 // r<<8, and bits that count no longer
			if size == 0 {
				if e>>8 == 15 {
					k += 16
					continue
				}
				break // the end; other runs are not for sequential files
			}
			v = extend(uint32(acc>>((64-size)&63)), size)
			e = e&^63 | size
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
