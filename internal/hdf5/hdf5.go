// Package hdf5 reads the part of HDF5 that Keras and h5py write, and writes a little
// of it: superblocks 0 to 3, groups of both kinds, datasets that are contiguous,
// compact or in chunks, the filters gzip, shuffle and Fletcher's checksum, and
// attributes that are text.
//
// The format is that of "HDF5 File Format Specification Version 3.0", The HDF Group.
// Files are not trusted: every offset and count is checked before it is used, every
// object, node and heap is visited once, and what chunks may unfold to is bounded by the
// file's size. Errors are *[fault.Error]; what is intact but left out of this package
// (soft links, references, other filters, compound types) is told from what is broken.
package hdf5

import (
	"bytes"

	"github.com/mobilenet-go/mobilenet/fault"
)

// Signature is what an HDF5 file begins with.
const Signature = "\x89HDF\r\n\x1a\n"

// Match reports whether a file with these first bytes is an HDF5 file.
func Match(head []byte) bool { return bytes.HasPrefix(head, []byte(Signature)) }

// A File is what an HDF5 file holds.
type File struct {
	Datasets []*Dataset // in the order of their groups

	text map[string][]string // of attributes, by their path and name
}

// Text returns the values of an attribute that is text: of the object at path, "" for
// the file itself and "layers/dense" for a group. It is nil where there is none.
func (f *File) Text(path, name string) []string { return f.text[path+"\x00"+name] }

const (
	maxObjects = 1 << 16  // groups and datasets: a MobileNetV2 with its optimiser has some 2000
	maxDepth   = 32       // of groups in groups
	maxNames   = 16 << 20 // bytes of paths in all
	maxText    = 64 << 20 // bytes of attributes in all: a config has 0.2 MB

	// inflation bounds what chunks unfold to, as a multiple of the file's size: trained
	// weights barely shrink, constant ones do.
	inflation   = 64
	maxInflated = 128 << 20
)

// A reader reads one file.
type reader struct {
	data    []byte
	offset  int // bytes of an address
	length  int // bytes of a size
	file    *File
	seen    map[uint64]bool // addresses of what may be visited once
	objects int
	names   int    // bytes left for paths
	text    int    // bytes left for attributes
	room    uint64 // bytes left for what is not in the file as it is in memory
}

// Parse reads the structure of an HDF5 file. Datasets are read when they are asked for,
// and may share memory with data.
func Parse(data []byte) (*File, error) {
	if !Match(data) {
		return nil, fault.At(0, "not an HDF5 file")
	}
	r := &reader{
		data: data, file: &File{text: map[string][]string{}}, seen: map[uint64]bool{},
		names: maxNames, text: maxText, room: min(inflation*uint64(len(data)), maxInflated),
	}
	root, err := r.superblock()
	if err != nil {
		return nil, err
	}
	return r.file, r.object(root, "", 0)
}

// superblock returns the address of the root group.
func (r *reader) superblock() (uint64, error) {
	c := r.at(uint64(len(Signature)))
	version := c.uint(1)
	switch version {
	case 0, 1:
		c.skip(4)
		r.offset, r.length = int(c.uint(1)), int(c.uint(1))
		c.skip(9)
		if version == 1 {
			c.skip(4)
		}
	case 2, 3:
		r.offset, r.length = int(c.uint(1)), int(c.uint(1))
		c.skip(1)
	default:
		return 0, fault.Unsupportedf("an HDF5 file with a superblock of version %d", version)
	}
	if c.err == nil && (r.offset != 4 && r.offset != 8 || r.length != 4 && r.length != 8) {
		return 0, fault.Unsupportedf("an HDF5 file with addresses of %d and sizes of %d bytes", r.offset, r.length)
	}
	if base := c.address(); base != 0 && c.err == nil {
		return 0, fault.Unsupportedf("an HDF5 file that begins at byte %d", base)
	}
	c.address() // free space, or an extension
	end := c.address()
	if version < 2 {
		c.address() // of a driver's information
		c.address() // of the root's name
	}
	root := c.address()
	if c.err == nil && end > uint64(len(r.data)) {
		return 0, fault.At(int64(c.pos), "a file of %d bytes in one of %d: unexpected end", end, len(r.data))
	}
	return root, c.err
}

// object reads the group or the dataset whose header is at an address, and all below.
func (r *reader) object(address uint64, path string, depth int) error {
	if r.seen[address] { // a second link to the same
		return nil
	}
	r.seen[address] = true
	r.objects++
	r.names -= len(path)
	if r.objects > maxObjects || r.names < 0 || depth > maxDepth {
		return fault.TooLargef("more than %d groups and datasets, %d MB of their names, or %d groups in each other", maxObjects, maxNames>>20, maxDepth)
	}
	h, err := r.header(address)
	if err != nil {
		return err
	}
	if err := r.attributes(h, path); err != nil {
		return within(path, err)
	}
	if h.has(messageLayout) {
		d, err := r.dataset(h, path)
		if err != nil {
			return within(path, err)
		}
		r.file.Datasets = append(r.file.Datasets, d)
		return nil
	}
	links, err := r.links(h)
	if err != nil {
		return within(path, err)
	}
	for _, l := range links {
		below := l.name
		if path != "" {
			below = path + "/" + l.name
		}
		if err := r.object(l.address, below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// within adds the object's path to an error that has no place in words yet.
func within(path string, err error) error {
	if e, ok := err.(*fault.Error); ok && e.Place == "" && path != "" {
		placed := *e
		placed.Place = fault.Shown(path)
		return &placed
	}
	return err
}

// once marks the address of a node, heap or block, and reports a second visit.
func (r *reader) once(address uint64, what string) error {
	if r.seen[address] {
		return fault.At(int64(address), "a second way to this %s", what)
	}
	r.seen[address] = true
	return nil
}
