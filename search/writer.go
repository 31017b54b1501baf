package search

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

var errLocked = errors.New("another process is appending to it")

// ErrNotFinite is about a vector with NaN or an infinity, which no index takes.
var ErrNotFinite = errors.New("the vector is not finite")

// A Writer appends rows to an index. One process at a time can have one.
type Writer struct {
	head
	f     *os.File
	slot  int    // the commit that counts
	last  commit // what it says
	names lookup // of all rows, committed or not
	old   *Index // the rows that were there

	// The segment to come.
	codes         []byte
	paths         []byte
	ends          []byte
	bytes, floats []byte
	rows          int
}

// Create makes an index of 0 rows. The projection is nil, or the mean of the features
// and then [Dim][Features] directions: see [Meta]. A file that is there is an error.
func Create(path string, m Meta, projection []float32) (*Writer, error) {
	h := head{m, projection}
	if err := h.meta.validate(); err != nil {
		return nil, fault.In(path, err)
	}
	if len(projection) != m.projection() || !finite(projection) {
		return nil, fmt.Errorf("a projection of %d numbers: want %d, all finite", len(projection), m.projection())
	}
	b, err := h.encode()
	if err != nil {
		return nil, fault.In(path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	err = lock(f)
	if err == nil {
		_, err = f.WriteAt(b, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncFolder(path)
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, fault.In(path, err)
	}
	return newWriter(f)
}

// Append opens an index for more rows. What a process that was killed left behind the
// last commit is overwritten.
func Append(path string) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, fault.In(path, err)
	}
	w, err := newWriter(f)
	if err != nil {
		f.Close()
		return nil, fault.In(path, err)
	}
	return w, nil
}

func newWriter(f *os.File) (*Writer, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s, unmap, err := mapped(f, info.Size())
	if err != nil {
		return nil, err
	}
	x, err := read(s, info.Size())
	if err != nil {
		unmap()
		return nil, err
	}
	x.close = func() error { unmap(); return nil }
	_, first, err := readHead(s, info.Size())
	if err != nil {
		return nil, err
	}
	w := &Writer{head: x.head, f: f, old: x}
	if w.last, w.slot, err = readCommit(s, info.Size(), first); err != nil {
		return nil, err
	}
	w.names.path = w.path
	for row := range x.rows {
		w.names.add(row)
	}
	return w, nil
}

// path is that of a row, old or new.
func (w *Writer) path(row int) []byte {
	if row < w.old.rows {
		b, i := w.old.block(row)
		return b.path(i)
	}
	b := block{ends: w.ends, paths: w.paths}
	return b.path(row - w.old.rows)
}

// Meta says what the rows are.
func (w *Writer) Meta() Meta { return w.meta }

// Len is the number of rows, committed or not.
func (w *Writer) Len() int { return w.old.rows + w.rows }

// Pending is the number of rows that are not committed.
func (w *Writer) Pending() int { return w.rows }

// Has reports whether there is a row of a path.
func (w *Writer) Has(path string) bool {
	_, ok := w.names.find([]byte(path))
	return ok
}

// Add adds the row of a photo: Dim values. It becomes part of the index by Commit. A
// vector that is not finite is [ErrNotFinite].
func (w *Writer) Add(path string, v []float32) error {
	switch {
	case len(v) != w.meta.Dim:
		return fmt.Errorf("a vector of %d values in an index of rows of %d", len(v), w.meta.Dim)
	case !finite(v):
		return ErrNotFinite
	case len(path) > maxPath:
		return fault.TooLargef("a path of %d bytes: an index takes up to %d", len(path), maxPath)
	case w.Len() >= maxRows:
		return fault.TooLargef("an index of %d rows takes no more", maxRows)
	case w.rows == segmentMax || len(w.paths) > 1<<30:
		if err := w.Commit(); err != nil {
			return err
		}
	}
	at := len(w.bytes)
	w.bytes = append(w.bytes, make([]byte, w.meta.stride())...)
	c, err := quantise(w.bytes[at:], v)
	if err != nil {
		w.bytes = w.bytes[:at]
		return err
	}
	w.codes = append(w.codes, make([]byte, codeSize)...)
	c.encode(w.codes[codeSize*w.rows:])
	w.paths = append(w.paths, path...)
	w.ends = binary.LittleEndian.AppendUint32(w.ends, uint32(len(w.paths)))
	if !w.meta.BytesOnly {
		for _, x := range v {
			w.floats = binary.LittleEndian.AppendUint32(w.floats, math.Float32bits(x))
		}
	}
	w.rows++
	w.names.add(w.Len() - 1)
	return nil
}

// Commit makes the rows since the last one part of the index, on the disk.
func (w *Writer) Commit() error {
	if w.rows == 0 {
		return nil
	}
	segment, err := w.write(w.last.end)
	if err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return err
	}
	size := segment.layout(&w.meta).size
	next := commit{w.last.generation + 1, w.last.rows + uint64(w.rows), w.last.segments + 1, w.last.end + size}
	b := make([]byte, commitSize)
	next.encode(b)
	if _, err := w.f.WriteAt(b, commitAt[1-w.slot]); err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return err
	}
	if err := w.settle(segment); err != nil {
		return err
	}
	w.last, w.slot = next, 1-w.slot
	return nil
}

