package jpeg

import (
	"fmt"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A scanComponent is a component of a scan.
type scanComponent struct {
	*component
	dcTable, acTable byte
	dc, ac           *huffTable // nil for arithmetic codes
	pred             int32      // the DC coefficient of the block before
	context          int        // of arithmetic codes: what its difference was like
}

// A scan is what a scan header says (B.2.3) and the state of reading the scan.
type scan struct {
	number      int // from 1
	comps       []scanComponent
	first, last int  // coefficients, in zig-zag order
	high, low   uint // bit positions of successive approximation: before, after
	interval    int  // MCUs between restart markers, 0 for none

	block    blockDecoder
	bits     bits
	coder    *coder // of arithmetic codes
	left     int    // MCUs before the next restart marker
	restarts int
	eobRun   int // blocks to come that have nothing more (G.1.2.2)
}

// A file may have this many scans; libjpeg-turbo's fuzzers and its djpeg have the
// same limit. Encoders write 10, or 64 at most.
const maxScans = 500

// maxVisits is how many blocks all scans may visit together: an empty one of a
// few bits takes 5 ns. A photo of 200 megapixels in the usual ten scans has 44
// million.
const maxVisits = 1 << 28

// scan reads a scan header and goes over the scan behind it.
func (d *decoder) scan(body []byte) error {
	s, err := d.scanHeader(body)
	if err != nil {
		return err
	}
	data := d.data[d.pos:]
	end := 0
	for {
		end += marker(data[end:])
		if end == len(data) || data[end+1] < rst0 || data[end+1] > rst7 {
			break
		}
		end += 2
	}
	d.pos += end
	d.scans = append(d.scans, s)
	s.number = len(d.scans)
	if err := d.afford(s, end); err != nil {
		return err
	}
	if d.arithmetic {
		s.coder, s.bits = newCoder(data[:end]), bits{buf: make([]byte, padding), last: true}
		s.block = d.arithmeticBlock(s)
		return nil
	}
	s.bits.src = data[:end]
	s.block = d.huffmanBlock(s)
	return nil
}

// afford holds a scan of size bytes against the limits, and against its blocks:
// in Huffman codes the DC coefficient of a block takes a bit at least, and so does
// the end of a sequential block.
func (d *decoder) afford(s *scan, size int) error {
	var blocks uint64
	for _, c := range s.comps {
		blocks += uint64(c.bw) * uint64(c.bh)
	}
	if d.blocks += blocks; d.blocks > maxVisits || len(d.scans) > maxScans {
		return fault.TooLargef("%d or more scans of %dx%d pixels, more than the limit of %d scans and %d blocks in all",
			len(d.scans), d.width, d.height, maxScans, maxVisits)
	}
	if d.arithmetic {
		return nil
	}
	if !d.progressive {
		blocks *= 2
	}
	if s.first == 0 && blocks > 8*uint64(size) {
		return d.shortage(s)
	}
	return nil
}

// shortage is the error when a scan's bits don't suffice.
func (d *decoder) shortage(s *scan) error {
	if len(d.scans) == s.number && d.pos == len(d.data) {
		return d.early()
	}
	return d.broken("scan %d ends early", s.number)
}

// row reads a scan's blocks of row my of the frame's MCUs.
func (s *scan) row(d *decoder, my int) error {
	rows, columns := 1, d.mcuX
	if len(s.comps) == 1 { // a block is an MCU, without those that fill the frame's (A.2.2)
		c := &s.comps[0]
		rows, columns = min(c.v, c.bh-my*c.v), c.bw
	}
	for y := range rows {
		for x := range columns {
			if s.left == 0 && s.interval > 0 {
				if !s.restart() {
					return s.broken(my, "no restart marker %d", s.restarts%8)
				}
			}
			s.left--
			if s.bits.low() {
				s.bits.more()
			}
			if !s.mcu(x, y) {
				return s.broken(my, "bad code")
			}
			if s.bits.overrun() {
				return d.shortage(s)
			}
		}
	}
	return nil
}

func (s *scan) broken(my int, format string, args ...any) error {
	err := fault.Brokenf(format, args...)
	err.Place = fmt.Sprintf("scan %d, row %d of blocks", s.number, my)
	return err
}

// mcu decodes the blocks of a minimum coded unit: block (x, y) of the row of a
// single component, or the x-th blocks of several.
func (s *scan) mcu(x, y int) bool {
	if len(s.comps) == 1 {
		return s.block(&s.comps[0], x, y)
	}
	for i := range s.comps {
		c := &s.comps[i]
		for by := range c.v {
			for bx := range c.h {
				if !s.block(c, x*c.h+bx, by) {
					return false
				}
			}
		}
	}
	return true
}

// restart goes over the restart marker that is due, which resets predictions. It
// reports whether there is one.
func (s *scan) restart() bool {
	for i := range s.comps {
		s.comps[i].pred, s.comps[i].context = 0, 0
	}
	s.eobRun, s.left = 0, s.interval
	s.restarts++
	if s.coder != nil {
		return s.coder.nextSegment(s.restarts - 1)
	}
	return s.bits.nextSegment(s.restarts - 1)
}

// scanHeader reads a scan header.
func (d *decoder) scanHeader(body []byte) (*scan, error) {
	if len(d.comps) == 0 {
		return nil, d.broken("scan before a frame")
	}
	if len(body) < 6 || int(body[0]) > len(d.comps) || len(body) != 4+2*int(body[0]) {
		return nil, d.broken("SOS has wrong length")
	}
	n := int(body[0])
	s := &scan{comps: make([]scanComponent, n), last: 63, interval: d.restart, left: d.restart}
	if p := body[1+2*n:]; d.progressive {
		s.first, s.last, s.high, s.low = int(p[0]), int(p[1]), uint(p[2]>>4), uint(p[2]&15)
	}
	switch {
	case s.first > s.last || s.last > 63 || d.progressive && s.first == 0 && s.last != 0:
		return nil, d.broken("bad spectral selection bounds")
	case s.first > 0 && n > 1:
		return nil, d.broken("progressive AC coefficients for more than one component")
	case s.high > 0 && s.high != s.low+1 || s.low > 13:
		return nil, d.broken("bad successive approximation values")
	}
	blocks := 0
	for i := range s.comps {
		if err := d.selectComponent(s, i, body[1+2*i], body[2+2*i]); err != nil {
			return nil, err
		}
		blocks += s.comps[i].h * s.comps[i].v
	}
	if n > 1 && blocks > 10 {
		return nil, d.broken("total sampling factors too large")
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
		return d.broken("unknown component selector")
	}
	for _, other := range s.comps[:i] {
		if other.component == c.component {
			return d.broken("repeated component selector")
		}
	}
	dc, ac := tables>>4, tables&15
	if dc > 3 || d.baseline && dc > 1 {
		return d.broken("bad Td value")
	}
	if ac > 3 || d.baseline && ac > 1 {
		return d.broken("bad Ta value")
	}
	if c.quant == nil { // the first scan's counts, like libjpeg's
		if c.quant = d.quant[c.tq]; c.quant == nil {
			return d.broken("missing quantization table")
		}
		if d.progressive && (s.first > 0 || s.high > 0) {
			return d.broken("progressive scan before that of DC coefficients")
		}
	}
	c.dcTable, c.acTable = dc, ac
	if d.arithmetic {
		return nil
	}
	c.dc, c.ac = d.huff[0][dc], d.huff[1][ac]
	if s.first == 0 && s.high == 0 && c.dc == nil || s.last > 0 && c.ac == nil {
		return d.broken("uninitialized Huffman table")
	}
	for _, t := range []*huffTable{c.dc, c.ac} {
		if t != nil {
			t.used = true
		}
	}
	return nil
}

// A blockDecoder reads block (bx, by) of a component in a row of MCUs. It returns
// false if there is no such code.
type blockDecoder func(c *scanComponent, bx, by int) bool

func (d *decoder) huffmanBlock(s *scan) blockDecoder {
	switch {
	case !d.progressive:
		return d.sequential(&s.bits)
	case s.first == 0 && s.high == 0:
		return func(c *scanComponent, bx, by int) bool { return s.dcFirst(&s.bits, c, c.block(bx, by)) }
	case s.first == 0:
		return func(c *scanComponent, bx, by int) bool { return s.dcRefine(&s.bits, c.block(bx, by)) }
	case s.high == 0:
		return func(c *scanComponent, bx, by int) bool { return s.acFirst(&s.bits, c.ac, c.block(bx, by)) }
	}
	return func(c *scanComponent, bx, by int) bool { return s.acRefine(&s.bits, c.ac, c.block(bx, by)) }
}
