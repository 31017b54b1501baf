// Package parquet writes tables of vectors as Apache Parquet files: texts, numbers and
// lists of numbers, plain and uncompressed. A library that does all of Parquet has 8 MB.
//
// Source: the format's specification, github.com/apache/parquet-format.
package parquet

import (
	"encoding/binary"
	"io"
	"math"
)

// A Kind is the type of a column.
type Kind int

// The types of columns. A list has at least one value.
const (
	Text Kind = iota // UTF-8
	Binary
	Int64
	Float32
	Floats // a list of float32
)

// Numbers of the specification: types, repetitions, converted types, encodings.
const (
	typeInt64     = 2
	typeFloat     = 4
	typeByteArray = 6

	required = 0
	repeated = 2

	convertedUTF8 = 0
	convertedList = 3

	plain = 0
	rle   = 3
)

func (k Kind) list() bool { return k == Floats }

// physical is the type of the numbers in a file.
func (k Kind) physical() int {
	return [...]int{typeByteArray, typeByteArray, typeInt64, typeFloat, typeFloat}[k]
}

// A Column of a table.
type Column struct {
	Name string
	Kind Kind
}

// A Writer writes a table row by row, in groups of rows.
type Writer struct {
	w       io.Writer
	columns []Column
	about   [2]string // a key and its value
	at      int64     // bytes written
	rows    int64
	groups  []group
	pages   []page // of the group to come, a column each
	inGroup int
}

// A page is values of a column.
type page struct {
	repetition []byte // levels of a list: 0 begins a row, 1 goes on with it
	values     []byte
	n          int // values
}

// A group is rows that were written.
type group struct {
	rows   int
	chunks []chunk
}

type chunk struct {
	at, size int64
	n        int
}

// groupRows are in memory at a time: 20 MB of 1280 floats.
const groupRows = 4096

const magic = "PAR1"

// NewWriter begins a table. key and value are kept in its metadata.
func NewWriter(w io.Writer, key, value string, columns ...Column) *Writer {
	return &Writer{w: w, columns: columns, about: [2]string{key, value}, pages: make([]page, len(columns))}
}

// Write adds a row: for each column a string, []byte, int64, float32 or
// []float32.
func (w *Writer) Write(values ...any) error {
	for i, v := range values {
		p := &w.pages[i]
		switch v := v.(type) {
		case string:
			p.text(v)
		case []byte:
			p.text(string(v))
		case int64:
			p.values = binary.LittleEndian.AppendUint64(p.values, uint64(v))
			p.n++
		case float32:
			p.float(v)
			p.n++
		case []float32:
			for _, f := range v {
				p.float(f)
			}
			p.list(len(v))
		default:
			panic("parquet: a column of another type")
		}
	}
	if w.inGroup++; w.inGroup == groupRows {
		return w.flush()
	}
	return nil
}

func (p *page) text(s string) {
	p.values = binary.LittleEndian.AppendUint32(p.values, uint32(len(s)))
	p.values = append(p.values, s...)
	p.n++
}

func (p *page) float(f float32) {
	p.values = binary.LittleEndian.AppendUint32(p.values, math.Float32bits(f))
}

// list notes that the last n values are one row's.
func (p *page) list(n int) {
	p.repetition = appendRun(p.repetition, 1, 0)
	if n > 1 {
		p.repetition = appendRun(p.repetition, n-1, 1)
	}
	p.n += n
}

// appendRun adds n levels of one bit that are all v: a run of the hybrid of run lengths
// and packed bits.
func appendRun(b []byte, n int, v byte) []byte {
	return append(binary.AppendUvarint(b, uint64(n)<<1), v)
}