// write writes the segment to come at a place of the file and returns it.
func (w *Writer) write(at int64) (segment, error) {
	w.bytes = append(w.bytes, make([]byte, (up(w.rows, kernel.DotRows)-w.rows)*w.meta.stride())...)
	s := segment{rows: w.rows, paths: int64(len(w.paths))}
	l := s.layout(&w.meta)
	pad := func(b []byte, n int64) []byte { return append(b, make([]byte, n-int64(len(b)))...) }
	codes, ends := pad(w.codes, l.ends-l.codes), pad(w.ends, l.paths-l.ends)
	paths := pad(w.paths, l.bytes-l.paths)
	w.bytes, w.floats = pad(w.bytes, l.floats-l.bytes), pad(w.floats, l.size-l.floats)
	s.sums = [4]uint32{crc(w.codes), pathSum(crc(w.ends), w.paths), crc(w.bytes), crc(w.floats)}
	top := make([]byte, segmentSize)
	s.encode(top)
	for _, part := range [][]byte{top, codes, ends, paths, w.bytes, w.floats} {
		if _, err := w.f.WriteAt(part, at); err != nil {
			return s, err
		}
		at += int64(len(part))
	}
	return s, nil
}

// pathSum continues a checksum.
func pathSum(sum uint32, b []byte) uint32 { return crc32.Update(sum, castagnoli, b) }

// settle has the segment that was committed among the old rows. The buffers are used
// again.
func (w *Writer) settle(s segment) error {
	x := w.old
	x.segments = append(x.segments, block{segment: s, layout: s.layout(&w.meta), at: w.last.end, first: x.rows})
	source, unmap, err := mapped(w.f, w.last.end+x.segments[len(x.segments)-1].size)
	if err != nil {
		return err
	}
	from := 0
	if _, ok := source.(file); ok { // what was read stays
		from = len(x.segments) - 1
	}
	for i := range x.segments[from:] {
		if err := x.segments[from+i].attach(source); err != nil {
			return err
		}
	}
	x.close()
	x.close = func() error { unmap(); return nil }
	x.source = source
	x.rows += s.rows
	w.codes, w.paths, w.ends, w.bytes, w.floats, w.rows = w.codes[:0], w.paths[:0], w.ends[:0], w.bytes[:0], w.floats[:0], 0
	return nil
}

// Close commits and closes the index.
func (w *Writer) Close() error {
	err := w.Commit()
	w.old.close()
	return errors.Join(err, w.f.Close())
}

// syncFolder makes the name of a new file last.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil // it may be written and not read
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return nil // Windows has no such thing
	}
	return nil
}
