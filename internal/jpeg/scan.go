package jpeg

// A scanComponent is a component of a scan.
type scanComponent struct {
	*component
	dc, ac *huffTable
	pred   int32 // the DC coefficient of the block before
}

// A scan is what a scan header says (B.2.3) and the state of reading the scan.
type scan struct {
	comps       []scanComponent
	first, last int  // coefficients, in zig-zag order
	high, low   uint // bit positions of successive approximation: before, after
	eobRun      int  // blocks to come that have nothing more (G.1.2.2)
}

// scan reads a scan header and the scan behind it.
func (d *decoder) scan(body []byte) error {
	s, err := d.scanHeader(body)
	if err != nil {
		return err
	}
	if err := d.prepare(s); err != nil {
		return err
	}
	block := d.blockDecoder(s)
	mcuX, mcuY := d.mcuX, d.mcuY
	if len(s.comps) == 1 { // not interleaved: without the blocks that fill an MCU (A.2.2)
		mcuX, mcuY = s.comps[0].bw, s.comps[0].bh
	}
	d.segment()
	left, restarts := d.restart, 0
	for my := range mcuY {
		for mx := range mcuX {
			if left == 0 && d.restart > 0 {
				if err := d.nextSegment(restarts); err != nil {
					return err
				}
				s.reset()
				left, restarts = d.restart, restarts+1
			}
			left--
			if !s.mcu(mx, my, block) {
				return FormatError("bad Huffman code")
			}
			if d.bits.overrun() {
				return d.shortage()
			}
		}
	}
	d.queue.flush(d.k)
	return nil
}

// mcu decodes the blocks of a minimum coded unit.
func (s *scan) mcu(mx, my int, block blockDecoder) bool {
	if len(s.comps) == 1 {
		return block(&s.comps[0], mx, my)
	}
	for i := range s.comps {
		c := &s.comps[i]
		for y := range c.v {
			for x := range c.h {
				if !block(c, mx*c.h+x, my*c.v+y) {
					return false
				}
			}
		}
	}
	return true
}

// reset is what a restart marker does to predictions.
func (s *scan) reset() {
	for i := range s.comps {
		s.comps[i].pred = 0
	}
	s.eobRun = 0
}

// scanHeader reads a scan header.
func (d *decoder) scanHeader(body []byte) (*scan, error) {
	if len(d.comps) == 0 {
		return nil, FormatError("missing SOF marker")
	}
	if len(body) < 6 || int(body[0]) > len(d.comps) || len(body) != 4+2*int(body[0]) {
		return nil, FormatError("SOS has wrong length")
	}
	n := int(body[0])
	s := &scan{comps: make([]scanComponent, n), last: 63}
	if p := body[1+2*n:]; d.progressive {
		s.first, s.last, s.high, s.low = int(p[0]), int(p[1]), uint(p[2]>>4), uint(p[2]&15)
	}
	switch {
	case s.first > s.last || s.last > 63 || d.progressive && s.first == 0 && s.last != 0:
		return nil, FormatError("bad spectral selection bounds")
	case s.first > 0 && n > 1:
		return nil, FormatError("progressive AC coefficients for more than one component")
	case s.high > 0 && s.high != s.low+1 || s.low > 13:
		return nil, FormatError("bad successive approximation values")
	}
	blocks := 0
	for i := range s.comps {
		if err := d.selectComponent(s, i, body[1+2*i], body[2+2*i]); err != nil {
			return nil, err
		}
		blocks += s.comps[i].h * s.comps[i].v
	}
	if n > 1 && blocks > 10 {
		return nil, FormatError("total sampling factors too large")
	}
	return s, nil
}

// selectComponent fills in component i of a scan: the one called id, with its
// tables.
func (d *decoder) selectComponent(s *scan, i int, id, tables byte) error {
	c := &s.comps[i]
	for j := range d.comps {
		if d.comps[j].id == id {
			c.component = &d.comps[j]
		}
	}
	if c.component == nil {
		return FormatError("unknown component selector")
	}
	for _, other := range s.comps[:i] {
		if other.component == c.component {
			return FormatError("repeated component selector")
		}
	}
	dc, ac := tables>>4, tables&15
	if dc > 3 || d.baseline && dc > 1 {
		return FormatError("bad Td value")
	}
	if ac > 3 || d.baseline && ac > 1 {
		return FormatError("bad Ta value")
	}
	c.dc, c.ac = d.huff[0][dc], d.huff[1][ac]
	if s.first == 0 && s.high == 0 && c.dc == nil || s.last > 0 && c.ac == nil {
		return FormatError("uninitialized Huffman table")
	}
	return nil
}

// prepare allocates what a scan's components are decoded to. Before, it makes
// sure that the file goes on long enough: the DC coefficient of a block takes a
// bit at least, and so does the end of a sequential block.
func (d *decoder) prepare(s *scan) error {
	var need uint64
	for _, c := range s.comps {
		need += uint64(c.bw) * uint64(c.bh)
	}
	if !d.progressive {
		need *= 2
	}
	if s.first == 0 && need > 8*uint64(len(d.data)-d.pos) {
		return FormatError("short Huffman data")
	}
	for _, c := range s.comps {
		if c.quant == nil { // the first scan's counts, like libjpeg's
			if c.quant = d.quant[c.tq]; c.quant == nil {
				return FormatError("missing quantization table")
			}
		}
		switch {
		case !d.progressive && c.plane == nil:
			d.newPlane(c.component)
		case d.progressive && c.blocks == nil && (s.first > 0 || s.high > 0):
			return FormatError("progressive scan before that of DC coefficients")
		case d.progressive && c.blocks == nil:
			c.blocks = make([]coefBlock, c.padW*c.padH)
		}
	}
	return nil
}

// newPlane allocates the component's samples, with whatever values.
func (d *decoder) newPlane(c *component) {
	n := 8*c.padH*c.stride + slack
	p := &d.planes[c.index]
	if cap(*p) < n {
		*p = make([]byte, n)
	}
	c.plane = (*p)[:n]
}

// A blockDecoder reads block (bx, by) of a component. It returns false if there
// is no such code.
type blockDecoder func(c *scanComponent, bx, by int) bool

func (d *decoder) blockDecoder(s *scan) blockDecoder {
	switch {
	case !d.progressive:
		return d.sequential
	case s.first == 0 && s.high == 0:
		return func(c *scanComponent, bx, by int) bool { return s.dcFirst(&d.bits, c, c.block(bx, by)) }
	case s.first == 0:
		return func(c *scanComponent, bx, by int) bool { return s.dcRefine(&d.bits, c.block(bx, by)) }
	case s.high == 0:
		return func(c *scanComponent, bx, by int) bool { return s.acFirst(&d.bits, c.ac, c.block(bx, by)) }
	}
	return func(c *scanComponent, bx, by int) bool { return s.acRefine(&d.bits, c.ac, c.block(bx, by)) }
}
