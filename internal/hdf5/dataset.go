package hdf5

import (
	"fmt"

	"github.com/mobilenet-go/mobilenet/fault"
)

// maxElements bounds a dataset: the largest MobileNetV2 that a config allows has far
// fewer.
const maxElements = 1 << 28

// A Dataset is an array of a file. Its values are not read yet.
type Dataset struct {
	Path  string // "layers/dense/vars/0"
	Shape []int
	Type  string // of the elements: F for floats, I and U for integers, and their bits, as in "F32"

	r       *reader
	size    uint64 // bytes of an element
	layout  layout
	filters []filter
	err     error // why it can't be read
}

// A layout is how a dataset lies in the file.
type layout struct {
	class   uint64
	compact []byte
	address uint64
	size    uint64 // bytes, if contiguous

	chunk []uint64 // shape of a chunk
	index uint64   // kind of what lists the chunks, see chunks
	only  entry    // the single chunk
}

const (
	layoutCompact    = 0
	layoutContiguous = 1
	layoutChunked    = 2
)

// dataset reads what a header says of a dataset.
func (r *reader) dataset(h header, path string) (*Dataset, error) {
	d := &Dataset{Path: path, r: r}
	space, ok := h.find(messageDataspace)
	typ, ok2 := h.find(messageDatatype)
	if !ok || !ok2 {
		return nil, fault.At(int64(h.address), "a dataset without a shape or a type")
	}
	shape, ok, err := r.dataspace(space)
	if err != nil {
		return nil, err
	}
	n := uint64(1)
	for _, s := range shape {
		if s > maxElements || n*s > maxElements {
			return nil, fault.TooLargef("a dataset of shape %v", shape)
		}
		n *= s
		d.Shape = append(d.Shape, int(s))
	}
	if !ok {
		d.Shape = []int{0}
	}
	t, err := r.datatype(typ)
	if err == nil {
		d.size = t.size
		d.Type, err = t.numeric()
	}
	if err == nil {
		m, _ := h.find(messageLayout)
		d.layout, err = r.layout(m)
	}
	if m, ok := h.find(messageFilters); ok && err == nil {
		d.filters, err = r.filters(m)
	}
	if e, ok := err.(*fault.Error); ok && e.Kind == fault.Unsupported { // which matters only if it is read
		d.err, err = err, nil
	}
	return d, err
}

// numeric names a type of numbers, and returns an error for all others.
func (t datatype) numeric() (string, error) {
	switch {
	case t.bits&1 != 0:
		return "", fault.Unsupportedf("numbers of big-endian order")
	case t.class == classFloat && t.ieee:
		return fmt.Sprint("F", 8*t.size), nil
	case t.class == classInteger && (t.size == 1 || t.size == 2 || t.size == 4 || t.size == 8):
		const signed = 8
		if t.bits&signed != 0 {
			return fmt.Sprint("I", 8*t.size), nil
		}
		return fmt.Sprint("U", 8*t.size), nil
	}
	return "", fault.Unsupportedf("values of class %d and %d bytes, which are no numbers of a network", t.class, t.size)
}

func (r *reader) layout(m message) (l layout, err error) {
	c := r.in(m.data, m.base)
	version := c.uint(1)
	if c.err == nil && version != 3 && version != 4 {
		return l, fault.Unsupportedf("an HDF5 file with a data layout of version %d", version)
	}
	l.class = c.uint(1)
	switch l.class {
	case layoutCompact:
		l.compact = c.take(c.uint(2))
	case layoutContiguous:
		l.address, l.size = c.address(), c.size()
	case layoutChunked:
		if version == 4 {
			r.chunking(c, &l)
			break
		}
		rank := c.uint(1)
		l.address = c.address()
		for range max(1, rank) - 1 {
			l.chunk = append(l.chunk, c.uint(4))
		}
		l.index = indexTree
	default:
		return l, fault.Unsupportedf("an HDF5 file with a data layout of class %d", l.class)
	}
	return l, c.err
}

// Bytes returns the elements in little-endian order, those of the last dimension side by
// side. They are those of the file where they lie in it like that. The error names the
// dataset.
func (d *Dataset) Bytes() ([]byte, error) {
	b, err := d.bytes()
	return b, within(d.Path, err)
}

func (d *Dataset) bytes() ([]byte, error) {
	size := d.size
	for _, s := range d.Shape {
		size *= uint64(s)
	}
	l := d.layout
	switch {
	case d.err != nil:
		return nil, d.err
	case l.class == layoutCompact && uint64(len(l.compact)) < size:
		return nil, fault.Brokenf("%d bytes for shape %v", len(l.compact), d.Shape)
	case l.class == layoutCompact:
		return l.compact[:size], nil
	case l.class == layoutContiguous && l.address != undefined:
		if l.size < size {
			return nil, fault.Brokenf("%d bytes for shape %v", l.size, d.Shape)
		}
		c := d.r.at(l.address)
		return c.take(size), c.err
	}
	if err := d.r.charge(size); err != nil {
		return nil, err
	}
	out := make([]byte, size)
	if l.address == undefined { // never written: zeros
		return out, nil
	}
	return out, d.chunks(out)
}

// charge takes memory off what a file may have beside itself.
func (r *reader) charge(bytes uint64) error {
	if bytes > r.room {
		return fault.TooLargef("inflates to more than %d times the file, or %d MB", inflation, maxInflated>>20)
	}
	r.room -= bytes
	return nil
}
