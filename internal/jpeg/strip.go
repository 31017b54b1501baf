package jpeg

import (
	"context"
	"image"

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
	d.limit(rows.Part)
	for _, s := range d.scans {
		s.begin(d)
	}
	out := d.output(rows)
	decisions := uint64(0)
	for my := range d.mcuY {
		d.want(my)
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

// limit sets what is wanted of the image.
func (d *decoder) limit(part image.Rectangle) {
	d.part = image.Rect(0, 0, d.width, d.height)
	if !part.Empty() {
		d.part = d.part.Intersect(part)
	}
	for i := range d.comps {
		c := &d.comps[i]
		dx := d.maxH / c.h // and upsampling wants a further sample on either side
		c.first = max(0, d.part.Min.X-dx) / (8 * dx)
		c.partEnd = min(c.padW, (d.part.Max.X+dx-1)/(8*dx)+1)
	}
}

// want sets which blocks of a row of MCUs become samples: none if no row of the part
// has to do with them.
func (d *decoder) want(my int) {
	size := 8 * d.maxV
	wanted := size*(my+1)+d.maxV > d.part.Min.Y && size*my-d.maxV < d.part.Max.Y
	for i := range d.comps {
		d.comps[i].end = 0
		if wanted {
			d.comps[i].end = d.comps[i].partEnd
		}
	}
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
		for bx := c.first; bx < min(c.bw, c.end); bx++ {
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
	left, right := d.part.Min.X, d.part.Max.X
	for y := max(first, d.part.Min.Y); y < min(end, d.part.Max.Y); y++ {
		for i := range o.ups {
			o.rows[i] = o.ups[i].row(d.k, y, my)[left:]
		}
		o.convert(o.dst.Row(y)[3*left:3*right], &o.rows)
		o.dst.Done(y)
	}
	for i := range d.comps {
		c := &d.comps[i]
		copy(c.plane[:c.stride], c.plane[8*c.v*c.stride:])
	}
}
