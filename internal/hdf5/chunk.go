package hdf5

import (
	"bytes"
	"compress/zlib"
	"io"
	"slices"

	"github.com/mobilenet-go/mobilenet/fault"
)

// What lists the chunks of a dataset. Files for HDF5 before 1.10 have a B-tree; newer
// ones choose by how the dataset may grow.
const (
	indexTree     = 0
	indexSingle   = 1
	indexImplicit = 2
	indexFixed    = 3
)

// An entry is a chunk in the file.
type entry struct {
	address uint64
	size    uint64 // bytes as they are stored
	mask    uint64 // filters that were left out, by their bits
}

// A filter is what chunks went through.
type filter struct {
	id    uint64
	value uint64 // the first one
}

const (
	filterDeflate    = 1
	filterShuffle    = 2
	filterFletcher32 = 3
)

// chunking reads the rest of a chunked layout of version 4.
func (r *reader) chunking(c *cursor, l *layout) {
	flags, rank, width := c.uint(1), c.uint(1), c.uint(1)
	if width < 1 || width > 8 {
		c.fail("dimensions of %d bytes", width)
		return
	}
	for i := range rank {
		if n := c.uint(int(width)); i+1 < rank { // the last one is the element's size
			l.chunk = append(l.chunk, n)
		}
	}
	l.index = c.uint(1)
	switch l.index {
	case indexSingle:
		if flags&2 != 0 {
			l.only.size, l.only.mask = c.size(), c.uint(4)
		}
	case indexImplicit:
	case indexFixed:
		c.skip(1) // bits of a page, which the array says, too
	default:
		if c.err == nil {
			c.err = fault.Unsupportedf("an HDF5 file with chunks of a dataset that can grow")
		}
		return
	}
	l.address = c.address()
}

func (r *reader) filters(m message) ([]filter, error) {
	c := r.in(m.data, m.base)
	version, n := c.uint(1), c.uint(1)
	if version == 1 {
		c.skip(6)
	} else if version != 2 {
		return nil, fault.Unsupportedf("an HDF5 file with filters of version %d", version)
	}
	var out []filter
	for range n {
		f := filter{id: c.uint(2)}
		name := uint64(0)
		if version == 1 || f.id >= 256 {
			name = c.uint(2)
		}
		c.skip(2) // flags
		values := c.uint(2)
		c.take(name)
		if version == 1 {
			c.skip(int((8 - name%8) % 8))
		}
		for i := range values {
			if v := c.uint(4); i == 0 {
				f.value = v
			}
		}
		if version == 1 && values%2 == 1 {
			c.skip(4)
		}
		if c.err != nil {
			return nil, c.err
		}
		if f.id < filterDeflate || f.id > filterFletcher32 {
			return nil, fault.Unsupportedf("values behind filter %d: only gzip, shuffle and Fletcher's checksum are undone", f.id)
		}
		out = append(out, f)
	}
	return out, nil
}

// chunks fills the elements of a chunked dataset. Chunks that were never written are
// zeros, as Keras and h5py have them.
func (d *Dataset) chunks(out []byte) error {
	l, rank := d.layout, len(d.Shape)
	if len(l.chunk) != rank || rank == 0 {
		return fault.Brokenf("chunks of shape %v for one of %v", l.chunk, d.Shape)
	}
	size, count := d.size, uint64(1)
	for k, n := range l.chunk {
		if n == 0 || n > maxElements || size*n > 8*maxElements {
			return fault.Brokenf("chunks of shape %v", l.chunk)
		}
		size *= n
		count *= (uint64(d.Shape[k]) + n - 1) / n
	}
	// Chunks at the edges are whole ones. More than this nobody writes, and it takes time.
	if most := 4*uint64(len(out)) + 1<<16; count > 0 && size > most/count {
		return fault.TooLargef("%d chunks of %d bytes for %d in all", count, size, len(out))
	}
	d.r.seen = map[uint64]bool{} // those of another dataset, or of another time
	put := func(e entry, at []uint64) error {
		if count == 0 {
			return fault.Brokenf("more chunks than there are places for")
		}
		count--
		raw, err := d.chunk(e, size)
		if err != nil {
			return err
		}
		return d.place(out, raw, at)
	}
	switch l.index {
	case indexTree:
		key := 8 + 8*(rank+1)
		return d.r.walk(l.address, 1, key, -1, func(k *cursor, child uint64) error {
			e := entry{address: child, size: k.uint(4), mask: k.uint(4)}
			at := make([]uint64, rank)
			for i := range at {
				at[i] = k.uint(8)
			}
			if k.err != nil {
				return k.err
			}
			return put(e, at)
		})
	case indexSingle:
		e := l.only
		e.address = l.address
		if len(d.filters) == 0 {
			e.size = size
		}
		return put(e, make([]uint64, rank))
	case indexImplicit:
		return d.each(func(i uint64, at []uint64) error {
			return put(entry{address: l.address + i*size, size: size}, at)
		})
	}
	return d.fixed(size, put)
}

