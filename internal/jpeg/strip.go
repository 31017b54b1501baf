package jpeg

import (
	"context"

	"github.com/mobilenet-go/mobilenet/fault"
)

// pixels decodes the scans and converts what they give to RGB, a row of MCUs at a
// time.
func (d *decoder) pixels(ctx context.Context, rows Rows) error {
	for i := range d.comps {
		if d.comps[i].quant == nil {
			return d.broken("missing scan of component %d", i+1)
		}
	}
	d.newPlanes()
	for _, s := range d.scans {
		s.begin(d)
	}
	out := d.output(rows)
	decisions := uint64(0)
	for my := range d.mcuY {
		for _, s := range d.scans {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.row(d, my); err != nil {
				return err
			}
			if s.coder != nil {
				decisions += s.coder.take()
			}
		}
		if decisions > maxDecisions {
			return fault.TooLargef("%dx%d pixels of arithmetic codes with more than the limit of %d decisions", d.width, d.height, maxDecisions)
		}
		for i := range d.comps {
			d.comps[i].transform(d, my)
		}
		d.queue.flush(d.k)
		out.strip(my)
	}
	return nil
}

// begin makes a scan ready to be read. The first has a window that is kept from
// file to file.
func (s *scan) begin(d *decoder) {
	if s.coder != nil {
		return
	}
	if s.number == 1 {
		s.bits.buf = d.window
	}
	s.bits.segment()
	if s.number == 1 {
		d.window = s.bits.buf
	}
}

// newPlanes allocates what is kept of a row of MCUs, samples with whatever values.
func (d *decoder) newPlanes() {
	for i := range d.comps {
		c := &d.comps[i]
		c.stride = 8 * c.padW
		n := (1+8*c.v)*c.stride + slack
		p := &d.planes[c.index]
		if cap(*p) < n {
			*p = make([]byte, n)
		}
		c.plane = (*p)[:n]
		if d.progressive {
			c.blocks = make([]coefBlock, c.padW*c.v)
		}
	}
}

// transform turns the coefficients of a progressive file's row of MCUs into
// samples, and clears them.
func (c *component) transform(d *decoder, my int) {
	if c.blocks == nil {
		return
	}
	for by := range min(c.v, c.bh-my*c.v) {
		for bx := range c.bw {
			d.transform(c, bx, by)
		}
	}
	clear(c.blocks)
}

// An output converts strips of samples to pixels.
type output struct {
	d       *decoder
	dst     Rows
	ups     []upsampler
	rows    [4][]byte // of the components, at full width
	convert func(dst []byte, rows *[4][]byte)
}

func (d *decoder) output(dst Rows) *output {
	o := &output{d: d, dst: dst, ups: make([]upsampler, len(d.comps)), convert: d.converter()}
	for i := range d.comps {
		o.ups[i] = d.upsampler(&d.comps[i])
	}
	return o
}

// strip writes the pixels that a row of MCUs completes: all but the last, which
// wants to know the samples below it, and the last of the row above.
func (o *output) strip(my int) {
	d := o.d
	size := 8 * d.maxV
	first, end := max(0, size*my-1), size*(my+1)-1
	if my == d.mcuY-1 {
		end = d.height
	}
	for y := first; y < end; y++ {
		for i := range o.ups {
			o.rows[i] = o.ups[i].row(d.k, y, my)
		}
		o.convert(o.dst.Row(y)[:3*d.width], &o.rows)
		o.dst.Done(y)
	}
	for i := range d.comps {
		c := &d.comps[i]
		copy(c.plane[:c.stride], c.plane[8*c.v*c.stride:])
	}
}
