package hdf5

import (
	"math/bits"

	"github.com/mobilenet-go/mobilenet/fault"
)

// Newer groups keep many links, and objects many attributes, in a fractal heap with a
// B-tree of version 2 that tells where in the heap each of them is.

// dense visits what an index says is in a heap. Records of the index, of the given kind,
// have the place in the heap behind so many bytes, or before them all if that is 0.
func (r *reader) dense(heap, index, kind uint64, before int, visit func(b []byte, base int) error) error {
	h, err := r.heap(heap)
	if err != nil {
		return err
	}
	return r.records(index, kind, func(record []byte, at int) error {
		c := r.in(record, at)
		c.skip(before)
		b, base, err := h.object(c)
		if err != nil {
			return err
		}
		return visit(b, base)
	})
}

// A heap is a fractal heap: blocks of a space of their own, in which objects have offsets.
type heap struct {
	r        *reader
	idLength int // bytes of the objects' places
	offset   int // bytes of an offset in the heap
	length   int // bytes of an object's length
	blocks   []block
}

// A block is at an offset of the heap, its own head included.
type block struct{ offset, size, address uint64 }

// heap reads the header and the table of a fractal heap.
func (r *reader) heap(address uint64) (*heap, error) {
	c := r.at(address)
	c.magic("FRHP")
	c.version("fractal heap", 0)
	h := &heap{r: r, idLength: int(c.uint(2))}
	if c.uint(2) != 0 && c.err == nil {
		return nil, fault.Unsupportedf("an HDF5 file with a compressed heap")
	}
	c.skip(1)
	maxObject := c.uint(4)
	c.skip(r.length + r.offset + r.length + r.offset + 8*r.length)
	width, start, largest := c.uint(2), c.size(), c.size()
	maxBits := c.uint(2)
	c.skip(2)
	root := c.address()
	rows := c.uint(2)
	if c.err != nil {
		return nil, c.err
	}
	if maxBits == 0 || maxBits > 64 || start == 0 || start > largest || largest > 1<<32 || width == 0 || width > 1<<10 || rows > 64 {
		return nil, fault.At(int64(address), "a heap of blocks of %d to %d bytes, %d bits, %d by %d", start, largest, maxBits, rows, width)
	}
	h.offset = int(maxBits+7) / 8
	h.length = min(bytesFor(maxObject), (bits.Len64(largest)+6)/8)
	switch {
	case root == undefined:
	case rows == 0:
		h.blocks = []block{{0, start, root}}
	default:
		t := r.at(root)
		t.magic("FHIB")
		t.version("block of a heap", 0)
		t.address()
		t.skip(h.offset)
		at, size := uint64(0), start
		for row := range rows {
			if row > 1 {
				size *= 2
			}
			if size > largest {
				return nil, fault.TooLargef("a heap of blocks within blocks, more than %d bytes of names or attributes", at)
			}
			for range width {
				if b := t.address(); b != undefined {
					h.blocks = append(h.blocks, block{at, size, b})
				}
				at += size
			}
		}
		if t.err != nil {
			return nil, t.err
		}
	}
	return h, nil
}

// object returns what lies at the place in the heap that c is at.
func (h *heap) object(c *cursor) (b []byte, base int, err error) {
	flags := c.uint(1)
	if kind := flags >> 4 & 3; kind != 0 && c.err == nil { // huge or tiny
		return nil, 0, fault.Unsupportedf("an HDF5 file with a link or an attribute of kind %d in a heap", kind)
	}
	offset, length := c.uint(h.offset), c.uint(h.length)
	if c.err != nil {
		return nil, 0, c.err
	}
	for _, b := range h.blocks {
		if offset < b.offset || offset-b.offset >= b.size {
			continue
		}
		at := offset - b.offset
		if length > b.size-at {
			break
		}
		d := h.r.at(b.address)
		d.magic("FHDB")
		d = h.r.at(b.address)
		d.take(at)
		base := d.pos
		return d.take(length), base, d.err
	}
	return nil, 0, fault.At(int64(c.base), "%d bytes at %d, where the heap has none", length, offset)
}

// records visits the records of a B-tree of version 2.
func (r *reader) records(address, kind uint64, visit func(record []byte, at int) error) error {
	c := r.at(address)
	c.magic("BTHD")
	c.version("B-tree", 0)
	if k := c.uint(1); k != kind {
		c.fail("a B-tree of kind %d, want %d", k, kind)
	}
	t := tree2{r: r, nodeSize: c.uint(4), recordSize: c.uint(2), visit: visit}
	depth := c.uint(2)
	c.skip(2)
	root, n := c.address(), c.uint(2)
	if c.err != nil {
		return c.err
	}
	const around = 10 // signature, version, kind, checksum
	if t.recordSize == 0 || t.nodeSize < around+t.recordSize || depth > 8 {
		return fault.At(int64(address), "a B-tree of records of %d bytes in nodes of %d, %d deep", t.recordSize, t.nodeSize, depth)
	}
	// A node holds as many records as fit, and pointers behind them: the address of a
	// child, its number of records, and that of all below, in as few bytes as do.
	most := (t.nodeSize - around) / t.recordSize
	below := most
	t.count = bytesFor(most)
	t.total = []int{0}
	for range depth {
		pointer := uint64(r.offset + t.count + t.total[len(t.total)-1])
		if t.nodeSize < around+pointer {
			return fault.At(int64(address), "a B-tree of nodes of %d bytes", t.nodeSize)
		}
		most = (t.nodeSize - around - pointer) / (t.recordSize + pointer)
		below = (most+1)*below + most
		t.total = append(t.total, bytesFor(below))
	}
	if root == undefined {
		return nil
	}
	return t.node(root, n, int(depth))
}

// bytesFor is how many bytes a number up to n takes.
func bytesFor(n uint64) int { return max(1, (bits.Len64(n)+7)/8) }

// A tree2 is a B-tree of version 2.
type tree2 struct {
	r                    *reader
	nodeSize, recordSize uint64
	count                int   // bytes of a child's number of records
	total                []int // bytes of the number of records of it and all below, by its depth
	visit                func(record []byte, at int) error
}

// node visits the records of a node that is so far above the leaves, and of those below.
func (t tree2) node(address, records uint64, depth int) error {
	if err := t.r.once(address, "node of a B-tree"); err != nil {
		return err
	}
	c := t.r.at(address)
	if depth == 0 {
		c.magic("BTLF")
	} else {
		c.magic("BTIN")
	}
	c.skip(2)
	for range records {
		at := c.pos
		record := c.take(t.recordSize)
		if c.err != nil {
			return c.err
		}
		if err := t.visit(record, at); err != nil {
			return err
		}
	}
	if depth == 0 {
		return c.err
	}
	for range records + 1 {
		child := c.address()
		n := c.uint(t.count)
		c.skip(t.total[depth-1])
		if c.err != nil {
			return c.err
		}
		if err := t.node(child, n, depth-1); err != nil {
			return err
		}
	}
	return nil
}
