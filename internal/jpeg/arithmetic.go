package jpeg

// Arithmetic codes (T.81, Annex D; the models of F.1.4 and G.1.3). Their patents
// have run out; libjpeg-turbo reads them, few write them.

// A state of the probability estimation (table D.3): the interval of the less
// probable symbol, and what follows it.
type state struct {
	qe       uint16
	lps, mps byte // the next state's number; 0x80 in lps exchanges the symbols
}

var states = [114]state{
	{0x5a1d, 1 | 0x80, 1}, {0x2586, 14, 2}, {0x1114, 16, 3}, {0x080b, 18, 4}, {0x03d8, 20, 5}, {0x01da, 23, 6},
	{0x00e5, 25, 7}, {0x006f, 28, 8}, {0x0036, 30, 9}, {0x001a, 33, 10}, {0x000d, 35, 11}, {0x0006, 9, 12},
	{0x0003, 10, 13}, {0x0001, 12, 13}, {0x5a7f, 15 | 0x80, 15}, {0x3f25, 36, 16}, {0x2cf2, 38, 17}, {0x207c, 39, 18},
	{0x17b9, 40, 19}, {0x1182, 42, 20}, {0x0cef, 43, 21}, {0x09a1, 45, 22}, {0x072f, 46, 23}, {0x055c, 48, 24},
	{0x0406, 49, 25}, {0x0303, 51, 26}, {0x0240, 52, 27}, {0x01b1, 54, 28}, {0x0144, 56, 29}, {0x00f5, 57, 30},
	{0x00b7, 59, 31}, {0x008a, 60, 32}, {0x0068, 62, 33}, {0x004e, 63, 34}, {0x003b, 32, 35}, {0x002c, 33, 9},
	{0x5ae1, 37 | 0x80, 37}, {0x484c, 64, 38}, {0x3a0d, 65, 39}, {0x2ef1, 67, 40}, {0x261f, 68, 41}, {0x1f33, 69, 42},
	{0x19a8, 70, 43}, {0x1518, 72, 44}, {0x1177, 73, 45}, {0x0e74, 74, 46}, {0x0bfb, 75, 47}, {0x09f8, 77, 48},
	{0x0861, 78, 49}, {0x0706, 79, 50}, {0x05cd, 48, 51}, {0x04de, 50, 52}, {0x040f, 50, 53}, {0x0363, 51, 54},
	{0x02d4, 52, 55}, {0x025c, 53, 56}, {0x01f8, 54, 57}, {0x01a4, 55, 58}, {0x0160, 56, 59}, {0x0125, 57, 60},
	{0x00f6, 58, 61}, {0x00cb, 59, 62}, {0x00ab, 61, 63}, {0x008f, 61, 32}, {0x5b12, 65 | 0x80, 65}, {0x4d04, 80, 66},
	{0x412c, 81, 67}, {0x37d8, 82, 68}, {0x2fe8, 83, 69}, {0x293c, 84, 70}, {0x2379, 86, 71}, {0x1edf, 87, 72},
	{0x1aa9, 87, 73}, {0x174e, 72, 74}, {0x1424, 72, 75}, {0x119c, 74, 76}, {0x0f6b, 74, 77}, {0x0d51, 75, 78},
	{0x0bb6, 77, 79}, {0x0a40, 77, 48}, {0x5832, 80 | 0x80, 81}, {0x4d1c, 88, 82}, {0x438e, 89, 83}, {0x3bdd, 90, 84},
	{0x34ee, 91, 85}, {0x2eae, 92, 86}, {0x299a, 93, 87}, {0x2516, 86, 71}, {0x5570, 88 | 0x80, 89}, {0x4ca9, 95, 90},
	{0x44d9, 96, 91}, {0x3e22, 97, 92}, {0x3824, 99, 93}, {0x32b4, 99, 94}, {0x2e17, 93, 86}, {0x56a8, 95 | 0x80, 96},
	{0x4f46, 101, 97}, {0x47e5, 102, 98}, {0x41cf, 103, 99}, {0x3c3d, 104, 100}, {0x375e, 99, 93}, {0x5231, 105, 102},
	{0x4c0f, 106, 103}, {0x4639, 107, 104}, {0x415e, 103, 99}, {0x5627, 105 | 0x80, 106}, {0x50e7, 108, 107},
	{0x4b85, 109, 103}, {0x5597, 110, 109}, {0x504f, 111, 107}, {0x5a10, 110 | 0x80, 111}, {0x5522, 112, 109},
	{0x59eb, 112 | 0x80, 111},
	{0x5a1d, even, even}, // never learns
}

// even is the state of decisions that are as often 0 as 1.
const even = 113

// statistics are states of decisions, by what is known when they are made. 0x80
// in one says that 1 is the more probable symbol.
type statistics [256]byte

// maxDecisions is for a file's scans together: unlike Huffman codes, a few bytes
// can hold any number of decisions, of 4 ns each. A photo has about one a pixel.
const maxDecisions = 1 << 30

