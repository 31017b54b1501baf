package search

import (
	"bytes"
	"encoding/binary"
	"iter"
	"os"
	"runtime"
	"sort"
	"sync"

	"github.com/mobilenet-go/mobilenet/fault"
	"github.com/mobilenet-go/mobilenet/internal/kernel"
)

// An Index is an index file, open for reading: what was committed when it was opened.
// It is safe for concurrent use.
type Index struct {
	head
	source   source
	close    func() error
	segments []block
	rows     int

	find  sync.Once
	names lookup
}

// A block is a segment in the file.
type block struct {
	segment
	layout
	at    int64  // of the segment
	head  []byte // of the segment, as it was when it was opened
	first int    // row
	codes []Code // [rows]
	ends  []byte // [rows] uint32: where each path ends
	paths []byte
}

// Open opens an index. Everything but the vectors is held against its checksums;
// [Index.Verify] does that for them.
func Open(path string) (*Index, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	x, err := open(f)
	if err != nil {
		f.Close()
		return nil, fault.In(path, err)
	}
	return x, nil
}

// open reads the index in f, which is closed with it.
func open(f *os.File) (*Index, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fault.Unsupportedf("not a file")
	}
	s, unmap, err := mapped(f, info.Size())
	if err != nil {
		return nil, err
	}
	var x *Index
	err = guard(func() error {
		x, err = read(s, info.Size())
		return err
	})
	if err != nil {
		unmap()
		return nil, err
	}
	x.close = func() error {
		unmap()
		return f.Close()
	}
	return x, nil
}

// read reads all but the vectors of an index of size bytes.
func read(s source, size int64) (*Index, error) {
	h, first, err := readHead(s, size)
	if err != nil {
		return nil, err
	}
	c, _, err := readCommit(s, size, first)
	if err != nil {
		return nil, err
	}
	x := &Index{head: h, source: s, close: func() error { return nil }}
	at := first
	for range c.segments {
		b, err := readBlock(s, at, c.end, &x.meta)
		if err != nil {
			return nil, err
		}
		b.first = x.rows
		x.rows += b.rows
		x.segments = append(x.segments, b)
		at += b.size
	}
	if at != c.end || uint64(x.rows) != c.rows {
		return nil, fault.At(at, "the segments have %d rows and end at byte %d; %d rows and byte %d are committed", x.rows, at, c.rows, c.end)
	}
	return x, nil
}

// readBlock reads the segment at a place of the file, before its committed end.
func readBlock(s source, at, end int64, m *Meta) (b block, err error) {
	if end-at < segmentSize {
		return b, fault.At(at, "a segment of %d bytes", end-at)
	}
	text, err := s.bytes(at, segmentSize)
	if err != nil {
		return b, err
	}
	b.at, b.head = at, bytes.Clone(text)
	if b.segment, b.layout, err = decodeSegment(text, at, end-at, m); err != nil {
		return b, err
	}
	if err := b.attach(s); err != nil {
		return b, err
	}
	codes, err := s.bytes(at+b.layout.codes, int64(codeSize*b.rows))
	if err != nil {
		return b, err
	}
	if crc(codes) != b.sums[0] {
		return b, fault.At(at+b.layout.codes, "the codes of a segment are damaged: their checksum differs")
	}
	sum := crc(b.ends)
	if pathSum(sum, b.paths) != b.sums[1] {
		return b, fault.At(at+b.layout.ends, "the paths of a segment are damaged: their checksum differs")
	}
	b.codes = make([]Code, b.rows)
	last := uint32(0)
	for i := range b.codes {
		b.codes[i] = decodeCode(codes[codeSize*i:])
		ends := binary.LittleEndian.Uint32(b.ends[4*i:])
		if !b.codes[i].valid() || ends < last || int64(ends) > b.segment.paths || ends-last > maxPath {
			return b, fault.At(at, "row %d of a segment has no path or numbers that make sense", i)
		}
		last = ends
	}
	if int64(last) != b.segment.paths {
		return b, fault.At(at+b.layout.paths, "paths of %d bytes, of which %d belong to rows", b.segment.paths, last)
	}
	return b, nil
}

// attach has the paths of a segment be where the source has them.
func (b *block) attach(s source) error {
	part, err := s.bytes(b.at+b.layout.ends, b.layout.paths-b.layout.ends+b.segment.paths)
	if err != nil {
		return err
	}
	b.ends, b.paths = part[:4*b.rows], part[b.layout.paths-b.layout.ends:]
	return nil
}

// Close ends the use of the index, and of everything that it gave out.
func (x *Index) Close() error { return x.close() }

// Release lets the system take back the memory in which it holds what was read of the
// file. Nothing else changes: who reads all rows, one after the other, calls it now and
// then, and does not seem to need as much memory as the file has bytes.
func (x *Index) Release() {
	if m, ok := x.source.(interface{ release() }); ok {
		m.release()
	}
}

// Meta says what the rows are.
func (x *Index) Meta() Meta { return x.meta }

// Len is the number of rows.
func (x *Index) Len() int { return x.rows }

// block returns the segment of a row, and its place in it.
func (x *Index) block(row int) (*block, int) {
	i := sort.Search(len(x.segments), func(i int) bool { return x.segments[i].first > row }) - 1
	return &x.segments[i], row - x.segments[i].first
}

// Path is that of the photo of a row, 0 to Len()-1; empty in a file that was cut since it
// was opened.
func (x *Index) Path(row int) (path string) {
	b, i := x.block(row)
	_ = guard(func() error {
		path = string(b.path(i))
		return nil
	})
	return path
}

