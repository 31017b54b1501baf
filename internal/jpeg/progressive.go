package jpeg

// block returns the coefficients of a block of a progressive file, in natural
// order.
func (c *component) block(bx, by int) *[64]int16 {
	return (*[64]int16)(c.coefs[64*(by*c.padW+bx):])
}

// dcFirst reads the upper bits of a DC coefficient (G.1.2.1).
func (s *scan) dcFirst(r *bits, c *scanComponent, b *[64]int16) bool {
	v, _, ok := r.value(c.dc)
	if !ok {
		return false
	}
	c.pred += v
	b[0] = int16(c.pred << s.low)
	return true
}

// dcRefine reads a further bit of a DC coefficient.
func (s *scan) dcRefine(r *bits, b *[64]int16) bool {
	b[0] |= int16(r.take(1) << s.low)
	return true
}

// acFirst reads the upper bits of a band of AC coefficients (G.1.2.2).
func (s *scan) acFirst(r *bits, t *huffTable, b *[64]int16) bool {
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
			b[zigzag[k]] = int16(v << s.low)
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
func (s *scan) acRefine(r *bits, t *huffTable, b *[64]int16) bool {
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
				b[zigzag[k]] = int16(v << s.low)
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
func (s *scan) refine(r *bits, b *[64]int16, k, zeroes int) int {
	for ; k <= s.last; k++ {
		at := zigzag[k&63]
		v := b[at]
		if v == 0 {
			if zeroes == 0 {
				break
			}
			zeroes--
			continue
		}
		if r.take(1) == 0 {
			continue
		}
		if bit := int16(1) << s.low; v&bit == 0 { // a broken file may refine twice
			if v > 0 {
				b[at] += bit
			} else {
				b[at] -= bit
			}
		}
	}
	return k
}

// finish turns the coefficients of a progressive file into samples and makes
// sure that every component has some.
func (d *decoder) finish() error {
	for i := range d.comps {
		c := &d.comps[i]
		if c.coefs == nil {
			if c.plane == nil {
				return FormatError("missing SOS marker")
			}
			continue
		}
		d.newPlane(c)
		for by := range c.bh {
			for bx := range c.bw {
				b, scaled := c.block(bx, by), d.queue.next()
				for _, step := range c.quant[:64] {
					at := step >> 16 & 63
					scaled[at] = int16(int32(b[at]) * int32(step&0xffff))
				}
				d.queue.add(d.k, c.samples(bx, by), c.stride)
			}
		}
		c.coefs = nil
	}
	d.queue.flush(d.k)
	return nil
}