// A coder decodes binary decisions.
type coder struct {
	src  []byte // to the end of the scan
	c    uint32 // the code register, with ct bits below those that count
	a    uint32 // the interval
	ct   int
	n    uint64 // decisions since take
	even byte
	dc   [4]statistics
	ac   [4]statistics
}

func newCoder(src []byte) *coder {
	e := &coder{src: src}
	e.reset()
	return e
}

// reset begins a segment.
func (e *coder) reset() {
	*e = coder{src: e.src, n: e.n, ct: -16, even: even}
}

// nextSegment goes over restart marker number i to the segment behind it. It
// reports whether there is that marker.
func (e *coder) nextSegment(i int) bool {
	at := marker(e.src)
	if at+1 >= len(e.src) || e.src[at+1] != rst0+byte(i%8) {
		return false
	}
	e.src = e.src[at+2:]
	e.reset()
	return true
}

// next returns the next byte without stuffing, 0 from a marker on: encoders leave
// zeroes out at the end of a segment.
func (e *coder) next() byte {
	if len(e.src) == 0 {
		return 0
	}
	b := e.src[0]
	if b != 0xff {
		e.src = e.src[1:]
		return b
	}
	if len(e.src) > 1 && e.src[1] == 0 {
		e.src = e.src[2:]
		return b
	}
	return 0
}

// decide decodes a decision and adapts its state (figures D.14 to D.19).
func (e *coder) decide(s *byte) int {
	e.n++
	for e.a < 0x8000 {
		if e.ct--; e.ct < 0 {
			e.c = e.c<<8 | uint32(e.next())
			if e.ct += 8; e.ct < 0 { // the first two bytes
				if e.ct++; e.ct == 0 {
					e.a = 0x8000
				}
			}
		}
		e.a <<= 1
	}
	v := *s
	st := &states[v&0x7f]
	qe := uint32(st.qe)
	e.a -= qe
	switch low := e.a << e.ct; {
	case e.c < low && e.a >= 0x8000: // the more probable symbol, nothing to adapt
		return int(v >> 7)
	case e.c < low:
		if e.a < qe { // the intervals have changed places
			*s = v&0x80 ^ st.lps
			return int(v>>7) ^ 1
		}
		*s = v&0x80 | st.mps
		return int(v >> 7)
	default:
		e.c -= low
		less := e.a >= qe
		e.a = qe
		if less {
			*s = v&0x80 ^ st.lps
			return int(v>>7) ^ 1
		}
		*s = v&0x80 | st.mps
		return int(v >> 7)
	}
}

// coin decodes a decision that is as often 0 as 1.
func (e *coder) coin() int { return e.decide(&e.even) }

// take returns how many decisions were made since it was last called.
func (e *coder) take() uint64 {
	n := e.n
	e.n = 0
	return n
}

// conditioning is by what decisions are told apart (B.2.4.3).
type conditioning struct {
	set  bool
	l, u [4]byte // DC differences up to 2^l>>1 count as none, above 2^u>>1 as large
	k    [4]byte // AC coefficients up to here are low
}

// arithmeticConditioning reads a DAC segment.
func (d *decoder) arithmeticConditioning(body []byte) error {
	if len(body)%2 != 0 {
		return d.broken("DAC has wrong length")
	}
	d.conditioned()
	for ; len(body) > 0; body = body[2:] {
		class, id, v := body[0]>>4, body[0]&15, body[1]
		switch {
		case class > 1 || id > 3:
			return d.unsupported("conditioning table %#02x", body[0])
		case class == 1:
			d.conditioning.k[id] = v
		case v&15 > v>>4:
			return d.broken("conditioning of DC differences %#02x", v)
		default:
			d.conditioning.l[id], d.conditioning.u[id] = v&15, v>>4
		}
	}
	return nil
}

// conditioned returns the conditioning, the default where no segment has set it.
func (d *decoder) conditioned() *conditioning {
	c := &d.conditioning
	if !c.set {
		c.set, c.u, c.k = true, [4]byte{1, 1, 1, 1}, [4]byte{5, 5, 5, 5}
	}
	return c
}

