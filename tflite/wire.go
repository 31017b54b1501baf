package tflite

import (
	"encoding/binary"
	"math"

	"github.com/mobilenet-go/mobilenet/fault"
)

// A wire reads a flatbuffer that nobody has checked: google/flatbuffers for Go has no
// verifier, and panics on an offset past the end. The first thing that can't be is
// kept as err, and all reads after it return nothing, so that a caller asks once.
//
// Nothing is copied or allocated on the word of a count: a vector lies within the
// bytes, or there is none. Offsets may go in circles, but who reads does so by
// the schema, which has an end.
type wire struct {
	data []byte
	base int64 // of data in the file
	err  error
}

// fail notes what is wrong at a byte of data.
func (w *wire) fail(at int, format string, args ...any) {
	if w.err == nil {
		w.err = fault.At(w.base+int64(at), format, args...)
	}
}

// has reports whether n bytes from at on are there.
func (w *wire) has(at, n int, what string) bool {
	if w.err == nil && (at < 0 || n < 0 || at > len(w.data)-n) {
		w.fail(min(max(at, 0), len(w.data)), "%s past the end of %d bytes", what, len(w.data))
	}
	return w.err == nil
}

func (w *wire) u16(at int) int    { return int(binary.LittleEndian.Uint16(w.data[at:])) }
func (w *wire) u32(at int) uint32 { return binary.LittleEndian.Uint32(w.data[at:]) }

// follow returns where the offset at a byte leads.
func (w *wire) follow(at int, what string) int {
	if !w.has(at, 4, what) {
		return 0
	}
	to := int64(at) + int64(w.u32(at))
	if to > int64(len(w.data)) {
		w.fail(at, "%s: offset %d past the end of %d bytes", what, w.u32(at), len(w.data))
		return 0
	}
	return int(to)
}

// root is the outermost table.
func (w *wire) root() table { return w.table(w.follow(0, "root table"), "root table") }

// A table is one of the flatbuffer's. The zero value is one without fields.
type table struct {
	w      *wire
	at     int
	fields int // where the offsets of its fields are
	count  int // of them
}

// table reads where the fields of a table are.
func (w *wire) table(at int, what string) table {
	if !w.has(at, 4, what) {
		return table{}
	}
	v := int64(at) - int64(int32(w.u32(at)))
	if v < 0 || v > int64(len(w.data)) || !w.has(int(v), 4, what+"'s fields") {
		w.fail(at, "%s: its fields lie outside of the bytes", what)
		return table{}
	}
	size := w.u16(int(v))
	if size < 4 || !w.has(int(v), size, what+"'s fields") {
		w.fail(int(v), "%s: %d bytes of fields", what, size)
		return table{}
	}
	return table{w, at, int(v) + 4, size/2 - 2}
}

// field returns where the n bytes of a field are; ok is false where it has its default.
func (t table) field(slot, n int) (at int, ok bool) {
	if t.w == nil || t.w.err != nil || slot >= t.count {
		return 0, false
	}
	offset := t.w.u16(t.fields + 2*slot)
	if offset == 0 {
		return 0, false
	}
	return t.at + offset, t.w.has(t.at+offset, n, "a field")
}

func (t table) u8(slot int) uint8 {
	if at, ok := t.field(slot, 1); ok {
		return t.w.data[at]
	}
	return 0
}

func (t table) i32(slot int, otherwise int32) int32 {
	if at, ok := t.field(slot, 4); ok {
		return int32(t.w.u32(at))
	}
	return otherwise
}

func (t table) u64(slot int) uint64 {
	if at, ok := t.field(slot, 8); ok {
		return binary.LittleEndian.Uint64(t.w.data[at:])
	}
	return 0
}

func (t table) f32(slot int) float32 {
	if at, ok := t.field(slot, 4); ok {
		return math.Float32frombits(t.w.u32(at))
	}
	return 0
}

// has reports whether the field has something other than its default.
func (t table) has(slot int) bool {
	_, ok := t.field(slot, 0)
	return ok
}

// table is a field that is a table.
func (t table) table(slot int, what string) table {
	at, ok := t.field(slot, 4)
	if !ok {
		return table{}
	}
	return t.w.table(t.w.follow(at, what), what)
}

// vector returns the bytes of a field that is a vector of elements of so many bytes,
// and where they begin. They are nil where it is absent.
func (t table) vector(slot, size int, what string) (bytes []byte, from int) {
	at, ok := t.field(slot, 4)
	if !ok {
		return nil, 0
	}
	v := t.w.follow(at, what)
	if !t.w.has(v, 4, what) {
		return nil, 0
	}
	n := int64(t.w.u32(v)) * int64(size)
	if n > int64(len(t.w.data)-v-4) {
		t.w.fail(v, "%s: %d elements past the end of %d bytes", what, t.w.u32(v), len(t.w.data))
		return nil, 0
	}
	from = v + 4
	return t.w.data[from : from+int(n) : from+int(n)], from
}

func (t table) bytes(slot int, what string) []byte {
	b, _ := t.vector(slot, 1, what)
	return b
}

// maxString is more than any name that is wanted has.
const maxString = 1 << 12

func (t table) string(slot int, what string) string {
	b, from := t.vector(slot, 1, what)
	if len(b) > maxString {
		t.w.fail(from-4, "%s: a name of %d bytes", what, len(b))
		return ""
	}
	return string(b)
}

// ints is a vector of int32, of at most so many.
func (t table) ints(slot, most int, what string) []int {
	b, from := t.vector(slot, 4, what)
	if len(b)/4 > most {
		t.w.fail(from-4, "%s: %d of them, more than the limit of %d", what, len(b)/4, most)
		return nil
	}
	return int32s(b)
}

// tables is a vector of tables, of at most so many.
func (t table) tables(slot, most int, what string) []table {
	b, from := t.vector(slot, 4, what)
	if len(b)/4 > most {
		t.w.fail(from-4, "%s: %d of them, more than the limit of %d", what, len(b)/4, most)
		return nil
	}
	var list []table
	for i := 0; i < len(b) && t.w.err == nil; i += 4 {
		list = append(list, t.w.table(t.w.follow(from+i, what), what))
	}
	return list
}

func int32s(b []byte) []int {
	list := make([]int, len(b)/4)
	for i := range list {
		list[i] = int(int32(binary.LittleEndian.Uint32(b[4*i:])))
	}
	return list
}

func float32s(b []byte) []float32 {
	list := make([]float32, len(b)/4)
	for i := range list {
		list[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return list
}
