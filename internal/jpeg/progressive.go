package jpeg

import mathbits "math/bits"

// A coefBlock is the coefficients of a block of a progressive file, in zig-zag
// order. Bit i of nonzero is whether AC coefficient i isn't 0: most are, and the
// scans that refine need not look at them.
type coefBlock struct {
	coefs   [64]int16
	nonzero uint64
}

func (b *coefBlock) set(k int, v int16) {
	b.coefs[k&63] = v
	b.nonzero |= 1 << (k & 63)
}

// block returns a block of the row of MCUs of a progressive file.
func (c *component) block(bx, by int) *coefBlock { return &c.blocks[by*c.padW+bx] }

// dcFirst reads the upper bits of a DC coefficient (G.1.2.1).
func (s *scan) dcFirst(r *bits, c *scanComponent, b *coefBlock) bool {
	v, _, ok := r.value(c.dc)
	if !ok {
		return false
	}
	c.pred += v
	b.coefs[0] = int16(c.pred << s.low)
	return true
}

// dcRefine reads a further bit of a DC coefficient.
func (s *scan) dcRefine(r *bits, b *coefBlock) bool {
	b.coefs[0] |= int16(r.take(1) << s.low)
	return true
}

// acFirst reads the upper bits of a band of AC coefficients (G.1.2.2).
func (s *scan) acFirst(r *bits, t *huffTable, b *coefBlock) bool {
	if s.eobRun > 0 {
		s.eobRun--
		return true
	}
	for k := s.first; k <= s.last; k++ {
		v, run, ok := r.value(t)
		if !ok {
			return false
		}
		if v == 0 && run < 15 {
			s.eobRun = s.bandEnd(r, run) - 1
			return true
		}
		if k += run; v != 0 && k <= s.last {
			b.set(k, int16(v<<s.low))
		}
	}
	return true
}

// bandEnd reads for how many blocks the band has ended, this one included.
func (s *scan) bandEnd(r *bits, run int) int {
	return 1<<run + int(r.take(uint(run)))
}

// acRefine reads a further bit of the coefficients of a band, and those that
// have it as their first (G.1.2.3).
func (s *scan) acRefine(r *bits, t *huffTable, b *coefBlock) bool {
	k := s.first
	for s.eobRun == 0 && k <= s.last {
		v, run, ok := r.value(t)
		if !ok || v < -1 || v > 1 {
			return false
		}
		if v == 0 && run < 15 {
			s.eobRun = s.bandEnd(r, run)
			break
		}
		if k = s.refine(r, b, k, run); k <= s.last {
			if v != 0 {
				b.set(k, int16(v<<s.low))
			}
			k++
		}
	}
	if s.eobRun > 0 {
		s.eobRun--
		s.refine(r, b, k, 64)
	}
	return true
}

// refine reads a bit for each coefficient from k on that isn't 0 and stops at the
// one that is 0 behind so many zeroes. It returns where that is.
func (s *scan) refine(r *bits, b *coefBlock, k, zeroes int) int {
	bit := int16(1) << s.low
	for k <= s.last {
		n := mathbits.TrailingZeros64(b.nonzero >> (k & 63))
		if n > zeroes {
			return k + zeroes
		}
		zeroes -= n
		if k += n; k > s.last {
			return k
		}
		v := &b.coefs[k&63]
		k++
		more := int16(r.take(1)) * bit
		if *v&bit == 0 { // a broken file may refine twice
			*v += (*v>>15 | 1) * more // away from 0
		}
	}
	return k
}

// transform turns a block of a progressive file into samples.
func (d *decoder) transform(c *component, bx, by int) {
	b, dst, scaled := c.block(bx, by), c.samples(bx, by), d.queue.next()
	for left := b.nonzero | 1; left != 0; left &= left - 1 {
		i := mathbits.TrailingZeros64(left)
		step := c.quant[i]
		scaled[step>>16&63] = int16(int32(b.coefs[i]) * int32(step&0xffff))
	}
	d.queue.put(d.k, dst, c.stride, b.nonzero == 0)
}