// flush writes the rows of a group, a page for each column.
func (w *Writer) flush() error {
	if w.at == 0 {
		if err := w.put([]byte(magic)); err != nil {
			return err
		}
	}
	if w.inGroup == 0 {
		return nil
	}
	g := group{rows: w.inGroup}
	for i := range w.pages {
		p := &w.pages[i]
		var levels []byte
		if w.columns[i].Kind.list() { // each with the length of its bytes in front
			levels = binary.LittleEndian.AppendUint32(levels, uint32(len(p.repetition)))
			levels = append(levels, p.repetition...)
			definition := appendRun(nil, p.n, 1)
			levels = binary.LittleEndian.AppendUint32(levels, uint32(len(definition)))
			levels = append(levels, definition...)
		}
		at := w.at
		for _, part := range [][]byte{pageHead(p.n, len(levels)+len(p.values)), levels, p.values} {
			if err := w.put(part); err != nil {
				return err
			}
		}
		g.chunks = append(g.chunks, chunk{at, w.at - at, p.n})
		*p = page{repetition: p.repetition[:0], values: p.values[:0]}
	}
	w.groups = append(w.groups, g)
	w.rows += int64(w.inGroup)
	w.inGroup = 0
	return nil
}

func (w *Writer) put(b []byte) error {
	n, err := w.w.Write(b)
	w.at += int64(n)
	return err
}

// pageHead is a PageHeader.
func pageHead(values, size int) []byte {
	var t thrift
	t.begin()
	t.i32(1, 0) // a data page
	t.i32(2, size)
	t.i32(3, size)
	t.structure(5)
	t.i32(1, values)
	t.i32(2, plain)
	t.i32(3, rle)
	t.i32(4, rle)
	t.end()
	t.end()
	return t.b
}

// Close writes the rest and the metadata.
func (w *Writer) Close() error {
	if err := w.flush(); err != nil {
		return err
	}
	b := w.metadata()
	b = binary.LittleEndian.AppendUint32(b, uint32(len(b)))
	return w.put(append(b, magic...))
}

// metadata is a FileMetaData.
func (w *Writer) metadata() []byte {
	var t thrift
	t.begin()
	t.i32(1, 1) // version
	elements := 1
	for _, c := range w.columns {
		if elements++; c.Kind.list() {
			elements += 2
		}
	}
	t.list(2, thriftStruct, elements)
	w.schema(&t)
	t.i64(3, w.rows)
	t.list(4, thriftStruct, len(w.groups))
	for _, g := range w.groups {
		w.group(&t, g)
	}
	if w.about[0] != "" {
		t.list(5, thriftStruct, 1)
		t.begin()
		t.text(1, w.about[0])
		t.text(2, w.about[1])
		t.end()
	}
	t.text(6, "mobilenet")
	t.end()
	return t.b
}

// schema is the tree of SchemaElements, depth first.
func (w *Writer) schema(t *thrift) {
	t.begin()
	t.text(4, "schema")
	t.i32(5, len(w.columns))
	t.end()
	for _, c := range w.columns {
		if !c.Kind.list() {
			leaf(t, c.Name, c.Kind)
			continue
		}
		t.begin()
		t.i32(3, required)
		t.text(4, c.Name)
		t.i32(5, 1)
		t.i32(6, convertedList)
		t.end()
		t.begin()
		t.i32(3, repeated)
		t.text(4, "list")
		t.i32(5, 1)
		t.end()
		leaf(t, "element", c.Kind)
	}
}

func leaf(t *thrift, name string, k Kind) {
	t.begin()
	t.i32(1, k.physical())
	t.i32(3, required)
	t.text(4, name)
	if k == Text {
		t.i32(6, convertedUTF8)
	}
	t.end()
}

// group is a RowGroup.
func (w *Writer) group(t *thrift, g group) {
	t.begin()
	t.list(1, thriftStruct, len(g.chunks))
	size := int64(0)
	for i, c := range g.chunks {
		size += c.size
		k := w.columns[i].Kind
		path := []string{w.columns[i].Name}
		if k.list() {
			path = append(path, "list", "element")
		}
		t.begin()
		t.i64(2, c.at)
		t.structure(3)
		t.i32(1, k.physical())
		t.list(2, thriftI32, 2)
		t.b = binary.AppendVarint(t.b, plain)
		t.b = binary.AppendVarint(t.b, rle)
		t.list(3, thriftBinary, len(path))
		for _, name := range path {
			t.bytes(name)
		}
		t.i32(4, 0) // uncompressed
		t.i64(5, int64(c.n))
		t.i64(6, c.size)
		t.i64(7, c.size)
		t.i64(9, c.at)
		t.end()
		t.end()
	}
	t.i64(2, size)
	t.i64(3, int64(g.rows))
	t.end()
}
