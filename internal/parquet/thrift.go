package parquet

import "encoding/binary"

// A thrift is a structure in Thrift's compact protocol, which the metadata of Parquet
// files is in. Fields are written in the order of their numbers.
type thrift struct {
	b    []byte
	last []int // number of the last field, for each structure that is open
}

// Types of the protocol.
const (
	thriftI32    = 5
	thriftI64    = 6
	thriftBinary = 8
	thriftList   = 9
	thriftStruct = 12
)

func (t *thrift) field(number, kind int) {
	top := len(t.last) - 1
	t.b = append(t.b, byte((number-t.last[top])<<4|kind)) // never 16 or more apart here
	t.last[top] = number
}

func (t *thrift) begin() { t.last = append(t.last, 0) }

func (t *thrift) end() {
	t.b = append(t.b, 0)
	t.last = t.last[:len(t.last)-1]
}

func (t *thrift) i32(number, v int) {
	t.field(number, thriftI32)
	t.b = binary.AppendVarint(t.b, int64(v)) // zigzag, as encoding/binary has it
}

func (t *thrift) i64(number int, v int64) {
	t.field(number, thriftI64)
	t.b = binary.AppendVarint(t.b, v)
}

func (t *thrift) text(number int, s string) {
	t.field(number, thriftBinary)
	t.bytes(s)
}

func (t *thrift) bytes(s string) {
	t.b = binary.AppendUvarint(t.b, uint64(len(s)))
	t.b = append(t.b, s...)
}

// list begins a list of n elements, which follow.
func (t *thrift) list(number, kind, n int) {
	t.field(number, thriftList)
	if n < 15 {
		t.b = append(t.b, byte(n<<4|kind))
		return
	}
	t.b = append(t.b, byte(0xf0|kind))
	t.b = binary.AppendUvarint(t.b, uint64(n))
}

// structure begins a structure that is a field.
func (t *thrift) structure(number int) {
	t.field(number, thriftStruct)
	t.begin()
}