// arithmeticBlock is huffmanBlock for arithmetic codes.
func (d *decoder) arithmeticBlock(s *scan) blockDecoder {
	e, cond := s.coder, *d.conditioned()
	switch {
	case !d.progressive:
		return func(c *scanComponent, bx, by int) bool {
			b := d.queue.next()
			if !e.dcDiff(c, &cond) {
				return false
			}
			b[0] = int16(c.pred * int32(c.quant[0]&0xffff))
			flat := true
			ok := e.coefficients(&e.ac[c.acTable], cond.k[c.acTable], 1, 63, func(k int, v int32) {
				step := c.quant[k]
				b[step>>16&63] = int16(v * int32(step&0xffff))
				flat = false
			})
			if ok {
				d.emit(c.component, bx, by, flat)
			}
			return ok
		}
	case s.first == 0 && s.high == 0:
		return func(c *scanComponent, bx, by int) bool {
			ok := e.dcDiff(c, &cond)
			c.block(bx, by).coefs[0] = int16(c.pred << s.low)
			return ok
		}
	case s.first == 0:
		return func(c *scanComponent, bx, by int) bool {
			c.block(bx, by).coefs[0] |= int16(e.coin() << s.low)
			return true
		}
	case s.high == 0:
		return func(c *scanComponent, bx, by int) bool {
			b := c.block(bx, by)
			return e.coefficients(&e.ac[c.acTable], cond.k[c.acTable], s.first, s.last, func(k int, v int32) {
				b.set(k, int16(v<<s.low))
			})
		}
	}
	return func(c *scanComponent, bx, by int) bool { return e.refine(&e.ac[c.acTable], s, c.block(bx, by)) }
}

// dcDiff decodes a difference of DC coefficients and adds it to the prediction
// (F.1.4.4.1). The context is 0 where the difference before was none, 4 and 8
// where it was small and positive or negative, 12 and 16 where it was large.
func (e *coder) dcDiff(c *scanComponent, cond *conditioning) bool {
	st := &e.dc[c.dcTable]
	at := c.context
	c.context = 0
	if e.decide(&st[at]) == 0 {
		return true
	}
	sign := e.decide(&st[at+1])
	m, magnitude := e.magnitude(st, at+2+sign, 20)
	if magnitude < 0 {
		return false
	}
	switch {
	case magnitude < 1<<cond.l[c.dcTable]>>1:
	case magnitude > 1<<cond.u[c.dcTable]>>1:
		c.context = 12 + 4*sign
	default:
		c.context = 4 + 4*sign
	}
	v := e.below(st, m+14, magnitude)
	if sign == 1 {
		v = -v
	}
	c.pred += v
	return true
}

// magnitude decodes in which power of two a magnitude less 1 is, the first
// decision with state at, those behind it with states from x on. It returns where
// the last of them is, and the power; -1 if it is too large.
func (e *coder) magnitude(st *statistics, at, x int) (int, int32) {
	if e.decide(&st[at]) == 0 {
		return at, 0
	}
	m := int32(1)
	for at = x; e.decide(&st[at]) == 1; at++ {
		if m <<= 1; m == 1<<15 {
			return at, -1
		}
	}
	return at, m
}

// below decodes the bits below the highest of a magnitude less 1 with a state,
// and returns the magnitude.
func (e *coder) below(st *statistics, at int, m int32) int32 {
	v := m
	for m >>= 1; m > 0; m >>= 1 {
		if e.decide(&st[at]) == 1 {
			v |= m
		}
	}
	return v + 1
}

// coefficients decodes a band of AC coefficients (F.1.4.4.2).
func (e *coder) coefficients(st *statistics, low byte, first, last int, set func(k int, v int32)) bool {
	for k := first; k <= last; k++ {
		at := 3 * (k - 1)
		if e.decide(&st[at]) == 1 { // the end of the band
			return true
		}
		for e.decide(&st[at+1]) == 0 {
			at += 3
			if k++; k > last {
				return false
			}
		}
		sign := e.coin()
		v, ok := e.ac1(st, at+2, k <= int(low))
		if !ok {
			return false
		}
		if sign == 1 {
			v = -v
		}
		set(k, v)
	}
	return true
}

// ac1 decodes the magnitude of an AC coefficient: its first two decisions have
// the same state.
func (e *coder) ac1(st *statistics, at int, low bool) (v int32, ok bool) {
	x := 217
	if low {
		x = 189
	}
	m := int32(0)
	if e.decide(&st[at]) == 1 {
		m = 1
		if e.decide(&st[at]) == 1 {
			m = 2
			for at = x; e.decide(&st[at]) == 1; at++ {
				if m <<= 1; m == 1<<15 {
					return 0, false
				}
			}
		}
	}
	return e.below(st, at+14, m), true
}

// refine decodes a further bit of a band's coefficients (G.1.3.3).
func (e *coder) refine(st *statistics, s *scan, b *coefBlock) bool {
	bit := int16(1) << s.low
	end := s.last // of the band as it was before
	for end > 0 && b.nonzero>>end&1 == 0 {
		end--
	}
	for k := s.first; k <= s.last; k++ {
		at := 3 * (k - 1)
		if k > end && e.decide(&st[at]) == 1 {
			return true
		}
		for {
			if b.nonzero>>k&1 == 1 {
				if e.decide(&st[at+2]) == 1 {
					v := &b.coefs[k]
					*v += (*v>>15 | 1) * bit // away from 0
				}
				break
			}
			if e.decide(&st[at+1]) == 1 {
				v := bit
				if e.coin() == 1 {
					v = -bit
				}
				b.set(k, v)
				break
			}
			at += 3
			if k++; k > s.last {
				return false
			}
		}
	}
	return true
}