func (b *block) path(i int) []byte {
	begin, end := uint32(0), binary.LittleEndian.Uint32(b.ends[4*i:])
	if i > 0 {
		begin = binary.LittleEndian.Uint32(b.ends[4*(i-1):])
	}
	if begin > end || int(end) > len(b.paths) { // somebody writes into the file
		return nil
	}
	return b.paths[begin:end]
}

// Row returns the values of a row, 0 to Len()-1, in dst if that has room: the float32
// values, or where the index has none, what the bytes stand for.
func (x *Index) Row(row int, dst []float32) ([]float32, error) {
	if cap(dst) < x.meta.Dim {
		dst = make([]float32, x.meta.Dim)
	}
	dst = dst[:x.meta.Dim]
	return dst, guard(func() error { return x.read(row, dst) })
}

func (x *Index) read(row int, dst []float32) error {
	b, i := x.block(row)
	if x.meta.BytesOnly {
		u, err := x.source.bytes(b.at+b.layout.bytes+int64(i)*int64(x.meta.stride()), int64(len(dst)))
		if err != nil {
			return err
		}
		c := b.codes[i]
		for k, v := range u {
			dst[k] = float32(c.Scale*float32(v)) + c.Offset
		}
		return nil
	}
	v, err := x.floats(b, i)
	if err != nil {
		return err
	}
	for k := range dst {
		dst[k] = float32At(v, k)
	}
	return nil
}

// floats returns the bytes of the float32 values of row i of a segment.
func (x *Index) floats(b *block, i int) ([]byte, error) {
	n := 4 * int64(x.meta.Dim)
	return x.source.bytes(b.at+b.layout.floats+int64(i)*n, n)
}

// A Block is rows of an index that follow one another, as bytes.
type Block struct {
	First, Rows int
	Codes       []Code // [Rows]
	Bytes       []byte // [Rows, rounded up to kernel.DotRows][Stride]
	Stride      int
}

// Blocks yields all rows, at most max at a time. max is rounded down to a multiple of
// kernel.DotRows.
func (x *Index) Blocks(max int) iter.Seq2[Block, error] {
	return func(yield func(Block, error) bool) {
		for _, s := range x.spans(max) {
			b, err := x.load(s)
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// A span is rows of a segment: what one task of a scan reads.
type span struct {
	b        *block
	from, to int
}

// spans cuts the rows into spans of up to max rows.
func (x *Index) spans(max int) []span {
	max -= max % kernel.DotRows
	var all []span
	for i := range x.segments {
		b := &x.segments[i]
		for from := 0; from < b.rows; from += max {
			all = append(all, span{b, from, min(b.rows, from+max)})
		}
	}
	return all
}

func (x *Index) load(s span) (Block, error) {
	stride := x.meta.stride()
	n := up(s.to-s.from, kernel.DotRows) * stride
	u, err := x.source.bytes(s.b.at+s.b.layout.bytes+int64(s.from)*int64(stride), int64(n))
	return Block{s.b.first + s.from, s.to - s.from, s.b.codes[s.from:s.to], u, stride}, err
}

// Verify holds the vectors against their checksums.
func (x *Index) Verify() error { return guard(x.verify) }

func (x *Index) verify() error {
	for i := range x.segments {
		b := &x.segments[i]
		for part, p := range []struct{ at, n int64 }{
			{b.layout.bytes, b.layout.floats - b.layout.bytes},
			{b.layout.floats, b.layout.size - b.layout.floats},
		} {
			sum, err := x.sum(b.at+p.at, p.n)
			if err != nil {
				return err
			}
			if sum != b.sums[2+part] {
				return fault.At(b.at+p.at, "the vectors of rows %d to %d are damaged: their checksum differs", b.first, b.first+b.rows-1)
			}
		}
	}
	return nil
}

// sum is the checksum of n bytes from at on.
func (x *Index) sum(at, n int64) (sum uint32, err error) {
	const piece = 1 << 20
	for ; n > 0; n, at = n-piece, at+piece {
		b, err := x.source.bytes(at, min(n, piece))
		if err != nil {
			return 0, err
		}
		sum = pathSum(sum, b)
	}
	return sum, nil
}

// unchanged returns an error where the file has been overwritten since it was opened. The
// head of a segment has the checksums of what follows it, and who copies a file over
// another writes the head first. What is appended changes no segment.
func (x *Index) unchanged() error {
	for i := range x.segments {
		b := &x.segments[i]
		if head, err := x.source.bytes(b.at, segmentSize); err != nil || !bytes.Equal(head, b.head) {
			return fault.At(b.at, "the file was overwritten while it was in use")
		}
	}
	return nil
}

// Find returns the row of a path. Of several with the same path it is the first. In a
// file that was cut or overwritten since it was opened, nothing is found any more.
func (x *Index) Find(path string) (row int, ok bool) {
	err := guard(func() error {
		row, ok = x.lookUp(path)
		return x.unchanged()
	})
	return row, ok && err == nil
}

func (x *Index) lookUp(path string) (row int, ok bool) {
	x.find.Do(func() {
		x.names.path = func(row int) []byte {
			b, i := x.block(row)
			return b.path(i)
		}
		for row := range x.rows {
			x.names.add(row)
		}
	})
	return x.names.find([]byte(path))
}

// workers is how many goroutines scan.
func workers(threads int) int {
	if threads > 0 {
		return threads
	}
	return runtime.GOMAXPROCS(0)
}

// A Row is the vector of a photo.
type Row struct {
	Path   string
	Vector []float32
}

// All yields all rows, in order. A vector is valid until the next one.
func (x *Index) All() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		var v []float32
		for row := range x.rows {
			var err error
			v, err = x.Row(row, v)
			if !yield(Row{x.Path(row), v}, err) || err != nil {
				return
			}
		}
	}
}
