package hdf5

import (
	"strings"

	"github.com/mobilenet-go/mobilenet/fault"
)

// The classes of types that are read.
const (
	classInteger  = 0
	classFloat    = 1
	classString   = 3
	classVariable = 9
)

// A datatype is the type of elements.
type datatype struct {
	class  uint64
	size   uint64 // bytes
	bits   uint64 // that depend on the class
	ieee   bool   // of a float: the layout of its bits is IEEE 754's
	inside uint64 // of class variable: the class of what varies
}

func (r *reader) datatype(m message) (datatype, error) {
	if m.shared {
		return datatype{}, fault.Unsupportedf("an HDF5 file with a named type")
	}
	c := r.in(m.data, m.base)
	t := datatype{class: c.uint(1) & 15, bits: c.uint(3), size: c.uint(4)}
	switch t.class {
	case classFloat:
		offset, precision := c.uint(2), c.uint(2)
		exponentAt, exponent, mantissaAt, mantissa := c.uint(1), c.uint(1), c.uint(1), c.uint(1)
		bias := c.uint(4)
		want, known := map[uint64][3]uint64{2: {5, 10, 15}, 4: {8, 23, 127}, 8: {11, 52, 1023}}[t.size]
		t.ieee = known && [3]uint64{exponent, mantissa, bias} == want &&
			offset == 0 && precision == 8*t.size && mantissaAt == 0 && exponentAt == mantissa
	case classVariable:
		t.inside = c.uint(1) & 15
		if t.bits&15 == 1 {
			t.inside = classString
		}
	}
	return t, c.err
}

// dataspace returns the shape of a dataset or an attribute; a scalar has an empty one.
// ok is false where there are no elements at all.
func (r *reader) dataspace(m message) (shape []uint64, ok bool, err error) {
	c := r.in(m.data, m.base)
	version, rank, _ := c.uint(1), c.uint(1), c.uint(1)
	switch version {
	case 1:
		c.skip(5)
	case 2:
		ok = c.uint(1) != 2 // a null dataspace
	default:
		return nil, false, fault.Unsupportedf("an HDF5 file with a dataspace of version %d", version)
	}
	for range rank {
		shape = append(shape, c.size())
	}
	return shape, ok || version == 1, c.err
}

// attributes reads those attributes of an object that are text.
func (r *reader) attributes(h header, path string) error {
	for _, m := range h.messages {
		switch m.kind {
		case messageAttribute:
			if err := r.attribute(m, path); err != nil {
				return err
			}
		case messageAttributes:
			c := r.in(m.data, m.base)
			c.version("attribute information", 0)
			if c.uint(1)&1 != 0 {
				c.skip(2)
			}
			heap, index := c.address(), c.address()
			if c.err != nil {
				return c.err
			}
			if heap == undefined || index == undefined {
				continue
			}
			const byName = 8
			err := r.dense(heap, index, byName, 0, func(b []byte, base int) error {
				return r.attribute(message{data: b, base: base}, path)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// attribute reads an attribute if it is text.
func (r *reader) attribute(m message, path string) error {
	if m.shared {
		return nil
	}
	c := r.in(m.data, m.base)
	version := c.uint(1)
	if version < 1 || version > 3 {
		return fault.Unsupportedf("an HDF5 file with an attribute of version %d", version)
	}
	shared := c.uint(1)
	if version == 1 {
		shared = 0
	}
	nameSize, typeSize, spaceSize := c.uint(2), c.uint(2), c.uint(2)
	if version == 3 {
		c.skip(1) // the name's character set
	}
	part := func(n uint64) message {
		p := message{base: c.base + c.pos}
		begin := c.pos
		p.data = c.take(n)
		if version == 1 {
			c.align(begin)
		}
		return p
	}
	name := text(part(nameSize).data)
	typ, space := part(typeSize), part(spaceSize)
	if c.err != nil {
		return c.err
	}
	if shared != 0 { // of a named type, which no text has
		return nil
	}
	t, err := r.datatype(typ)
	if err != nil {
		return err
	}
	shape, ok, err := r.dataspace(space)
	if err != nil || !ok || t.class != classString && t.inside != classString {
		return err
	}
	n := uint64(1)
	for _, d := range shape {
		if d > uint64(c.left()) || n*d > uint64(c.left()) {
			return fault.At(int64(m.base), "an attribute of %v values in %d bytes", shape, c.left())
		}
		n *= d
	}
	var values []string
	for range n {
		v, err := r.string(c, t)
		if err != nil {
			return err
		}
		values = append(values, v)
	}
	r.names -= len(path) + len(name)
	if r.names < 0 {
		return fault.TooLargef("more than %d MB of names", maxNames>>20)
	}
	r.file.text[path+"\x00"+name] = values
	return nil
}

// string reads the text that a cursor is at, or points to: text of varying length lies
// in a heap of the file.
func (r *reader) string(c *cursor, t datatype) (string, error) {
	var b []byte
	if t.class == classString {
		if b = c.take(t.size); t.size == 0 {
			return "", fault.At(int64(c.base+c.pos), "text of no bytes")
		}
	} else {
		size := c.uint(4)
		address, index := c.address(), c.uint(4)
		if c.err != nil || size == 0 {
			return "", c.err
		}
		all, err := r.global(address, index)
		if err != nil {
			return "", err
		}
		if size > uint64(len(all)) {
			return "", fault.At(int64(c.base+c.pos), "text of %d bytes in an object of %d", size, len(all))
		}
		b = all[:size]
	}
	if c.err != nil {
		return "", c.err
	}
	if r.text -= len(b) + 16; r.text < 0 {
		return "", fault.TooLargef("more than %d MB of attributes", maxText>>20)
	}
	if t.class == classString && t.bits&15 == 2 { // padded with spaces
		return strings.TrimRight(string(b), " "), nil
	}
	return text(b), nil
}

// global returns an object of a global heap.
func (r *reader) global(address, index uint64) ([]byte, error) {
	c := r.at(address)
	c.magic("GCOL")
	c.version("global heap", 1)
	c.skip(3)
	size := c.size()
	if c.err == nil && (size < 16 || size > uint64(len(r.data))-address) {
		return nil, fault.At(int64(address), "a heap of %d bytes in a file of %d", size, len(r.data))
	}
	if c.err != nil {
		return nil, c.err
	}
	c.data = r.data[:address+size]
	for c.left() >= 16 {
		at := c.uint(2)
		c.skip(6)
		n := c.size()
		if at == 0 { // free space, up to the end
			break
		}
		begin := c.pos
		b := c.take(n)
		c.align(begin)
		// Every object has been passed over once for each text: charge for it.
		if r.text -= 16; r.text < 0 {
			return nil, fault.TooLargef("more than %d MB of attributes", maxText>>20)
		}
		if c.err != nil {
			return nil, c.err
		}
		if at == index {
			return b, nil
		}
	}
	return nil, fault.At(int64(address), "no object %d in the heap", index)
}