// each visits the chunks in order.
func (d *Dataset) each(visit func(i uint64, at []uint64) error) error {
	at := make([]uint64, len(d.Shape))
	if slices.Contains(d.Shape, 0) {
		return nil
	}
	for i := uint64(0); ; i++ {
		if err := visit(i, at); err != nil {
			return err
		}
		k := len(at) - 1
		for ; k >= 0; k-- {
			if at[k] += d.layout.chunk[k]; at[k] < uint64(d.Shape[k]) {
				break
			}
			at[k] = 0
		}
		if k < 0 {
			return nil
		}
	}
}

// fixed visits the chunks that a fixed array lists.
func (d *Dataset) fixed(size uint64, put func(entry, []uint64) error) error {
	c := d.r.at(d.layout.address)
	c.magic("FAHD")
	c.version("fixed array", 0)
	filtered := c.uint(1) == 1
	width, pageBits, n := c.uint(1), c.uint(1), c.size()
	block := c.address()
	if c.err != nil {
		return c.err
	}
	if pageBits < 64 && n > 1<<pageBits {
		return fault.Unsupportedf("%d chunks, which are listed in pages", n)
	}
	if block == undefined {
		return nil
	}
	b := d.r.at(block)
	b.magic("FADB")
	b.version("block of a fixed array", 0)
	b.skip(1)
	b.address()
	extra := int(width) - d.r.offset - 4
	if filtered && (extra < 1 || extra > 8) {
		return fault.At(int64(block), "chunks listed in %d bytes each", width)
	}
	return d.each(func(i uint64, at []uint64) error {
		if i >= n {
			return fault.At(int64(block), "%d chunks are listed, and more are wanted", n)
		}
		e := entry{address: b.address(), size: size}
		if filtered {
			e.size, e.mask = b.uint(extra), b.uint(4)
		}
		if b.err != nil || e.address == undefined {
			return b.err
		}
		return put(e, at)
	})
}

// chunk undoes the filters of a chunk of size bytes, the last first.
func (d *Dataset) chunk(e entry, size uint64) ([]byte, error) {
	c := d.r.at(e.address)
	raw := c.take(e.size)
	if c.err != nil {
		return nil, c.err
	}
	for i := len(d.filters) - 1; i >= 0; i-- {
		f := d.filters[i]
		if i < 32 && e.mask>>i&1 != 0 {
			continue
		}
		switch f.id {
		case filterDeflate:
			z, err := zlib.NewReader(bytes.NewReader(raw))
			if err == nil {
				raw, err = io.ReadAll(io.LimitReader(z, int64(size+4)))
			}
			if err != nil {
				return nil, fault.At(int64(e.address), "gzip: %v", err)
			}
		case filterShuffle:
			raw = unshuffle(raw, int(min(max(1, f.value), size)))
		case filterFletcher32:
			if len(raw) < 4 {
				return nil, fault.At(int64(e.address), "a chunk without its checksum")
			}
			raw = raw[:len(raw)-4]
		}
	}
	if uint64(len(raw)) != size {
		return nil, fault.At(int64(e.address), "a chunk of %d bytes, want %d", len(raw), size)
	}
	return raw, nil
}

// unshuffle puts the bytes of elements of n bytes together again: all first bytes come
// first, then all second ones.
func unshuffle(raw []byte, n int) []byte {
	out := make([]byte, len(raw))
	count := len(raw) / n
	for i := range count {
		for j := range n {
			out[i*n+j] = raw[j*count+i]
		}
	}
	copy(out[count*n:], raw[count*n:])
	return out
}

// place copies the part of a chunk that is inside of the dataset to where it belongs.
func (d *Dataset) place(out, raw []byte, at []uint64) error {
	rank, size := len(d.Shape), d.size
	count := make([]uint64, rank) // of the chunk's elements that are inside
	for k, n := range d.layout.chunk {
		if at[k] >= uint64(d.Shape[k]) {
			return nil // outside, in a dataset that has shrunk
		}
		count[k] = min(n, uint64(d.Shape[k])-at[k])
	}
	last := rank - 1
	row := count[last] * size
	index := make([]uint64, rank)
	for {
		from, to := uint64(0), uint64(0)
		for k := range rank {
			from = from*d.layout.chunk[k] + index[k]
			to = to*uint64(d.Shape[k]) + at[k] + index[k]
		}
		copy(out[to*size:][:row], raw[from*size:][:row])
		k := last - 1
		for ; k >= 0; k-- {
			if index[k]++; index[k] < count[k] {
				break
			}
			index[k] = 0
		}
		if k < 0 {
			return nil
		}
	}
}
